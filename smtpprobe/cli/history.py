"""``smtpprobe history``: what a watch has seen over time."""

from __future__ import annotations

import sys
from typing import Final

import click

from smtpprobe.cli.options import SectionedCommand, lang_option, option

_SHOWN: Final = "Output"

DEFAULT_LAST: Final = 200


@click.command(cls=SectionedCommand, short_help="Show what a watch has seen over time.")
@click.argument("file", metavar="FILE")
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
@option(
    "--last",
    section="Which probes",
    type=click.IntRange(min=0),
    metavar="N",
    default=DEFAULT_LAST,
    show_default=True,
    help="Only the last N probes of each target; 0: all.",
)
@option(
    "--format",
    section=_SHOWN,
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    help="How to write it.",
)
@lang_option(_SHOWN)
def command(file: str, targets: tuple[str, ...], last: int, format: str, lang: str | None) -> None:
    """Show what 'smtpprobe watch --history FILE' has seen: a sign for each probe, what came and went, and times.

    The FILE is an SQLite database with the tables probe and problem, open to questions of your own.

    \b
    Examples:
      smtpprobe history mail.db
      smtpprobe history --last 20 mail.db example.org
      smtpprobe history --format markdown mail.db > history.md
      sqlite3 mail.db "SELECT at, target FROM probe WHERE outcome = 'findings'"
    """
    from smtpprobe.cli.options import language

    chosen = language(lang)

    from smtpprobe.history import read_history
    from smtpprobe.render import history as rendering
    from smtpprobe.render.layout import describe_terminal

    pasts = read_history(file, targets, last or None)
    if format == "json":
        click.echo(rendering.json(pasts), nl=False)
    elif format == "markdown":
        click.echo("\n".join(rendering.markdown(pasts, chosen)))
    else:
        # The terminal is described already, and click would see none.
        click.echo("\n".join(rendering.text(pasts, chosen, describe_terminal(sys.stdout))), color=True)
