"""Judgements: findings about evidence, and the report that holds both. Values only; the judging is in `checks`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, Literal

import msgspec

from smtpprobe.evidence import Evidence, Fact, Phase, Reply, Role
from smtpprobe.reference.model import Confidence, Explanation

REPORT_SCHEMA: Final = "smtpprobe/report/1"

Param = str | int | float | bool | tuple[str, ...]
"""A value that a finding's words may name. Text in it may come from a server and is escaped by the renderer."""


class Severity(StrEnum):
    """How much a finding matters. `INCONCLUSIVE` stands beside the scale: not known, so neither pass nor fail."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    INCONCLUSIVE = "inconclusive"


SCALE: Final = (Severity.OK, Severity.INFO, Severity.WARNING, Severity.ERROR)
"""The ordered severities, mildest first."""

GRAVITY: Final = (Severity.ERROR, Severity.WARNING, Severity.INCONCLUSIVE, Severity.INFO, Severity.OK)
"""Gravest first, as people want to read; what is not known stands behind what is known to be wrong."""


def is_at_least(severity: Severity, threshold: Severity) -> bool:
    """Tell whether a severity reaches a threshold of `SCALE`; `INCONCLUSIVE` never does."""
    return severity in SCALE and SCALE.index(severity) >= SCALE.index(threshold)


class Where(Fact, frozen=True, kw_only=True):
    """What a finding is about, from the domain down to one step; None where it is about something wider."""

    domain: str | None = None
    host: str | None = None
    address: str | None = None
    port: int | None = None
    role: Role | None = None
    phase: Phase | None = None

    @property
    def endpoint(self) -> str | None:
        """``ADDR:PORT`` or ``[ADDR]:PORT``; None where the finding is about something wider than an endpoint."""
        if self.address is None or self.port is None:
            return None
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Finding(Fact, frozen=True, kw_only=True):
    """One judgement. Its words are the entry `id` of the ``findings`` texts, filled with `params`."""

    id: str
    """Kebab-case, names the problem, stable: part of the interface."""
    severity: Severity
    confidence: Confidence = Confidence.CERTAIN
    where: Where = Where()
    params: dict[str, Param] = msgspec.field(default_factory=dict)
    reply: Reply | None = None
    """The reply that it rests on, if it rests on one."""
    explanation: Explanation | None = None
    """What that reply means where it stands; None too where it reports success."""


class Annotation(Fact, frozen=True, kw_only=True):
    """The explanation of one reply of the evidence."""

    conversation: int
    """Index into `Evidence.conversations`."""
    exchange: int
    """Index into that conversation's exchanges."""
    explanation: Explanation


class Sender(StrEnum):
    """A kind of mail server that delivers, by what it does about TLS."""

    OPPORTUNISTIC = "opportunistic"
    """Encrypts where it can, authenticates nobody (RFC 7435)."""
    MTA_STS = "mta-sts"
    """Keeps the policy of the domain (RFC 8461)."""
    DANE = "dane"
    """Keeps TLSA records that DNSSEC vouches for (RFC 7672)."""


class Fate(StrEnum):
    """What becomes of mail to the domain."""

    AUTHENTICATED = "authenticated"
    """Delivered, encrypted, to a server that proved to be the right one."""
    ENCRYPTED = "encrypted"
    """Delivered and encrypted, to whoever answered."""
    CLEAR = "clear"
    """Delivered in clear text."""
    DEFERS = "defers"
    """Kept in the queue and tried again, for days, then returned."""
    BOUNCES = "bounces"
    """Returned at once."""
    UNKNOWN = "unknown"
    """Cannot be told from here."""


class Attempt(Fact, frozen=True, kw_only=True):
    """One server on the sender's way through the MX hosts."""

    host: str
    address: str | None
    """None where the host has none."""
    fate: Fate
    """What would come of it here; the first that is a delivery ends the way."""
    reason: str
    """A key of the ``delivery-reason`` labels."""


class Delivery(Fact, frozen=True, kw_only=True):
    """How one kind of sender would fare now, as seen from where the probe ran."""

    sender: Sender
    fate: Fate
    host: str | None = None
    """The MX host that would take the mail; None where none would."""
    address: str | None = None
    reason: str
    """A key of the ``delivery-reason`` labels: why it ends so."""
    attempts: tuple[Attempt, ...] = ()
    """In the order of trying, the last one included."""


class Report(Fact, frozen=True, kw_only=True):
    """Evidence and what it means."""

    schema: Literal["smtpprobe/report/1"] = REPORT_SCHEMA
    evidence: Evidence
    findings: tuple[Finding, ...]
    """In report order: by check, then by endpoint."""
    annotations: tuple[Annotation, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    """One for each kind of sender; empty where the target is no mail domain."""

    @property
    def status(self) -> Severity:
        """The gravest severity on the scale; `INCONCLUSIVE` where nothing is graver than info and something that
        matters is not known; never `OK` without a finding that says so."""
        on_scale = [SCALE.index(finding.severity) for finding in self.findings if finding.severity in SCALE]
        worst = SCALE[max(on_scale)] if on_scale else Severity.INCONCLUSIVE
        unknown = any(finding.severity is Severity.INCONCLUSIVE for finding in self.findings)
        if unknown and worst in (Severity.OK, Severity.INFO):
            return Severity.INCONCLUSIVE
        return worst

    @property
    def ok(self) -> bool:
        """Nothing is an error and nothing that matters is unknown."""
        bad = (Severity.ERROR, Severity.INCONCLUSIVE)
        return self.status not in bad and not any(finding.severity in bad for finding in self.findings)


class Outcome(StrEnum):
    """What a run over several targets comes to; the command line makes its exit status of it."""

    PASSED = "passed"
    """Nothing reaches the threshold, and nothing that matters is unknown."""
    INCONCLUSIVE = "inconclusive"
    """Nothing reaches the threshold, but something that matters could not be found out, or nothing was probed."""
    FINDINGS = "findings"
    """Something reaches the threshold."""


def outcome(report: Report, threshold: Severity) -> Outcome:
    """Hold one report against a threshold of `SCALE`."""
    if any(is_at_least(finding.severity, threshold) for finding in report.findings):
        return Outcome.FINDINGS
    if report.status is Severity.INCONCLUSIVE or any(
        finding.severity is Severity.INCONCLUSIVE for finding in report.findings
    ):
        return Outcome.INCONCLUSIVE
    return Outcome.PASSED


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The gravest of several outcomes; `INCONCLUSIVE` where there is none, since nothing was probed."""
    order = (Outcome.PASSED, Outcome.INCONCLUSIVE, Outcome.FINDINGS)
    return max(outcomes, key=order.index, default=Outcome.INCONCLUSIVE)
