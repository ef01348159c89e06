"""Evidence into a file that expects just what was found: a beginning, to be read and changed by whoever knows better.

Everything that is proposed is first held against the evidence in the way in which it will be held against that of later
probes, and only what holds at every place is written. So the file and the world that it was made from agree by
construction. What cannot be told from one probe (a limit of time, an answer to RCPT) stands there as a comment.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, Final

import msgspec

from smtpprobe.checks.reading import Service, is_success, keywords, lacks_route, service
from smtpprobe.errors import OptionError
from smtpprobe.evidence import Conversation, Evidence, Family, HostOrigin, MxHost, Options, Phase, PortSpec, Role
from smtpprobe.expectations.judging import expectations
from smtpprobe.expectations.kinds import EXPECTATION_MET
from smtpprobe.expectations.model import Expected, Session, Settings
from smtpprobe.expectations.wording import NULL_MX, is_keyword, is_mechanism, parse_mx
from smtpprobe.report import GRAVITY, Report, Severity

ALLOWED_FOR: Final = timedelta(days=90)
"""How long an allowance that is proposed would last."""

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_MIN_TLS: Final = ("1.3", "1.2", "1.1", "1.0")
_HIGHEST_MIN_TLS: Final = "1.2"
"""A server that speaks 1.3 with us may speak 1.2 with the next OpenSSL; RFC 9325 3.1.1 asks for no more."""


def propose(reports: Iterable[Report], options: Options, folder: str, say: Callable[[str], str]) -> str:
    """Write a file.

    Args:
        options: those of the probes.
        folder: where the file will be, from which the CA file is found.
        say: gives the text of a comment by its key; it may have several lines.
    """
    lines = [*_comment(say("intro")), ""]
    settings = list(_settings(options, folder))
    if settings:
        lines += [*_comment(say("defaults")), "[defaults]", *settings, ""]
    done: set[str] = set()
    for report in reports:
        name = report.evidence.target.text
        if name not in done:
            done.add(name)
            lines += [*_target(report, name, say), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def proposed(evidence: Evidence) -> tuple[Expected, Expected]:
    """Make the expectations that hold of evidence: those whose failure would be an error, and a warning."""
    expected = Expected()
    for key, value in _candidates(evidence):
        changed = msgspec.structs.replace(expected, **{key: value})
        if _holds(evidence, Expected(**{key: value})):
            expected = changed
    for role in Role:
        session = _session(evidence, role)
        if session != Session():
            expected = msgspec.structs.replace(expected, **{role.value: session})
    later = Expected(certificate_days=evidence.options.expiry_warning_days)
    return expected, later if _holds(evidence, later) else Expected()


def left_out(evidence: Evidence) -> Iterator[str]:
    """Name the services of which nothing is proposed because a server put us off, or does not do its work on port 25.

    Each is a role and its endpoints. Submission that is not offered on a mail host is nothing to speak of.
    """
    for role in Role:
        silent = [
            each.endpoint
            for each in evidence.conversations
            if each.endpoint.role is role
            and not lacks_route(each)
            and (service(each) is Service.UNKNOWN or (role is Role.SMTP and service(each) is Service.FAILS))
        ]
        if silent and not _holds(evidence, Expected(reachable=(role.value,))):
            yield f"{role.value}: {', '.join(f'{_plain(each.host)} {each.id}' for each in silent)}"


def _plain(name: str) -> str:
    """A name of the DNS as it can stand in a comment and on a terminal."""
    return name if name.isprintable() else ascii(name)


# --- what holds -----------------------------------------------------------------------------------------------------


def _holds(evidence: Evidence, expected: Expected) -> bool:
    """Tell whether an expectation is met at every place, and there is one."""
    found = [each.id for each in expectations(evidence, Settings(expect=expected))]
    return bool(found) and all(each == EXPECTATION_MET.id for each in found)


def _candidates(evidence: Evidence) -> Iterator[tuple[str, Any]]:
    """What might be expected of the target, in the order of the file."""
    serving = tuple(role.value for role in Role if _holds(evidence, Expected(reachable=(role.value,))))
    if serving:
        yield "reachable", serving
    hosts = [each for each in evidence.resolution.hosts if each.origin is HostOrigin.MX]
    if evidence.resolution.is_null_mx:
        yield "mx", (NULL_MX,)
    elif hosts and all(map(_is_host, hosts)):
        yield "mx", tuple(f"{each.preference or 0} {each.name}" for each in hosts)
    yield "dane", True
    for mode in ("enforce", "testing", "none"):
        yield "mta_sts", mode
    yield "tls_rpt", True
    yield "ptr", True


def _is_host(host: MxHost) -> bool:
    """Tell whether an MX record names what can be a host: the DNS may hold anything."""
    try:
        return parse_mx(host.name).host == host.name
    except OptionError:
        return False


def _of_role(role: Role, session: Session) -> Expected:
    """Expect something of one role alone."""
    return msgspec.structs.replace(Expected(), **{role.value: session})


def _session(evidence: Evidence, role: Role) -> Session:
    """What holds of all sessions of a role; nothing where one of them does not do its work."""
    session = Session()
    if not _holds(evidence, Expected(reachable=(role.value,))):
        return session
    talks = [each for each in evidence.conversations if each.endpoint.role is role and not lacks_route(each)]
    for key, value in _session_candidates(talks, evidence.options.expiry_alarm_days):
        if getattr(session, key) is None and _holds(evidence, _of_role(role, Session(**{key: value}))):
            session = msgspec.structs.replace(session, **{key: value})
    return session


def _session_candidates(talks: list[Conversation], alarm_days: int) -> Iterator[tuple[str, Any]]:
    replies = [each.reply(Phase.GREETING) for each in talks]
    for code in sorted({each.code for each in replies if each is not None and each.code is not None}):
        yield "greeting_code", code
    offers = [_offers(each, over_tls=each.session is not None) for each in talks]
    before = [_offers(each, over_tls=False) for each in talks]
    common = set.intersection(*(set(each) for each in offers)) if offers else set()
    if known := tuple(sorted(filter(is_keyword, common))):  # a server may say anything, a file may not
        yield "capabilities", known
    if before and all("STARTTLS" in each for each in before):
        yield "capabilities_before_tls", ("STARTTLS",)
    for mechanisms in sorted({tuple(sorted(map(str.upper, each.get("AUTH", ())))) for each in offers}):
        if all(map(is_mechanism, mechanisms)):
            yield "auth", mechanisms
    if all(before):  # implicit TLS has nothing before it
        yield "auth_before_tls", False
    for version in _MIN_TLS[_MIN_TLS.index(_HIGHEST_MIN_TLS) :]:
        yield "min_tls", version
    yield "certificate_trusted", True
    yield "certificate_days", alarm_days
    sizes = [each["SIZE"][0] for each in offers if each.get("SIZE")]
    least = min((int(each) for each in sizes if each.isascii() and each.isdigit() and len(each) <= 20), default=0)
    if least:
        yield "size", least
    yield from (("software", each) for each in _products(talks))


def _offers(conversation: Conversation, *, over_tls: bool) -> dict[str, tuple[str, ...]]:
    reply = conversation.reply(Phase.EHLO, over_tls=over_tls)
    return dict(keywords(reply)) if reply is not None and is_success(reply) else {}


def _products(talks: list[Conversation]) -> list[str]:
    from smtpprobe.reference import identify

    greetings = [(each.reply(Phase.GREETING), each.endpoint.name) for each in talks]
    known = [identify(greeting, host=name) for greeting, name in greetings if greeting is not None]
    return sorted({each.product for each in known if each is not None})


# --- how it is written ----------------------------------------------------------------------------------------------


def _settings(options: Options, folder: str) -> Iterator[str]:
    usual = Options()
    if options.ports != usual.ports or options.explicit_ports:
        yield f"ports = {_value(tuple(map(_port, options.ports)))}"
    if options.family is not Family.ANY:
        yield f"family = {_value(options.family.value)}"
    if options.resolvers:
        yield f"resolvers = {_value(options.resolvers)}"
    if options.overrides:
        pairs = ", ".join(f"{_value(each.name)} = {_value(each.address)}" for each in options.overrides)
        yield f"resolve = {{ {pairs} }}"
    if options.ca_file is not None:
        yield f"ca = {_value(os.path.relpath(options.ca_file, folder or '.'))}"
    if options.ehlo_name is not None:
        yield f"ehlo = {_value(options.ehlo_name)}"
    if options.timeout_s != usual.timeout_s:
        yield f"timeout = {_value(options.timeout_s)}"
    if options.deadline_s != usual.deadline_s:
        yield f"deadline = {_value(options.deadline_s)}"
    for key in ("tls_versions", "security", "submission_discovery", "trust_ad"):
        if getattr(options, key):
            yield f"{key.replace('_', '-')} = true"
    if options.policy_port != usual.policy_port:
        yield f"policy-port = {options.policy_port}"


def _port(spec: PortSpec) -> str:
    return f"{spec.role.value}:{spec.port}"


def _target(report: Report, name: str, say: Callable[[str], str]) -> Iterator[str]:
    expected, later = proposed(report.evidence)
    table = f"targets.{name if _BARE.fullmatch(name) else _value(name)}"
    yield f"[{table}]"
    yield f"target = {_value(name)}"
    yield from _allowances(report, say)
    yield ""
    yield from _comment(say("expect"))
    yield f"[{table}.expect]"
    yield from _fields(expected, Expected, skip={*(role.value for role in Role)})
    if missed := tuple(left_out(report.evidence)):
        yield from _comment(say("left-out"))
        yield from (f"#     {each}" for each in missed)
    yield from _comment(say("within"))
    yield '# within = "20s"'
    for role in Role:
        session = getattr(expected, role.value)
        if session is not None:
            yield ""
            yield f"[{table}.expect.{role.value}]"
            yield from _fields(session, Session)
            if role is Role.SMTP:
                yield from _comment(say("replies"))
                yield '# replies = ["rcpt postmaster@example.org -> 250", "rcpt nobody@example.org -> 550"]'
    if later != Expected():
        yield ""
        yield from _comment(say("expect-warning"))
        yield f"[{table}.expect-warning]"
        yield from _fields(later, Expected)


def _allowances(report: Report, say: Callable[[str], str]) -> Iterator[str]:
    """What is wrong now, as a comment that would allow it."""
    graver = GRAVITY[: GRAVITY.index(Severity.INCONCLUSIVE)]
    ids = list(dict.fromkeys(each.id for each in report.findings if each.severity in graver))
    if not ids:
        return
    until = (report.evidence.started_at + ALLOWED_FOR).date().isoformat()
    yield from _comment(say("allow"))
    yield "# allow = ["
    for each in ids:
        yield f'#     {{ finding = "{each}", reason = "...", until = {until} }},'
    yield "# ]"


def _fields(values: Session, form: type[Session], skip: Iterable[str] = ()) -> Iterator[str]:
    for field in msgspec.structs.fields(form):
        value = getattr(values, field.name)
        if value is not None and field.name not in skip:
            yield f"{field.encode_name} = {_value(value)}"


def _value(value: Any) -> str:
    """Write a value as TOML, whose basic strings are those of JSON but for DEL and escaped surrogates."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"{value:g}" if isinstance(value, float) else str(value)


def _comment(text: str) -> Iterator[str]:
    return (f"# {line}".rstrip() for line in text.splitlines())
