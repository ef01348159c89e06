"""Further connections to an endpoint, made only when asked for: one for each TLS version, and the intrusive probes.

They follow the first conversation, one after the other, so that no endpoint ever sees two of ours at once, and only
where that conversation went well. Every probe ends before DATA: no message is ever begun (RFC 5321 4.1.1.4). Addresses
are of the domains that RFC 2606 sets aside, so a server that should relay has nobody to relay to.

What was said and answered is recorded; what it means is for the checks.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from smtpprobe import tls
from smtpprobe.conversation import offers_starttls
from smtpprobe.evidence import (
    Conversation,
    Endpoint,
    Failure,
    FailureKind,
    Options,
    Phase,
    Reply,
    SecurityTrial,
    TlsMode,
    VersionTrial,
)
from smtpprobe.wire import Wire

if TYPE_CHECKING:
    from smtpprobe.stapling import Stapling

VERSIONS: Final = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}
"""Oldest first, under the names that OpenSSL reports."""

FROM: Final = b"FROM:<probe@example.com>"
TO: Final = b"TO:<probe@example.org>"
"""RFC 2606 3: domains that nobody has, so that no server can be responsible for the recipient."""

SMUGGLED: Final = b"NOOP\r\n"
"""What an attacker would put behind STARTTLS; harmless, and answered by whoever reads it (RFC 5321 4.1.1.9)."""


_ANOTHER_VERSION: Final = (FailureKind.TLS_LOCAL, "unsupported protocol")
"""How OpenSSL says that the ServerHello names a version that was not offered (RFC 5246 E.1: the highest that the server
has, below the client's)."""


class Trials:
    """The further connections to one endpoint.

    Args:
        endpoint: whom to talk to.
        options: which trials, and the times that steps may take.
        ehlo_name: how to introduce ourselves.
        clock: seconds since the probe began.
    """

    def __init__(self, endpoint: Endpoint, *, options: Options, ehlo_name: str, clock: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._options = options
        self._ehlo_name = ehlo_name.encode("ascii")
        self._clock = clock
        self.versions: list[VersionTrial] = []
        self.security: list[SecurityTrial] = []
        self.certificates: list[bytes] = []
        """In DER, of all handshakes."""
        self.connections = 0

    @staticmethod
    def are_wanted(options: Options, conversation: Conversation) -> bool:
        """Tell whether there is anything to do: something was asked for, and the first conversation went well."""
        if not (options.tls_versions or options.security) or conversation.connected_s is None:
            return False
        if conversation.endpoint.tls is TlsMode.IMPLICIT and conversation.handshake is not None:
            return True
        taken = conversation.reply(Phase.EHLO)
        return taken is not None and (taken.code or 0) // 100 == 2

    async def run(self, conversation: Conversation) -> None:
        """Make them. What a server does ends one of them at most."""
        plain = conversation.reply(Phase.EHLO, over_tls=False)
        offers = offers_starttls(plain) if plain is not None else None
        has_tls = self._endpoint.tls is TlsMode.IMPLICIT or (
            self._endpoint.tls is TlsMode.STARTTLS and offers is not False
        )
        if self._options.tls_versions and has_tls:
            for name, version in VERSIONS.items():
                await self._try_version(name, version)
        if self._options.security:
            if self._endpoint.tls is TlsMode.STARTTLS and offers:
                await self._probe("starttls-injection", self._inject)
            elif self._endpoint.tls is TlsMode.STARTTLS:
                await self._probe("starttls-unadvertised", self._start_unadvertised)
            if self._endpoint.tls is not TlsMode.IMPLICIT:
                await self._probe("mail-without-tls", self._mail_in_clear)
            await self._probe("relay", self._relay)

    # --- TLS versions -----------------------------------------------------------------------------------------------

    async def _try_version(self, name: str, version: ssl.TLSVersion) -> None:
        began = self._clock()
        if not _can_speak(version):
            outcome = Failure(phase=Phase.TLS, kind=FailureKind.TLS_LOCAL, detail="switched off in the local OpenSSL")
            self.versions.append(VersionTrial(version=name, outcome=outcome, started_s=began, ended_s=began))
            return
        stapling = _stapling(version)
        context = tls.client_context(version, version) if stapling is None else None
        async with self._connection(context, stapling.begin if stapling is not None else None) as wire:
            failed = await self._secure(wire)
            await self._quit(wire)
            handshake = wire.handshaken
        self.certificates.extend(wire.certificates)
        outcome_of = handshake.outcome if handshake is not None else failed
        if isinstance(outcome_of, Failure) and (outcome_of.kind, outcome_of.detail) == _ANOTHER_VERSION:
            # Of one version that we can speak, this is no limit of ours: the server does not speak it.
            detail = "the server answers with another version"
            outcome_of = msgspec.structs.replace(outcome_of, kind=FailureKind.TLS_PROTOCOL, detail=detail)
        if outcome_of is None:
            outcome_of = Failure(phase=Phase.STARTTLS, kind=FailureKind.OTHER, detail="STARTTLS was refused")
        self.versions.append(
            VersionTrial(
                version=name,
                outcome=outcome_of,
                ocsp_response=stapling.ocsp_response if stapling is not None else None,
                started_s=began,
                ended_s=self._clock(),
            )
        )

    # --- intrusive probes -------------------------------------------------------------------------------------------

    async def _probe(self, name: str, probe: Callable[[Wire], Awaitable[Failure | None]]) -> None:
        async with self._connection() as wire:
            failure = await probe(wire)
            await self._quit(wire)
        self.certificates.extend(wire.certificates)
        self.security.append(
            SecurityTrial(
                name=name,
                exchanges=tuple(wire.exchanges),
                unsolicited=wire.unsolicited,
                failure=failure or wire.failure,
            )
        )

    async def _inject(self, wire: Wire) -> Failure | None:
        """Put a command behind STARTTLS in one segment: a server that answers it after the handshake took plain text
        for what was said inside TLS (CVE-2011-0411)."""
        failure = await self._greet(wire)
        if failure is not None:
            return failure
        reply = await self._say(wire, Phase.STARTTLS, b"STARTTLS", smuggled=SMUGGLED)
        if isinstance(reply, Failure) or reply.code != 220:
            return reply if isinstance(reply, Failure) else None
        outcome = await wire.handshake(self._options.timeout_s)
        if isinstance(outcome, Failure):
            return outcome
        return _failed(await self._say(wire, Phase.EHLO, b"EHLO", self._ehlo_name))

    async def _start_unadvertised(self, wire: Wire) -> Failure | None:
        failure = await self._greet(wire)
        return failure or _failed(await self._say(wire, Phase.STARTTLS, b"STARTTLS"))

    async def _mail_in_clear(self, wire: Wire) -> Failure | None:
        failure = await self._greet(wire)
        return failure or _failed(await self._say(wire, Phase.MAIL, b"MAIL", FROM))

    async def _relay(self, wire: Wire) -> Failure | None:
        """Ask about users, then whether a stranger may send to a stranger; inside TLS where there is any."""
        failure = await self._secure(wire)
        if failure is not None:
            return failure
        for phase, words in (
            (Phase.VRFY, (b"VRFY", b"postmaster")),
            (Phase.EXPN, (b"EXPN", b"postmaster")),
            (Phase.MAIL, (b"MAIL", FROM)),
            (Phase.RCPT, (b"RCPT", TO)),
            (Phase.RSET, (b"RSET",)),
        ):
            reply = await self._say(wire, phase, *words)
            if isinstance(reply, Failure) or reply.code == 421:
                return _failed(reply)
            if phase is Phase.MAIL and (reply.code or 0) // 100 != 2:
                return None
        return None

    # --- steps ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _connection(
        self, context: ssl.SSLContext | None = None, begin_tls: Callable[[str | None], tls.Layer] | None = None
    ) -> AsyncIterator[Wire]:
        wire = Wire(
            self._endpoint,
            clock=self._clock,
            deadline_s=self._options.deadline_s,
            context=context,
            begin_tls=begin_tls,
        )
        self.connections += 1
        try:
            await wire.connect(self._options.timeout_s)
            yield wire
        finally:
            wire.hang_up()
            await wire.wait_closed()

    async def _say(self, wire: Wire, phase: Phase, *words: bytes, smuggled: bytes = b"") -> Reply | Failure:
        return await wire.command(phase, *words, timeout_s=self._options.timeout_s, smuggled=smuggled)

    async def _greet(self, wire: Wire) -> Failure | None:
        """Take the greeting and say EHLO; None where both went well."""
        if wire.failure is not None:
            return wire.failure
        greeting = await wire.greeting(self._options.greeting_timeout_s)
        refused = _turned_away(Phase.GREETING, greeting)
        if refused is not None:
            return refused
        return _turned_away(Phase.EHLO, await self._say(wire, Phase.EHLO, b"EHLO", self._ehlo_name))

    async def _secure(self, wire: Wire) -> Failure | None:
        """Get as far into TLS as the server lets us, and say EHLO there; None where nothing failed."""
        if self._endpoint.tls is TlsMode.IMPLICIT:
            if wire.failure is not None:
                return wire.failure
            outcome = await wire.handshake(self._options.timeout_s)
            return outcome if isinstance(outcome, Failure) else await self._greet(wire)
        failure = await self._greet(wire)
        if failure is not None:
            return failure
        last = wire.exchanges[-1].outcome
        if not isinstance(last, Reply) or not offers_starttls(last):
            return None
        reply = await self._say(wire, Phase.STARTTLS, b"STARTTLS")
        if isinstance(reply, Failure) or reply.code != 220:
            return _failed(reply)
        outcome = await wire.handshake(self._options.timeout_s)
        if isinstance(outcome, Failure):
            return outcome
        return _failed(await self._say(wire, Phase.EHLO, b"EHLO", self._ehlo_name))

    async def _quit(self, wire: Wire) -> None:
        """Say QUIT where there is anybody to say it to, and nothing is in the middle of a handshake."""
        handshake = wire.handshaken
        if not wire.is_open or wire.failure is not None or (handshake and isinstance(handshake.outcome, Failure)):
            return
        started = wire.exchanges and wire.exchanges[-1].phase is Phase.STARTTLS
        if started and isinstance(wire.exchanges[-1].outcome, Reply) and wire.exchanges[-1].outcome.code == 220:
            return  # RFC 3207 4: after the 220 nothing but a handshake may follow
        await self._say(wire, Phase.QUIT, b"QUIT")


def _failed(outcome: Reply | Failure) -> Failure | None:
    return outcome if isinstance(outcome, Failure) else None


def _turned_away(phase: Phase, outcome: Reply | Failure) -> Failure | None:
    """Why a connection does not get as far as the trial: a server may limit how often one client comes."""
    if isinstance(outcome, Failure):
        return outcome
    if (outcome.code or 0) // 100 == 2:
        return None
    return Failure(phase=phase, kind=FailureKind.OTHER, detail=f"the server said {outcome.code or 'something else'}")


def _stapling(version: ssl.TLSVersion) -> Stapling | None:
    """What asks for a stapled response; None for versions that are tried without."""
    from smtpprobe.stapling import VERSIONS, Stapling  # brings pyOpenSSL along

    return Stapling(version) if version in VERSIONS else None


def _can_speak(version: ssl.TLSVersion) -> bool:
    """Tell whether the local library has a version and its configuration lets it be used."""
    named = {
        ssl.TLSVersion.TLSv1: ssl.HAS_TLSv1,
        ssl.TLSVersion.TLSv1_1: ssl.HAS_TLSv1_1,
        ssl.TLSVersion.TLSv1_2: ssl.HAS_TLSv1_2,
        ssl.TLSVersion.TLSv1_3: ssl.HAS_TLSv1_3,
    }
    return named[version]
