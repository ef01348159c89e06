"""``smtpprobe codes``: the tables of the code book as lists."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from smtpprobe.cli.options import OneOf, SectionedCommand, lang_option, option

_WHICH = "Which table (reply codes without any of these)"
_FILTER = "Which rows"
_SHOWN = "Output"


def _phases() -> Iterable[str]:
    from smtpprobe import texts

    return texts.entry(texts.DEFAULT_LANGUAGE, "labels", "phase") or ()


@click.command(cls=SectionedCommand, short_help="List reply codes, enhanced codes, keywords and findings.")
@option("--enhanced", section=_WHICH, is_flag=True, help="Enhanced codes, as 4.7.1.")
@option("--keywords", section=_WHICH, is_flag=True, help="What a server offers after EHLO.")
@option("--findings", section=_WHICH, is_flag=True, help="What 'smtpprobe check' can find.")
@option("--diagnoses", section=_WHICH, is_flag=True, help="Causes of refusals.")
@option(
    "--class",
    "digit",
    section=_FILTER,
    type=click.Choice(["1", "2", "3", "4", "5"]),
    help="Only codes that begin with this digit.",
)
@option(
    "--phase",
    section=_FILTER,
    type=OneOf(_phases),
    metavar="STEP",
    help="Only reply codes that are met there, as greeting, rcpt or message.",
)
@option(
    "--search",
    section=_FILTER,
    metavar="WORDS",
    help="Only rows that have all of these words, in the language of the output or in English.",
)
@lang_option(_SHOWN)
@option(
    "--format",
    section=_SHOWN,
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    help="How to write it.",
)
def command(
    digit: str | None, phase: str | None, search: str | None, lang: str | None, format: str, **tables: bool
) -> None:
    """List the tables of the code book: reply codes, enhanced codes, EHLO keywords, findings or causes.

    \b
    Examples:
      smtpprobe codes --class 4 --phase rcpt
      smtpprobe codes --search greylist
      smtpprobe codes --keywords --format markdown
    """
    asked = [name for name, is_asked in tables.items() if is_asked]
    if len(asked) > 1:
        raise click.UsageError(f"one table at a time, not {' and '.join(f'--{each}' for each in asked)}")
    table = asked[0] if asked else "codes"
    if digit is not None and table not in ("codes", "enhanced"):
        raise click.UsageError(f"--class is for codes; the rows of --{table} have none")
    if phase is not None and table != "codes":
        raise click.UsageError(f"--phase is for reply codes; it cannot choose among --{table}")
    from smtpprobe.cli.options import language
    from smtpprobe.render import codelist

    chosen = language(lang)
    wanted = codelist.Filter(digit=digit, phase=phase, search=search)
    rows = codelist.select(table, chosen, wanted)
    if format == "json":
        import json

        click.echo(json.dumps(codelist.document(table, rows, chosen), ensure_ascii=False, indent=2))
        return
    if format == "markdown":
        lines = list(codelist.markdown(rows, chosen))
    else:
        from smtpprobe.render.layout import describe_terminal

        lines = list(codelist.text(rows, chosen, describe_terminal(sys.stdout)))
        lines += ["", *codelist.closing(rows, codelist.elsewhere(table, chosen, wanted), chosen)]
    click.echo("\n".join(lines).rstrip("\n"))
