"""MTA-STS (RFC 8461) and TLS-RPT (RFC 8460): what the domain publishes, and whether its servers keep it.

A policy that senders cannot read protects nobody, and one that the servers do not keep stops mail: in the mode
``enforce`` that is an error, in ``testing`` a warning, since it would become one.
"""

from __future__ import annotations

from collections.abc import Iterator

from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.checks.reading import FOUND_OUT, at, at_domain, at_host, connected, domain_of
from smtpprobe.checks.resolution import explain_failure
from smtpprobe.checks.securing import policy_of
from smtpprobe.evidence import Evidence, FailureKind, HostOrigin, LookupStatus, PolicyFetch, Role
from smtpprobe.policies import mta_sts as sts
from smtpprobe.policies import tls_rpt
from smtpprobe.report import Finding, Severity

MTA_STS_NOT_PUBLISHED = kind("mta-sts-not-published", Topic.MTA_STS, Severity.INFO, params=("name",))
MTA_STS_LOOKUP_FAILED = kind(
    "mta-sts-lookup-failed",
    Topic.MTA_STS,
    Severity.INCONCLUSIVE,
    params=("name", "status", "detail"),
    worded={"status": "lookup"},
)
MTA_STS_RECORD_INVALID = kind(
    "mta-sts-record-invalid",
    Topic.MTA_STS,
    Severity.WARNING,
    params=("name", "problem"),
    worded={"problem": "policy-record"},
)
MTA_STS_POLICY_UNREACHABLE = kind(
    "mta-sts-policy-unreachable",
    Topic.MTA_STS,
    Severity.WARNING,
    params=("url", "kind", "detail"),
    worded={"kind": "policy-fetch"},
)
MTA_STS_POLICY_CERTIFICATE = kind(
    "mta-sts-policy-certificate",
    Topic.MTA_STS,
    Severity.WARNING,
    params=("url", "reasons"),
    worded={"reasons": "distrust"},
)
MTA_STS_POLICY_REDIRECT = kind("mta-sts-policy-redirect", Topic.MTA_STS, Severity.WARNING, params=("url", "location"))
MTA_STS_POLICY_STATUS = kind("mta-sts-policy-status", Topic.MTA_STS, Severity.WARNING, params=("url", "status"))
MTA_STS_POLICY_TYPE = kind("mta-sts-policy-type", Topic.MTA_STS, Severity.WARNING, params=("url", "media_type"))
MTA_STS_POLICY_TOO_LARGE = kind("mta-sts-policy-too-large", Topic.MTA_STS, Severity.WARNING, params=("url",))
MTA_STS_POLICY_INVALID = kind(
    "mta-sts-policy-invalid",
    Topic.MTA_STS,
    Severity.WARNING,
    params=("url", "problems"),
    worded={"problems": "policy-file"},
)
MTA_STS_ENFORCED = kind("mta-sts-enforced", Topic.MTA_STS, Severity.OK, params=("mx", "max_age_days"))
MTA_STS_TESTING = kind("mta-sts-testing", Topic.MTA_STS, Severity.INFO, params=("mx", "max_age_days"))
MTA_STS_NONE = kind("mta-sts-none", Topic.MTA_STS, Severity.INFO, params=("name",))
MTA_STS_MAX_AGE_SHORT = kind("mta-sts-max-age-short", Topic.MTA_STS, Severity.INFO, params=("seconds",))
_KEPT = (Severity.ERROR, Severity.WARNING)
_MODE = {"mode": "policy-mode"}
MTA_STS_MX_NOT_LISTED = kind("mta-sts-mx-not-listed", Topic.MTA_STS, *_KEPT, params=("mode", "mx"), worded=_MODE)
MTA_STS_MX_WITHOUT_TLS = kind("mta-sts-mx-without-tls", Topic.MTA_STS, *_KEPT, params=("mode",), worded=_MODE)
MTA_STS_MX_UNTRUSTED = kind("mta-sts-mx-untrusted", Topic.MTA_STS, *_KEPT, params=("mode",), worded=_MODE)

TLS_RPT_FOUND = kind("tls-rpt-found", Topic.TLS_RPT, Severity.OK, params=("addresses",))
TLS_RPT_NOT_PUBLISHED = kind("tls-rpt-not-published", Topic.TLS_RPT, Severity.INFO, params=("name",))
TLS_RPT_INVALID = kind(
    "tls-rpt-invalid",
    Topic.TLS_RPT,
    Severity.WARNING,
    params=("name", "problem"),
    worded={"problem": "policy-record"},
)
TLS_RPT_LOOKUP_FAILED = kind(
    "tls-rpt-lookup-failed",
    Topic.TLS_RPT,
    Severity.INFO,
    params=("name", "status", "detail"),
    worded={"status": "lookup"},
)

DAY_S = 86_400


def mta_sts(evidence: Evidence) -> Iterator[Finding]:
    """Judge the record, the policy, and the servers against the policy."""
    lookup, domain = evidence.policies.mta_sts, domain_of(evidence)
    if lookup is None or domain is None:
        return
    where = at_domain(evidence)
    if lookup.status not in FOUND_OUT:
        detail = explain_failure(lookup)
        yield MTA_STS_LOOKUP_FAILED.found(where, name=lookup.name, status=lookup.status.value, detail=detail)
        return
    record = sts.read_record(lookup.records)
    if record.problem is not None:
        yield MTA_STS_RECORD_INVALID.found(where, name=lookup.name, problem=record.problem)
        return
    if record.count == 0:
        if _takes_mail(evidence):
            yield MTA_STS_NOT_PUBLISHED.found(where, name=lookup.name)
        return
    fetched = evidence.policies.policy
    if fetched is not None:
        problem = _fetch_problem(evidence, fetched)
        if problem is not None:
            yield problem
            return
    policy = policy_of(evidence)
    if policy is not None:
        yield from _policy(evidence, policy)


