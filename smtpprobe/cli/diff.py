"""``smtpprobe diff``: what has changed between two probes that were saved. Nothing here touches the network."""

from __future__ import annotations

import sys

import click

from smtpprobe.cli import EXIT_FINDINGS, EXIT_INCONCLUSIVE, EXIT_OK
from smtpprobe.cli.options import SectionedCommand, lang_option, option

_SECTION = "Options"

EXIT_STATUS = """\b
Exit status:
  0  the comparison is printed
  1  something has changed, with --exit-code
  2  the command cannot be carried out as given
  3  what differs was not known at one of the two times, with --exit-code
"""


@click.command(
    cls=SectionedCommand,
    short_help="Say what has changed between two saved probes.",
    epilog=EXIT_STATUS,
)
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@option(
    "--format",
    section=_SECTION,
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    help="How to write it.",
)
@option("--exit-code", section=_SECTION, is_flag=True, help="End with status 1 if anything has changed.")
@lang_option(_SECTION)
def command(old: str, new: str, format: str, exit_code: bool, lang: str | None) -> int:
    """Say what has changed from OLD to NEW: MX records, addresses, services, software, EHLO keywords, TLS,
    certificates, policies, and which findings appeared or are resolved.

    OLD and NEW are what 'smtpprobe check --save' wrote, or the output of 'smtpprobe check --format json'; '-' is the
    standard input. Times, and the ids and dates in greetings, are no changes.

    \b
    Examples:
      smtpprobe diff monday.json tuesday.json
      smtpprobe diff --exit-code --format markdown monday.json tuesday.json
    """
    if old == new == "-":
        raise click.UsageError("only one of OLD and NEW can be the standard input")
    from smtpprobe.checks import judge
    from smtpprobe.cli.options import language
    from smtpprobe.cli.saved import read_evidence
    from smtpprobe.difference import differences, is_certain
    from smtpprobe.render import differing
    from smtpprobe.render.layout import describe_terminal

    tongue = language(lang)
    found = differences(map(judge, read_evidence(old)), map(judge, read_evidence(new)))
    if format == "json":
        click.echo(differing.json(found))
    else:
        lines = (
            differing.markdown(found, tongue)
            if format == "markdown"
            else differing.text(found, tongue, describe_terminal(sys.stdout))
        )
        for line in lines:
            click.echo(line, color=True)
    changes = [is_certain(change) for each in found.targets for change in each.changes]
    if not exit_code or not changes:
        return EXIT_OK
    return EXIT_FINDINGS if any(changes) else EXIT_INCONCLUSIVE
