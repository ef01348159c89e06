"""``smtpprobe compare``: reply codes side by side."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from smtpprobe.cli.options import OneOf, SectionedCommand, lang_option, option

_SECTION = "Options"


def _phases() -> Iterable[str]:
    from smtpprobe import texts

    return texts.entry(texts.DEFAULT_LANGUAGE, "labels", "phase") or ()


@click.command(cls=SectionedCommand, short_help="Set reply codes side by side: how they differ, which to use when.")
@click.argument("codes", metavar="CODE CODE...", nargs=-1, required=True)
@option(
    "--phase",
    section=_SECTION,
    type=OneOf(_phases),
    metavar="STEP",
    help="Where the codes were met, as greeting, rcpt or message.",
)
@lang_option(_SECTION)
@option(
    "--format",
    section=_SECTION,
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    help="How to write it.",
)
def command(codes: tuple[str, ...], phase: str | None, lang: str | None, format: str) -> None:
    """Set reply codes side by side: what each means, how they differ, which to expect when and which to send.

    A CODE is a reply code as 421, one of its stories as 421.greeting, a class as 4xx, or an enhanced code as 4.7.1;
    x.7.1 stands for any class. Two or more.

    \b
    Examples:
      smtpprobe compare 450 550
      smtpprobe compare --phase greeting 220 421 554
      smtpprobe compare 4.7.1 5.7.1
    """
    if len(codes) < 2:
        raise click.UsageError(f"two codes are needed, as: smtpprobe compare {codes[0]} 550")
    from smtpprobe.cli.options import language
    from smtpprobe.reference.compare import side
    from smtpprobe.render import comparison

    shown = comparison.comparison([side(code, phase) for code in codes], language(lang))
    if format == "json":
        import json

        click.echo(json.dumps(comparison.document(shown), ensure_ascii=False, indent=2))
        return
    if format == "markdown":
        lines = comparison.markdown(shown)
    else:
        from smtpprobe.render.layout import describe_terminal

        lines = comparison.text(shown, describe_terminal(sys.stdout))
    click.echo("\n".join(lines))