def _takes_mail(evidence: Evidence) -> bool:
    return any(host.origin is HostOrigin.MX and host.addresses for host in evidence.resolution.hosts)


def _fetch_problem(evidence: Evidence, fetched: PolicyFetch) -> Finding | None:
    """Why a sender would not act on what the policy host served; None where it would (RFC 8461 3.3)."""
    where, url = at_domain(evidence), fetched.url
    if fetched.failure is not None:
        failure = fetched.failure
        has_address = any(each.records for each in fetched.lookups) or failure.kind is not FailureKind.UNREACHABLE
        how = failure.kind.value if has_address else "no-address"
        return MTA_STS_POLICY_UNREACHABLE.found(where, url=url, kind=how, detail=failure.detail or "-")
    if fetched.trust is None or not (fetched.trust.is_trusted or fetched.trust.is_unknown):
        return MTA_STS_POLICY_CERTIFICATE.found(where, url=url, reasons=_distrust(fetched))
    if fetched.status is not None and 300 <= fetched.status <= 399:
        return MTA_STS_POLICY_REDIRECT.found(where, url=url, location=fetched.location or "-")
    if fetched.status != 200:
        return MTA_STS_POLICY_STATUS.found(where, url=url, status=fetched.status or 0)
    if fetched.is_cut:
        return MTA_STS_POLICY_TOO_LARGE.found(where, url=url)
    policy = sts.read_policy(fetched.body)
    if (fetched.media_type or "").partition(";")[0].strip().lower() != sts.MEDIA_TYPE:
        return MTA_STS_POLICY_TYPE.found(where, url=url, media_type=fetched.media_type or "-")
    if not policy.is_valid:
        return MTA_STS_POLICY_INVALID.found(where, url=url, problems=policy.problems)
    return None


def _distrust(fetched: PolicyFetch) -> tuple[str, ...]:
    trust = fetched.trust
    if trust is None:
        return ("unreadable",)
    facts = {
        "dates": trust.is_within_validity,
        "name": trust.is_name_matched is not False,
        "chain": trust.is_chain_trusted,
    }
    return tuple(name for name, is_good in facts.items() if not is_good)


def _policy(evidence: Evidence, policy: sts.Policy) -> Iterator[Finding]:
    where = at_domain(evidence)
    days = (policy.max_age_s or 0) // DAY_S
    match policy.mode:
        case sts.Mode.ENFORCE:
            yield MTA_STS_ENFORCED.found(where, mx=policy.mx, max_age_days=days)
        case sts.Mode.TESTING:
            yield MTA_STS_TESTING.found(where, mx=policy.mx, max_age_days=days)
        case _:
            yield MTA_STS_NONE.found(where, name=domain_of(evidence) or "")
            return
    if (policy.max_age_s or 0) < sts.SHORT_MAX_AGE_S:
        yield MTA_STS_MAX_AGE_SHORT.found(where, seconds=policy.max_age_s or 0)
    yield from _servers(evidence, policy)


def _servers(evidence: Evidence, policy: sts.Policy) -> Iterator[Finding]:
    """Hold each MX host against the policy (RFC 8461 4.1, 4.2, 5)."""
    mode = str(policy.mode)
    severity = Severity.ERROR if policy.mode is sts.Mode.ENFORCE else Severity.WARNING
    for host in evidence.resolution.hosts:
        if host.origin is not HostOrigin.GIVEN and not sts.allows(policy, host.name):
            yield MTA_STS_MX_NOT_LISTED.found(at_host(evidence, host), as_=severity, mode=mode, mx=policy.mx)
    for conversation in connected(evidence):
        endpoint = conversation.endpoint
        if endpoint.role is not Role.SMTP or endpoint.origin is HostOrigin.GIVEN:
            continue
        session = conversation.session
        if session is None:
            if conversation.failure is None or conversation.handshake is not None:
                yield MTA_STS_MX_WITHOUT_TLS.found(at(evidence, conversation), as_=severity, mode=mode)
        elif session.trust is None or not (session.trust.is_trusted or session.trust.is_unknown):
            yield MTA_STS_MX_UNTRUSTED.found(at(evidence, conversation), as_=severity, mode=mode)


def tls_reporting(evidence: Evidence) -> Iterator[Finding]:
    """Judge where senders would report (RFC 8460 3)."""
    lookup = evidence.policies.tls_rpt
    if lookup is None:
        return
    where = at_domain(evidence)
    if lookup.status not in FOUND_OUT:
        detail = explain_failure(lookup)
        yield TLS_RPT_LOOKUP_FAILED.found(where, name=lookup.name, status=lookup.status.value, detail=detail)
        return
    record = tls_rpt.read_record(lookup.records) if lookup.status is LookupStatus.ANSWERED else tls_rpt.Record()
    if record.is_valid:
        yield TLS_RPT_FOUND.found(where, addresses=record.addresses)
    elif record.problem is not None:
        yield TLS_RPT_INVALID.found(where, name=lookup.name, problem=record.problem)
    elif _takes_mail(evidence):
        yield TLS_RPT_NOT_PUBLISHED.found(where, name=lookup.name)
