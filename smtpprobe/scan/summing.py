"""From facts to what a result says: pure.

`session_of` sums up one conversation; `Judge` judges a target with the same checks as a single check does. Most
servers of a scan behave alike in all that a check looks at. So the findings are kept by the *shape* of the facts:
all of them but names, addresses, times and other words that no check turns on; and only for sessions in which nothing
went wrong. Whatever is out of the ordinary is judged anew.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from smtpprobe.checks import judge
from smtpprobe.checks.greeting import is_public
from smtpprobe.checks.mx_hosts import unrouted_network
from smtpprobe.checks.reachability import SMTP_PORT
from smtpprobe.checks.reading import wait_s
from smtpprobe.evidence import (
    Certificate,
    Conversation,
    Endpoint,
    Evidence,
    Failure,
    Lookup,
    LookupStatus,
    MxHost,
    Phase,
    Policies,
    Reply,
    Resolution,
    TargetKind,
    TlsSession,
)
from smtpprobe.names import is_hostname, is_localhost
from smtpprobe.reference import explain, fingerprints, identify
from smtpprobe.replies import capabilities, greeting_domain
from smtpprobe.report import GRAVITY, Report, Severity
from smtpprobe.resolution import is_address
from smtpprobe.scan.pace import network_of
from smtpprobe.scan.results import MAX_TEXT, Found, SeenCertificate, SeenReply, Session

SHAPES_KEPT: Final = 20_000
"""So many judgements are kept."""

_SUCCESS: Final = frozenset((2, 3))
_HELLOS: Final = (Phase.EHLO, Phase.HELO)
_DIGITS: Final = re.compile(r"\d+")
_NO_WAIT_S: Final = 0.9
"""Whoever answers within so many seconds answers at once, as the checks see it."""


# --- one endpoint ---------------------------------------------------------------------------------------------------


def session_of(conversation: Conversation, leaf: Certificate | None) -> Session:
    """Sum up what became of an endpoint.

    Args:
        leaf: the certificate that the server showed.
    """
    endpoint, failure = conversation.endpoint, conversation.failure
    reached, refusal = Phase.CONNECT, None
    greeting = hello = plain_hello = None
    for exchange in conversation.exchanges:
        reply = exchange.outcome
        if isinstance(reply, Failure):
            break
        if (reply.code or 0) // 100 in _SUCCESS:
            reached = exchange.phase
        elif refusal is None:
            refusal = _refusal(reply, exchange.phase, endpoint)
        if exchange.phase is Phase.GREETING:
            greeting = reply
        elif exchange.phase in _HELLOS and reply.code == 250:
            hello = reply
            if not exchange.over_tls:
                plain_hello = reply
    session = conversation.session
    if session is not None and reached is Phase.STARTTLS:
        reached = Phase.TLS
    software, provider = (None, None) if greeting is None else _named(greeting, hello, endpoint.name)
    return Session(
        address=endpoint.address,
        port=endpoint.port,
        role=endpoint.role,
        reached=reached,
        failure=None if failure is None else failure.kind,
        failed=None if failure is None else failure.phase,
        refusal=refusal,
        greeting=None if greeting is None or not greeting.lines else greeting.lines[0][:MAX_TEXT],
        software=software,
        provider=provider,
        capabilities=() if hello is None else _of_hello(hello).keywords,
        starttls=None if plain_hello is None else "STARTTLS" in _of_hello(plain_hello).keywords,
        tls=None if session is None else session.version,
        cipher=None if session is None else session.cipher,
        certificate=None if session is None or leaf is None else _certificate(session, leaf),
        duration_s=round(conversation.ended_s - conversation.started_s, 4),
    )


class _Greeting(NamedTuple):
    """What is looked at in a greeting."""

    words: str
    """Its first line without the server's name, and with zeros for the numbers in it: a queue id or the time changes
    with every session and names no software; what does is the same words."""
    more: tuple[str, ...]
    name: str
    own: str


class _Hello(NamedTuple):
    """What is looked at in a reply to EHLO."""

    keywords: tuple[str, ...]
    """In upper case."""
    name: str
    own: str


# The replies of most servers of a scan are those of another one, and each is looked at more than once.


@lru_cache(maxsize=4096)
def _of_greeting(reply: Reply) -> _Greeting:
    words = _DIGITS.sub("0", reply.lines[0]) if reply.lines else ""
    name = greeting_domain(reply) or ""
    if name:
        _, _, words = words.partition(" ")
    return _Greeting(words, reply.lines[1:3], name, _own_name(name))


@lru_cache(maxsize=4096)
def _of_hello(reply: Reply) -> _Hello:
    own = _first_word(reply.lines[0]) if reply.lines else ""
    return _Hello(_keywords(reply.lines[1:]), own or _first_word(reply.text), _own_name(own))


def puts_off(conversation: Conversation) -> bool:
    """Tell whether a server said or showed that it wants to be left alone for now: 421, another 4yz, a closed port."""
    if conversation.connected_s is None:
        return True
    for exchange in conversation.exchanges:
        if isinstance(exchange.outcome, Reply) and (exchange.outcome.code or 0) // 100 == 4:
            return True
    return False


def _refusal(reply: Reply, phase: Phase, endpoint: Endpoint) -> SeenReply:
    found = explain(reply, phase, provider_hint=endpoint.name)
    return SeenReply(
        phase=phase, code=reply.code, enhanced=reply.enhanced, category=found.category, text=reply.text[:MAX_TEXT]
    )


def _named(greeting: Reply, hello: Reply | None, host: str | None) -> tuple[str | None, str | None]:
    said = _of_greeting(greeting)
    software, provider = _identified(said.words, said.more, () if hello is None else hello.lines[1:])
    if software is None and host is not None:
        found = fingerprints.of_host(host)
        return (None, None) if found is None else (found.row.product, found.row.provider)
    return software, provider


@lru_cache(maxsize=4096)
def _identified(first: str, more: tuple[str, ...], keywords: tuple[str, ...]) -> tuple[str | None, str | None]:
    def said(code: int, lines: Sequence[str]) -> Reply:
        return Reply(raw=b"", code=code, lines=tuple(lines))

    found = identify(
        said(220, (f"host.invalid {first}", *more)),
        said(250, ("host.invalid", *keywords)) if keywords else None,
    )
    return (None, None) if found is None else (found.product, found.provider)


@lru_cache(maxsize=4096)
def _keywords(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The keywords of a reply to EHLO, whose first line, which is another for each server, is left out."""
    read = capabilities(Reply(raw=b"", code=250, lines=("", *lines)))
    return tuple(dict.fromkeys(each.keyword.upper()[:MAX_TEXT] for each in read))[:64]


