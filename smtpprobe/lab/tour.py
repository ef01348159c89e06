"""A tour of the lab: a few telling domains, really checked, and whether each check saw what is there.

What stands in a scenario is known beforehand, so a tour that finds exactly that shows that this installation works:
sockets, TLS, certificates and all. It takes a second or two and no network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, NamedTuple

from smtpprobe.evidence import Role
from smtpprobe.lab.scenarios import Scenario, choose
from smtpprobe.lab.world import World
from smtpprobe.probing import probe
from smtpprobe.report import Report, Severity

STORY: Final = "two-troubles"
"""The one that is told at length."""

DOMAINS: Final = (
    "healthy",
    "certificate-expired",
    "no-starttls",
    "one-mx-dead",
    STORY,
    "greeting-421",
    "closed",
    "null-mx",
)

PROBLEMS: Final = frozenset({Severity.ERROR, Severity.WARNING, Severity.INCONCLUSIVE})


class Stop(NamedTuple):
    """One domain of the tour."""

    scenario: Scenario
    report: Report
    missing: tuple[str, ...]
    """Finding ids that the scenario promises and the report lacks, or has with another severity."""
    unexpected: tuple[str, ...]
    """Finding ids of problems that the report has and the scenario knows nothing of."""

    @property
    def is_as_it_should_be(self) -> bool:
        """The check saw exactly what is there."""
        return not self.missing and not self.unexpected


class Tour(NamedTuple):
    """All of it."""

    stops: tuple[Stop, ...]
    story: Report
    """`STORY` once more, on its SMTP port alone."""
    hosts: int
    """How many mail hosts the world had."""


async def take_tour(names: Iterable[str] = DOMAINS) -> Tour:
    """Make a world, check its domains all at once, and compare.

    Raises:
        OptionError: there is no such scenario.
        NoLoopbackAddressError: the system has no loopback addresses but 127.0.0.1.
    """
    async with World(choose((*names, STORY)), prefer_usual_ports=True) as world:
        *reports, story = await asyncio.gather(
            *(probe(each.domain, world.options()) for each in world.places.values()),
            probe(world.domain(STORY), world.options(Role.SMTP)),
        )
        stops = tuple(map(compare, (each.scenario for each in world.places.values()), reports))
        return Tour(stops, story, sum(len(each.hosts) for each in world.places.values()))


def compare(scenario: Scenario, report: Report) -> Stop:
    """Hold a report against what is known of the scenario. Notes are compared only where the scenario has them, since
    they also tell of what the lab is not meant to show."""
    found = {each.id: each.severity for each in report.findings}
    missing = tuple(each for each, severity in scenario.finds.items() if found.get(each) is not severity)
    unexpected = tuple(each for each, severity in found.items() if severity in PROBLEMS and each not in scenario.finds)
    return Stop(scenario, report, missing, unexpected)
