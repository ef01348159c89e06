"""The light session, without a network: what only a server of a very odd kind, or a rare moment, brings about."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from smtpprobe import tls
from smtpprobe.conversation import Step
from smtpprobe.evidence import Phase, Reply, TlsMode
from smtpprobe.lab.certificates import CertificateKind, make_identity, server_context
from smtpprobe.scan.session import LightSession, Times
from tests.loopback import MX, clock, endpoint

LINES = {Step.EHLO: b"EHLO me.test\r\n", Step.QUIT: b"QUIT\r\n"}


class Server:
    """The transport of a session, and the server behind it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.is_aborted = False

    def write(self, data: bytes) -> None:
        self._incoming.write(data)

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True

    def shake_hands(self, session: LightSession) -> None:
        for _ in range(10):
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                session.data_received(self._outgoing.read())
            else:
                break
        session.data_received(self._outgoing.read())

    def say(self, session: LightSession, *records: bytes) -> None:
        """Say it in several records, which come in one segment."""
        for each in records:
            self._tls.write(each)
        session.data_received(self._outgoing.read())


def test_how_a_reply_is_cut_into_records_is_of_no_account(tmp_path: Path) -> None:
    server: Any = Server(server_context(make_identity(CertificateKind.TRUSTED, MX), tmp_path))
    times = Times(clock(), 5.0, 5.0, 5.0)
    session = LightSession(
        endpoint(("127.0.0.1", 465), TlsMode.IMPLICIT), LINES, times, tls.client_context(), lambda _: None
    )
    session.connection_made(server)
    server.shake_hands(session)
    server.say(session, b"220 mx.exam", b"ple.org\r\n")
    server.say(session, b"250 mx.example.org\r\n", b"250 unasked\r\n")
    server.say(session, b"221 bye\r\n", b"more")
    found = session.conversation()
    replies = [each.outcome.raw for each in found.exchanges if isinstance(each.outcome, Reply)]
    assert replies == [b"220 mx.example.org\r\n", b"250 mx.example.org\r\n", b"221 bye\r\n"]
    assert [(each.after, each.raw) for each in found.unsolicited] == [
        (Phase.EHLO, b"250 unasked\r\n"),
        (Phase.QUIT, b"more"),
    ]
    assert server.is_aborted
