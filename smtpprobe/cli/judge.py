"""``smtpprobe judge``: report again on evidence that was saved. Nothing here touches the network."""

from __future__ import annotations

from typing import Any

import click

from smtpprobe.cli.expected import config_option
from smtpprobe.cli.options import EXIT_STATUS, SectionedCommand, report_options


@click.command(
    cls=SectionedCommand,
    short_help="Report again on evidence that was saved, without the network.",
    epilog=EXIT_STATUS,
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@report_options
@config_option
def command(files: tuple[str, ...], format: str, outputs: tuple[str, ...], config: str | None, **shown: Any) -> int:
    """Report again on evidence that was saved: another time, elsewhere, in another language or format.

    A FILE is what 'smtpprobe check --save' wrote, or the output of 'smtpprobe check --format json'; '-' is the
    standard input. The judgement is that of this version; the facts are those of then. With --config, evidence of a
    target of that file is held against what the file expects.

    \b
    Examples:
      smtpprobe check --save evidence.json example.org
      smtpprobe judge -v evidence.json
      smtpprobe judge --format json - < evidence.json
    """
    from smtpprobe.cli.options import report_style

    style = report_style(format, outputs, **shown)

    from smtpprobe.cli.expected import judging
    from smtpprobe.cli.outputs import parse_outputs, writing
    from smtpprobe.cli.reporting import report_on
    from smtpprobe.cli.saved import read_evidence

    wanted = parse_outputs(outputs)
    judge = judging(config)
    evidence = [each for file in files for each in read_evidence(file)]
    with writing(wanted, style) as written:
        reports = map(judge, evidence)
        if not wanted:
            return report_on(reports, format, style)
        return report_on(written.passing(reports), format, style, when_unread=lambda: None)
