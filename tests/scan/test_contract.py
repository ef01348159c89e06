"""What a scan does in its short ways is what a check does in its long ones, for everything the lab can play."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
import pytest
import pytest_asyncio

from smtpprobe import tls
from smtpprobe.checks import judge
from smtpprobe.checks.reachability import SMTP_PORT
from smtpprobe.conversation import Step, converse
from smtpprobe.evidence import (
    Conversation,
    Endpoint,
    Evidence,
    Failure,
    FailureKind,
    HostOrigin,
    Options,
    Phase,
    Reply,
    TlsSession,
    encode,
)
from smtpprobe.lab.scenarios import SCENARIOS
from smtpprobe.lab.world import Place, World
from smtpprobe.loading import decode
from smtpprobe.probing import collect
from smtpprobe.scan.joining import endpoint_key, facts_of_address
from smtpprobe.scan.session import LightSession, Times
from smtpprobe.scan.sockets import connector
from smtpprobe.scan.summing import Judge, Judgement, judgement, shape_of, shape_of_address, shape_of_conversation
from smtpprobe.scan.worker import Depth, Worker
from smtpprobe.targets import parse_target
from tests.loopback import clock

PATIENCE_S = 0.5
"""With those that never answer."""
TICK_S = 0.05
VARIATIONS = 3000


def options_for(world: World, place: Place) -> Options:
    scenario = place.scenario
    patience = {"timeout_s": PATIENCE_S, "greeting_timeout_s": PATIENCE_S} if scenario.is_stalling else {}
    return world.options(scenario.role, explicit_ports=False, policies=False, ehlo_name="me.test", **patience)


async def light(endpoint: Endpoint, options: Options) -> tuple[Conversation, tuple[bytes, ...]]:
    """Hold a light session, keeping time as whoever runs many does."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    lines = {
        Step.EHLO: b"EHLO me.test\r\n",
        Step.HELO: b"HELO me.test\r\n",
        Step.STARTTLS: b"STARTTLS\r\n",
        Step.QUIT: b"QUIT\r\n",
    }
    now = clock()
    times = Times(now, options.timeout_s, options.greeting_timeout_s, options.deadline_s)
    session = LightSession(endpoint, lines, times, tls.client_context(), ended.set_result)

    sockets = connector()
    sockets.connect(session, endpoint.address, endpoint.port)
    while not (await asyncio.wait([ended], timeout=TICK_S))[0]:
        if now() >= session.ends_s and not session.time_is_up(now()):
            sockets.give_up(session)
    await sockets.close()
    return session.conversation(), session.certificates


def plain(value: Any) -> Any:
    """A conversation without what differs between two of the same: times, our own port, how an error is worded."""
    if isinstance(value, Failure):
        # How much of a reply that trickles has come by then, and of what a server says to a random handshake.
        first = value.partial[:3] if value.kind is FailureKind.TIMEOUT else value.partial.partition(b"\n")[0]
        value = msgspec.structs.replace(value, detail="", partial=first)
    if isinstance(value, TlsSession):
        value = msgspec.structs.replace(value, trust=None)
    if isinstance(value, msgspec.Struct):
        return {
            field: plain(getattr(value, field))
            for field in value.__struct_fields__
            if not field.endswith("_s") and field != "local_address"
        }
    return tuple(map(plain, value)) if isinstance(value, tuple) else value


class Both(NamedTuple):
    """A scenario, talked to in both ways; the conversations by endpoint."""

    place: Place
    evidence: Evidence
    full: dict[str, tuple[Conversation, tuple[bytes, ...]]]
    light: dict[str, tuple[Conversation, tuple[bytes, ...]]]
    sessions: dict[str, Conversation]
    """As a worker gives them, with the trust in the certificates."""


