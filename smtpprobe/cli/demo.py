"""``smtpprobe demo``: checks of a mail world that is made for it, on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from smtpprobe.cli import EXIT_FINDINGS, EXIT_OK
from smtpprobe.cli.options import SectionedCommand, lang_option, option

if TYPE_CHECKING:
    from smtpprobe.lab.tour import Stop, Tour
    from smtpprobe.render.layout import Terminal

_SECTION = "Options"

NEXT = {
    "smtpprobe check YOUR-DOMAIN": "your own mail servers",
    'smtpprobe explain "550 5.7.1 Relaying denied"': "what a reply means, and what to do",
    "smtpprobe lab": "this world again, to stay: a hundred domains, each with one thing to find",
}
"""What to try after the demo, and why."""

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
    for line in _introduction(tour, terminal):
        click.echo(line)
    names = [stop.report.evidence.target.text for stop in tour.stops]
    _show_command(("check", "-q", *names), terminal)
    for piece in render((stop.report for stop in tour.stops), brief):
        click.echo(piece, nl=False)
    told = [stop.report for stop in tour.stops] if verbose else [tour.story]
    _show_command(("check", "-v", *(names if verbose else (f"{STORY}.lab.test",))), terminal)
    for piece in render(told, full):
        click.echo(piece, nl=False)
    for line in _verdict(tour, terminal):
        click.echo(line)
    return EXIT_OK if all(stop.is_as_it_should_be for stop in tour.stops) else EXIT_FINDINGS


def _introduction(tour: Tour, terminal: Terminal) -> Iterator[str]:
    from smtpprobe.render.layout import wrap

    text = (
        f"A small mail world on this machine, made for this demo: a DNS and {tour.hosts} mail hosts on loopback,"
        " most of them with a fault. Nothing leaves this machine. These are real checks of it."
    )
    yield from wrap(text, terminal.prose)


def _show_command(words: tuple[str, ...], terminal: Terminal) -> None:
    """Show a command as somebody would type it, on as many lines as it takes."""
    from smtpprobe.render.layout import wrap

    lines = wrap(" ".join(("smtpprobe", *words)), terminal.prose - 2, first="$ ", rest="    ")
    click.echo()
    for number, line in enumerate(lines, start=1):
        click.echo(terminal.paint(line if number == len(lines) else f"{line} \\", "bold"))


def _verdict(tour: Tour, terminal: Terminal) -> Iterator[str]:
    from smtpprobe.render.layout import pad, wrap

    right = sum(stop.is_as_it_should_be for stop in tour.stops)
    cells = max(len(stop.scenario.name) for stop in tour.stops)
    yield ""
    yield terminal.paint("What is there, and what was found", "bold")
    for stop in tour.stops:
        sign = "ok" if stop.is_as_it_should_be else "error"
        first = f"  {terminal.sign(sign)} {pad(stop.scenario.name, cells)}  "
        text = f"{stop.scenario.description} {terminal.sign('arrow')} {_found(stop)}"
        for line in wrap(text, terminal.prose, first=first):
            yield line if stop.is_as_it_should_be else terminal.paint(line, sign)
    yield ""
    if right == len(tour.stops):
        sign, text = "ok", f"The checks saw what is there, in {right} of {right} domains."
    else:
        sign, text = "error", f"The checks saw what is there in {right} of {len(tour.stops)} domains only."
    yield terminal.paint(f"{terminal.sign(sign)} {text}", sign)
    yield ""
    yield "Now try:"
    width = max(map(len, NEXT))
    for words, purpose in NEXT.items():
        yield from wrap(purpose, terminal.prose, first=f"  {pad(words, width)}  ")


def _found(stop: Stop) -> str:
    """What was found, and what was not as it should be."""
    if stop.is_as_it_should_be:
        return ", ".join(stop.scenario.finds) or "nothing to mend"
    parts = []
    if stop.missing:
        parts.append(f"NOT FOUND: {', '.join(stop.missing)}")
    if stop.unexpected:
        parts.append(f"NOT EXPECTED: {', '.join(stop.unexpected)}")
    return "; ".join(parts)
