"""A target of the file, made ready: what is probed, with which options, and how the evidence is judged."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from smtpprobe.evidence import Evidence, Family, Options, Question, Role, Target
from smtpprobe.expectations.model import Config, Expected, Session, Settings
from smtpprobe.expectations.wording import NULL_MX, parse_address, parse_reply_wanted, seconds
from smtpprobe.report import Report, Severity

_ROLES = {"smtp": Role.SMTP, "submission": Role.SUBMISSION, "submissions": Role.SUBMISSIONS}


class Plan(NamedTuple):
    """One target of the file."""

    name: str
    target: Target
    options: Options
    settings: Settings
    """With the defaults of the file."""

    def judge(self, evidence: Evidence) -> Report:
        """Judge evidence of the target: the usual checks, the expectations, then what is allowed or raised."""
        from smtpprobe.checks import CHECKS, judge
        from smtpprobe.expectations.allowances import apply
        from smtpprobe.expectations.judging import expectations

        def expected(each: Evidence) -> Iterable[Any]:
            return expectations(each, self.settings)

        report = judge(evidence, checks=(*CHECKS, expected))
        if evidence.resolution.is_null_mx and self._expects_null_mx():
            report = _settled(report)
        return apply(report, self.settings.allow or (), self.settings.raise_ or {})

    def _expects_null_mx(self) -> bool:
        levels = (self.settings.expect, self.settings.expect_warning, self.settings.expect_info)
        return any(each is not None and each.mx == (NULL_MX,) for each in levels)


def _settled(report: Report) -> Report:
    """Take it for no open question that nobody was talked to: the domain takes no mail, as is expected of it."""
    from smtpprobe.checks.summary import NOTHING_PROBED

    findings = [
        msgspec.structs.replace(each, severity=Severity.INFO) if each.id == NOTHING_PROBED.id else each
        for each in report.findings
    ]
    return msgspec.structs.replace(report, findings=tuple(findings))


def plan(config: Config, name: str, folder: str = ".") -> Plan:
    """Make a target of the file ready.

    Args:
        folder: that of the file, from which files named in it are found.

    Raises:
        KeyError: the file has no such target.
        TargetError: its name is no target, and it does not say what is.
    """
    from smtpprobe.targets import parse_target

    own = config.targets[name]
    common = config.defaults if config.defaults is not None else Settings()
    settings = _merged(common, own)
    return Plan(name, parse_target(own.target or name), options_of(settings, folder), settings)


def options_of(settings: Settings, folder: str = ".") -> Options:
    """Make the options of a probe of what the file says."""
    from smtpprobe.endpoints import parse_port
    from smtpprobe.targets import parse_override

    chosen: dict[str, Any] = {}
    if settings.ports is not None:
        chosen["ports"] = tuple(parse_port(str(each)) for each in dict.fromkeys(settings.ports))
        chosen["explicit_ports"] = True
    if settings.resolve is not None:
        chosen["overrides"] = tuple(parse_override("=".join(each)) for each in settings.resolve.items())
    if settings.ca is not None:
        chosen["ca_file"] = os.path.join(folder, settings.ca)
    if settings.timeout is not None:
        chosen["timeout_s"] = chosen["greeting_timeout_s"] = seconds(settings.timeout)
    if settings.deadline is not None:
        chosen["deadline_s"] = seconds(settings.deadline)
    if settings.family is not None:
        chosen["family"] = Family(settings.family)
    plain = {
        "resolvers": settings.resolvers,
        "ehlo_name": settings.ehlo,
        "tls_versions": settings.tls_versions,
        "security": settings.security,
        "submission_discovery": settings.submission_discovery,
        "trust_ad": settings.trust_ad,
        "policy_port": settings.policy_port,
    }
    chosen |= {field: value for field, value in plain.items() if value is not None}
    if settings.sender is not None:
        chosen["question_sender"] = parse_address(settings.sender)
    return Options(questions=_questions(settings), **chosen)


def _questions(settings: Settings) -> tuple[Question, ...]:
    """Everything that has to be asked, once."""
    found: dict[Question, None] = {}
    for expected in (settings.expect, settings.expect_warning, settings.expect_info):
        if expected is None:
            continue
        sessions: list[tuple[Session | None, Role | None]] = [(expected, None)]
        sessions += [(getattr(expected, name), role) for name, role in _ROLES.items()]
        for session, role in sessions:
            for text in (session.replies or ()) if session is not None else ():
                found[parse_reply_wanted(text, role).question] = None
    of_all = {(each.verb, each.argument) for each in found if each.role is None}
    return tuple(each for each in found if each.role is None or (each.verb, each.argument) not in of_all)


def _merged(common: Settings, own: Settings) -> Settings:
    """The settings of a target over those of all; expectations key by key, allowances together."""
    chosen: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        value, usual = getattr(own, field.name), getattr(common, field.name)
        if isinstance(value, (Expected, Session)) and usual is not None:
            value = _merged_expected(usual, value)
        elif field.name == "allow" and value is not None and usual is not None:
            value = (*usual, *value)
        elif field.name == "raise_" and value is not None and usual is not None:
            value = {**usual, **value}
        chosen[field.name] = usual if value is None else value
    return Settings(**chosen)


def _merged_expected(common: Session, own: Session) -> Session:
    chosen: dict[str, Any] = {}
    for field in msgspec.structs.fields(type(own)):
        value, usual = getattr(own, field.name), getattr(common, field.name)
        if isinstance(value, Session) and usual is not None:
            value = _merged_expected(usual, value)
        chosen[field.name] = usual if value is None else value
    return type(own)(**chosen)