async def talked_to_in_both_ways(world: World, place: Place) -> Both:
    options = options_for(world, place)
    evidence = await collect(place.domain, options)
    full, short, sessions = {}, {}, {}
    worker = Worker(options, Depth.LIGHT, "me.test")
    try:
        for endpoint in evidence.endpoints:
            key = endpoint_key(endpoint)
            full[key] = await converse(endpoint, options=options, ehlo_name="me.test", clock=clock())
            short[key] = await light(endpoint, options)
            probed = asyncio.get_running_loop().create_future()
            worker.probe(endpoint, probed.set_result)
            sessions[key] = (await probed).conversation
    finally:
        await worker.close()
    return Both(place, evidence, full, short, sessions)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def everything() -> AsyncIterator[dict[str, Both]]:
    """One world with all scenarios; those that stall come together, since they only wait."""
    async with World() as world:
        room = asyncio.Semaphore(20)

        async def look(place: Place) -> tuple[str, Both]:
            async with room:
                return place.scenario.name, await talked_to_in_both_ways(world, place)

        quick = [each for each in world.places.values() if not each.scenario.is_stalling]
        slow = [each for each in world.places.values() if each.scenario.is_stalling]
        found = dict(await asyncio.gather(*map(look, quick)))
        found |= await asyncio.gather(*map(look, slow))
        yield found


@pytest.fixture(params=SCENARIOS)
def both(request: pytest.FixtureRequest, everything: dict[str, Both]) -> Both:
    name = str(request.param)
    if name not in everything:
        pytest.skip(f"the local OpenSSL cannot play {name}")
    return everything[name]


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_light_session_says_and_records_what_a_conversation_does(both: Both) -> None:
    for key, (conversation, certificates) in both.full.items():
        assert plain(both.light[key][0]) == plain(conversation)
        assert both.light[key][1] == certificates
        assert plain(both.sessions[key]) == plain(conversation)


async def test_times_of_a_light_session_go_forward(both: Both) -> None:
    for conversation, _ in both.light.values():
        times = [conversation.started_s]
        if conversation.connected_s is not None:
            times.append(conversation.connected_s)
        for exchange in conversation.exchanges:
            times.append(exchange.started_s)
            if exchange.first_byte_s is not None:
                times.append(exchange.first_byte_s)
            times.append(exchange.ended_s)
        last = times.pop()
        assert times == sorted(times)
        assert conversation.ended_s >= last


async def test_a_domain_is_judged_the_same_from_light_sessions(both: Both) -> None:
    evidence = scanned(both)
    assert ids(judgement(judge(evidence))) == ids(judgement(judge(both.evidence)))


def scanned(both: Both) -> Evidence:
    """The evidence that a scan has."""
    conversations = tuple(
        msgspec.structs.replace(both.sessions[endpoint_key(each)], endpoint=each) for each in both.evidence.endpoints
    )
    resolution = msgspec.structs.replace(both.evidence.resolution, reverse=())
    return msgspec.structs.replace(both.evidence, conversations=conversations, resolution=resolution)


def ids(found: Judgement) -> set[tuple[str, str]]:
    return {(each.id, each.severity) for each in found.findings if not each.id.startswith("ptr-")}


# --- judging by shape -----------------------------------------------------------------------------------------------


def anew(evidence: Evidence) -> Judgement:
    return judgement(judge(evidence))


async def test_a_judge_who_has_seen_all_others_says_what_one_says_who_has_seen_none(
    everything: dict[str, Both],
) -> None:
    all_evidence = [(name, each) for name, both in everything.items() for each in (scanned(both), both.evidence)]
    expected = [(name, anew(evidence)) for name, evidence in all_evidence]
    for seed in range(4):
        order = list(range(len(all_evidence))) * 2
        random.Random(seed).shuffle(order)  # noqa: S311 - no secret
        judging = Judge()
        for number in order:
            name, evidence = all_evidence[number]
            assert (name, judging.judge(evidence)) == expected[number]


async def test_enough_has_a_shape_for_it_to_be_worth_it(everything: dict[str, Both]) -> None:
    shaped = [name for name, both in everything.items() if shape_of(scanned(both)) is not None]
    assert "healthy" in shaped
    assert len(shaped) > 10


