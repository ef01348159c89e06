"""From facts to what a result says: pure.

`session_of` sums up one conversation; `Judge` judges a target with the same checks as a single check does. Most
servers of a scan behave alike in all that a check looks at. So the findings are kept by the *shape* of the facts:
all of them but names, addresses, times and other words that no check turns on; and only for sessions in which nothing
went wrong. Whatever is out of the ordinary is judged anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from smtpprobe.checks import judge
from smtpprobe.checks.mx_hosts import OURSELVES, unrouted_network
from smtpprobe.checks.probe import LEFT_ALONE
from smtpprobe.checks.reachability import SMTP_PORT
from smtpprobe.checks.reading import wait_s
from smtpprobe.checks.resolution import NULL_MX
from smtpprobe.checks.summary import NOTHING_PROBED
from smtpprobe.evidence import (
    Certificate,
    Conversation,
    Endpoint,
    Evidence,
    Lookup,
    LookupStatus,
    MxHost,
    Phase,
    Policies,
    Reply,
    Resolution,
    Target,
    TlsSession,
)
from smtpprobe.names import is_localhost
from smtpprobe.reference import explain, fingerprints
from smtpprobe.report import GRAVITY, Report, Severity
from smtpprobe.resolution import is_address
from smtpprobe.scan.pace import network_of
from smtpprobe.scan.results import MAX_TEXT, Found, SeenCertificate, SeenReply, Session, Standing
from smtpprobe.scan.transcripts import Transcript, digest, transcript_of

SHAPES_KEPT: Final = 20_000
"""So many judgements are kept."""

_NO_WAIT_S: Final = 0.9
"""Whoever answers within so many seconds answers at once, as the checks see it."""


# --- one endpoint ---------------------------------------------------------------------------------------------------


def session_of(conversation: Conversation, leaf: Certificate | None, said: Transcript | None = None) -> Session:
    """Sum up what became of an endpoint.

    Args:
        leaf: the certificate that the server showed.
        said: the transcript of it, where that is at hand.
    """
    endpoint, failure, session = conversation.endpoint, conversation.failure, conversation.session
    said = said or transcript_of(conversation.exchanges)
    software, provider = said.software, said.provider
    if software is None and endpoint.name is not None and said.greeting is not None:
        found = fingerprints.of_host(endpoint.name)
        software, provider = (None, None) if found is None else (found.row.product, found.row.provider)
    return Session(
        address=endpoint.address,
        port=endpoint.port,
        role=endpoint.role,
        reached=Phase.TLS if session is not None and said.reached is Phase.STARTTLS else said.reached,
        failure=None if failure is None else failure.kind,
        failed=None if failure is None else failure.phase,
        refusal=None if said.refused is None else _refusal(*said.refused, endpoint),
        greeting=said.greeting,
        software=software,
        provider=provider,
        capabilities=said.keywords,
        starttls=said.starttls,
        tls=None if session is None else session.version,
        cipher=None if session is None else session.cipher,
        certificate=None if session is None or leaf is None else _certificate(session, leaf),
        duration_s=round(conversation.ended_s - conversation.started_s, 4),
    )


def puts_off(conversation: Conversation, said: Transcript) -> bool:
    """Tell whether a server said or showed that it wants to be left alone for now: 421, another 4yz, a closed port."""
    return conversation.connected_s is None or said.is_put_off


def _refusal(phase: Phase, reply: Reply, endpoint: Endpoint) -> SeenReply:
    found = explain(reply, phase, provider_hint=endpoint.name)
    return SeenReply(
        phase=phase, code=reply.code, enhanced=reply.enhanced, category=found.category, text=reply.text[:MAX_TEXT]
    )


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

    outcome: Standing
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
    """Sum up a report.

    A null MX is an answer, and whole: that nothing was probed, of which a check makes that nothing has passed, is then
    nothing more to know.
    """
    gravest: dict[str, Severity] = {}
    count: dict[str, int] = {}
    ids = {finding.id for finding in report.findings}
    is_null_mx = {NULL_MX.id, NOTHING_PROBED.id} <= ids
    for finding in report.findings:
        if is_null_mx and finding.id == NOTHING_PROBED.id:
            continue
        count[finding.id] = count.get(finding.id, 0) + 1
        gravest[finding.id] = min(gravest.get(finding.id, Severity.OK), finding.severity, key=GRAVITY.index)
    found = [Found(id=each, severity=gravest[each], count=count[each]) for each in gravest]
    found.sort(key=lambda each: GRAVITY.index(each.severity))
    grave = [Standing(each.severity) for each in found if each.severity in _GRAVE]
    otherwise = Standing.NULL_MX if is_null_mx else Standing.OK
    return _judgement(grave[0] if grave else otherwise, [each for each in found if each.severity is not Severity.OK])


def _judgement(outcome: Standing, findings: Iterable[Found]) -> Judgement:
    every = tuple(findings)
    return Judgement(outcome, every, msgspec.json.encode(every))


_GRAVE: Final = (Severity.ERROR, Severity.WARNING, Severity.INCONCLUSIVE)

NOBODY_ASKED: Final = _judgement(Standing.LEFT_ALONE, [Found(id=LEFT_ALONE.id, severity=Severity.INCONCLUSIVE)])
"""What is to be said of a target about which nobody was to be asked."""


# --- the shape of facts ---------------------------------------------------------------------------------------------


def shape_of(evidence: Evidence) -> Hashable | None:
    """All that the checks turn on, of a target where nothing is out of the ordinary; None for every other."""
    certificates = {each.sha256: each for each in evidence.certificates}
    shaped = [(each.endpoint, shape_of_conversation(each, certificates.get)) for each in evidence.conversations]
    return put_together(
        evidence.target, evidence.resolution, evidence.policies, shaped, is_interrupted=evidence.is_interrupted
    )


def put_together(
    target: Target,
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
    return target.kind, "@" in target.text, is_interrupted, of_resolution, tuple(talks)


def shape_of_address(target: Target, address: str, shaped: Sequence[tuple[Endpoint, bytes | None]]) -> Hashable | None:
    """Make the shape of a target that is an address: nobody was asked about it, and what is talked to there depends on
    nothing but what is in it.

    Args:
        shaped: all its endpoints, with the shapes of their conversations.
    """
    shapes = tuple([shape for _, shape in shaped])
    if not shapes or None in shapes:
        return None
    return target.kind, target.port, target.role, _kind_of_address(address), shapes


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


def _kind_of_address(address: str) -> tuple[bool, bool, bool]:
    # IPv4 networks that are not routed are all at least as large as a /24.
    return _kind(address if ":" in address else f"{address[: address.rfind('.')]}.1")


@lru_cache(maxsize=8192)
def _kind(address: str) -> tuple[bool, bool, bool]:
    network = unrouted_network(address)
    return ":" in address, network is None, network in OURSELVES


def shape_of_conversation(
    conversation: Conversation, certificate: Callable[[str], Certificate | None], said: Transcript | None = None
) -> bytes | None:
    """All that the checks turn on, of a conversation in which nothing went wrong, as a digest; None for every other.

    Args:
        certificate: finds a certificate by its SHA-256; asked only where names do not fit as they stand.
        said: the transcript of it, where that is at hand.
    """
    if conversation.failure is not None or conversation.unsolicited or conversation.is_closed_by_peer:
        return None
    said = said or transcript_of(conversation.exchanges)
    if said.shape is None:
        return None
    waits = tuple(
        [0 if each.ended_s - each.started_s < _NO_WAIT_S else int(wait_s(each)) for each in conversation.exchanges]
    )
    session, handshake, of_tls = conversation.session, conversation.handshake, None
    if handshake is not None:
        if session is None:
            return None
        wait = int(handshake.ended_s - handshake.started_s)
        trust = None if session.trust is None else msgspec.structs.replace(session.trust, name=None)
        of_tls = session.version, session.cipher, session.secret_bits, session.group, session.chain, trust, wait
    names = _shape_of_names(said.names, conversation.endpoint.host, session, certificate)
    return _digest((said.shape, waits, of_tls, names))


@lru_cache(maxsize=SHAPES_KEPT)
def _digest(shape: Hashable) -> bytes:
    return digest(shape)


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
