"""The matcher: from code, enhanced code, phase and text to the cause, most specific knowledge first.

It works on plain text and numbers and imports nothing but the tables, so that a command can use it without the
evidence model. The class digit of the server is binding (RFC 5321 4.2.1); the text is only ever a hint, so what rests
on less than the words of a known provider says how sure it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from smtpprobe.reference.tables import CodeRow, contexts, diagnoses, enhanced_row

SUCCESS: Final = "none"
"""The category of a reply that refuses nothing."""
UNKNOWN: Final = "unknown"
"""The category where nothing tells the reason."""

_VAGUE: Final = frozenset({"x.0.0", "x.1.0", "x.2.0", "x.3.0", "x.4.0", "x.5.0", "x.6.0", "x.7.0", "x.7.1"})
"""Enhanced codes that name hardly more than a subject: servers send them for want of a better one."""

_OPENING: Final = frozenset({"connect", "greeting", "ehlo", "helo"})
"""Phases in which nothing but the client itself can be meant."""


class Match(NamedTuple):
    """What a reply means: the fields of `model.Explanation` as plain values."""

    rule: str
    diagnosis: str | None
    category: str
    confidence: str
    actor: str
    retry: str
    retry_after_s: int | None = None
    provider: str | None = None
    code_key: str | None = None
    enhanced_key: str | None = None
    pattern: str | None = None
    references: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()


def match(
    code: int | None,
    enhanced: str | None,
    phase: str | None,
    lines: Sequence[str] = (),
    *,
    provider_hint: str | None = None,
) -> Match:
    """Find what a reply means.

    Args:
        code: the basic code; None where the text has none.
        enhanced: the enhanced code as sent.
        phase: a value of `evidence.Phase`; None where it is not known.
        lines: the texts of the reply's lines, codes removed.
        provider_hint: a host name or banner that may tell the provider.
    """
    row = code_row(code, phase)
    extra = enhanced_row(enhanced) if enhanced else None
    references = tuple(dict.fromkeys(each.reference for each in (row, extra) if each is not None))
    digit = str(code)[0] if code is not None else (enhanced or "?")[0]
    common = {
        "code_key": row.key if row is not None else (f"{digit}xx" if code is not None else None),
        "enhanced_key": extra.key if extra is not None else None,
        "references": references,
        "contradictions": contradictions(code, enhanced),
    }
    if digit in "23" and (row is None or row.diagnosis is None):
        return Match(_code_rule(row, digit), None, SUCCESS, "certain", "none", "n.a.", **common)  # type: ignore[arg-type]
    cause, rule, confidence = None, _code_rule(row, digit), "generic"
    is_temporary = digit == "4"
    if extra is not None:
        cause = extra.temporary if is_temporary else extra.permanent
        if cause is not None:
            rule = f"enhanced:{enhanced}"
            confidence = "possible" if extra.key in _VAGUE else "likely"
    if (
        row is not None
        and row.diagnosis is not None
        and (cause is None or (confidence == "possible" and phase in _OPENING and row.select))
    ):
        cause, rule = row.diagnosis, _code_rule(row, digit)
        confidence = "possible" if row.select else "generic"
    found = diagnoses().get(cause) if cause is not None else None
    retry = found.retry if found is not None and confidence == "likely" else ("yes" if is_temporary else "no")
    return Match(
        rule,
        cause,
        found.category if found is not None else UNKNOWN,
        confidence,
        found.actor if found is not None else (row.actor if row is not None else "either"),
        retry,
        found.retry_after_s if found is not None and retry == "yes" else None,
        **common,  # type: ignore[arg-type]
    )


def code_row(code: int | None, phase: str | None, diagnosis: str | None = None) -> CodeRow | None:
    """The row that fits best: the context that a diagnosis or the phase selects, else the number's general row."""
    if code is None:
        return None
    rows = contexts(code)
    if diagnosis is not None:
        for row in rows:
            if row.diagnosis == diagnosis and "." in row.key and not row.select:
                return row
    for row in rows:
        if phase is not None and phase in row.select:
            return row
    return rows[0] if rows else None


def _code_rule(row: CodeRow | None, digit: str) -> str:
    return f"code:{row.key}" if row is not None else f"class:{digit}"


def contradictions(code: int | None, enhanced: str | None) -> tuple[str, ...]:
    """Name what does not fit together in a reply."""
    if code is not None and enhanced is not None and str(code)[0] != enhanced[0]:
        return ("class-mismatch",)
    return ()
