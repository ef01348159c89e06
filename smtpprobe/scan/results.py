"""What a scan says of one target: one line of its output, in JSON.

A result is small enough to keep a million of, and says what people count: who answered, how far it went, in which
software's name, with which TLS and certificate, and what is to be found fault with. The findings are those of
`smtpprobe.checks`, by id; a scan that keeps its evidence has the rest.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from smtpprobe.errors import EvidenceError
from smtpprobe.evidence import Fact, FailureKind, HostOrigin, LookupStatus, Phase, Role, TargetKind
from smtpprobe.report import Fate, Severity

RESULT_SCHEMA: Final = "smtpprobe/scan/1"
"""Name and version of the JSON form; the number changes when a reader must change."""

JOURNAL_ENDING: Final = ".journal"
"""Behind the name of a file of results: the journal, which is there until the scan is finished."""

SUCCESS: Final = "_SUCCESS"
"""The file in a folder of results that is there once all of them are, as Hadoop and all that came after it have it."""

MAX_TEXT: Final = 200
"""Characters of a greeting or a refusal that a result keeps."""


class Standing(StrEnum):
    """How a target stands: each is exactly one of these."""

    ERROR = "error"
    WARNING = "warning"
    INCONCLUSIVE = "inconclusive"
    """Something that matters could not be found out."""
    LEFT_ALONE = "left-alone"
    """Nobody was talked to, on purpose, and nothing else tells that anything is wrong."""
    NULL_MX = "null-mx"
    """The domain says that it takes no mail (RFC 7505), and nothing is wrong with that."""
    OK = "ok"


class SeenCertificate(Fact, frozen=True, kw_only=True):
    """The certificate that a server showed."""

    sha256: str
    issuer: str = ""
    """RFC 4514 text."""
    not_after: datetime | None = None
    key: str | None = None
    """``RSA 2048``, ``EC 256`` ..."""
    is_chain_trusted: bool = False
    is_name_matched: bool | None = None
    """None where there was no name to hold it against."""
    is_within_validity: bool = False
    is_self_signed: bool = False


class SeenReply(Fact, frozen=True, kw_only=True):
    """The reply by which a server turned us away."""

    phase: Phase
    code: int | None
    enhanced: str | None = None
    category: str | None = None
    """What it means, as `smtpprobe explain` says."""
    text: str = ""
    """At most `MAX_TEXT` characters."""


class Session(Fact, frozen=True, kw_only=True):
    """What became of one endpoint."""

    address: str
    port: int
    role: Role = Role.SMTP
    reached: Phase = Phase.CONNECT
    """The last step that went well; `Phase.CONNECT` also where not even that did: then `failure` says so."""
    failure: FailureKind | None = None
    """Why it ended early; None where the session came to its end."""
    failed: Phase | None = None
    """The step that failed; None without a failure."""
    refusal: SeenReply | None = None
    """None where nothing was refused."""
    skipped: str | None = None
    """Why it was left alone: ``excluded`` (by ``--exclude``), ``not-public``; None where it was talked to."""
    greeting: str | None = None
    """The first line of the greeting, at most `MAX_TEXT` characters."""
    software: str | None = None
    provider: str | None = None
    capabilities: tuple[str, ...] = ()
    """The keywords of the last reply to EHLO, in upper case."""
    starttls: bool | None = None
    """Offered; None where no EHLO was answered."""
    tls: str | None = None
    """The version that was agreed on: ``TLSv1.3``; None without TLS."""
    cipher: str | None = None
    certificate: SeenCertificate | None = None
    duration_s: float = 0.0


class Host(Fact, frozen=True, kw_only=True):
    """One host of a target, in the order in which a sender tries them."""

    name: str
    preference: int | None = None
    origin: HostOrigin = HostOrigin.MX
    status: LookupStatus | None = None
    """How looking up its addresses ended: the better of A and AAAA; None where nothing was asked."""
    sessions: tuple[Session, ...] = ()


class Found(Fact, frozen=True, kw_only=True):
    """One kind of finding about a target."""

    id: str
    severity: Severity
    count: int = 1
    """On how many places of the target."""


class Verdict(Fact, frozen=True, kw_only=True):
    """What a full scan finds out about delivery."""

    sender: str
    fate: Fate


class Result(Fact, frozen=True, kw_only=True):
    """What a scan says of one target."""

    schema: str = RESULT_SCHEMA
    line: int
    """Where the target stood in the input, from 1."""
    target: str
    """As it was written."""
    kind: TargetKind
    name: str | None = None
    """Lower-case A-labels; None for an address."""
    outcome: Standing
    """The gravest that holds, in the order of `Standing`."""
    mx: LookupStatus | None = None
    """How the MX question ended; None where none was asked."""
    is_null_mx: bool = False
    skipped: str | None = None
    """Why nobody was talked to, where that was on purpose: ``excluded``, ``not-public``, as of a session. Of a name
    that is excluded, the DNS was not asked either. None where some server was tried, or there is none."""
    hosts: tuple[Host, ...] = ()
    findings: tuple[Found, ...] = ()
    """Each kind once with its gravest severity; those of severity ok are left out."""
    provider: str | None = None
    """Of the first host that is recognised."""
    dane: str | None = None
    """Full scans only, after the finding: ``match``, ``partial`` (on some hosts, and the others have no records),
    ``mismatch``, ``without-tls``, ``unusable``, ``insecure``, ``untested``, ``lookup-failed``, ``unverifiable``,
    ``unvalidated``, ``not-published``; None where no TLSA records were asked for."""
    mta_sts: str | None = None
    """Full scans only: ``enforce``, ``testing``, ``none``, ``invalid``, ``not-published`` or ``lookup-failed``; None
    where no policy was asked for, and where there is none of a domain that names no mail host with an address."""
    deliveries: tuple[Verdict, ...] = ()
    """Full scans only."""
    at: datetime
    """When the result was made; aware, UTC."""

    @property
    def is_reachable(self) -> bool:
        """Some server greeted and answered EHLO."""
        return any(
            session.capabilities or session.starttls is not None for host in self.hosts for session in host.sessions
        )


_DECODER: Final = msgspec.json.Decoder(Result)


def decode_result(line: bytes | str) -> Result:
    """Read one line of a scan's NDJSON.

    Raises:
        EvidenceError: it is none; the message says why.
    """
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise EvidenceError(f"not a result of the form {RESULT_SCHEMA}: {error}") from error
