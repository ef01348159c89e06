"""Evidence and expectations into findings: one for each expectation and each place that it is about.

Pure, like all checks: the same evidence and the same file give the same findings. What holds is a finding too, so that
every format shows what was looked at; and where there is nothing that an expectation could be held against, it is not
known rather than met.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from smtpprobe.checks.dane import dane
from smtpprobe.checks.mta_sts import tls_reporting
from smtpprobe.checks.reading import (
    FOUND_OUT,
    Service,
    at,
    at_domain,
    domain_of,
    lacks_route,
    matters,
    service,
)
from smtpprobe.checks.securing import policy_of
from smtpprobe.evidence import Conversation, Evidence, HostOrigin, Reverse, Role, TargetKind
from smtpprobe.expectations.kinds import EXPECTATION_MET, EXPECTATION_NOT_MET, EXPECTATION_UNKNOWN
from smtpprobe.expectations.model import Expected, Session, Settings
from smtpprobe.expectations.sessions import session_verdicts
from smtpprobe.expectations.verdict import NOTHING, Holds, Verdict, listed, verdict
from smtpprobe.expectations.wording import NULL_MX, parse_mx, seconds
from smtpprobe.report import Finding, Severity, Where

_ROLES: Final = {"smtp": Role.SMTP, "submission": Role.SUBMISSION, "submissions": Role.SUBMISSIONS}


def expectations(evidence: Evidence, settings: Settings) -> Iterator[Finding]:
    """Hold evidence against all that is expected of a target."""
    for level, expected in (
        (Severity.ERROR, settings.expect),
        (Severity.WARNING, settings.expect_warning),
        (Severity.INFO, settings.expect_info),
    ):
        if expected is not None:
            for where, each in _verdicts(evidence, expected):
                yield _finding(where, each, level)


def _finding(where: Where, each: Verdict, level: Severity) -> Finding:
    if each.holds is Holds.YES:
        return EXPECTATION_MET.found(where, expectation=each.key, wanted=each.wanted)
    if each.phase is not None:
        where = msgspec.structs.replace(where, phase=each.phase)
    if each.holds is Holds.NO:
        return EXPECTATION_NOT_MET.found(
            where, as_=level, because_of=each.reply, expectation=each.key, wanted=each.wanted, found=each.found
        )
    grade = Severity.INFO if level is Severity.INFO else Severity.INCONCLUSIVE
    return EXPECTATION_UNKNOWN.found(
        where, as_=grade, because_of=each.reply, expectation=each.key, wanted=each.wanted, reason=each.found
    )


def _verdicts(evidence: Evidence, expected: Expected) -> Iterator[tuple[Where, Verdict]]:
    domain = at_domain(evidence)
    if expected.reachable is not None:
        for role in expected.reachable:
            yield domain, _reachable(evidence, _ROLES[role])
    if expected.mx is not None:
        yield domain, _mx(evidence, expected.mx)
    if expected.dane is not None:
        yield domain, _dane(evidence, expected.dane)
    if expected.mta_sts is not None:
        yield domain, _mta_sts(evidence, expected.mta_sts)
    if expected.tls_rpt is not None:
        yield domain, _tls_rpt(evidence, expected.tls_rpt)
    if expected.ptr is not None:
        yield from _ptr(evidence, expected.ptr)
    if expected.within is not None:
        limit_s = seconds(expected.within)
        is_met = evidence.elapsed_s <= limit_s and not evidence.is_interrupted
        yield domain, verdict("within", f"<= {limit_s:g} s", is_met, f"{evidence.elapsed_s:.3g} s")
    yield from _sessions(evidence, expected)


# --- services -------------------------------------------------------------------------------------------------------


def _reachable(evidence: Evidence, role: Role) -> Verdict:
    talks = [each for each in evidence.conversations if each.endpoint.role is role]
    routed = [each for each in talks if not lacks_route(each)]
    failing = [each.endpoint.id for each in routed if service(each) is Service.FAILS]
    unknown = [each.endpoint.id for each in routed if service(each) is Service.UNKNOWN]
    key = "reachable"
    if failing:
        return verdict(key, role.value, False, listed(failing))
    if unknown or (talks and not routed) or evidence.is_interrupted:
        return Verdict(key, role.value, Holds.UNKNOWN, listed(unknown))
    if not talks and any(each.status not in FOUND_OUT for host in evidence.resolution.hosts for each in host.lookups):
        return Verdict(key, role.value, Holds.UNKNOWN, "dns")
    return verdict(key, role.value, bool(talks))


# --- the domain -----------------------------------------------------------------------------------------------------


def _mx(evidence: Evidence, wanted: tuple[str, ...]) -> Verdict:
    lookup, text = evidence.resolution.mx, listed(wanted)
    if lookup is None:
        return Verdict("mx", text, Holds.UNKNOWN, "not asked")
    if lookup.status not in FOUND_OUT:
        return Verdict("mx", text, Holds.UNKNOWN, f"dns: {lookup.status.value}")
    found = [(each.preference or 0, each.name) for each in evidence.resolution.hosts if each.origin is HostOrigin.MX]
    if evidence.resolution.is_null_mx:
        found = [(0, NULL_MX)]
    records = [parse_mx(each) for each in wanted]
    by_name = {name: preference for preference, name in found}
    in_order = [by_name.get(each.host, -1) for each in records]
    is_met = (
        sorted(by_name) == sorted({each.host for each in records})
        and in_order == sorted(in_order)
        and all(each.preference in (None, by_name.get(each.host)) for each in records)
    )
    return verdict("mx", text, is_met, listed(f"{preference} {name}" for preference, name in found))


def _dane(evidence: Evidence, wanted: bool) -> Verdict:
    text = "true" if wanted else "false"
    if evidence.target.kind is not TargetKind.NAME or not evidence.options.policies:
        return Verdict("dane", text, Holds.UNKNOWN, "not asked")
    if not wanted:
        failed = [each.lookup.status.value for each in evidence.policies.tlsa if each.lookup.status not in FOUND_OUT]
        records = [record for each in evidence.policies.tlsa for record in each.lookup.records]
        if (failed or not evidence.policies.tlsa) and not records:
            return Verdict("dane", text, Holds.UNKNOWN, f"dns: {failed[0]}" if failed else "not asked")
        return verdict("dane", text, not records, listed(records))
    found = list(dane(evidence))
    open_ = sorted({each.id for each in found if each.severity is Severity.INCONCLUSIVE})
    wrong = sorted({each.id for each in found if each.severity in (Severity.ERROR, Severity.WARNING)})
    matched = {(each.where.address, each.where.port) for each in found if each.severity is Severity.OK}
    relays = [each.endpoint for each in evidence.conversations if each.endpoint.role is Role.SMTP]
    bare = [each.id for each in relays if (each.address, each.port) not in matched]
    if open_ and not wrong:
        return Verdict("dane", text, Holds.UNKNOWN, listed(open_))
    if not relays:
        return Verdict("dane", text, Holds.UNKNOWN, NOTHING)
    return verdict("dane", text, not wrong and not bare, listed([*wrong, *bare]))


def _mta_sts(evidence: Evidence, wanted: str) -> Verdict:
    lookup = evidence.policies.mta_sts
    if lookup is None:
        return Verdict("mta-sts", wanted, Holds.UNKNOWN, "not asked")
    policy = policy_of(evidence)
    if policy is None and lookup.status not in FOUND_OUT:
        return Verdict("mta-sts", wanted, Holds.UNKNOWN, f"dns: {lookup.status.value}")
    mode = "absent" if policy is None or policy.mode is None else str(policy.mode)
    return verdict("mta-sts", wanted, mode == wanted, mode)


def _tls_rpt(evidence: Evidence, wanted: bool) -> Verdict:
    lookup, text = evidence.policies.tls_rpt, "true" if wanted else "false"
    if lookup is None:
        return Verdict("tls-rpt", text, Holds.UNKNOWN, "not asked")
    if lookup.status not in FOUND_OUT:
        return Verdict("tls-rpt", text, Holds.UNKNOWN, f"dns: {lookup.status.value}")
    is_there = any(each.severity is Severity.OK for each in tls_reporting(evidence))
    return verdict("tls-rpt", text, is_there is wanted, listed(lookup.records))


def _ptr(evidence: Evidence, wanted: bool | tuple[str, ...]) -> Iterator[tuple[Where, Verdict]]:
    text = str(wanted).lower() if isinstance(wanted, bool) else listed(wanted)
    if not evidence.resolution.reverse:
        yield at_domain(evidence), Verdict("ptr", text, Holds.UNKNOWN, NOTHING)
    for found in evidence.resolution.reverse:
        host = next((each.name for each in evidence.resolution.hosts if found.address in each.addresses), None)
        where = Where(domain=domain_of(evidence), host=host, address=found.address)
        yield where, _ptr_of(found, wanted, text)


def _ptr_of(found: Reverse, wanted: bool | tuple[str, ...], text: str) -> Verdict:
    if found.ptr.status not in FOUND_OUT:
        return Verdict("ptr", text, Holds.UNKNOWN, f"dns: {found.ptr.status.value}")
    names = found.ptr.records
    if wanted is False:
        return verdict("ptr", text, not names, listed(names))
    confirmed = [each.name for each in found.forward if found.address in each.records]
    failed = [each.status.value for each in found.forward if each.status not in FOUND_OUT]
    if not confirmed and failed:
        return Verdict("ptr", text, Holds.UNKNOWN, f"dns: {failed[0]}")
    is_named = wanted is True or bool({each.lower().rstrip(".") for each in wanted} & set(names))
    return verdict("ptr", text, bool(confirmed) and is_named, listed(names))


# --- sessions -------------------------------------------------------------------------------------------------------


def _sessions(evidence: Evidence, expected: Expected) -> Iterator[tuple[Where, Verdict]]:
    of_all = Session(**{field.name: getattr(expected, field.name) for field in msgspec.structs.fields(Session)})
    of_role = {role: getattr(expected, name) for name, role in _ROLES.items()}
    talked: set[Role] = set()
    for conversation in evidence.conversations:
        role = conversation.endpoint.role
        own = of_role[role]
        wanted = of_all if own is None else _merged(of_all, own)
        if not _concerns(conversation, has_own=own is not None):
            continue
        talked.add(role)
        for each in session_verdicts(evidence, conversation, wanted):
            yield at(evidence, conversation), each
    for name, role in _ROLES.items():
        own = of_role[role]
        if own is not None and role not in talked:
            yield at_domain(evidence), Verdict(name, listed(_keys(own)), Holds.UNKNOWN, NOTHING)
    if not talked and _keys(of_all):
        yield at_domain(evidence), Verdict("expect", listed(_keys(of_all)), Holds.UNKNOWN, NOTHING)


def _concerns(conversation: Conversation, *, has_own: bool) -> bool:
    """Tell whether anything is expected there: not of a port that nobody asked for and that is shut, nor where this
    machine has no way to."""
    if lacks_route(conversation):
        return False
    return has_own or conversation.connected_s is not None or matters(conversation.endpoint)


def _keys(session: Session) -> list[str]:
    return [each.encode_name for each in msgspec.structs.fields(Session) if getattr(session, each.name) is not None]


def _merged(of_all: Session, own: Session) -> Session:
    fields = msgspec.structs.fields(Session)
    chosen = {each.name: getattr(own, each.name) for each in fields if getattr(own, each.name) is not None}
    return msgspec.structs.replace(of_all, **chosen)