def _certificate(session: TlsSession, leaf: Certificate) -> SeenCertificate:
    trust = session.trust
    return SeenCertificate(
        sha256=leaf.sha256,
        issuer=leaf.issuer,
        not_after=leaf.not_after,
        key=None if leaf.key_type is None else f"{leaf.key_type} {leaf.key_bits or ''}".strip(),
        is_chain_trusted=trust is not None and trust.is_chain_trusted,
        is_name_matched=None if trust is None else trust.is_name_matched,
        is_within_validity=trust is not None and trust.is_within_validity,
        is_self_signed=leaf.is_self_signed,
    )


# --- one target -----------------------------------------------------------------------------------------------------


class Judgement(msgspec.Struct, frozen=True):
    """What the checks say of a target."""

    outcome: Severity
    findings: tuple[Found, ...]
    written: bytes
    """The findings in JSON."""


class Judge:
    """Judges targets, and remembers how those looked that it has judged."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, Judgement] = OrderedDict()

    def judge(self, evidence: Evidence) -> Judgement:
        """Judge a target whose facts have a shape as one like it was judged before; anew otherwise."""
        return self.judge_like(shape_of(evidence), lambda: evidence)

    def judge_like(self, shape: Hashable | None, evidence: Callable[[], Evidence]) -> Judgement:
        """Judge a target as one of its shape was judged before; anew where there was none, or where it has none."""
        if shape is None:
            return judgement(judge(evidence()))
        known = self._known.get(shape)
        if known is None:
            known = self._known[shape] = judgement(judge(evidence()))
            if len(self._known) > SHAPES_KEPT:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(shape)
        return known


def judgement(report: Report) -> Judgement:
    """Sum up a report."""
    gravest: dict[str, Severity] = {}
    count: dict[str, int] = {}
    for finding in report.findings:
        count[finding.id] = count.get(finding.id, 0) + 1
        gravest[finding.id] = min(gravest.get(finding.id, Severity.OK), finding.severity, key=GRAVITY.index)
    found = [Found(id=each, severity=gravest[each], count=count[each]) for each in gravest]
    found.sort(key=lambda each: GRAVITY.index(each.severity))
    grave = [each.severity for each in found if each.severity is not Severity.INFO]
    findings = tuple(each for each in found if each.severity is not Severity.OK)
    return Judgement(grave[0] if grave else Severity.OK, findings, msgspec.json.encode(findings))


# --- the shape of facts ---------------------------------------------------------------------------------------------


def shape_of(evidence: Evidence) -> Hashable | None:
    """All that the checks turn on, of a target where nothing is out of the ordinary; None for every other."""
    certificates = {each.sha256: each for each in evidence.certificates}
    shaped = [(each.endpoint, shape_of_conversation(each, certificates.get)) for each in evidence.conversations]
    return put_together(
        evidence.target.kind, evidence.resolution, evidence.policies, shaped, is_interrupted=evidence.is_interrupted
    )


def put_together(
    kind: TargetKind,
    resolution: Resolution,
    policies: Policies,
    shaped: Sequence[tuple[Endpoint, Hashable | None]],
    *,
    is_interrupted: bool,
) -> Hashable | None:
    """Make the shape of a target.

    Args:
        shaped: each endpoint that was talked to, with the shape of its conversation.
    """
    if not shaped or (policies is not NO_POLICIES and policies != NO_POLICIES):
        return None
    of_resolution = _shape_of_resolution(resolution)
    if of_resolution is None:
        return None
    networks: dict[str, int] = {}
    hosts: dict[str, int] = {}
    talks = []
    for endpoint, shape in shaped:
        if shape is None:
            return None
        network = networks.setdefault(network_of(endpoint.address), len(networks))
        place = (
            endpoint.role,
            endpoint.tls,
            endpoint.origin,
            endpoint.is_required,
            endpoint.port == SMTP_PORT,
            network,
            hosts.setdefault(endpoint.host, len(hosts)),
        )
        talks.append((place, ":" in endpoint.address, endpoint.name is None, shape))
    return kind, is_interrupted, of_resolution, tuple(talks)


NO_POLICIES: Final = Policies()
"""Of which nobody asked."""


def _shape_of_resolution(resolution: Resolution) -> Hashable | None:
    if resolution.reverse:
        return None
    mx = resolution.mx
    if mx is not None and (not _is_plain(mx) or resolution.is_null_mx or any(each[-1:] == "." for each in mx.records)):
        return None
    hosts = []
    for host in resolution.hosts:
        shape = _shape_of_host(host)
        if shape is None:
            return None
        hosts.append(shape)
    return mx is not None and (mx.status, len(mx.records)), tuple(hosts)


def _is_plain(lookup: Lookup) -> bool:
    """Whether a question was simply answered, by the name that it asked for."""
    return lookup.status in _PLAIN and not lookup.canonical_name and not lookup.aliases


_PLAIN: Final = (LookupStatus.ANSWERED, LookupStatus.NO_DATA)


def _shape_of_host(host: MxHost) -> Hashable | None:
    if not host.addresses:
        return None
    for lookup in host.lookups:
        if not _is_plain(lookup):
            return None
    is_literal = host.name == host.addresses[0]
    if is_localhost(host.name) or (not is_literal and is_address(host.name)):
        return None
    kinds = tuple([_kind_of_address(each) for each in host.addresses])
    return host.origin, is_literal, kinds, tuple([each.status for each in host.lookups])


def _kind_of_address(address: str) -> tuple[bool, bool]:
    # IPv4 networks that are not routed are all at least as large as a /24.
    return _kind(address if ":" in address else f"{address[: address.rfind('.')]}.1")


@lru_cache(maxsize=8192)
def _kind(address: str) -> tuple[bool, bool]:
    return ":" in address, unrouted_network(address) is None


def shape_of_conversation(conversation: Conversation, certificate: Callable[[str], Certificate | None]) -> bytes | None:
    """All that the checks turn on, of a conversation in which nothing went wrong, as a digest; None for every other.

    Args:
        certificate: finds a certificate by its SHA-256; asked only where names do not fit as they stand.
    """
    if (
        conversation.failure is not None
        or conversation.unsolicited
        or conversation.is_closed_by_peer
        or not conversation.exchanges
    ):
        return None
    parts: list[Hashable] = []
    own: set[str] = set()
    is_first_ehlo = True
    for exchange in conversation.exchanges:
        reply = exchange.outcome
        if isinstance(reply, Failure) or reply.irregularities or (reply.code or 0) // 100 != 2:
            return None
        phase, lines = exchange.phase, reply.lines
        wait = 0 if exchange.ended_s - exchange.started_s < _NO_WAIT_S else int(wait_s(exchange))
        if phase is Phase.GREETING:
            greeting = _of_greeting(reply)
            parts.append((reply.code, len(lines), _shape_of_name(greeting.name), wait))
            own.add(greeting.own)
        elif phase is Phase.EHLO:
            hello = _of_hello(reply)
            parts.append((reply.code, _shape_of_name(hello.name), lines[1:], exchange.over_tls, wait))
            if is_first_ehlo:
                own.add(hello.own)
                is_first_ehlo = False
        else:
            parts.append((phase, reply.code, reply.enhanced, wait))
    own.discard("")
    session = conversation.session
    if conversation.handshake is not None:
        if session is None:
            return None
        wait = int(conversation.handshake.ended_s - conversation.handshake.started_s)
        trust = None if session.trust is None else msgspec.structs.replace(session.trust, name=None)
        parts.append((session.version, session.cipher, session.secret_bits, session.group, session.chain, trust, wait))
    parts.append(_shape_of_names(own, conversation.endpoint.host, session, certificate))
    return _digest(tuple(parts))


@lru_cache(maxsize=SHAPES_KEPT)
def _digest(shape: tuple[Hashable, ...]) -> bytes:
    """A shape in 16 bytes, as it is kept and compared."""
    return blake2b(msgspec.msgpack.encode(shape), digest_size=16).digest()


def _shape_of_names(
    own: Collection[str], host: str, session: TlsSession | None, certificate: Callable[[str], Certificate | None]
) -> Hashable:
    """How the names agree: the server's own, that of its host, and those of the certificate."""
    is_itself = host in own
    trust = None if session is None else session.trust
    is_other = trust is not None and trust.is_name_matched is False
    if session is None or not session.chain or not (is_other or (own and not is_itself)):
        return bool(own), is_itself
    leaf = certificate(session.chain[0])
    if leaf is None:
        return bool(own), is_itself, None
    from smtpprobe.certificates import covers

    is_common = trust is not None and (leaf.common_name or "").lower() == (trust.name or "-")
    return bool(own), is_itself, is_common, any(covers(leaf, name) for name in own)


def _first_word(text: str) -> str:
    words = text.split(maxsplit=1)
    return words[0] if words else ""


@lru_cache(maxsize=4096)
def _own_name(word: str) -> str:
    """A public name by which a server introduces itself, as `server_names.own_names` takes it; empty for any other."""
    name = word.lower().rstrip(".")
    return name if name and is_hostname(name) and is_public(name) else ""


@lru_cache(maxsize=4096)
def _shape_of_name(name: str) -> tuple[bool, bool, bool]:
    """What is looked at in the name by which a server introduces itself."""
    if not name:
        return False, False, False
    return True, is_public(name), name.replace("-", "").replace(".", "").isalnum()
