"""Back to the targets: from the facts of a target and its endpoints to its result, and to its evidence.

Facts come from the journal, judgement from `summing`. Nothing here touches the network.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from datetime import UTC, datetime
from typing import Final, Protocol

import msgspec

from smtpprobe.checks import judge
from smtpprobe.checks.dane import DANE_WITHOUT_TLS
from smtpprobe.checks.securing import DaneState, dane_of
from smtpprobe.endpoints import host_of_address, plan_endpoints
from smtpprobe.evidence import (
    Certificate,
    Conversation,
    Endpoint,
    Evidence,
    Failure,
    FailureKind,
    Options,
    Phase,
    Resolution,
    Role,
    Runtime,
    Target,
    encode,
)
from smtpprobe.report import Report
from smtpprobe.scan.claims import PolicyState
from smtpprobe.scan.journal import Became, Known
from smtpprobe.scan.results import RESULT_SCHEMA, Standing, Verdict
from smtpprobe.scan.summing import NOBODY_ASKED, Judge, judgement, put_together, shape_of_address
from smtpprobe.scan.worker import Depth, Facts

ENDPOINTS_KEPT: Final = 4_000
"""So many endpoints are kept in memory: those of large providers belong to very many targets."""

CERTIFICATES_KEPT: Final = 2_000


class _Host(msgspec.Struct, frozen=True, kw_only=True):
    """`results.Host` whose sessions are written already."""

    name: str
    preference: int | None
    origin: str
    status: str | None
    sessions: tuple[msgspec.Raw, ...]


class _Result(msgspec.Struct, frozen=True, kw_only=True):
    """`results.Result`, field by field, with such hosts, and findings that are written already."""

    schema: str
    line: int
    target: str
    kind: str
    name: str | None
    outcome: Standing
    mx: str | None
    is_null_mx: bool
    skipped: str | None
    hosts: tuple[_Host, ...]
    findings: msgspec.Raw
    provider: str | None
    dane: str | None
    mta_sts: str | None
    deliveries: tuple[Verdict, ...]
    at: datetime


class Understood(msgspec.Struct, frozen=True):
    """A target with all that its result is made of, but for what became of its endpoints."""

    line: int
    target: Target
    facts: Facts
    endpoints: tuple[Endpoint, ...]
    keys: tuple[str, ...]
    """Of the endpoints."""


class Joined(msgspec.Struct, frozen=True):
    """The result of a target, as a line of JSON without its end."""

    line: bytes
    outcome: Standing
    evidence: bytes | None
    """None where it is not wanted, and where nobody was asked."""


class Memory(Protocol):
    """Who knows what became of endpoints: the journal, or what was gathered for some of the targets."""

    def became(self, key: str) -> Became | None:
        """What became of an endpoint; None where nothing is known."""
        ...

    def certificate(self, sha256: str) -> bytes | None:
        """A certificate in DER."""
        ...


class _Brief(msgspec.Struct):
    """What is wanted of a `results.Session` here."""

    provider: str | None = None
    skipped: str | None = None


_read_brief: Final = msgspec.json.Decoder(_Brief).decode


def endpoint_key(endpoint: Endpoint) -> str:
    """What makes an endpoint: where it is, and the name that is asked for there."""
    return f"{endpoint.id} {endpoint.tls.value} {endpoint.name or '-'}"


def facts_of_address(address: str) -> Facts:
    """What is known of a target that is an address: nobody need be asked."""
    return Facts(resolution=Resolution(hosts=(host_of_address(address),)))


class Joiner:
    """Makes results of what the journal knows."""

    def __init__(
        self,
        journal: Memory,
        options: Options,
        depth: Depth,
        *,
        ehlo_name: str,
        started_at: datetime,
        runtime: Runtime,
        keeps_evidence: bool = False,
    ) -> None:
        self._journal = journal
        self._options = options
        self._depth = depth
        self._ehlo_name = ehlo_name
        self._started_at = started_at
        self._runtime = runtime
        self._keeps_evidence = keeps_evidence
        self._judge = Judge()
        self._patterns: dict[tuple[int | None, Role | None, bool], tuple[Endpoint, ...]] = {}
        self._met: OrderedDict[str, tuple[Became, str | None]] = OrderedDict()
        """What became of an endpoint, and its provider."""
        self._certificates: OrderedDict[str, Certificate | None] = OrderedDict()
        self._read_target = msgspec.msgpack.Decoder(Target)
        self._read_facts = msgspec.msgpack.Decoder(Facts)
        self._read_conversation = msgspec.msgpack.Decoder(Conversation)
        self._write = msgspec.json.Encoder()

    def understood(self, known: Known) -> Understood:
        """Read what the journal says of a target, and plan its endpoints.

        Raises:
            LookupError: nobody has asked the DNS about it yet.
        """
        target = self._read_target.decode(known.target)
        if known.facts is not None:
            facts = self._read_facts.decode(known.facts)
        elif target.address is not None:
            facts = facts_of_address(target.address)
        else:
            raise LookupError(target.text)
        return self.planned(known.line, target, facts)

    def planned(self, line: int, target: Target, facts: Facts) -> Understood:
        """Plan the endpoints of a target."""
        if target.address is not None:
            endpoints = self._planned_for_address(target, target.address, facts)
        else:
            endpoints = plan_endpoints(target, facts.resolution, self._options)
        return Understood(line, target, facts, endpoints, tuple([endpoint_key(each) for each in endpoints]))

    def _planned_for_address(self, target: Target, address: str, facts: Facts) -> tuple[Endpoint, ...]:
        """Plan those of an address: as for any other of the same version, but for the address itself."""
        key = (target.port, target.role, ":" in address)
        pattern = self._patterns.get(key)
        if pattern is None:
            pattern = self._patterns[key] = plan_endpoints(target, facts.resolution, self._options)
        return tuple([msgspec.structs.replace(each, host=address, address=address) for each in pattern])

    def is_known(self, key: str) -> bool:
        """Whether an endpoint is known to have been talked to, without asking the journal."""
        return key in self._met

    def remember(self, key: str, became: Became) -> None:
        """Keep in mind what became of an endpoint, which is about to be asked for."""
        self._met[key] = became, self._provider(became.session)
        if len(self._met) > ENDPOINTS_KEPT:
            self._met.popitem(last=False)

    @staticmethod
    def _provider(session: bytes) -> str | None:
        """Spares reading where there is none, as with most."""
        return None if b'"provider":null' in session else _read_brief(session).provider

    def join(self, understood: Understood) -> Joined:
        """Make the result of a target."""
        target, facts, endpoints = understood.target, understood.facts, understood.endpoints
        by_host: dict[str, list[msgspec.Raw]] = {}
        met_by: list[tuple[Endpoint, Became]] = []
        provider: str | None = None
        skipped = facts.skipped
        is_tried = False
        for endpoint, key in zip(endpoints, understood.keys, strict=True):
            met = self._endpoint(key)
            if met is None:
                continue
            became, provider_here = met
            by_host.setdefault(endpoint.host, []).append(msgspec.Raw(became.session))
            provider = provider or provider_here
            met_by.append((endpoint, became))
            if became.facts is not None:
                is_tried = True
            elif skipped is None:
                skipped = _read_brief(became.session).skipped

        def make_evidence() -> Evidence:
            return self._evidence(target, facts, endpoints, met_by)

        if is_tried:
            skipped = None
        deliveries: tuple[Verdict, ...] = ()
        dane = mta_sts = None
        if facts.skipped is not None:
            judged = NOBODY_ASKED
        elif self._depth is Depth.FULL:
            report = judge(make_evidence())
            judged = judgement(report)
            deliveries = _verdicts(report)
            dane, mta_sts = dane_of_target(report), mta_sts_of_target(report)
        else:
            shaped = [(endpoint, became.shape) for endpoint, became in met_by]
            is_interrupted = len(met_by) < len(endpoints)
            shape: Hashable | None
            if target.address is not None and not is_interrupted:
                shape = shape_of_address(target, target.address, shaped)
            else:
                shape = put_together(target, facts.resolution, facts.policies, shaped, is_interrupted=is_interrupted)
            judged = self._judge.judge_like(shape, make_evidence)
        outcome = judged.outcome
        if skipped is not None and outcome is Standing.INCONCLUSIVE:
            outcome = Standing.LEFT_ALONE
        resolution = facts.resolution
        line = self._write.encode(
            _Result(
                schema=RESULT_SCHEMA,
                line=understood.line,
                target=target.text,
                kind=target.kind,
                name=target.name,
                outcome=outcome,
                mx=None if resolution.mx is None else resolution.mx.status,
                is_null_mx=resolution.is_null_mx,
                skipped=skipped,
                hosts=tuple(
                    [
                        _Host(
                            name=host.name,
                            preference=host.preference,
                            origin=host.origin,
                            status=_status(host.lookups),
                            sessions=tuple(by_host.get(host.name, ())),
                        )
                        for host in resolution.hosts
                    ]
                ),
                findings=msgspec.Raw(judged.written),
                provider=provider,
                dane=dane,
                mta_sts=mta_sts,
                deliveries=deliveries,
                at=datetime.now(UTC),
            )
        )
        is_kept = self._keeps_evidence and facts.skipped is None
        return Joined(line, outcome, encode(make_evidence()) if is_kept else None)

    def _endpoint(self, key: str) -> tuple[Became, str | None] | None:
        met = self._met.get(key)
        if met is None:
            became = self._journal.became(key)
            if became is not None:
                self.remember(key, became)
                met = self._met[key]
        else:
            self._met.move_to_end(key)
        return met

    def _evidence(
        self, target: Target, facts: Facts, endpoints: tuple[Endpoint, ...], met_by: list[tuple[Endpoint, Became]]
    ) -> Evidence:
        conversations = tuple(
            [
                _spared(endpoint, became.session, facts.resolution.elapsed_s)
                if became.facts is None
                else msgspec.structs.replace(self._read_conversation.decode(became.facts), endpoint=endpoint)
                for endpoint, became in met_by
            ]
        )
        certificates: dict[str, Certificate] = {}
        keys = [key for each in conversations if each.session is not None for key in each.session.chain]
        if facts.policies.policy is not None:
            keys += facts.policies.policy.chain
        for key in keys:
            certificate = self._certificate(key)
            if certificate is not None:
                certificates[key] = certificate
        return Evidence(
            target=target,
            options=self._options,
            started_at=self._started_at,
            elapsed_s=max((each.ended_s for each in conversations), default=facts.resolution.elapsed_s),
            ehlo_name=self._ehlo_name,
            resolution=facts.resolution,
            endpoints=endpoints,
            conversations=conversations,
            policies=facts.policies,
            certificates=tuple(certificates.values()),
            is_interrupted=len(conversations) < len(endpoints),
            runtime=self._runtime,
        )

    def _certificate(self, key: str) -> Certificate | None:
        from smtpprobe.certificates import read_certificate

        if key in self._certificates:
            self._certificates.move_to_end(key)
            return self._certificates[key]
        der = self._journal.certificate(key)
        found = self._certificates[key] = None if der is None else read_certificate(der)
        if len(self._certificates) > CERTIFICATES_KEPT:
            self._certificates.popitem(last=False)
        return found


def _spared(endpoint: Endpoint, session: bytes, at_s: float) -> Conversation:
    """The conversation with an endpoint that was left alone."""
    why = _read_brief(session).skipped or ""
    failure = Failure(phase=Phase.CONNECT, kind=FailureKind.LEFT_ALONE, detail=why)
    return Conversation(endpoint=endpoint, started_s=at_s, failure=failure, connections=0, ended_s=at_s)


def _status(lookups: tuple[object, ...]) -> str | None:
    if not lookups:
        return None
    statuses = [str(getattr(each, "status", "")) for each in lookups]
    for better in ("overridden", "answered"):
        if better in statuses:
            return better
    return statuses[0]


def _verdicts(report: Report) -> tuple[Verdict, ...]:
    return tuple(Verdict(sender=each.sender.value, fate=each.fate) for each in report.deliveries)


_DANE: Final = {
    DaneState.MISMATCH: "mismatch",
    DaneState.BOGUS: "lookup-failed",
    DaneState.UNUSABLE: "unusable",
    DaneState.UNTRUSTED: "unverifiable",
    DaneState.UNVALIDATED: "unvalidated",
    DaneState.INSECURE: "insecure",
    DaneState.UNTESTED: "untested",
    DaneState.MATCH: "match",
    DaneState.ABSENT: "not-published",
}
"""The words of a result, the gravest first."""


def dane_of_target(report: Report) -> str | None:
    """Say how a target stands to DANE: as the worst of its endpoints, whether or not they could be talked to.

    Returns:
        A word of `_DANE`; ``without-tls`` where a server has records and no TLS; ``partial`` where it fits on some and
        the others have no records; None where nothing was asked.
    """
    found = [dane_of(report.evidence, each) for each in report.evidence.conversations]
    states = {each.state for each in found if each is not None}
    if states == {DaneState.MATCH, DaneState.ABSENT}:
        return "partial"
    if DaneState.MISMATCH not in states and any(each.id == DANE_WITHOUT_TLS.id for each in report.findings):
        return "without-tls"
    return next((word for state, word in _DANE.items() if state in states), None)


def mta_sts_of_target(report: Report) -> str | None:
    """Say how a target stands to MTA-STS: see `results.Result.mta_sts`."""
    ids = {finding.id for finding in report.findings}
    for mode in ("enforced", "testing", "none"):
        if f"mta-sts-{mode}" in ids:
            return {"enforced": "enforce"}.get(mode, mode)
    if any(each.startswith(("mta-sts-policy", "mta-sts-record")) for each in ids):
        return "invalid"
    return next((state.value for state in PolicyState if f"mta-sts-{state}" in ids), None)
