"""``smtpprobe demo``: checks of a mail world that is made for it, on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from smtpprobe.cli import EXIT_FINDINGS, EXIT_OK
from smtpprobe.cli.options import SectionedCommand, lang_option, option

if TYPE_CHECKING:
    from smtpprobe.lab.tour import Stop, Tour
    from smtpprobe.render.layout import Terminal

_SECTION = "Options"

NEXT = {
    "check": "smtpprobe check {domain}",
    "explain": 'smtpprobe explain "550 5.7.1 Relaying denied"',
    "lab": "smtpprobe lab",
}
"""What to try after the demo; each is a field of the ``demo`` texts, which say why."""

MIN_PURPOSE: Final = 28
"""Cells beside a command; with less its purpose stands below it."""

EPILOG = """\b
Exit status:
  0    every check saw what is there: this installation works
  1    one did not
  2    the lab cannot be set up here
"""


@click.command(cls=SectionedCommand, short_help="Check a small mail world on this machine.", epilog=EPILOG)
@option("-v", "--verbose", section=_SECTION, is_flag=True, help="Tell each domain at length.")
@lang_option(_SECTION)
def command(verbose: bool, lang: str | None) -> int:
    """See smtpprobe at work, without a network.

    A DNS and some mail servers are set up on this machine, most of them with a fault. They are checked as any others
    would be; then what was found is held against what is there.
    """
    import asyncio

    from smtpprobe.cli.options import style
    from smtpprobe.lab.tour import STORY, take_tour
    from smtpprobe.render import renderer

    brief, full = (style(lang=lang, fail_on="error", verbose=verbosity, quiet=not verbosity) for verbosity in (0, 1))
    terminal, render = brief.terminal, renderer("text").render
    tour = asyncio.run(take_tour())
    for line in _introduction(tour, brief.language, terminal):
        click.echo(line)
    names = [stop.report.evidence.target.text for stop in tour.stops]
    _show_command(("check", "-q", *names), terminal)
    for piece in render((stop.report for stop in tour.stops), brief):
        click.echo(piece, nl=False)
    told = [stop.report for stop in tour.stops] if verbose else [tour.story]
    _show_command(("check", "-v", *(names if verbose else (f"{STORY}.lab.test",))), terminal)
    for piece in render(told, full):
        click.echo(piece, nl=False)
    for line in _verdict(tour, brief.language, terminal):
        click.echo(line)
    return EXIT_OK if all(stop.is_as_it_should_be for stop in tour.stops) else EXIT_FINDINGS


def _say(language: str, field: str, **params: object) -> str:
    from smtpprobe import texts

    return texts.phrase(language, "demo", "demo", field, **params)


def _introduction(tour: Tour, language: str, terminal: Terminal) -> Iterator[str]:
    from smtpprobe.render.layout import wrap

    yield from wrap(_say(language, "introduction", hosts=tour.hosts), terminal.prose)


def _show_command(words: tuple[str, ...], terminal: Terminal) -> None:
    """Show a command as somebody would type it, on as many lines as it takes."""
    from smtpprobe.render.layout import wrap

    lines = wrap(" ".join(("smtpprobe", *words)), terminal.prose - 2, first="$ ", rest="    ")
    click.echo()
    for number, line in enumerate(lines, start=1):
        click.echo(terminal.paint(line if number == len(lines) else f"{line} \\", "bold"))


def _verdict(tour: Tour, language: str, terminal: Terminal) -> Iterator[str]:
    from smtpprobe.render.layout import cell_width, pad, wrap

    right, total = sum(stop.is_as_it_should_be for stop in tour.stops), len(tour.stops)
    cells = max(len(stop.scenario.name) for stop in tour.stops)
    yield ""
    yield terminal.paint(_say(language, "heading"), "bold")
    for stop in tour.stops:
        sign = "ok" if stop.is_as_it_should_be else "error"
        first = f"  {terminal.sign(sign)} {pad(stop.scenario.name, cells)}  "
        text = f"{_described(stop, language)} {terminal.sign('arrow')} {_found(stop, language)}"
        for line in wrap(text, terminal.prose, first=first):
            yield line if stop.is_as_it_should_be else terminal.paint(line, sign)
    yield ""
    sign, field = ("ok", "right") if right == total else ("error", "wrong")
    for line in wrap(_say(language, field, count=right, total=total), terminal.prose, first=f"{terminal.sign(sign)} "):
        yield terminal.paint(line, sign)
    yield ""
    yield _say(language, "next")
    commands = {field: words.format(domain=_say(language, "domain")) for field, words in NEXT.items()}
    width = max(map(cell_width, commands.values()))
    is_narrow = terminal.prose - width < MIN_PURPOSE
    for field, words in commands.items():
        if is_narrow:
            yield f"  {words}"
        first = "      " if is_narrow else f"  {pad(words, width)}  "
        yield from wrap(_say(language, field), terminal.prose, first=first)


def _described(stop: Stop, language: str) -> str:
    """What is there, in the language; a domain that is not of the usual tour is described in English."""
    from smtpprobe import texts

    words = texts.entry(language, "demo", "scenario") or {}
    return words.get(stop.scenario.name, stop.scenario.description)


def _found(stop: Stop, language: str) -> str:
    """What was found, and what was not as it should be."""
    from smtpprobe.render import writing

    if stop.is_as_it_should_be:
        return ", ".join(stop.scenario.finds) or _say(language, "nothing")
    parts = {"missing": stop.missing, "unexpected": stop.unexpected}
    return writing.clauses(
        (_say(language, field, findings=", ".join(ids)) for field, ids in parts.items() if ids), language
    )