NAMES = ("mx.a.test", "localhost", "mx", "[192.0.2.1]", "mx.local", "foo_bar.test", "ab..c", "-a.test", "MX.A.TEST", "")
ADDRESSES = (
    "10.0.0.1",
    "192.0.2.1",
    "8.8.8.8",
    "9.9.9.9",
    "224.0.1.1",
    "100.64.0.1",
    "127.0.0.9",
    "2001:db8::1",
    "fe80::1",
)
SOFTWARE = ("Postfix", "Exim 4.97 Sat, 28 Nov 2026 12:00:00 +0000", "OpenSMTPD", "ready")
KEYWORDS = (("SIZE 1000", "8BITMIME", "PIPELINING"), ("SIZE 1000", "8BITMIME", "ENHANCEDSTATUSCODES"))


def all_certificates(everything: dict[str, Both]) -> tuple[list[Evidence], list[str]]:
    """What has a shape, each with all certificates there are, so that chains can be exchanged; and all names."""
    found = [scanned(both) for both in everything.values()]
    certificates = {each.sha256: each for evidence in found for each in evidence.certificates}
    options, started_at = found[0].options, found[0].started_at
    changes = {"certificates": tuple(certificates.values()), "options": options, "started_at": started_at}
    found = [msgspec.structs.replace(each, **changes) for each in found]
    names = [name for each in certificates.values() for name in (*each.dns_names, each.common_name) if name]
    return [each for each in found if shape_of(each) is not None], [*NAMES, *names]


def renamed(evidence: Evidence, old: str, new: str) -> Evidence:
    """Another name, or address, wherever the old one stands alone."""
    return decode(encode(evidence).replace(f'"{old}"'.encode(), f'"{new}"'.encode()))


def calling_itself(conversation: Conversation, name: str) -> Conversation:
    """The same server under another name of its own."""
    exchanges = []
    for each in conversation.exchanges:
        if isinstance(each.outcome, Reply) and each.outcome.lines and each.phase in (Phase.GREETING, Phase.EHLO):
            first, *more = each.outcome.lines
            lines = (f"{name} {first.partition(' ')[2]}", *more)
            reply = msgspec.structs.replace(each.outcome, lines=lines)
            exchanges.append(msgspec.structs.replace(each, outcome=reply))
        else:
            exchanges.append(each)
    return msgspec.structs.replace(conversation, exchanges=tuple(exchanges))


def made_by(conversation: Conversation, software: str, keywords: tuple[str, ...]) -> Conversation:
    """A server of other software, which offers something else."""
    exchanges = []
    for each in conversation.exchanges:
        reply = each.outcome
        if isinstance(reply, Reply) and reply.lines and each.phase is Phase.GREETING:
            name = reply.lines[0].partition(" ")[0]
            reply = msgspec.structs.replace(reply, lines=(f"{name} ESMTP {software}",))
        elif isinstance(reply, Reply) and reply.lines and each.phase is Phase.EHLO:
            kept = [line for line in reply.lines if line == "STARTTLS"]
            reply = msgspec.structs.replace(reply, lines=(reply.lines[0], *keywords, *kept))
        exchanges.append(msgspec.structs.replace(each, outcome=reply))
    return msgspec.structs.replace(conversation, exchanges=tuple(exchanges))


def waiting(conversation: Conversation, seconds: float) -> Conversation:
    """The same server, slower."""
    exchanges = [msgspec.structs.replace(each, ended_s=each.started_s + seconds) for each in conversation.exchanges]
    return msgspec.structs.replace(conversation, exchanges=tuple(exchanges))


