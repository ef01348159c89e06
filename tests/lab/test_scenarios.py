"""Every scenario of the lab is probed for real, and the report says exactly what is wrong there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

import pytest
import pytest_asyncio

from smtpprobe.checks import KINDS
from smtpprobe.errors import OptionError
from smtpprobe.evidence import MAX_REPLY_BYTES, FailureKind, Reply, Role, encode
from smtpprobe.lab.scenarios import SCENARIOS, Scenario, choose
from smtpprobe.lab.world import Place, World
from smtpprobe.loading import decode
from smtpprobe.probing import probe
from smtpprobe.render import renderer
from smtpprobe.render.style import Style
from smtpprobe.report import Report, Severity

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE_S = 0.5
"""With those that never answer; with all others as much as a check has by default."""
MAX_CONNECTIONS = 1

READ_BYTES = 256 * 1024
"""What one read from a socket may bring beyond the limit, at most."""

OUR_DEFECTS = {FailureKind.INTERNAL, FailureKind.OTHER}

ALWAYS = {"mx-address-private": Severity.INFO}
"""What is found everywhere in a world on loopback; where there are hosts, that is."""


class Probed(NamedTuple):
    """A scenario, and what came of its probe."""

    place: Place
    report: Report

    @property
    def found(self) -> dict[str, Severity]:
        """What is not in order."""
        return {
            each.id: each.severity
            for each in self.report.findings
            if each.severity is not Severity.OK and ALWAYS.get(each.id) != each.severity
        }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def everything() -> AsyncIterator[dict[str, Probed]]:
    """One world with all scenarios, each of them probed."""

    async def look(place: Place) -> tuple[str, Probed]:
        scenario = place.scenario
        patience = {"timeout_s": PATIENCE_S, "greeting_timeout_s": PATIENCE_S} if scenario.is_stalling else {}
        options = world.options(
            scenario.role,
            explicit_ports=scenario.role is not Role.SMTP,
            policies=False,
            ehlo_name="me.test",
            **patience,
        )
        return scenario.name, Probed(place, await probe(place.domain, options))

    def some(is_stalling: bool) -> Iterable[Place]:
        return [each for each in world.places.values() if each.scenario.is_stalling is is_stalling]

    async with World() as world:
        probed = dict(await asyncio.gather(*map(look, some(False))))
        probed |= await asyncio.gather(*map(look, some(True)))
        yield probed


@pytest.fixture(params=SCENARIOS)
def probed(request: pytest.FixtureRequest, everything: dict[str, Probed]) -> Probed:
    name = str(request.param)
    if name not in everything:
        pytest.skip(f"the local OpenSSL cannot play {name}")
    return everything[name]


async def test_exactly_what_is_wrong_is_found(probed: Probed) -> None:
    assert probed.found == dict(probed.place.scenario.finds)


async def test_the_client_minds_its_manners(probed: Probed) -> None:
    visits = probed.place.visits
    assert len(visits) <= len(probed.place.hosts) * MAX_CONNECTIONS
    assert all(server.most_at_once <= MAX_CONNECTIONS for server in probed.place.servers.values())
    if probed.place.scenario.role is not Role.SUBMISSIONS:  # where TLS comes first, it may seem to be rude
        assert [each for visit in visits for each in visit.rudeness] == []


async def test_the_evidence_is_lossless_bounded_and_free_of_our_own_defects(probed: Probed) -> None:
    evidence = probed.report.evidence
    assert decode(encode(evidence)) == evidence
    for conversation in evidence.conversations:
        assert conversation.failure is None or conversation.failure.kind not in OUR_DEFECTS
        for exchange in conversation.exchanges:
            outcome = exchange.outcome
            kept = outcome.raw if isinstance(outcome, Reply) else outcome.partial
            assert len(kept) <= MAX_REPLY_BYTES + READ_BYTES


async def test_whatever_a_server_says_can_be_reported(probed: Probed) -> None:
    for verbosity in (0, 2):
        text = "".join(renderer("text").render([probed.report], Style(verbosity=verbosity)))
        assert probed.place.domain in text
        assert not {each for each in text if not each.isprintable()} - {"\n"}


# --- the list itself ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda each: each.name)
async def test_a_scenario_says_what_it_is(scenario: Scenario) -> None:
    assert scenario.description
    assert scenario.description[0].isupper()
    assert not scenario.description.endswith(".")
    assert "\n" not in scenario.description
    assert len(scenario.description) <= 100
    assert scenario.name == scenario.name.lower()
    assert len(scenario.name) <= 63  # RFC 1035 2.3.4
    assert set(scenario.finds) <= set(KINDS)


async def test_there_are_enough_of_them() -> None:
    assert len(SCENARIOS) >= 100


async def test_names_are_chosen_in_order_and_once() -> None:
    assert [each.name for each in choose(["null-mx", "healthy", "null-mx"])] == ["null-mx", "healthy"]


@pytest.mark.parametrize(("name", "hint"), [("helthy", "did you mean 'healthy'?"), ("zzz", "smtpprobe lab --list")])
async def test_a_name_that_is_none_is_answered_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(OptionError, match=f"no such scenario: '{name}'") as raised:
        choose([name])
    assert hint in str(raised.value)
