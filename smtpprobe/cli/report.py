"""``smtpprobe report``: what the results of a scan come to. Nothing here touches the network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from smtpprobe.cli.options import SectionedCommand, lang_option, option

if TYPE_CHECKING:
    from smtpprobe.scan.counting import Counting
    from smtpprobe.scan.overview import Overview

_COUNTED: Final = "What is counted"
_SHOWN: Final = "Output"

FORMATS: Final = ("text", "markdown", "html", "json")
GROUPINGS: Final = ("provider", "software", "tld")
MAX_TOP: Final = 1000

EPILOG: Final = """\b
Exit status:
  0  there was at least one result
  2  there was none, or a file cannot be read
"""


@click.command(cls=SectionedCommand, short_help="Sum up the results of a scan.", epilog=EPILOG)
@click.argument("files", metavar="RESULTS...", nargs=-1, required=True)
@option(
    "--group-by",
    section=_COUNTED,
    type=click.Choice(GROUPINGS),
    help="Also a table with a row for each of these: targets, and how many answer, offer STARTTLS, are trusted or"
    " have errors.",
)
@option(
    "--top",
    section=_COUNTED,
    metavar="N",
    type=click.IntRange(1, MAX_TOP),
    default=10,
    help="So many rows in each list; the rest is summed up (10).",
)
@option("--format", section=_SHOWN, type=click.Choice(FORMATS), default="text", help="How to write it.")
@lang_option(_SHOWN)
def command(files: tuple[str, ...], group_by: str | None, top: int, format: str, lang: str | None) -> int:
    """Sum up the results of a scan: how many targets answer, encrypt and can be trusted, and what is wrong elsewhere.

    RESULTS is what 'smtpprobe scan' wrote: NDJSON, also compressed by gzip or zstd, Parquet or SQLite; the content
    decides, not the name. A folder stands for the parts in it that a distributed scan wrote. '-' is NDJSON from the
    standard input. Several files are counted as one scan.

    Every share says of how many it is. What a light scan does not ask for, DANE and MTA-STS, is said to be not asked,
    never to be missing. Records that cannot be read are counted and told on stderr; the others are reported.

    \b
    Examples:
      smtpprobe report results.ndjson
      smtpprobe report --group-by provider --top 20 results.ndjson.zst
      smtpprobe report --format html results.parquet > overview.html
      zcat part-*.gz | smtpprobe report --lang de -
    """
    from smtpprobe.cli.options import language
    from smtpprobe.scan.claims import Grouping
    from smtpprobe.scan.counting import Counting

    chosen = language(lang)
    if format == "html":
        from smtpprobe.render.overview_html import template

        template()  # what it needs is missed now rather than after a million results
    counting = Counting(top=top, group_by=Grouping(group_by) if group_by is not None else None)
    for file in files:
        _count(file, counting)
    overview = counting.overview()
    if not overview.targets:
        from smtpprobe.errors import EvidenceError

        raise EvidenceError(
            f"{', '.join(files)}: there is no result of a scan in it (CSV, and what --fields leaves, are not enough)"
        )
    for line in _lines(overview, format, chosen):
        click.echo(line, color=True)  # the terminal has been looked at, and click would see none
    return 0


def _count(file: str, counting: Counting) -> None:
    """Count the results of a file, and tell what in it could not be read."""
    from smtpprobe.render.escaping import escape
    from smtpprobe.scan.loading import Unreadable, is_finished, read_results

    if not is_finished(file):
        counting.add_unfinished()
        click.echo(f"smtpprobe: {escape(file)}: the scan is not finished; these are the results so far", err=True)
    first: Unreadable | None = None
    unreadable = 0
    for each in read_results(file):
        if isinstance(each, Unreadable):
            first = first or each
            unreadable += 1
        else:
            counting.add(each)
    if first is not None:
        counting.add_unreadable(unreadable)
        told = f"records that could not be read: {unreadable}; the first is number {first.number}: {first.why}"
        click.echo(f"smtpprobe: {escape(file)}: {escape(told)}", err=True)


def _lines(overview: Overview, format: str, language: str) -> Iterator[str]:
    if format == "json":
        from smtpprobe.evidence import encode
        from smtpprobe.render.json import ascii_json

        yield ascii_json(encode(overview))
    elif format == "html":
        from smtpprobe.render import overview_html

        yield overview_html.render(overview, language)
    elif format == "markdown":
        from smtpprobe.render import overview_markdown

        yield from overview_markdown.render(overview, language)
    else:
        from smtpprobe.render import overview_text
        from smtpprobe.render.layout import describe_terminal

        yield from overview_text.render(overview, language, describe_terminal(sys.stdout))
