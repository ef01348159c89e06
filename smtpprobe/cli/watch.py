"""``smtpprobe watch``: probe targets again and again, and say what changes.

It keeps nothing unless it is told where: who only looks does not expect a file that grows, and whoever keeps a history
wants to say which one.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from smtpprobe.cli import EXIT_INTERRUPTED
from smtpprobe.cli.expected import config_option
from smtpprobe.cli.options import Duration, OneOf, SectionedCommand, lang_option, option, probe_options

if TYPE_CHECKING:
    from smtpprobe.cli.expected import Job

_WHEN: Final = "When"
_SHOWN: Final = "Report"

DEFAULT_EVERY_S: Final = 30.0

_TIMES: Final = {"timeout": ("timeout_s", "greeting_timeout_s"), "deadline": ("deadline_s",)}
"""Option -> the fields of `Options` that it sets."""

EXIT_STATUS: Final = """\b
Exit status:
  0    what --until waits for has come; without --until: every target passed at last
  1    it has not come by the end (--for, --count); without --until: a target failed at last
  2    the command cannot be carried out as given; nothing was probed
  3    without --until: something that matters was not known at last
  130  stopped by Ctrl-C or SIGTERM
"""


@click.command(
    cls=SectionedCommand,
    short_help="Probe again and again, and say what changes.",
    epilog=EXIT_STATUS,
)
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
@option(
    "--every",
    section=_WHEN,
    type=Duration(),
    default=DEFAULT_EVERY_S,
    help="From the beginning of one probe to that of the next; by default 30s. A host that is not this machine"
    " is left alone for 5 s after each, and longer and longer (up to 10 min) while it answers 421 or another 4yz.",
)
@option(
    "--until",
    section=_WHEN,
    type=OneOf(lambda: ("ok", "fail")),
    metavar="STATE",
    help="End as soon as every target passes, or a target fails.",
)
@option("--for", "for_s", section=_WHEN, type=Duration(), help="End after so long in any case.")
@option("--count", section=_WHEN, type=click.IntRange(min=1), metavar="N", help="End after N probes of each target.")
@option(
    "--fail-on",
    section=_WHEN,
    metavar="LEVEL",
    type=OneOf(lambda: ("error", "warning", "info")),
    default="error",
    help="What fails a target.",
)
@option(
    "--history",
    section=_SHOWN,
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Keep what is seen in this SQLite file, for 'smtpprobe history'; by default nothing is kept.",
)
@option("--bell", section=_SHOWN, is_flag=True, help="Ring the terminal's bell at every change.")
@option(
    "--format",
    section=_SHOWN,
    type=OneOf(lambda: ("text", "ndjson")),
    metavar="NAME",
    help="How to write it; by default a table on a terminal (text), and else a JSON line for each probe (ndjson).",
)
@lang_option(_SHOWN)
@probe_options
@config_option
def command(
    targets: tuple[str, ...],
    every: float,
    until: str | None,
    for_s: float | None,
    count: int | None,
    fail_on: str,
    history: str | None,
    bell: bool,
    format: str | None,
    lang: str | None,
    config: str | None,
    **probe: Any,
) -> int:
    """Probe each TARGET again and again, and say what changes.

    A target is what 'smtpprobe check' takes, also a name of smtpprobe.toml; without any, all of that file are watched.
    A change is another state, or a problem that comes or goes.

    \b
    Examples:
      smtpprobe watch example.org
      smtpprobe watch --every 10s --until ok --for 10m mx1.example.org:25
      smtpprobe watch --history mail.db --bell example.org example.net
    """
    from smtpprobe.cli.expected import jobs
    from smtpprobe.cli.options import language, options

    shown_in = language(lang)
    timed = [field for name in ("timeout", "deadline") if probe[name] is not None for field in _TIMES[name]]
    run = jobs(targets, config, options(**probe), timeouts=timed)
    run = _once(run)
    parsed = [each.target for each in run]

    # What was typed is in order; now for what takes time to import.
    from contextlib import ExitStack

    from smtpprobe.cli.background import stopping
    from smtpprobe.cli.repeating import RepeatedProbes
    from smtpprobe.cli.reporting import EXIT_STATUS as STATUS
    from smtpprobe.cli.reporting import make_ready
    from smtpprobe.cli.screen import make_screen
    from smtpprobe.report import Severity
    from smtpprobe.watching import Pace, Sighting, Until, change, final_outcome, is_met, known, sighting

    wanted = Until(until) if until is not None else None
    latest: list[Sighting | None] = [None] * len(parsed)
    so_far = list(latest)
    make_ready("text")
    with ExitStack() as stack:
        kept = None
        if history is not None:
            from smtpprobe.history import History

            kept = stack.enter_context(History(history))
        screen = make_screen(format, parsed, every, shown_in)
        probes = RepeatedProbes(parsed, [each.options for each in run], Pace(every), count=count, for_s=for_s)
        was_stopped = stack.enter_context(stopping(probes.stop))
        stack.enter_context(probes)
        screen.begin()
        for seen in probes:
            new = sighting(run[seen.number].judge(seen.evidence), Severity(fail_on))
            changed = change(so_far[seen.number], new)
            is_first = latest[seen.number] is None
            latest[seen.number], so_far[seen.number] = new, known(so_far[seen.number], new)
            if kept is not None:
                kept.add(new)
            screen.take(seen.number, new, changed, seen.pause_s)
            if bell and changed is not None and not is_first:
                _ring()
            if is_met(wanted, latest):
                break
            probes.done(seen.number)
    if was_stopped:
        screen.end("interrupted")
        return EXIT_INTERRUPTED
    outcome = final_outcome(wanted, latest)
    met = "met" if is_met(wanted, latest) else "unmet"
    screen.end(outcome.value if wanted is None else f"{wanted}-{met}")
    return STATUS[outcome]


def _once(run: list[Job]) -> list[Job]:
    """Have a target that is named twice watched once.

    Raises:
        click.UsageError: it is to be probed or judged in two ways, which what is shown and kept could not tell apart.
    """
    found: dict[str, Job] = {}
    for each in run:
        if found.setdefault(each.target.text, each) != each:
            raise click.UsageError(
                f"{each.target.text} is to be watched in two ways at once: name one target of the file"
            )
    return list(found.values())


def _ring() -> None:
    """Ring the bell of whatever terminal there is."""
    for stream in (sys.stdout, sys.stderr):
        if stream.isatty():
            stream.write("\a")
            stream.flush()
            return
