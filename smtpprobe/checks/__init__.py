"""Evidence -> findings: what is wrong, what is well, and what is not known.

A check is a function from evidence to findings, pure and without memory: the same evidence gives the same report,
today or in a year, on this machine or on another. `CHECKS` lists them in report order; one topic a module, with the
kinds of findings that it makes declared at its top. `judge` runs them.

    >>> from smtpprobe.loading import decode
    >>> report = judge(decode(saved))                                   # doctest: +SKIP
    >>> report = judge(decode(saved), checks=(*CHECKS, check_of_mine))  # doctest: +SKIP

A check must not know a clock, the network or the language, and it must not raise for anything that evidence can hold.
Where one does, that is a finding of its own, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType, ModuleType
from typing import Final

import msgspec

from smtpprobe.checks import certificate as _certificate
from smtpprobe.checks import dane as _dane
from smtpprobe.checks import deferral as _deferral
from smtpprobe.checks import delivery as _delivery
from smtpprobe.checks import discovery as _discovery
from smtpprobe.checks import ehlo as _ehlo
from smtpprobe.checks import greeting as _greeting
from smtpprobe.checks import mta_sts as _mta_sts
from smtpprobe.checks import mx_hosts as _mx_hosts
from smtpprobe.checks import probe as _probe
from smtpprobe.checks import protocol as _protocol
from smtpprobe.checks import reachability as _reachability
from smtpprobe.checks import resolution as _resolution
from smtpprobe.checks import reverse as _reverse
from smtpprobe.checks import server_names as _server_names
from smtpprobe.checks import starttls as _starttls
from smtpprobe.checks import summary as _summary
from smtpprobe.checks import tls as _tls
from smtpprobe.checks import trials as _trials
from smtpprobe.checks.kinds import Kind
from smtpprobe.checks.probe import CHECK_FAILED
from smtpprobe.checks.reading import at_domain, explained, provider_hint
from smtpprobe.evidence import Evidence, Reply
from smtpprobe.expectations import kinds as _expectations
from smtpprobe.reference.matching import SUCCESS
from smtpprobe.report import Annotation, Delivery, Finding, Report

Check = Callable[[Evidence], Iterable[Finding]]

CHECKS: Final[tuple[Check, ...]] = (
    _summary.summary,
    _resolution.resolution,
    _mx_hosts.mx_hosts,
    _reachability.reachability,
    _greeting.greeting,
    _deferral.deferral,
    _ehlo.ehlo,
    _starttls.starttls,
    _tls.tls,
    _certificate.certificate,
    _dane.dane,
    _mta_sts.mta_sts,
    _mta_sts.tls_reporting,
    _discovery.discovery,
    _trials.trials,
    _protocol.protocol,
    _reverse.reverse,
    _server_names.server_names,
    _probe.probe,
)
"""All checks, in report order: the answer first, then as a session goes."""

_MODULES: Final[tuple[ModuleType, ...]] = (
    _summary,
    _resolution,
    _mx_hosts,
    _reachability,
    _greeting,
    _deferral,
    _ehlo,
    _starttls,
    _tls,
    _certificate,
    _dane,
    _mta_sts,
    _discovery,
    _trials,
    _protocol,
    _reverse,
    _server_names,
    _expectations,
    _probe,
)


def _kinds() -> Iterator[Kind]:
    """The kinds that the modules declare, as constants or in tables of them."""
    for module in _MODULES:
        for value in vars(module).values():
            if isinstance(value, Kind):
                yield value
            elif isinstance(value, dict):
                yield from (each for each in value.values() if isinstance(each, Kind))


KINDS: Final[Mapping[str, Kind]] = MappingProxyType({each.id: each for each in _kinds()})
"""Every kind of finding that `CHECKS` and a file of expectations make, by id, in report order."""


def judge(evidence: Evidence, checks: Iterable[Check] = CHECKS) -> Report:
    """Judge evidence: findings in the order of the checks, and the explanation of every reply.

    Args:
        checks: what to run, in report order; `CHECKS` with checks of one's own behind them.
    """
    findings: list[Finding] = []
    for check in checks:
        findings.extend(_run(check, evidence))
    findings.extend(_run(lambda _: _summary.nothing_probed(evidence, tuple(findings)), evidence, "nothing_probed"))
    annotations: list[Annotation] = []
    try:
        findings = [_with_explanation(each) for each in findings]
        annotations.extend(_annotations(evidence))
    except Exception as error:  # noqa: BLE001 - a defect of the code book must not hide the findings
        findings.append(_failed(evidence, "explain", error))
    deliveries: tuple[Delivery, ...] = ()
    try:
        deliveries = _delivery.deliveries(evidence)
    except Exception as error:  # noqa: BLE001 - nor a defect of the verdict
        findings.append(_failed(evidence, "deliveries", error))
    return Report(evidence=evidence, findings=tuple(findings), annotations=tuple(annotations), deliveries=deliveries)


def _run(check: Check, evidence: Evidence, name: str | None = None) -> list[Finding]:
    """Run one check; what it found before it failed is kept."""
    found: list[Finding] = []
    try:
        for finding in check(evidence):
            found.append(finding)  # noqa: PERF402 - `extend` would lose what came before an error
    except Exception as error:  # noqa: BLE001 - one check, and its defect becomes a finding
        found.append(_failed(evidence, name or str(getattr(check, "__name__", check)), error))
    return found


def _failed(evidence: Evidence, check: str, error: Exception) -> Finding:
    return CHECK_FAILED.found(at_domain(evidence), check=check, detail=f"{type(error).__name__}: {error}")


def _with_explanation(finding: Finding) -> Finding:
    """Explain the reply that a finding rests on, unless it has an explanation or reports success."""
    if finding.reply is None or finding.explanation is not None:
        return finding
    where = finding.where
    hint = where.host if where.host != where.address else None
    explanation = explained(finding.reply, where.phase, hint)
    if explanation.category == SUCCESS:
        return finding
    kind = KINDS.get(finding.id)
    if kind is not None and kind.actor is not None:
        explanation = msgspec.structs.replace(explanation, actor=kind.actor)
    return msgspec.structs.replace(finding, explanation=explanation)


def _annotations(evidence: Evidence) -> Iterator[Annotation]:
    for number, conversation in enumerate(evidence.conversations):
        hint = provider_hint(conversation)
        for place, exchange in enumerate(conversation.exchanges):
            if isinstance(exchange.outcome, Reply):
                explanation = explained(exchange.outcome, exchange.phase, hint)
                yield Annotation(conversation=number, exchange=place, explanation=explanation)
