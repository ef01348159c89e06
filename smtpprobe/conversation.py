"""What is said to one endpoint, in one polite connection, to learn all that a server tells without mail being sent.

    connect, (TLS), greeting, EHLO, STARTTLS, TLS, EHLO, QUIT

RFC 5321 3.1 and 4.3.1 are kept to: nothing is said before the greeting is complete, each command waits for the reply to
the one before, and QUIT is said as long as there is anybody to say it to. HELO stands in where EHLO is refused for good
(4.1.4). After a refusal nothing is tried that the server would count as a second attempt.

What comes next is a pure function of what passed, `next_step`; `Talk` takes the steps. It judges nothing and raises for
nothing that a server does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import assert_never

from smtpprobe.evidence import (
    Conversation,
    Endpoint,
    Exchange,
    Failure,
    FailureKind,
    Handshake,
    Irregularity,
    Options,
    Phase,
    Reply,
    TlsMode,
)
from smtpprobe.opening import Opening
from smtpprobe.replies import capabilities
from smtpprobe.wire import Wire


class Step(StrEnum):
    """What to do next."""

    GREETING = "greeting"
    EHLO = "ehlo"
    HELO = "helo"
    STARTTLS = "starttls"
    HANDSHAKE = "handshake"
    QUIT = "quit"
    CLOSE = "close"
    """Close without another word."""


def next_step(mode: TlsMode, exchanges: Sequence[Exchange], handshake: Handshake | None) -> Step:
    """Say what comes next on a connection that stands, from all that passed on it.

    Args:
        mode: how TLS comes about.
        handshake: None as long as none was done.
    """
    if handshake is not None and isinstance(handshake.outcome, Failure):
        return Step.CLOSE  # RFC 3207 4.1: the state of the session is unknown, also to the server
    if not exchanges:
        return Step.HANDSHAKE if mode is TlsMode.IMPLICIT and handshake is None else Step.GREETING
    last = exchanges[-1]
    reply = last.outcome
    if isinstance(reply, Failure) or Irregularity.TOO_LONG in reply.irregularities:
        return Step.CLOSE
    match last.phase:
        case Phase.GREETING:
            # RFC 5321 3.1: after a 554, or any other refusal, a client is still to wait and QUIT.
            return Step.EHLO if _class(reply) == 2 else Step.QUIT
        case Phase.EHLO if _class(reply) == 2:
            offered = mode is TlsMode.STARTTLS and handshake is None and offers_starttls(reply)
            return Step.STARTTLS if offered else Step.QUIT
        case Phase.EHLO if _class(reply) == 5:
            return Step.HELO  # RFC 5321 3.2; a 4yz asks to come back later, not to ask for less
        case Phase.STARTTLS if reply.code == 220:
            return Step.HANDSHAKE if handshake is None else Step.EHLO  # RFC 3207 4.2: what was learnt is forgotten
        case Phase.QUIT:
            return Step.CLOSE
        case _:
            return Step.QUIT


def offers_starttls(reply: Reply) -> bool:
    """Tell whether a reply to EHLO lists STARTTLS (RFC 3207 2)."""
    # The lines are taken apart only where it may be worth it: this is asked in each session of a scan.
    return b"STARTTLS" in reply.raw.upper() and any(each.keyword.upper() == "STARTTLS" for each in capabilities(reply))


def _class(reply: Reply) -> int:
    """The first digit of the code; 0 where there is no code."""
    return (reply.code or 0) // 100


class Talk:
    """One conversation while it lasts. `run` holds it; `so_far` writes down what passed, at any time.

    Args:
        endpoint: whom to talk to.
        options: the times that steps may take.
        ehlo_name: how to introduce ourselves.
        clock: seconds since the probe began; at `Options.deadline_s` on it everything ends.
        opening: the connection, where it is on its way already.
        on_decided: called once, as soon as nothing but the reply to QUIT is to come, or nothing at all. It must be
            quick, since QUIT goes out after it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        options: Options,
        ehlo_name: str,
        clock: Callable[[], float],
        opening: Opening | None = None,
        on_decided: Callable[[], None] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._options = options
        self._ehlo_name = ehlo_name.encode("ascii")
        self._clock = clock
        self._on_decided = on_decided
        self._wire = Wire(
            endpoint, clock=clock, deadline_s=options.deadline_s, on_connected=self._go_on, opening=opening
        )
        self._defect: Exception | None = None

    async def run(self) -> None:
        """Hold the conversation. Whatever ends it, the socket is closed when this returns.

        Raises:
            Exception: a defect of ours; it is recorded, too.
        """
        wire = self._wire
        try:
            if await wire.connect(self._options.timeout_s) is None:
                await wire.wait_closed()
        except asyncio.CancelledError:
            wire.interrupt()
            raise
        except Exception as defect:  # noqa: BLE001 - raised again below, when it is recorded
            self._defect = defect
        finally:
            wire.hang_up()
            await wire.wait_closed()
        self._decide()
        if self._defect is not None:
            raise self._defect

    def so_far(self) -> Conversation:
        """Write down what passed. The trust in the certificates is not judged yet."""
        wire = self._wire
        last = wire.exchanges[-1] if wire.exchanges else None
        # RFC 5321 4.1.1.10: after its reply to QUIT the server closes, as we do; who is first means nothing.
        is_through = last is not None and last.phase is Phase.QUIT and isinstance(last.outcome, Reply)
        failure = wire.failure
        if self._defect is not None:
            detail = f"{type(self._defect).__name__}: {self._defect}"
            failure = Failure(phase=wire.phase, kind=FailureKind.INTERNAL, detail=detail)
        return Conversation(
            endpoint=self.endpoint,
            started_s=wire.started_s,
            connected_s=wire.connected_s,
            failure=failure,
            local_address=wire.local_address,
            exchanges=tuple(wire.exchanges),
            handshake=wire.handshaken,
            unsolicited=wire.unsolicited,
            is_closed_by_peer=wire.is_closed_by_peer and not is_through,
            ended_s=self._clock() if wire.closed_s is None else wire.closed_s,
        )

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """The certificates as the server sent them, leaf first, in DER."""
        return self._wire.certificates

    def _go_on(self, outcome: object = None) -> None:
        """Take the next step. Called with the outcome of the last one, when that is recorded already."""
        try:
            self._take(next_step(self.endpoint.tls, self._wire.exchanges, self._wire.handshaken))
        except Exception as defect:  # noqa: BLE001 - a defect of ours is the failure of this endpoint, and of no other
            self._defect = self._defect or defect
            self._wire.hang_up()

    def _take(self, step: Step) -> None:
        wire, timeout_s = self._wire, self._options.timeout_s
        match step:
            case Step.GREETING:
                wire.begin_greeting(self._go_on, timeout_s=self._options.greeting_timeout_s)
            case Step.EHLO:
                wire.begin_command(Phase.EHLO, b"EHLO", self._ehlo_name, timeout_s=timeout_s, then=self._go_on)
            case Step.HELO:
                wire.begin_command(Phase.HELO, b"HELO", self._ehlo_name, timeout_s=timeout_s, then=self._go_on)
            case Step.STARTTLS:
                wire.begin_command(Phase.STARTTLS, b"STARTTLS", timeout_s=timeout_s, then=self._go_on)
            case Step.HANDSHAKE:
                wire.begin_handshake(self._go_on, timeout_s=timeout_s)
            case Step.QUIT:
                self._decide()
                if wire.is_open:
                    wire.begin_command(Phase.QUIT, b"QUIT", timeout_s=timeout_s, then=self._go_on)
                else:
                    wire.hang_up()
            case Step.CLOSE:
                wire.hang_up()
            case _:
                assert_never(step)

    def _decide(self) -> None:
        tell, self._on_decided = self._on_decided, None
        if tell is not None:
            tell()


async def converse(
    endpoint: Endpoint,
    *,
    options: Options,
    ehlo_name: str,
    clock: Callable[[], float],
) -> tuple[Conversation, tuple[bytes, ...]]:
    """Hold a whole conversation with one endpoint.

    Returns:
        What passed, and the certificates as the server sent them, leaf first, in DER: how far they can be trusted is
        for `certificates.judge_trust` to say, away from the network.
    """
    talk = Talk(endpoint, options=options, ehlo_name=ehlo_name, clock=clock)
    await talk.run()
    return talk.so_far(), talk.certificates
