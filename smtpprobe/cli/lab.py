"""``smtpprobe lab``: a mail world on this machine that stays until Ctrl-C, to try things against."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from smtpprobe.cli.options import SectionedCommand, option

if TYPE_CHECKING:
    from smtpprobe.lab.scenarios import Scenario
    from smtpprobe.lab.world import World
    from smtpprobe.render.layout import Terminal

_SECTION = "Options"

EXAMPLES = ("healthy", "certificate-expired", "greeting-421", "starttls-injection", "one-mx-dead")
"""Domains to begin with, where the world has all."""
MAX_TOLD = 20
"""So many scenarios are told one by one when they were picked; more are for --list."""


@click.command(cls=SectionedCommand, short_help="Keep that mail world running, to try things against it.")
@option(
    "--scenario",
    "names",
    section=_SECTION,
    metavar="NAME",
    multiple=True,
    help="Have this domain only. Repeatable; by default there are all.",
)
@option("--list", "lists", section=_SECTION, is_flag=True, help="Name the domains, with what is to be found in each.")
def command(names: tuple[str, ...], lists: bool) -> None:
    """Keep a mail world running on this machine, until Ctrl-C.

    It has a DNS of its own and over a hundred mail domains under lab.test, on loopback: a healthy one, and the others
    each with one thing to find. What to type to check them is printed.

    \b
    Examples:
      smtpprobe lab --list
      smtpprobe lab --scenario healthy --scenario tarpit
    """
    from smtpprobe.lab.scenarios import SCENARIOS, choose
    from smtpprobe.render.layout import describe_terminal

    terminal = describe_terminal(sys.stdout)
    chosen = choose(names) if names else tuple(SCENARIOS.values())
    if lists:
        for line in _list(chosen, terminal):
            click.echo(line)
        return
    import asyncio

    asyncio.run(_run(chosen, terminal))


def _list(scenarios: tuple[Scenario, ...], terminal: Terminal) -> Iterator[str]:
    from smtpprobe.lab.scenarios import TOPICS

    is_first = True
    for topic, members in TOPICS.items():
        told = [each for each in members if each in scenarios]
        if told:
            yield from () if is_first else ("",)
            yield terminal.paint(topic, "bold")
            yield from _told(told, terminal, max(len(each.name) for each in scenarios))
            is_first = False


def _told(scenarios: list[Scenario], terminal: Terminal, cells: int) -> Iterator[str]:
    from smtpprobe.render.layout import pad, wrap

    for each in scenarios:
        yield from wrap(each.description, terminal.width, first=f"  {pad(each.name, cells)}  ")


async def _run(scenarios: tuple[Scenario, ...], terminal: Terminal) -> None:
    """Keep the world until the person, or the system, has enough of it."""
    import asyncio
    import signal

    from smtpprobe.lab.world import World

    enough = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, enough.set)  # so that the folder with the keys goes in any case
    try:
        async with World(scenarios, prefer_usual_ports=True) as world:
            for line in _instructions(world, terminal):
                click.echo(line)
            await enough.wait()
    finally:
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(each)
    click.echo("The lab is closed.", err=True)


def _instructions(world: World, terminal: Terminal) -> Iterator[str]:
    """Say what is there, and what to type."""
    from smtpprobe.lab.world import ZONE

    places = list(world.places.values())
    count = f"{len(places)} mail domain{'' if len(places) == 1 else 's'}"
    yield terminal.paint(f"The lab is open: {count} under {ZONE}, on this machine only. Ctrl-C closes it.", "bold")
    for each in world.left_out:
        yield f"Left out, since the OpenSSL of this Python cannot serve it: {each.name}"
    yield ""
    if len(places) <= MAX_TOLD:
        yield from _told([each.scenario for each in places], terminal, max(len(each.scenario.name) for each in places))
        yield ""
    yield "In another terminal, say once what every check of it needs:"
    yield ""
    yield f"  alias labcheck='{world.command_line()}'"
    yield ""
    yield "and then, for example:"
    yield ""
    names = [name for name in EXAMPLES if name in world.places] or list(world.places)[:1]
    for number, name in enumerate(names):
        yield f"  labcheck {'-v ' if number == 1 else ''}{world.domain(name)}"
    if len(places) > MAX_TOLD:
        yield ""
        yield "'smtpprobe lab --list' names all domains, with what is to be found in each."
