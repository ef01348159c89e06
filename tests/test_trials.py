"""The further connections: TLS versions one by one, and what they ask the server for besides."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from OpenSSL import SSL

from smtpprobe.evidence import (
    Conversation,
    Endpoint,
    Exchange,
    Failure,
    FailureKind,
    HostOrigin,
    Options,
    Phase,
    Role,
    TlsMode,
    TlsSession,
    VersionTrial,
)
from smtpprobe.lab.certificates import CertificateKind, make_identity, make_staple, server_context
from smtpprobe.lab.scripted import Script, ScriptedServer, greeting, serve
from smtpprobe.replies import parse_reply
from smtpprobe.trials import Trials
from tests.loopback import MX
from tests.stapling_server import stapling_server

IDENTITY = make_identity(CertificateKind.TRUSTED, MX)
STAPLE = make_staple(IDENTITY)
OPTIONS = Options(tls_versions=True, timeout_s=20.0, greeting_timeout_s=20.0)
IMPLICIT, STARTTLS = TlsMode.IMPLICIT, TlsMode.STARTTLS


async def versions(port: int, tls: TlsMode, name: str | None = MX) -> dict[str, VersionTrial]:
    """Try each version on a server of the loopback address."""
    endpoint = Endpoint(
        host=MX, address="127.0.0.1", port=port, role=Role.SMTP, tls=tls, origin=HostOrigin.MX, name=name
    )
    began = time.monotonic()
    trials = Trials(endpoint, options=OPTIONS, ehlo_name="client.example.org", clock=lambda: time.monotonic() - began)
    await trials.run(Conversation(endpoint=endpoint, started_s=0.0, ended_s=0.0))
    return {each.version: each for each in trials.versions}


@pytest.mark.parametrize("tls", [IMPLICIT, STARTTLS])
async def test_a_stapled_response_is_kept_as_it_came(tls: TlsMode) -> None:
    with stapling_server(IDENTITY, STAPLE, starttls=tls is STARTTLS) as port:
        found = await versions(port, tls)
    for version in ("TLSv1.2", "TLSv1.3"):
        session = found[version].outcome
        assert isinstance(session, TlsSession), session
        assert session.version == version
        assert len(session.chain) == 2
        assert session.cipher
        assert session.secret_bits
        assert found[version].ocsp_response == STAPLE


async def test_where_nothing_is_stapled_nothing_is_kept() -> None:
    with stapling_server(IDENTITY, b"", starttls=False) as port:
        found = await versions(port, IMPLICIT)
    assert isinstance(found["TLSv1.3"].outcome, TlsSession)
    assert {each.ocsp_response for each in found.values()} == {None}


@pytest.mark.parametrize("name", [MX, None, "mx_1.example.org"])
async def test_the_server_name_is_sent_where_it_is_one(name: str | None, tmp_path: Path) -> None:
    asked: list[str | None] = []
    context = server_context(IDENTITY, tmp_path)
    context.sni_callback = lambda _, wanted, __: asked.append(wanted)
    async with ScriptedServer((greeting(MX), serve(MX, tls=context))) as server:
        found = await versions(server.port, STARTTLS, name)
        await server.idle()
    assert isinstance(found["TLSv1.3"].outcome, TlsSession)
    assert asked[-2:] == [name if name == MX else None] * 2
    assert server.rudeness == []


async def test_a_version_that_the_server_refuses_is_the_alert_of_the_server() -> None:
    with stapling_server(IDENTITY, STAPLE, starttls=True, minimum=SSL.TLS1_3_VERSION) as port:
        found = await versions(port, STARTTLS)
    refused = found["TLSv1.2"].outcome
    assert isinstance(refused, Failure)
    assert (refused.kind, refused.detail) == (FailureKind.TLS_ALERT, "protocol_version")
    assert isinstance(found["TLSv1.3"].outcome, TlsSession)


def server_hello(version: bytes) -> bytes:
    """A ServerHello (RFC 5246 7.4.1.3) of a version, by a server that goes no higher."""
    body = version + bytes(32) + b"\0" + b"\x00\x2f" + b"\0"
    message = b"\x02" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


async def test_a_server_that_answers_with_an_older_version_does_not_speak_the_newer_ones() -> None:
    async with ScriptedServer((server_hello(b"\x03\x01"),)) as server:
        found = await versions(server.port, IMPLICIT)
        await server.idle()
    for version in ("TLSv1.1", "TLSv1.2", "TLSv1.3"):
        failure = found[version].outcome
        assert isinstance(failure, Failure)
        if failure.detail != "switched off in the local OpenSSL":
            assert failure.kind in (FailureKind.TLS_PROTOCOL, FailureKind.TLS_ALERT), (version, failure)


async def test_the_key_exchange_group_is_kept_where_the_library_tells_it(tmp_path: Path) -> None:
    async with ScriptedServer((greeting(MX), serve(MX, tls=server_context(IDENTITY, tmp_path)))) as server:
        session = (await versions(server.port, STARTTLS))["TLSv1.3"].outcome
        await server.idle()
    assert isinstance(session, TlsSession)
    if hasattr(SSL.Connection, "get_group_name"):
        assert session.group
    else:
        assert session.group is None


@pytest.mark.parametrize("said", [b"220 this is no TLS\r\n", b""])
async def test_what_is_no_tls_is_told_as_by_any_other_handshake(said: bytes) -> None:
    async with ScriptedServer((said,)) as server:
        found = await versions(server.port, IMPLICIT)
        await server.idle()
    failure = found["TLSv1.3"].outcome
    assert isinstance(failure, Failure)
    assert failure.kind in ((FailureKind.TLS_PROTOCOL,) if said else (FailureKind.TLS_CLOSED, FailureKind.RESET))
    assert failure.partial == said


async def test_a_server_that_turns_further_connections_away_has_refused_no_version() -> None:
    async with ScriptedServer((b"421 4.7.0 too many connections\r\n",)) as server:
        found = await versions(server.port, STARTTLS)
    for trial in found.values():
        if not isinstance(trial.outcome, Failure) or trial.outcome.kind is FailureKind.TLS_LOCAL:
            continue
        assert (trial.outcome.phase, trial.outcome.detail) == (Phase.GREETING, "the server said 421")


async def test_where_no_starttls_is_offered_no_version_is_tried() -> None:
    plain = parse_reply(b"250-%s\r\n250 SIZE\r\n" % MX.encode())
    ehlo = Exchange(phase=Phase.EHLO, sent=b"EHLO x\r\n", outcome=plain, started_s=0.0, ended_s=0.0)
    endpoint = Endpoint(host=MX, address="127.0.0.1", port=9, role=Role.SMTP, tls=STARTTLS, origin=HostOrigin.MX)
    trials = Trials(endpoint, options=OPTIONS, ehlo_name="client.example.org", clock=lambda: 0.0)
    await trials.run(Conversation(endpoint=endpoint, exchanges=(ehlo,), started_s=0.0, ended_s=0.0))
    assert (trials.versions, trials.connections) == ([], 0)


@pytest.mark.parametrize("script", [(b"421 4.7.0 too many\r\n",), (b"554 5.7.1 no\r\n", serve(MX))])
async def test_a_probe_that_is_turned_away_ends_there_and_tells_so(script: Script) -> None:
    async with ScriptedServer(script) as server:
        endpoint = Endpoint(
            host=MX, address=server.host, port=server.port, role=Role.SMTP, tls=STARTTLS, origin=HostOrigin.MX
        )
        options = Options(security=True, timeout_s=20.0, greeting_timeout_s=20.0)
        trials = Trials(endpoint, options=options, ehlo_name="client.example.org", clock=lambda: 0.0)
        await trials.run(Conversation(endpoint=endpoint, started_s=0.0, ended_s=0.0))
    assert [each.name for each in trials.security] == ["starttls-unadvertised", "mail-without-tls", "relay"]
    for trial in trials.security:
        assert trial.failure is not None
        assert trial.failure.phase is Phase.GREETING
        assert [each.phase for each in trial.exchanges if each.phase is not Phase.QUIT] == [Phase.GREETING]
