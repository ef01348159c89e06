"""A whole probe: what runs beside what, what it waits for, and what is left when it is cut short."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path

import pytest

from smtpprobe.errors import OptionError, TargetError
from smtpprobe.evidence import (
    Evidence,
    Failure,
    FailureKind,
    LookupStatus,
    Options,
    Override,
    Phase,
    PortSpec,
    Role,
    TlsMode,
    encode,
)
from smtpprobe.lab.certificates import CertificateKind, make_identity, server_context, trusted_root
from smtpprobe.lab.dns import SILENT, DnsServer
from smtpprobe.lab.scripted import (
    Answer,
    Expect,
    Hold,
    Script,
    ScriptedServer,
    Stall,
    greeting,
    serve,
)
from smtpprobe.loading import decode
from smtpprobe.probing import Begun, Decided, Ended, Progress, Resolved, collect
from smtpprobe.turns import Turns
from tests.loopback import MX, closed_port, until

DOMAIN = "example.org"
HEALTHY: Script = (greeting(MX), serve(MX))
PATIENT = Options(timeout_s=20.0, greeting_timeout_s=20.0, deadline_s=60.0, ehlo_name="client.example.org")


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return server_context(make_identity(CertificateKind.TRUSTED, MX), tmp_path_factory.mktemp("keys"))


def patient(**changes: object) -> Options:
    """Options for probes that are to end by themselves."""
    import msgspec

    return msgspec.structs.replace(PATIENT, **changes)


def relay(port: int, tls: TlsMode = TlsMode.STARTTLS) -> PortSpec:
    return PortSpec(port=port, role=Role.SMTP, tls=tls)


def listener() -> socket.socket:
    """A socket that listens on all loopback addresses of one port."""
    bound = socket.socket()
    bound.bind(("0.0.0.0", 0))
    return bound


@asynccontextmanager
async def world(*scripts: Script, records: str = "", **faults: object) -> AsyncIterator[tuple[ScriptedServer, Options]]:
    """A mail server on all loopback addresses of one port, and a DNS that knows the records, with options for both."""
    async with ScriptedServer(*scripts, listener=listener()) as server, DnsServer(records) as names:
        yield server, patient(resolvers=(names.resolver,), ports=(relay(server.port),), **faults)
        await server.idle()


def loopback(count: int) -> str:
    """Records of a domain with one MX host that has so many addresses."""
    addresses = "\n".join(f"{MX} A 127.0.1.{number}" for number in range(1, count + 1))
    return f"{DOMAIN} MX 10 {MX}\n{addresses}\n"


# --- the whole ------------------------------------------------------------------------------------------------------


async def test_a_domain_is_collected_from_mx_to_reverse_names(context: ssl.SSLContext, tmp_path: Path) -> None:
    roots = tmp_path / "root.pem"
    roots.write_bytes(trusted_root())
    records = loopback(2) + f"1.1.0.127.in-addr.arpa PTR {MX}\n"
    script: Script = (greeting(MX), serve(MX, "SIZE 1000", tls=context))
    async with world(script, records=records, ca_file=str(roots)) as (server, options):
        evidence = await collect(DOMAIN, options)
        await server.idle()
    assert server.rudeness == []
    assert len(server.visits) == 2
    assert [each.id for each in evidence.endpoints] == [f"127.0.1.{n}:{server.port}" for n in (1, 2)]
    assert tuple(each.endpoint for each in evidence.conversations) == evidence.endpoints
    assert all(each.reply(Phase.QUIT, over_tls=True) for each in evidence.conversations)
    assert evidence.resolution.mx is not None
    assert evidence.resolution.mx.records == (f"10 {MX}",)
    assert [(each.address, each.ptr.records) for each in evidence.resolution.reverse] == [
        ("127.0.1.1", (MX,)),
        ("127.0.1.2", ()),
    ]
    assert evidence.resolution.reverse[0].forward[0].records == ("127.0.1.1", "127.0.1.2")
    sessions = [each.session for each in evidence.conversations]
    assert all(session is not None and session.trust is not None and session.trust.is_trusted for session in sessions)
    # Both showed the same leaf and intermediate, which are kept once.
    assert [each.common_name for each in evidence.certificates] == [MX, "smtpprobe lab intermediate"]
    assert sessions[0] is not None
    assert evidence.certificate(sessions[0].chain[0]).dns_names == (MX,)
    assert evidence.ehlo_name == "client.example.org"
    assert evidence.started_at.tzinfo is UTC
    assert evidence.options is options
    assert not evidence.is_interrupted
    assert evidence.runtime.openssl == ssl.OPENSSL_VERSION
    assert decode(encode(evidence)) == evidence


async def test_an_address_is_probed_without_asking_the_dns_for_it() -> None:
    async with ScriptedServer(HEALTHY) as server, DnsServer() as names:
        evidence = await collect(f"{server.host}:{server.port}", patient(resolvers=(names.resolver,)))
        await server.idle()
    assert [each.rrtype for each in names.questions] == ["PTR"]
    (conversation,) = evidence.conversations
    assert conversation.failure is None
    assert conversation.local_address == "127.0.0.1"


async def test_a_domain_that_does_not_exist_is_evidence_too() -> None:
    told: list[Progress] = []
    async with DnsServer(f"other.example MX 10 {MX}") as names:
        evidence = await collect("nowhere.example", patient(resolvers=(names.resolver,)), on_progress=told.append)
    assert evidence.resolution.mx is not None
    assert evidence.resolution.mx.status is LookupStatus.NXDOMAIN
    assert (evidence.endpoints, evidence.conversations) == ((), ())
    assert [type(each) for each in told] == [Resolved, Decided]


async def test_what_the_caller_got_wrong_is_raised_before_anybody_is_bothered(tmp_path: Path) -> None:
    async with ScriptedServer(HEALTHY) as server:
        target = f"{server.host}:{server.port}"
        with pytest.raises(TargetError):
            await collect("not a target")
        with pytest.raises(OptionError, match="no-such"):
            await collect(target, Options(ca_file=str(tmp_path / "no-such.pem")))
        with pytest.raises(OptionError):
            await collect(target, Options(ehlo_name="under_score"))
        assert server.visits == []


async def test_trust_is_judged_for_the_name_of_each_endpoint(context: ssl.SSLContext, tmp_path: Path) -> None:
    roots = tmp_path / "root.pem"
    roots.write_bytes(trusted_root())
    records = f"{DOMAIN} MX 10 {MX}\n{DOMAIN} MX 20 mx2.example.org\n{MX} A 127.0.1.1\nmx2.example.org A 127.0.1.1\n"
    script: Script = (greeting(MX), serve(MX, tls=context))
    async with world(script, records=records, ca_file=str(roots)) as (server, options):
        evidence = await collect(DOMAIN, options)
        # Two names of one address and port: one connection each, one after the other.
        assert len(server.visits) == 2
        assert server.most_at_once == 1
    trust = [each.session.trust for each in evidence.conversations if each.session is not None]
    assert [(each.name, each.is_name_matched) for each in trust if each is not None] == [
        (MX, True),
        ("mx2.example.org", False),
    ]
    assert len(evidence.certificates) == 2
    assert len(evidence.resolution.reverse) == 1


# --- beside each other ----------------------------------------------------------------------------------------------


async def test_one_slow_server_among_64_delays_none_of_the_others() -> None:
    others_ended = asyncio.Event()
    ended: list[str] = []

    def note(progress: Progress) -> None:
        if isinstance(progress, Ended):
            ended.append(progress.conversation.endpoint.address)
            if len(ended) == 63:
                others_ended.set()

    slow: Script = (Hold(until=others_ended), greeting(MX), serve(MX))
    async with world(slow, HEALTHY, records=loopback(64)) as (server, options):
        evidence = await collect(DOMAIN, options, on_progress=note)
        assert server.most_at_once > 1
    assert len(evidence.conversations) == 64
    assert all(each.failure is None for each in evidence.conversations)
    assert [each.endpoint for each in evidence.conversations] == list(evidence.endpoints)


async def test_probes_that_run_at_once_talk_to_a_server_one_after_the_other() -> None:
    """Domains with the same mail host, which may allow one connection of a client."""
    names = [f"d{number}.example.org" for number in range(5)]
    records = "\n".join([f"{MX} A 127.0.1.1", *(f"{name} MX 10 {MX}" for name in names)])
    turns = Turns()
    async with world(HEALTHY, records=records) as (server, options):
        found = await asyncio.gather(*(collect(name, options, turns=turns) for name in names))
        assert server.most_at_once == 1
    assert all(each.conversations[0].failure is None for each in found)


async def test_no_more_connections_are_open_at_once_than_allowed() -> None:
    async with world(HEALTHY, records=loopback(12), concurrency=3) as (server, options):
        evidence = await collect(DOMAIN, options)
    assert server.most_at_once == 3
    assert len(evidence.conversations) == 12


async def test_conversations_do_not_wait_for_reverse_names() -> None:
    async with world(HEALTHY, records=loopback(1)) as (server, options):
        async with DnsServer(loopback(1), faults={("1.1.0.127.in-addr.arpa", "PTR"): SILENT}) as names:
            evidence = await collect(DOMAIN, patient(resolvers=(names.resolver,), ports=options.ports, deadline_s=1.0))
        await server.idle()
    (conversation,) = evidence.conversations
    assert conversation.failure is None
    (reverse,) = evidence.resolution.reverse
    assert reverse.ptr.status is LookupStatus.TIMEOUT
    assert (reverse.ptr.name, reverse.ptr.rrtype) == ("1.1.0.127.in-addr.arpa", "PTR")


async def test_all_is_told_in_order_and_before_the_reply_to_quit_is_there() -> None:
    go = asyncio.Event()
    changes: dict[str, Answer] = {"QUIT": (Hold(until=go), b"221 bye\r\n")}
    told: list[Progress] = []

    def note(progress: Progress) -> None:
        told.append(progress)
        if isinstance(progress, Decided):
            go.set()

    async with world((greeting(MX), serve(MX, changes=changes)), records=loopback(2)) as (_, options):
        evidence = await collect(DOMAIN, options, on_progress=note)
    assert [type(each) for each in told] == [Resolved, Begun, Begun, Decided, Ended, Ended]
    decided = next(each.evidence for each in told if isinstance(each, Decided))
    assert [each.reply(Phase.QUIT) for each in decided.conversations] == [None, None]
    assert [each.reply(Phase.EHLO) for each in decided.conversations] == [
        each.reply(Phase.EHLO) for each in evidence.conversations
    ]
    assert all(each.reply(Phase.QUIT) is not None for each in evidence.conversations)


# --- what goes wrong ------------------------------------------------------------------------------------------------


async def test_a_defect_on_one_endpoint_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as (address, port):
        async with ScriptedServer(HEALTHY) as server, DnsServer(f"{MX} A {address}") as names:
            broken = patient(
                resolvers=(names.resolver,),
                ports=(relay(server.port), relay(port)),
                greeting_timeout_s="soon",  # no number: a defect in the middle of a conversation
            )
            evidence = await collect(MX, broken)
            await server.idle()
    talks = {each.endpoint.port: each.failure for each in evidence.conversations}
    failure = talks[server.port]
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.phase) == (FailureKind.INTERNAL, Phase.GREETING)
    assert failure.detail.startswith("TypeError: ")
    other = talks[port]
    assert other is not None
    assert other.kind is FailureKind.REFUSED


async def test_what_a_listener_raises_ends_the_probe() -> None:
    def complain(progress: Progress) -> None:
        if isinstance(progress, Begun):
            raise LookupError("of the caller")

    async with world(HEALTHY, records=loopback(3)) as (_, options):
        with pytest.raises(LookupError, match="of the caller"):
            await collect(DOMAIN, options, on_progress=complain)


async def test_the_deadline_leaves_what_is_known() -> None:
    async with world(HEALTHY, (Stall(),), records=loopback(2), deadline_s=1.0) as (_, options):
        evidence = await collect(DOMAIN, options)
    failures = [each.failure for each in evidence.conversations]
    assert sorted(str(each and each.kind) for each in failures) == ["None", "deadline"]
    assert not evidence.is_interrupted


async def test_who_waits_for_a_slot_when_the_time_is_up_is_in_the_evidence() -> None:
    async with world((Stall(),), records=loopback(3), deadline_s=0.5, concurrency=1) as (server, options):
        evidence = await collect(DOMAIN, options)
        assert len(server.visits) == 1
    phases = [each.failure.phase for each in evidence.conversations if each.failure is not None]
    assert phases == [Phase.GREETING, Phase.CONNECT, Phase.CONNECT]
    assert {each.failure.kind for each in evidence.conversations if each.failure} == {FailureKind.DEADLINE}


async def test_a_silent_dns_ends_within_the_deadline_as_a_failed_lookup() -> None:
    async with DnsServer(faults={(DOMAIN, "MX"): SILENT}) as names:
        evidence = await collect(DOMAIN, patient(resolvers=(names.resolver,), deadline_s=0.6))
    assert evidence.resolution.mx is not None
    assert evidence.resolution.mx.status is LookupStatus.TIMEOUT
    assert evidence.elapsed_s < 20.0  # the time that a question may take by itself
    assert evidence.conversations == ()


async def test_a_cancelled_probe_gives_what_is_known_so_far() -> None:
    async with world(HEALTHY, (greeting(MX), Expect("EHLO"), Stall()), records=loopback(3), concurrency=2) as (
        server,
        options,
    ):
        probing = asyncio.create_task(collect(DOMAIN, options))
        await until(lambda: [each.verbs for each in server.visits][1:] == [["EHLO"], ["EHLO"]])
        probing.cancel()
        evidence = await probing
    assert evidence.is_interrupted
    ends = [each.exchanges[-1].outcome for each in evidence.conversations]
    kinds = [each.kind if isinstance(each, Failure) else each.code for each in ends]
    assert sorted(map(str, kinds)) == ["221", "interrupted", "interrupted"]
    assert decode(encode(evidence)) == evidence


async def test_a_probe_cancelled_while_it_resolves_gives_evidence_too() -> None:
    async with DnsServer(faults={(DOMAIN, "MX"): SILENT}) as names:
        probing = asyncio.create_task(collect(DOMAIN, patient(resolvers=(names.resolver,))))
        await until(lambda: bool(names.questions))
        probing.cancel()
        evidence = await probing
    assert evidence.is_interrupted
    assert evidence.resolution.name == DOMAIN
    assert evidence.conversations == ()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_gives_what_is_known_so_far() -> None:
    program = (
        "import asyncio, sys\n"
        "from smtpprobe.evidence import Options, encode\n"
        "from smtpprobe.probing import Begun, collect\n"
        "tell = lambda progress: print(flush=True) if isinstance(progress, Begun) else None\n"
        "evidence = asyncio.run(collect(sys.argv[1], Options(), on_progress=tell))\n"
        "print(encode(evidence).decode())\n"
    )
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        with subprocess.Popen(
            [sys.executable, "-c", program, target], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            connection, _ = silent.accept()
            os.kill(process.pid, signal.SIGINT)
            out, err = process.stdout.read(), process.stderr.read()
            connection.close()
    assert process.returncode == 0, err
    evidence: Evidence = decode(out)
    assert evidence.is_interrupted
    (conversation,) = evidence.conversations
    assert conversation.failure is not None
    assert conversation.failure.kind is FailureKind.INTERRUPTED


async def test_overrides_are_connected_to_without_the_dns() -> None:
    async with world(HEALTHY) as (server, options):
        chosen = patient(resolvers=options.resolvers, overrides=(Override(name=MX, address="127.0.1.9"),))
        evidence = await collect(f"{MX}:{server.port}", chosen)
    (conversation,) = evidence.conversations
    assert conversation.endpoint.address == "127.0.1.9"
    assert conversation.failure is None
