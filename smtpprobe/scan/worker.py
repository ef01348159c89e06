"""Asking and talking: what a scan does on the network, for one target and one endpoint at a time.

Light: MX and addresses, and the session of `session` on each endpoint. Full: all that a single check asks and says.
What comes back is the same kind of facts from either; nothing is judged but the trust in a chain of certificates, which
needs the roots of this machine.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from smtpprobe import tls
from smtpprobe.conversation import Step, Talk
from smtpprobe.endpoints import plan_endpoints
from smtpprobe.evidence import (
    Certificate,
    Conversation,
    Endpoint,
    Fact,
    Failure,
    FailureKind,
    Family,
    HostOrigin,
    Lookup,
    LookupStatus,
    MxHost,
    Options,
    Phase,
    Policies,
    Resolution,
    Target,
    TargetKind,
    TlsSession,
    Trust,
)
from smtpprobe.names import is_localhost
from smtpprobe.resolution import MAX_MX_HOSTS, LookupSource, Resolver, is_address, mail_exchanges
from smtpprobe.scan.datagrams import Asker, make_asker
from smtpprobe.scan.journal import Became
from smtpprobe.scan.results import Session
from smtpprobe.scan.session import LightSession, Times
from smtpprobe.scan.sockets import connector
from smtpprobe.scan.summing import NO_POLICIES, puts_off, session_of, shape_of_conversation
from smtpprobe.scan.transcripts import Transcript, transcript_of
from smtpprobe.stub import make_stub

if TYPE_CHECKING:
    from smtpprobe.certificates import Roots

HOSTS_KEPT: Final = 10_000
"""So many mail hosts and their addresses are kept in memory: the hosts of large providers are asked for once."""

CHAINS_KEPT: Final = 4_096
"""So many judgements of chains are kept: that of a provider is the same on all its servers."""

TICK_S: Final = 0.25
"""How often it is looked whether the time of a step is up; a step may take as much longer."""


_ADDRESS_TYPES: Final = {Family.ANY: ("A", "AAAA"), Family.IPV4: ("A",), Family.IPV6: ("AAAA",)}


class Depth(StrEnum):
    """How much a scan asks and says."""

    LIGHT = "light"
    FULL = "full"

    @property
    def targets_at_once(self) -> int:
        """How many targets may be asked about at once, so that no question waits long for its turn: the usual stub has
        64 open (`stub.QUESTIONS_AT_ONCE`), and a full scan asks a dozen of each domain."""
        return 32 if self is Depth.FULL else 200


class Facts(Fact, frozen=True, kw_only=True):
    """What is known of a target but its conversations."""

    resolution: Resolution
    policies: Policies = NO_POLICIES
    skipped: str | None = None
    """Why nobody was asked about it; None where somebody was, or where nobody need be."""


class Resolved(NamedTuple):
    """What came of asking about a target."""

    facts: Facts
    certificates: tuple[tuple[str, bytes], ...] = ()
    """Those of the policy host: SHA-256, DER."""


class _Begun(NamedTuple):
    """A host whose addresses were asked for."""

    name: str
    origin: HostOrigin
    preference: int | None
    questions: tuple[asyncio.Future[Lookup], ...]


class Probed(Became, frozen=True, array_like=True):
    """What came of talking to an endpoint, as it is kept: most of it nobody looks at again."""

    failure: FailureKind | None = None
    is_put_off: bool = False
    """The server said or showed that it wants to be left alone for now (`summing.puts_off`)."""
    certificates: tuple[tuple[str, bytes], ...] = ()
    """SHA-256, DER."""

    @property
    def conversation(self) -> Conversation:
        return msgspec.msgpack.decode(self.facts or b"", type=Conversation)


_pack: Final = msgspec.msgpack.Encoder().encode
_pack_json: Final = msgspec.json.Encoder().encode


def probed(
    conversation: Conversation,
    session: Session,
    shape: bytes | None = None,
    certificates: tuple[tuple[str, bytes], ...] = (),
    said: Transcript | None = None,
) -> Probed:
    """Put together what came of talking to an endpoint."""
    return Probed(
        _pack(conversation),
        _pack_json(session),
        shape,
        None if conversation.failure is None else conversation.failure.kind,
        puts_off(conversation, said or transcript_of(conversation.exchanges)),
        certificates,
    )


def nobody_asked(target: Target, why: str) -> Facts:
    """What is known of a target about which nobody may be asked."""
    return Facts(resolution=Resolution(name=target.name), skipped=why)


def left_alone(endpoint: Endpoint, why: str) -> Became:
    """Put together what becomes of an endpoint that is not talked to."""
    session = Session(address=endpoint.address, port=endpoint.port, role=endpoint.role, skipped=why)
    return Became(None, _pack_json(session))


class Worker:
    """Does the work on the running event loop.

    Args:
        options: of the probes. The deadline is that of one session here, and of the questions about one target.
        ehlo_name: how to introduce ourselves.
        lead_s: for how long the scan has been going on already, elsewhere.
    """

    def __init__(self, options: Options, depth: Depth, ehlo_name: str, *, lead_s: float = 0.0) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = time.monotonic() - lead_s
        self.started_at = datetime.now(UTC)
        self._options = options
        self._depth = depth
        self._ehlo_name = ehlo_name
        name = ehlo_name.encode("ascii")
        self._lines = {
            Step.EHLO: b"EHLO " + name + b"\r\n",
            Step.HELO: b"HELO " + name + b"\r\n",
            Step.STARTTLS: b"STARTTLS\r\n",
            Step.QUIT: b"QUIT\r\n",
        }
        self._times = Times(self.clock, options.timeout_s, options.greeting_timeout_s, options.deadline_s)
        self._context: ssl.SSLContext = tls.client_context()
        self._hosts: OrderedDict[str, tuple[asyncio.Future[Lookup], ...]] = OrderedDict()
        self._trust: OrderedDict[tuple[str, ...], Trust | None] = OrderedDict()
        self._leaves: OrderedDict[str, Certificate] = OrderedDict()
        self._roots: Roots | None = None
        self._connector = connector()
        self._sessions: set[LightSession] = set()
        self._talks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def clock(self) -> float:
        """Seconds since the scan began."""
        return time.monotonic() - self._began

    @cached_property
    def _asker(self) -> Asker:
        """Who answers the questions of a light scan; one of addresses has none."""
        return make_asker(self._options)

    @cached_property
    def _source(self) -> LookupSource:
        """Who answers all others."""
        return self._asker if self._depth is Depth.LIGHT else make_stub(self._options)

    async def close(self) -> None:
        """Break off what runs, and wait until its sockets are closed."""
        if self._timer is not None:
            self._timer.cancel()
        for session in list(self._sessions):
            session.interrupt()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        await self._connector.close()
        if "_asker" in vars(self):
            await self._asker.close()

    # --- asking -----------------------------------------------------------------------------------------------------

    async def resolve(self, target: Target) -> Resolved:
        """Ask the DNS about a target, and in a full scan what it publishes; raises nothing but CancelledError."""
        try:
            if self._depth is Depth.FULL:
                return await self._resolve_fully(target)
            return Resolved(Facts(resolution=await self._resolve_lightly(target)))
        except Exception as defect:  # noqa: BLE001 - one target, or no scan with it in would ever come to its end
            name = target.name or target.text
            mx = Lookup(name=name, rrtype="MX", status=LookupStatus.MALFORMED, detail=_of_defect(defect))
            return Resolved(Facts(resolution=Resolution(name=target.name, mx=mx)))

    async def _resolve_lightly(self, target: Target) -> Resolution:
        name = target.name
        if name is None or self._options.overrides or is_localhost(name):
            return await Resolver(self._options, self.clock, source=self._source).resolve(target)
        started_s = self.clock()
        mx: Lookup | None = None
        begun: list[_Begun] = []
        if target.kind is TargetKind.ENDPOINT:
            begun.append(self._begin(name, HostOrigin.GIVEN))
        else:
            mx = await self._asker.ask(name, "MX")
            if mx.status is LookupStatus.NO_DATA:
                begun.append(self._begin(name, HostOrigin.IMPLICIT_MX))  # RFC 5321 5.1
            for rank, (preference, host) in enumerate(mail_exchanges(mx.records)):
                if rank >= MAX_MX_HOSTS or is_localhost(host) or is_address(host):
                    begun.append(_Begun(host, HostOrigin.MX, preference, ()))
                else:
                    begun.append(self._begin(host, HostOrigin.MX, preference))
        hosts = []
        for host, origin, preference_of, questions in begun:
            lookups = tuple([await each for each in questions])
            addresses = tuple(dict.fromkeys([record for found in lookups for record in found.records]))
            hosts.append(
                MxHost(name=host, origin=origin, preference=preference_of, addresses=addresses, lookups=lookups)
            )
        return Resolution(
            name=name,
            mx=mx,
            hosts=tuple(hosts),
            is_null_mx=mx is not None and mx.records == ("0 .",),  # RFC 7505 3
            elapsed_s=self.clock() - started_s,
        )

    def _begin(self, name: str, origin: HostOrigin, preference: int | None = None) -> _Begun:
        """Ask for the addresses of a host, unless somebody has."""
        questions = self._hosts.get(name)
        if questions is None:
            ask = self._asker.ask
            questions = self._hosts[name] = tuple([ask(name, each) for each in _ADDRESS_TYPES[self._options.family]])
            if len(self._hosts) > HOSTS_KEPT:
                self._hosts.popitem(last=False)
        else:
            self._hosts.move_to_end(name)
        return _Begun(name, origin, preference, questions)

    async def _resolve_fully(self, target: Target) -> Resolved:
        from smtpprobe.published import Published

        began_s = self.clock()
        resolver = Resolver(self._options, self.clock, source=self._source)
        published = Published(
            target.name if target.kind is TargetKind.NAME else None, self._options, resolver, self.clock
        )
        resolution = Resolution(name=target.name)
        try:
            async with asyncio.timeout(self._options.deadline_s), asyncio.TaskGroup() as group:
                group.create_task(published.ask_domain())
                resolution = await resolver.resolve(target)
                endpoints = plan_endpoints(target, resolution, self._options)
                group.create_task(published.ask_hosts(resolution, endpoints))
                reverse = await resolver.reverse(dict.fromkeys(each.address for each in endpoints))
                resolution = msgspec.structs.replace(resolution, reverse=reverse, elapsed_s=self.clock() - began_s)
        except TimeoutError:
            published.give_up()
        policies, chain = published.so_far(), published.certificates
        if policies.policy is None or not chain:
            return Resolved(Facts(resolution=resolution, policies=policies))
        keys, certificates = _keyed(chain)
        host = urlsplit(policies.policy.url).hostname
        fetched = msgspec.structs.replace(policies.policy, chain=keys, trust=self._trust_in(keys, chain, host))
        policies = msgspec.structs.replace(policies, policy=fetched)
        return Resolved(Facts(resolution=resolution, policies=policies), certificates)

    # --- talking ----------------------------------------------------------------------------------------------------

    def probe(self, endpoint: Endpoint, then: Callable[[Probed], None]) -> None:
        """Talk to an endpoint; `then` is told once, when the socket is closed."""
        if self._depth is Depth.FULL:
            talk = self._loop.create_task(self._talk(endpoint, then))
            self._talks.add(talk)
            talk.add_done_callback(self._talks.discard)
            return

        def tell(session: LightSession) -> None:
            if session in self._sessions:
                self._sessions.discard(session)
                then(self._told(session.conversation(), session.certificates))

        session = LightSession(endpoint, self._lines, self._times, self._context, tell)
        self._sessions.add(session)
        self._connector.connect(session, endpoint.address, endpoint.port)
        if self._timer is None:
            self._timer = self._loop.call_later(TICK_S, self._look_at_times)

    def _look_at_times(self) -> None:
        self._timer = None
        now_s = self.clock()
        for session in [each for each in self._sessions if each.ends_s <= now_s]:
            if not session.time_is_up(now_s):
                self._connector.give_up(session)
        if self._sessions:
            self._timer = self._loop.call_later(TICK_S, self._look_at_times)

    async def _talk(self, endpoint: Endpoint, then: Callable[[Probed], None]) -> None:
        now_s = self.clock()
        options = msgspec.structs.replace(self._options, deadline_s=now_s + self._options.deadline_s)
        talk = Talk(endpoint, options=options, ehlo_name=self._ehlo_name, clock=self.clock)
        try:
            with suppress(Exception):  # a defect of ours is recorded as the failure of the conversation
                await talk.run()
        finally:
            then(self._told(talk.so_far(), talk.certificates))

    def _told(self, conversation: Conversation, chain: tuple[bytes, ...]) -> Probed:
        """What came of it in any case: whoever waits for it would wait for ever."""
        try:
            return self._finished(conversation, chain)
        except Exception as defect:  # noqa: BLE001 - one endpoint, and its defect becomes its failure
            failure = Failure(phase=Phase.QUIT, kind=FailureKind.INTERNAL, detail=_of_defect(defect))
            endpoint = conversation.endpoint
            session = Session(
                address=endpoint.address,
                port=endpoint.port,
                role=endpoint.role,
                failure=failure.kind,
                failed=failure.phase,
            )
            return probed(msgspec.structs.replace(conversation, handshake=None, failure=failure), session)

    def _finished(self, conversation: Conversation, chain: tuple[bytes, ...]) -> Probed:
        """Add the trust in the certificates, and the certificates."""
        handshake = conversation.handshake
        leaf: Certificate | None = None
        certificates: tuple[tuple[str, bytes], ...] = ()
        if handshake is not None and isinstance(handshake.outcome, TlsSession) and chain:
            keys = handshake.outcome.chain
            outcome = msgspec.structs.replace(
                handshake.outcome, trust=self._trust_in(keys, chain, conversation.endpoint.name)
            )
            handshake = msgspec.structs.replace(handshake, outcome=outcome)
            conversation = msgspec.structs.replace(conversation, handshake=handshake)
            certificates = tuple(zip(keys, chain, strict=True))
            leaf = self._leaf(*certificates[0])
        said = transcript_of(conversation.exchanges)
        shape = None
        if self._depth is Depth.LIGHT:
            shape = shape_of_conversation(conversation, lambda _: leaf, said)
        return probed(conversation, session_of(conversation, leaf, said), shape, certificates, said)

    def _leaf(self, key: str, der: bytes) -> Certificate:
        leaf = self._leaves.get(key)
        if leaf is None:
            from smtpprobe.certificates import read_certificate

            leaf = self._leaves[key] = read_certificate(der)
            if len(self._leaves) > CHAINS_KEPT:
                self._leaves.popitem(last=False)
        return leaf

    def _trust_in(self, keys: tuple[str, ...], chain: tuple[bytes, ...], name: str | None) -> Trust | None:
        """Judge a chain once for all its servers, and their names one by one."""
        from smtpprobe.certificates import Roots, covers, judge_trust

        if keys in self._trust:
            self._trust.move_to_end(keys)
            trust = self._trust[keys]
        else:
            if self._roots is None:
                self._roots = Roots.load(self._options.ca_file)
            trust = self._trust[keys] = judge_trust(chain, None, datetime.now(UTC), self._roots)
            if len(self._trust) > CHAINS_KEPT:
                self._trust.popitem(last=False)
        if trust is None or name is None:
            return trust
        return msgspec.structs.replace(trust, name=name, is_name_matched=covers(self._leaf(keys[0], chain[0]), name))


def _of_defect(defect: Exception) -> str:
    return f"{type(defect).__name__}: {defect}"


def _keyed(chain: tuple[bytes, ...]) -> tuple[tuple[str, ...], tuple[tuple[str, bytes], ...]]:
    from hashlib import sha256

    keyed = tuple((sha256(der).hexdigest(), der) for der in chain)
    return tuple(key for key, _ in keyed), keyed
