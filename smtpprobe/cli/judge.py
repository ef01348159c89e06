"""``smtpprobe judge``: report again on evidence that was saved. Nothing here touches the network."""

from __future__ import annotations

import click

from smtpprobe.cli.options import EXIT_STATUS, SectionedCommand, report_options


@click.command(
    cls=SectionedCommand,
    short_help="Report again on evidence that was saved, without the network.",
    epilog=EXIT_STATUS,
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@report_options
def command(files: tuple[str, ...], format: str, lang: str | None, fail_on: str, verbose: int, quiet: bool) -> int:
    """Report again on evidence that was saved: another time, elsewhere, in another language or format.

    A FILE is what 'smtpprobe check --save' wrote, or the output of 'smtpprobe check --format json'; '-' is the
    standard input. The judgement is that of this version; the facts are those of then.

    \b
    Examples:
      smtpprobe check --save evidence.json example.org
      smtpprobe judge -v evidence.json
      smtpprobe judge --format json - < evidence.json
    """
    from smtpprobe.cli.options import style
    from smtpprobe.cli.reporting import report_on
    from smtpprobe.cli.saved import read_evidence

    shown = style(lang=lang, fail_on=fail_on, verbose=verbose, quiet=quiet)
    evidence = [each for file in files for each in read_evidence(file)]
    return report_on(evidence, format, shown)