def varied(chance: random.Random, evidence: Evidence, others: list[Evidence], names: list[str]) -> Evidence:
    """Change something that a shape might pass over."""
    conversations = list(evidence.conversations)
    number = chance.randrange(len(conversations))
    one = conversations[number]
    hosts = evidence.resolution.hosts
    match chance.choice(["own", "software", "host", "address", "wait", "chain", "mx", "mailbox"]):
        case "own":
            own = chance.choice([*names, one.endpoint.host, one.endpoint.host.upper()])
            conversations[number] = calling_itself(one, own)
        case "software":
            conversations[number] = made_by(one, chance.choice(SOFTWARE), chance.choice(KEYWORDS))
        case "mailbox":
            target = msgspec.structs.replace(evidence.target, text=f"me@{evidence.target.text}")
            return msgspec.structs.replace(evidence, target=target)
        case "host":
            new = chance.choice([each for each in names if each])
            return renamed(evidence, chance.choice([each.name for each in hosts]), new)
        case "address":
            old = chance.choice([address for host in hosts for address in host.addresses])
            return renamed(evidence, old, chance.choice(ADDRESSES))
        case "wait":
            conversations[number] = waiting(one, chance.choice([0.1, 4.94, 4.96, 5.0, 9.96, 30.0]))
        case "chain":
            shown = [talk.handshake for each in others for talk in each.conversations if talk.session is not None]
            if one.session is not None:
                conversations[number] = msgspec.structs.replace(one, handshake=chance.choice(shown))
        case _:
            mx = evidence.resolution.mx
            if mx is not None:
                mx = msgspec.structs.replace(mx, records=(*mx.records[1:], chance.choice(["0 .", "5 a.test"])))
                resolution = msgspec.structs.replace(evidence.resolution, mx=mx)
                return msgspec.structs.replace(evidence, resolution=resolution)
    return msgspec.structs.replace(evidence, conversations=tuple(conversations))


async def test_nothing_that_a_check_turns_on_is_left_out_of_the_shape_of_an_address(
    everything: dict[str, Both],
) -> None:
    shaped, names = all_certificates(everything)
    seen: dict[object, tuple[Judgement, str]] = {}
    again = 0
    for seed in range(VARIATIONS):
        chance = random.Random(seed)  # noqa: S311 - no secret
        evidence, address = chance.choice(shaped), chance.choice(ADDRESSES)
        talk = chance.choice(evidence.conversations)
        talk = waiting(talk, chance.choice([0.1, 0.1, 4.96, 30.0]))
        if chance.random() < 0.5:
            talk = calling_itself(talk, chance.choice([*names, address]))
        changes = {"host": address, "address": address, "name": None, "origin": HostOrigin.GIVEN}
        here = msgspec.structs.replace(talk.endpoint, **changes)
        target = parse_target(address)
        talk = msgspec.structs.replace(talk, endpoint=here)
        evidence = msgspec.structs.replace(
            evidence,
            target=target,
            resolution=facts_of_address(address).resolution,
            endpoints=(here,),
            conversations=(talk,),
            is_interrupted=False,
        )
        certificates = {each.sha256: each for each in evidence.certificates}
        shape = shape_of_address(target, address, [(here, shape_of_conversation(talk, certificates.get))])
        if shape is not None:
            # In a scan the endpoints follow from the target; here they come from all kinds of scenarios.
            key = (shape, here.role, here.tls, here.is_required, here.port == SMTP_PORT)
            again += key in seen
            expected = anew(evidence)
            assert seen.setdefault(key, (expected, address))[0] == expected, (address, seen[key][1])
    assert again > VARIATIONS / 10


@pytest.mark.parametrize("resolvers", [("127.0.0.1:53",), ()])
async def test_nothing_that_a_check_turns_on_is_left_out_of_a_shape(
    everything: dict[str, Both], resolvers: tuple[str, ...]
) -> None:
    shaped, names = all_certificates(everything)
    # One judge has to do with one scan only, in which all have the same options.
    options = msgspec.structs.replace(shaped[0].options, resolvers=resolvers, overrides=())
    shaped = [msgspec.structs.replace(each, options=options) for each in shaped]
    judging = Judge()
    for seed in range(VARIATIONS):
        chance = random.Random(seed)  # noqa: S311 - no secret
        evidence = chance.choice(shaped)
        for _ in range(chance.randrange(3)):
            evidence = varied(chance, evidence, shaped, names)
        found, expected = judging.judge(evidence), anew(evidence)
        assert (seed, found.findings) == (seed, expected.findings)
