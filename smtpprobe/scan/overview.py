"""What a whole scan comes to: how many targets answer, encrypt, prove who they are, and what is wrong with the others.

The values below are the definition of the JSON form; `counting` makes them of results. Every share says of how many it
is. Most counts are of targets. What is said of TLS versions, certificates and refusals counts conversations: an
endpoint that several targets share counts once for each of them, since it is a fact about each.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from smtpprobe.evidence import Fact, Phase
from smtpprobe.report import Severity
from smtpprobe.scan.claims import Grouping

OVERVIEW_SCHEMA: Final = "smtpprobe/overview/1"
"""Name and version of the JSON form; the number changes when a reader must change."""


class Share(Fact, frozen=True, kw_only=True):
    """One row of a list of shares."""

    id: str | None
    """None where it is not known, as a provider that nothing tells."""
    count: int


class Shares(Fact, frozen=True, kw_only=True):
    """How many of how many are what."""

    of: int
    """How many there are in all: what a share is a share of. 0: nothing can be said."""
    rows: tuple[Share, ...] = ()
    others: int = 0
    """How many are in no row, because the list is as long as was asked for."""


class SenderShares(Fact, frozen=True, kw_only=True):
    """How one kind of sender would fare with the targets of a full scan."""

    sender: str
    fates: Shares


class EndpointCount(Fact, frozen=True, kw_only=True):
    """How many addresses and ports were tried, each counted once whoever shares it."""

    count: int
    is_exact: bool = True
    """False where it is an estimate, with a standard error of less than one per cent."""


class ReplyCount(Fact, frozen=True, kw_only=True):
    """One kind of refusal."""

    code: int | None
    """None where what the server sent has none."""
    enhanced: str | None
    phase: Phase
    category: str | None
    """The reason's kind, as ``rate_limited``; None where it is not known."""
    count: int
    example: str
    """The text of the first."""
    code_key: str | None = None
    """The entry of the ``replies`` texts."""
    diagnosis: str | None = None
    """The cause, if the code or the example tell one: an entry of the ``diagnoses`` texts."""


class Replies(Fact, frozen=True, kw_only=True):
    """The replies by which servers turned the scan away."""

    of: int
    """All refusals; once for each target that an endpoint belongs to."""
    rows: tuple[ReplyCount, ...] = ()
    others: int = 0


class FindingCount(Fact, frozen=True, kw_only=True):
    """One kind of finding."""

    id: str
    severity: Severity
    """The gravest that it had."""
    targets: int
    """With this finding."""


class Findings(Fact, frozen=True, kw_only=True):
    """The most frequent findings, errors first."""

    of: int
    """Targets."""
    rows: tuple[FindingCount, ...] = ()
    other_kinds: int = 0
    """Kinds that are in no row, because the list is as long as was asked for."""


class Group(Fact, frozen=True, kw_only=True):
    """The targets of one provider, software or top-level domain."""

    name: str | None
    """None where it is not known."""
    targets: int = 0
    left_alone: int = 0
    """Targets of which no server was tried, on purpose; no share of those that answer is a share of them."""
    reachable: int = 0
    """Targets of which some server answered EHLO."""
    asked_starttls: int = 0
    """Targets with a server that could be asked for STARTTLS."""
    starttls: int = 0
    """Targets of which every such server offers it."""
    with_certificate: int = 0
    """Targets of which some server showed a certificate."""
    trusted: int = 0
    """Targets of which every certificate is trusted."""
    errors: int = 0
    """Targets with an error."""


class Groups(Fact, frozen=True, kw_only=True):
    """The targets by what they were grouped by, the largest groups first."""

    by: Grouping
    rows: tuple[Group, ...] = ()
    others: Group | None = None
    """All groups that are in no row, together; None where there are none."""


class Problem(Fact, frozen=True, kw_only=True):
    """One target with errors."""

    target: str
    line: int
    """Where it stood in the input of the scan."""
    errors: tuple[str, ...]
    """The ids of its errors."""
    places: int
    """On how many places of the target they were found."""
    warnings: int
    """How many kinds of warnings it has besides."""


class Problems(Fact, frozen=True, kw_only=True):
    """The targets with the most errors."""

    of: int
    """Targets with an error."""
    rows: tuple[Problem, ...] = ()


class Overview(Fact, frozen=True, kw_only=True):
    """What a scan comes to."""

    schema: Literal["smtpprobe/overview/1"] = OVERVIEW_SCHEMA
    targets: int
    unreadable: int = 0
    """Lines of the input that were no result, and count for nothing else."""
    is_finished: bool = True
    """False where a scan was broken off or is still going on: then the targets that answer soon are here sooner."""
    began_at: datetime | None = None
    """When the first result was made; None without a result."""
    ended_at: datetime | None = None
    """When the last one was made."""
    endpoints: EndpointCount
    outcomes: Shares
    """Targets by `results.Standing`: by their gravest finding, or that nobody was to be asked."""
    reachability: Shares
    """Targets by `Reachability`."""
    starttls: Shares
    """Targets with a server that could be asked, by `Adoption`."""
    tls: Shares
    """Conversations as far as EHLO, by the version of TLS, else by `TlsUse`."""
    certificates: Shares
    """Certificates seen, by `Validity`. A certificate may stand in several rows."""
    dane: Shares
    """Targets whose TLSA records were asked for, by what came of them."""
    mta_sts: Shares
    """Targets whose MTA-STS policy was asked for, by its mode, else by `claims.PolicyState`."""
    deliveries: tuple[SenderShares, ...] = ()
    """Targets of full scans, by the fate of mail; empty where none was asked."""
    providers: Shares
    """Targets with a mail host, by provider."""
    software: Shares
    """Targets that answer, by the software of the first server that tells it."""
    replies: Replies
    findings: Findings
    groups: Groups | None = None
    """None where nothing was grouped."""
    problems: Problems
