"""``smtpprobe init``: write a file that expects of mail servers what is found there now."""

from __future__ import annotations

import os
from typing import Any

import click

from smtpprobe.cli import EXIT_INCONCLUSIVE, EXIT_OK
from smtpprobe.cli.options import SectionedCommand, lang_option, option, probe_options
from smtpprobe.errors import SmtpprobeError

EXIT_STATUS = """\b
Exit status:
  0    the file is written
  2    the command cannot be carried out as given; nothing is written
  3    of a target nothing was found that could be expected; nothing is written
  130  stopped by Ctrl-C or SIGTERM; nothing is written
"""


@click.command(
    cls=SectionedCommand,
    short_help="Write smtpprobe.toml: expect of mail servers what is found there now.",
    epilog=EXIT_STATUS,
)
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@probe_options
@option("--out", section="File", metavar="FILE", default="smtpprobe.toml", help="Write it there; '-' prints it.")
@option("--force", section="File", is_flag=True, help="Overwrite a file that is there already.")
@lang_option("File")
def command(targets: tuple[str, ...], out: str, force: bool, lang: str | None, **probe: Any) -> int:
    """Check each TARGET, and write a file that expects of it what was found, with comments to go on from.

    'smtpprobe check', without a TARGET, then says what is no longer so.

    \b
    Examples:
      smtpprobe init example.org
      smtpprobe init --port submission:587 --out mail.toml mail.example.org
      smtpprobe init --out - example.org example.net
    """
    from smtpprobe.cli.options import language, options
    from smtpprobe.targets import parse_target

    tongue = language(lang)
    chosen = options(**probe)
    parsed = [parse_target(each) for each in targets]
    if out != "-" and not force and os.path.lexists(out):
        raise SmtpprobeError(f"{out} is there already; --force overwrites it, --out writes another")

    from contextlib import ExitStack

    from smtpprobe import texts
    from smtpprobe.checks import judge
    from smtpprobe.cli.background import Probes, stopping
    from smtpprobe.cli.files import blaming, replacing
    from smtpprobe.cli.progress import ProgressLine
    from smtpprobe.expectations.model import Expected
    from smtpprobe.expectations.proposing import left_out, propose, proposed
    from smtpprobe.render.escaping import escape

    line = ProgressLine(parsed, tongue)
    with ExitStack() as stack:
        stream = stack.enter_context(replacing(out)) if out != "-" else None
        probes = Probes(parsed, chosen, on_progress=line.take, on_due=line.wait_for)
        with stopping(probes.stop) as was_stopped, probes:
            reports = [judge(each.evidence) for each in probes if each.is_final]
            line.erase()
        if was_stopped:
            raise KeyboardInterrupt
        for report in reports:
            if proposed(report.evidence)[0] == Expected():
                target = escape(report.evidence.target.text)
                click.echo(f"smtpprobe: {target}: nothing was found that could be expected of it", err=True)
                raise click.exceptions.Exit(EXIT_INCONCLUSIVE)
        text = propose(
            reports, chosen, os.path.dirname(out), lambda key: texts.phrase(tongue, "expectations", "init", key)
        )
        if stream is None:
            click.echo(text, nl=False)
        else:
            with blaming(out):
                stream.write(text.encode("utf-8", "replace"))
    for report in reports:
        for missed in left_out(report.evidence):
            said = texts.phrase(tongue, "expectations", "init", "left-out")
            click.echo(f"{escape(report.evidence.target.text)}: {said} {missed}", err=True)
    if out != "-":
        click.echo(texts.phrase(tongue, "expectations", "init", "written").format(file=escape(out)), err=True)
    return EXIT_OK
