"""``smtpprobe check``: probe targets, judge what was found, and report it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from smtpprobe.cli import EXIT_INTERRUPTED, settle
from smtpprobe.cli.expected import baseline_options, config_option
from smtpprobe.cli.options import EXIT_STATUS, SectionedCommand, option, probe_options, report_options

if TYPE_CHECKING:
    from typing import BinaryIO

    from smtpprobe.cli.background import Stage
    from smtpprobe.report import Report


@click.command(
    cls=SectionedCommand,
    short_help="Check mail domains, hosts and addresses, and say what to mend.",
    epilog=EXIT_STATUS,
)
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
@probe_options
@report_options
@config_option
@baseline_options
@option("--save", section="Report", metavar="FILE", help="Keep the evidence, for 'smtpprobe judge' to report again.")
def command(
    targets: tuple[str, ...],
    format: str,
    outputs: tuple[str, ...],
    config: str | None,
    baseline: str | None,
    exit_code: bool,
    save: str | None,
    **more: Any,
) -> int:
    """Check how mail reaches each TARGET, and say what to mend.

    A target is a domain (all its mail servers are tried), a host, an address, HOST:PORT, a URL such as
    submission://HOST, or somebody's mail address. With '-', targets are read from the standard input, one a line.

    Where smtpprobe.toml says what is expected of named targets, a TARGET can be one of these names; without any TARGET
    all of them are checked. What does not hold is a finding.

    \b
    Examples:
      smtpprobe check example.org
      smtpprobe check -v mx1.example.org:587
      smtpprobe check --resolve mx.example.org=192.0.2.1 mx.example.org
      smtpprobe check --format json --fail-on warning - < domains.txt
      smtpprobe check --output junit=report.xml
      smtpprobe check --baseline monday.json --exit-code example.org
    """
    from smtpprobe.cli.expected import against, jobs
    from smtpprobe.cli.options import STYLE_OPTIONS, options, report_style
    from smtpprobe.cli.outputs import parse_outputs

    shown = report_style(format, outputs, **{name: more.pop(name) for name in STYLE_OPTIONS})
    wanted = parse_outputs(outputs, (save,))
    chosen = options(**more)
    run = jobs(targets, config, chosen, timeouts=_typed_times(more))
    if exit_code and baseline is None:
        raise click.UsageError("--exit-code tells of changes since --baseline FILE")
    if baseline is not None:
        run = against(run, baseline, shown.fail_on if exit_code else None)
    parsed = [each.target for each in run]

    from contextlib import ExitStack

    from smtpprobe.opening import set_out

    with ExitStack() as stack:
        kept, written = None, None
        if save is not None:
            from smtpprobe.cli.files import replacing

            kept = stack.enter_context(replacing(save))
        if wanted:
            from smtpprobe.cli.outputs import writing

            written = stack.enter_context(writing(wanted, shown))

        # What was typed is in order: the first packets leave, and then comes what takes time to import.
        openings = set_out(run[0].target, run[0].options)
        if any(each.name is not None for each in parsed):
            import smtpprobe.stub  # noqa: F401 - the first packet is a question to the DNS
        from smtpprobe.cli.background import Probes, stopping
        from smtpprobe.cli.progress import ProgressLine
        from smtpprobe.cli.reporting import make_ready, report_at_once, report_on

        line = ProgressLine(parsed, shown.language)
        probes = Probes(
            parsed,
            [each.options for each in run],
            on_progress=line.take,
            on_due=line.wait_for,
            openings=openings,
        )
        was_stopped = stack.enter_context(stopping(probes.stop))
        stack.enter_context(probes)
        stack.callback(line.erase)
        make_ready(format)  # while the network is waited for
        settle()
        judged: Iterator[tuple[Report, bool]]
        judged = ((run[each.number].judge(each.evidence), each.is_final) for each in _keep(probes, kept, save or ""))
        if written is not None:
            judged = _also(judged, written.take)
        if format == "text" and sys.stdout.isatty():
            status = report_at_once(judged, shown, line.erase)
        else:
            final = (report for report, is_final in judged if is_final)
            # A file is not lost with the reader of stdout; what it then has is what a wish to stop would leave it.
            is_written = kept is not None or written is not None
            status = report_on(final, format, shown, line.erase, probes.stop if is_written else None)
    if not was_stopped:
        return status
    if probes.not_begun:
        click.echo(f"smtpprobe: stopped; targets that were not tried: {len(probes.not_begun)}", err=True)
    return EXIT_INTERRUPTED


def _typed_times(typed: dict[str, Any]) -> Iterator[str]:
    """The fields of `Options` whose times were typed, though perhaps as they are by default."""
    if typed["timeout"] is not None:
        yield from ("timeout_s", "greeting_timeout_s")
    if typed["deadline"] is not None:
        yield "deadline_s"


def _keep(stages: Iterable[Stage], stream: BinaryIO | None, path: str) -> Iterator[Stage]:
    """Hand evidence on, and write it to a file when its report is out: a JSON document a line."""
    if stream is None:
        yield from stages
        return
    from smtpprobe.cli.files import blaming
    from smtpprobe.evidence import encode
    from smtpprobe.render.json import ascii_json

    for stage in stages:
        yield stage
        if stage.is_final:
            with blaming(path):
                stream.write(ascii_json(encode(stage.evidence)).encode("ascii") + b"\n")


def _also(judged: Iterable[tuple[Report, bool]], take: Callable[[Report], object]) -> Iterator[tuple[Report, bool]]:
    """Hand reports on, and what is final to somebody else too."""
    for report, is_final in judged:
        if is_final:
            take(report)
        yield report, is_final
