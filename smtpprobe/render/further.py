"""Connections besides the conversations: TLS versions one by one, the intrusive probes, questions, the MTA-STS policy.

Each becomes steps like those of a conversation, so that every format shows it without knowing of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from smtpprobe.checks.reading import explained, is_success, provider_hint
from smtpprobe.evidence import (
    Asked,
    Conversation,
    FailureKind,
    PolicyFetch,
    Reply,
    SecurityTrial,
    TlsSession,
    Trust,
    VersionTrial,
)
from smtpprobe.render import writing
from smtpprobe.render.escaping import escape, show_lines
from smtpprobe.render.session import Certificates, Remark, chain_remarks, version_words
from smtpprobe.render.steps import (
    Step,
    StepKind,
    exchange_steps,
    failed_step,
    insert_unsolicited,
    raw_lines,
    since,
)
from smtpprobe.render.words import label
from smtpprobe.report import Severity


def further(
    conversation: Conversation, certificates: Certificates, language: str
) -> Iterator[tuple[str, tuple[Step, ...]]]:
    """The further connections to an endpoint: what each was made for, and its steps."""
    if conversation.versions:
        steps = [_version(trial, language) for trial in conversation.versions]
        yield label(language, "trial", "tls-versions"), since(steps, conversation.versions[0].started_s)
    for trial in conversation.security:
        yield label(language, "trial", trial.name), _security(trial, language)
    if conversation.asked is not None and conversation.asked.exchanges:
        yield label(language, "trial", "asked"), _asked(conversation, conversation.asked, language)


def _version(trial: VersionTrial, language: str) -> Step:
    """One TLS version: what was agreed on, or why nothing was."""
    outcome = trial.outcome
    severity, detail = None, ""
    if isinstance(outcome, TlsSession):
        words = writing.together(map(escape, filter(None, (outcome.cipher, outcome.group))), language)
        if trial.ocsp_response is not None:
            detail = label(language, "trial", "stapled", size=len(trial.ocsp_response))
    else:
        words, detail = label(language, "failure", outcome.kind), escape(outcome.detail)
        severity = Severity.INCONCLUSIVE if outcome.kind is FailureKind.TLS_LOCAL else None
    remarks = (Remark(name="", text=detail),) if detail else ()
    return Step(
        kind=StepKind.EVENT,
        at_s=trial.ended_s,
        lines=(writing.named(version_words(trial.version), words, language),),
        severity=severity,
        took_s=trial.ended_s - trial.started_s,
        remarks=remarks,
    )


def _security(trial: SecurityTrial, language: str) -> tuple[Step, ...]:
    steps = [step for exchange in trial.exchanges for step in exchange_steps(exchange, None, language)]
    insert_unsolicited(steps, trial.unsolicited, language)
    start_s = trial.exchanges[0].started_s if trial.exchanges else 0.0
    told: list[object] = [exchange.outcome for exchange in trial.exchanges]
    if trial.failure is not None and trial.failure not in told:
        end_s = trial.exchanges[-1].ended_s if trial.exchanges else 0.0
        steps.append(failed_step(trial.failure, end_s, end_s, language))
    return since(steps, start_s)


def _asked(conversation: Conversation, asked: Asked, language: str) -> tuple[Step, ...]:
    """The session of the questions, each refusal explained."""
    hint = provider_hint(conversation)
    steps: list[Step] = []
    for exchange in asked.exchanges:
        explanation = None
        if isinstance(exchange.outcome, Reply) and not is_success(exchange.outcome):
            explanation = explained(exchange.outcome, exchange.phase, hint)
        steps.extend(exchange_steps(exchange, explanation, language))
    return since(steps, asked.exchanges[0].started_s)


def policy_fetch(fetch: PolicyFetch, certificates: Certificates, language: str) -> tuple[Step, ...]:
    """How the policy was fetched: the certificate, the answer, and its text (RFC 8461 3.3)."""
    steps = []
    if fetch.trust is not None:
        steps.append(_policy_session(fetch, fetch.trust, certificates, language))
    if fetch.failure is not None:
        steps.append(failed_step(fetch.failure, fetch.started_s, fetch.ended_s, language))
    if fetch.status is not None:
        steps.append(_answer(fetch, language))
    if fetch.body:
        body = Step(
            kind=StepKind.RECEIVED,
            at_s=fetch.ended_s,
            lines=show_lines(fetch.body),
            raw=raw_lines(fetch.body),
            is_encrypted=True,
            remarks=(Remark(name="", text=label(language, "irregularity", "too-long")),) if fetch.is_cut else (),
        )
        steps.append(body)
    return since(steps, fetch.started_s)


def _policy_session(fetch: PolicyFetch, trust: Trust, certificates: Certificates, language: str) -> Step:
    text = label(language, "conversation", "connected")
    if fetch.address is not None:
        text = f"{text} {label(language, 'conversation', 'to', address=fetch.address)}"
    return Step(
        kind=StepKind.EVENT,
        at_s=fetch.started_s,
        lines=(text,),
        is_encrypted=True,
        remarks=tuple(chain_remarks(certificates, trust, fetch.chain, language)),
    )


def _answer(fetch: PolicyFetch, language: str) -> Step:
    """The status line of HTTP and what of the head matters."""
    parts = [f"HTTP {fetch.status}", escape(fetch.media_type or "")]
    if fetch.location is not None:
        parts.append(label(language, "conversation", "redirect", location=fetch.location))
    return Step(
        kind=StepKind.RECEIVED,
        at_s=fetch.ended_s,
        lines=(writing.together(parts, language),),
        severity=None if fetch.status == 200 else Severity.WARNING,
        is_encrypted=True,
        took_s=fetch.ended_s - fetch.started_s,
    )
