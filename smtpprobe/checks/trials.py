"""What the further connections showed, where they were asked for: TLS versions one by one, and the intrusive probes.

That the local library cannot speak a version says nothing about the server, and is said apart. Of a probe that could
not be finished nothing is concluded.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from smtpprobe.checks.certificate import subject
from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.checks.reading import BROKEN, at, by_role, graded, graded_unknown, keywords
from smtpprobe.checks.securing import chain_of
from smtpprobe.evidence import (
    Conversation,
    Evidence,
    Failure,
    FailureKind,
    Phase,
    Reply,
    Role,
    SecurityTrial,
    TlsSession,
    VersionTrial,
)
from smtpprobe.report import Finding, Severity

TLS_VERSIONS = kind("tls-versions", Topic.TLS, Severity.OK, params=("spoken", "refused"))
TLS_VERSIONS_OLD_ONLY = kind(
    "tls-versions-old-only", Topic.TLS, Severity.ERROR, Severity.WARNING, Severity.INFO, params=("spoken",)
)
TLS_VERSIONS_OLD_TOO = kind("tls-versions-old-too", Topic.TLS, Severity.INFO, Severity.WARNING, params=("spoken",))
TLS_VERSION_UNTESTABLE = kind("tls-version-untestable", Topic.TLS, Severity.INFO, params=("versions", "openssl"))
TLS_VERSIONS_UNFINISHED = kind(
    "tls-versions-unfinished", Topic.TLS, Severity.INCONCLUSIVE, Severity.INFO, params=("versions", "detail")
)
TLS_OCSP_STAPLED = kind("tls-ocsp-stapled", Topic.TLS, Severity.OK)
TLS_OCSP_REVOKED = kind("tls-ocsp-revoked", Topic.TLS, Severity.ERROR, params=("subject", "date"))
TLS_OCSP_EXPIRED = kind("tls-ocsp-expired", Topic.TLS, Severity.WARNING, params=("date",))
TLS_OCSP_OTHER_CERTIFICATE = kind("tls-ocsp-other-certificate", Topic.TLS, Severity.WARNING, params=("subject",))
TLS_OCSP_UNUSABLE = kind(
    "tls-ocsp-unusable", Topic.TLS, Severity.WARNING, params=("answer", "detail"), worded={"answer": "ocsp"}
)

STARTTLS_INJECTION = kind("starttls-injection", Topic.SECURITY, Severity.ERROR)
STARTTLS_INJECTION_SAFE = kind("starttls-injection-safe", Topic.SECURITY, Severity.OK)
STARTTLS_UNADVERTISED = kind("starttls-unadvertised", Topic.SECURITY, Severity.WARNING)
MAIL_WITHOUT_TLS_REFUSED = kind("mail-without-tls-refused", Topic.SECURITY, Severity.OK, params=("code",))
MAIL_WITHOUT_TLS_ACCEPTED = kind("mail-without-tls-accepted", Topic.SECURITY, Severity.INFO, Severity.WARNING)
VRFY_DISCLOSES = kind("vrfy-discloses", Topic.SECURITY, Severity.WARNING)
EXPN_DISCLOSES = kind("expn-discloses", Topic.SECURITY, Severity.WARNING)
RELAY_RCPT_ACCEPTED = kind("relay-rcpt-accepted", Topic.SECURITY, Severity.ERROR)
RELAY_RCPT_REFUSED = kind("relay-rcpt-refused", Topic.SECURITY, Severity.OK, params=("code",))
SECURITY_PROBE_UNFINISHED = kind(
    "security-probe-unfinished",
    Topic.SECURITY,
    Severity.INCONCLUSIVE,
    params=("probe", "phase", "kind"),
    worded={"probe": "trial", "phase": "phase", "kind": "failure"},
)

OLD = ("TLSv1", "TLSv1.1")
"""RFC 8996: not to be used any more."""


def trials(evidence: Evidence) -> Iterator[Finding]:
    """Judge all further connections."""
    for conversation in evidence.conversations:
        if conversation.versions:
            yield from _versions(evidence, conversation)
            yield from _stapled(evidence, conversation)
        for trial in conversation.security:
            yield from _security(evidence, conversation, trial)


# --- TLS versions ---------------------------------------------------------------------------------------------------


def _versions(evidence: Evidence, conversation: Conversation) -> Iterator[Finding]:
    where = at(evidence, conversation, Phase.TLS)
    spoken = tuple(each.version for each in conversation.versions if isinstance(each.outcome, TlsSession))
    untestable = tuple(
        each.version
        for each in conversation.versions
        if isinstance(each.outcome, Failure) and each.outcome.kind is FailureKind.TLS_LOCAL
    )
    refused = tuple(each.version for each in conversation.versions if _is_refused(each))
    unfinished = [each for each in conversation.versions if each.version not in (*spoken, *untestable, *refused)]
    if unfinished:
        failure = unfinished[0].outcome
        yield TLS_VERSIONS_UNFINISHED.found(
            where,
            as_=graded_unknown(conversation.endpoint),
            versions=tuple(each.version for each in unfinished),
            detail=(failure.detail or failure.kind.value) if isinstance(failure, Failure) else "-",
        )
    if untestable:
        yield TLS_VERSION_UNTESTABLE.found(where, versions=untestable, openssl=evidence.runtime.openssl)
    if not spoken:
        return
    old = tuple(each for each in spoken if each in OLD)
    if old == spoken and not {"TLSv1.2", "TLSv1.3"}.issubset(refused):
        return
    if old == spoken:
        severity = graded(conversation.endpoint, by_role(conversation.endpoint))
        yield TLS_VERSIONS_OLD_ONLY.found(where, as_=severity, spoken=spoken)
        return
    if old:
        # Between servers old TLS is better than none (RFC 7435 3); mail programs must not speak it (RFC 8997 3).
        is_relay = conversation.endpoint.role is Role.SMTP
        severity = Severity.INFO if is_relay else graded(conversation.endpoint, Severity.WARNING)
        yield TLS_VERSIONS_OLD_TOO.found(where, as_=severity, spoken=old)
    yield TLS_VERSIONS.found(where, spoken=spoken, refused=refused or ("-",))


def _is_refused(trial: VersionTrial) -> bool:
    """Tell whether it was the server that ended the handshake: anything before it, or time, tells nothing of TLS."""
    outcome = trial.outcome
    return isinstance(outcome, Failure) and outcome.phase is Phase.TLS and outcome.kind in BROKEN


def _stapled(evidence: Evidence, conversation: Conversation) -> Iterator[Finding]:
    """Judge what was stapled; the same flaw in several versions is told once."""
    told = set()
    for trial in conversation.versions:
        if not trial.ocsp_response or not isinstance(trial.outcome, TlsSession) or not trial.outcome.chain:
            continue
        finding = _staple(evidence, conversation, trial.ocsp_response, trial.outcome)
        if finding.id not in told:
            told.add(finding.id)
            yield finding


def _staple(evidence: Evidence, conversation: Conversation, response: bytes, session: TlsSession) -> Finding:
    from smtpprobe.ocsp import Answer, read_response  # few servers staple

    where = at(evidence, conversation, Phase.TLS)
    chain = chain_of(evidence, session)
    leaf = evidence.certificate(session.chain[0])
    read = read_response(response, chain[0], chain[1] if len(chain) > 1 else None, evidence.started_at)
    match read.answer:
        case Answer.GOOD:
            return TLS_OCSP_STAPLED.found(where)
        case Answer.REVOKED:
            return TLS_OCSP_REVOKED.found(where, subject=subject(leaf), date=_date(read.revoked_at))
        case Answer.EXPIRED:
            return TLS_OCSP_EXPIRED.found(where, date=_date(read.until))
        case Answer.OTHER_CERTIFICATE:
            return TLS_OCSP_OTHER_CERTIFICATE.found(where, subject=subject(leaf))
        case _:
            return TLS_OCSP_UNUSABLE.found(where, answer=read.answer.value, detail=read.detail or "-")


def _date(when: datetime | None) -> str:
    return "-" if when is None else when.date().isoformat()


# --- intrusive probes -----------------------------------------------------------------------------------------------


def _security(evidence: Evidence, conversation: Conversation, trial: SecurityTrial) -> Iterator[Finding]:
    judges = {
        "starttls-injection": _injection,
        "starttls-unadvertised": _unadvertised,
        "mail-without-tls": _mail_in_clear,
        "relay": _relay,
    }
    judge = judges.get(trial.name)
    found = list(judge(evidence, conversation, trial)) if judge is not None else []
    yield from found
    if not found and trial.failure is not None:
        failure = trial.failure
        yield SECURITY_PROBE_UNFINISHED.found(
            at(evidence, conversation, failure.phase),
            probe=trial.name,
            phase=failure.phase.value,
            kind=failure.kind.value,
        )


def _reply(trial: SecurityTrial, phase: Phase) -> Reply | None:
    for exchange in trial.exchanges:
        if exchange.phase is phase and isinstance(exchange.outcome, Reply):
            return exchange.outcome
    return None


def _code(reply: Reply | None) -> int:
    return 0 if reply is None or reply.code is None else reply.code


def _injection(evidence: Evidence, conversation: Conversation, trial: SecurityTrial) -> Iterator[Finding]:
    """One reply too many inside TLS is the answer to the smuggled command."""
    inside = [each for each in trial.exchanges if each.over_tls and isinstance(each.outcome, Reply)]
    where = at(evidence, conversation, Phase.STARTTLS)
    if any(each.over_tls for each in trial.unsolicited):
        yield STARTTLS_INJECTION.found(where)
    elif inside and trial.failure is None and keywords_of(inside[0].outcome):
        yield STARTTLS_INJECTION_SAFE.found(where)
    elif _code(_reply(trial, Phase.STARTTLS)) // 100 in (4, 5):
        yield STARTTLS_INJECTION_SAFE.found(where)  # it noticed the pipelining and refused (RFC 3207 4)


def keywords_of(outcome: object) -> bool:
    """Tell whether an outcome is a reply to EHLO, rather than to something else."""
    return isinstance(outcome, Reply) and (bool(keywords(outcome)) or len(outcome.lines) > 1)


def _unadvertised(evidence: Evidence, conversation: Conversation, trial: SecurityTrial) -> Iterator[Finding]:
    reply = _reply(trial, Phase.STARTTLS)
    if _code(reply) == 220:
        yield STARTTLS_UNADVERTISED.found(at(evidence, conversation, Phase.STARTTLS), because_of=reply)


def _mail_in_clear(evidence: Evidence, conversation: Conversation, trial: SecurityTrial) -> Iterator[Finding]:
    """RFC 3207 4.3: 530 refuses; a server for other servers must not, one for users should (RFC 8314 3.3)."""
    reply = _reply(trial, Phase.MAIL)
    where = at(evidence, conversation, Phase.MAIL)
    if _code(reply) // 100 == 2:
        is_for_users = conversation.endpoint.role is not Role.SMTP
        severity = Severity.WARNING if is_for_users else Severity.INFO
        yield MAIL_WITHOUT_TLS_ACCEPTED.found(where, as_=severity, because_of=reply)
    elif reply is not None and _code(reply) // 100 == 5 and _asks_for_tls(reply):
        yield MAIL_WITHOUT_TLS_REFUSED.found(where, because_of=reply, code=_code(reply))


def _asks_for_tls(reply: Reply) -> bool:
    """Tell whether a refusal is for want of TLS: a stranger's address may be refused for itself (RFC 3207 4)."""
    return reply.code == 530 or any("tls" in line.lower() for line in reply.lines)


def _relay(evidence: Evidence, conversation: Conversation, trial: SecurityTrial) -> Iterator[Finding]:
    for phase, discloses in ((Phase.VRFY, VRFY_DISCLOSES), (Phase.EXPN, EXPN_DISCLOSES)):
        reply = _reply(trial, phase)
        if _code(reply) in (250, 251):  # RFC 5321 3.5.3: 252 tells nothing
            yield discloses.found(at(evidence, conversation, phase), because_of=reply)
    reply = _reply(trial, Phase.RCPT)
    where = at(evidence, conversation, Phase.RCPT)
    if _code(reply) // 100 == 2:
        yield RELAY_RCPT_ACCEPTED.found(where, because_of=reply)
    elif _code(reply) // 100 == 5:
        yield RELAY_RCPT_REFUSED.found(where, because_of=reply, code=_code(reply))
    else:
        refused = _reply(trial, Phase.MAIL)
        if _code(refused) // 100 == 5:
            where = at(evidence, conversation, Phase.MAIL)
            yield RELAY_RCPT_REFUSED.found(where, because_of=refused, code=_code(refused))
