"""The matcher: from code, enhanced code, phase, text and provider to the cause, most specific knowledge first.

1. The words of one provider or product (``patterns.tsv``).
2. General wording that leaves no doubt (``wordings.tsv``).
3. An enhanced code that names a cause, unless it is one of those that servers send for want of a better one.
4. General wording that is weaker than that.
5. The basic code where it stands: the contexts of ``codes.tsv``.

The class digit of the server is binding (RFC 5321 4.2.1) whatever the text says; the text is a hint, and how sure the
hint is depends on how much of the rest agrees with it. The module works on plain values and imports no evidence, so
that a command can use it and start at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from smtpprobe.reference.contradictions import RECIPIENT_GONE, contradictions
from smtpprobe.reference.tables import CodeRow, EnhancedRow, class_key, diagnoses, enhanced_row
from smtpprobe.reference.tables import code_row as code_row

if TYPE_CHECKING:
    from smtpprobe.reference.wordtables import PatternRow

SUCCESS: Final = "none"
"""The category of a reply that refuses nothing."""
UNKNOWN: Final = "unknown"
"""The category where nothing tells the reason."""

_PROTOCOL: Final = "protocol_error"
"""The category of commands that came in the wrong form or order."""

_VAGUE: Final = frozenset({"x.0.0", "x.1.0", "x.2.0", "x.3.0", "x.4.0", "x.5.0", "x.6.0", "x.7.0", "x.7.1"})
"""Enhanced codes that name hardly more than a subject: servers send them for want of a better one."""
_VAGUE_WITH: Final = frozenset({(535, "x.7.3")})
"""Enhanced codes that are so with one basic code: Exchange sends 5.7.3 with any login that failed."""
_OPENING: Final = frozenset({"connect", "greeting", "ehlo", "helo"})
"""Phases in which nothing but the client itself can be meant."""
_NAMED_CODES: Final = frozenset({432, 455, 500, 502, 503, 504, 521, 523, 530, 534, 535, 538, 551, 555, 556})
"""Basic codes that say more of the cause than a vague enhanced code does (RFC 5321 4.2.3, RFC 4954 6)."""
_ABOUT_SENDER: Final = frozenset({"x.1.7", "x.1.8", "x.7.27"})
"""Enhanced codes by which an address or domain that does not exist is that of the sender."""
_OF_SENDER: Final = {
    "domain-unknown": "sender-domain-unresolvable",
    "mailbox-unknown": "sender-rejected",
    "null-mx": "sender-domain-null-mx",
}
"""Causes that words name for the recipient and for the sender alike, and what they are where it is the sender."""
_ABOUT_MAILBOX: Final = frozenset(
    {"mailbox_disabled", "mailbox_full", "mailbox_moved", "recipient_restricted", "user_unknown"}
)
"""Categories in which the address in the text is the recipient's."""
_PASSES_WHERE_SAID: Final = RECIPIENT_GONE | {"auth_failed"}
"""Categories that mostly last, but pass where code and words both say so: a locked account, a mailbox that moves."""


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


class _Verdict(NamedTuple):
    """A cause and what it rests on."""

    rule: str
    diagnosis: str | None
    confidence: str
    actor: str | None = None
    retry: str | None = None
    pattern: PatternRow | None = None
    is_by_words: bool = False


def match(
    code: int | None,
    enhanced: str | None,
    phase: str | None,
    lines: Sequence[str] = (),
    *,
    provider_hint: str | None = None,
    has_mixed_codes: bool = False,
) -> Match:
    """Find what a reply means.

    Args:
        code: the basic code; None where the text has none.
        enhanced: the enhanced code as sent.
        phase: a value of `evidence.Phase`; None where it is not known.
        lines: the texts of the reply's lines, basic codes removed.
        provider_hint: a host name or banner that may tell the provider.
        has_mixed_codes: the lines of the reply have different basic codes.
    """
    extra = enhanced_row(enhanced) if enhanced else None
    digit = _class_digit(code, enhanced)
    text = _text(lines)
    known = _known_provider(text, provider_hint)
    verdict = _judge(code, enhanced, extra, phase, text, known)
    row = code_row(code, phase, verdict.diagnosis)
    found = diagnoses()[verdict.diagnosis] if verdict.diagnosis is not None else None
    category = found.category if found is not None else (SUCCESS if _is_success(verdict, digit) else UNKNOWN)
    provider = _provider(verdict.pattern, text, known, category)
    retry = _retry(verdict, digit, found.retry if found is not None else None, category, text)
    return Match(
        rule=verdict.rule,
        diagnosis=verdict.diagnosis,
        category=category,
        confidence=verdict.confidence,
        actor=_actor(verdict, found.actor if found is not None else None, row, category),
        retry=retry,
        retry_after_s=found.retry_after_s if found is not None and retry == "yes" else None,
        provider=provider,
        code_key=_code_key(row, code),
        enhanced_key=extra.key if extra is not None else None,
        pattern=verdict.pattern.id if verdict.pattern is not None else None,
        references=tuple(dict.fromkeys(each.reference for each in (row, extra) if each is not None)),
        links=_links(verdict.pattern, provider),
        contradictions=contradictions(
            code,
            enhanced,
            text,
            told=category if verdict.is_by_words and verdict.confidence in ("certain", "likely") else None,
            named=_named_category(extra, enhanced),
            has_mixed_codes=has_mixed_codes,
        ),
    )


# --- the cause ------------------------------------------------------------------------------------------------------


def _judge(
    code: int | None,
    enhanced: str | None,
    extra: EnhancedRow | None,
    phase: str | None,
    text: str,
    known: str | None,
) -> _Verdict:
    digit = _class_digit(code, enhanced)
    by_code = _by_code(code, phase, digit)
    if text:
        from smtpprobe.reference.recognition import find_pattern

        pattern = find_pattern(code, enhanced, text, frozenset({known}) if known else frozenset())
        if pattern is not None:
            confidence = "certain" if pattern.provider is not None and pattern.provider == known else pattern.confidence
            return _Verdict(
                f"pattern:{pattern.id}",
                pattern.diagnosis,
                confidence,
                pattern.actor,
                pattern.retry,
                pattern,
                is_by_words=True,
            )
    if digit in "23":
        return by_code
    by_enhanced = _by_enhanced(extra, enhanced, digit, code)
    if by_enhanced is not None and enhanced is not None and enhanced[0] != digit:
        by_enhanced = by_enhanced._replace(confidence="possible")  # one of the two is wrong
    by_words = _by_words(str(code) if code is not None else (enhanced or "")[:1], phase, text)
    if by_words is not None:
        if by_enhanced is not None:
            return _weigh(by_words, by_enhanced, extra, code)
        return by_words
    if by_enhanced is None:
        return by_code
    if by_enhanced.confidence == "possible" and (phase in _OPENING or _says_more(code, extra)):
        return by_code
    return by_enhanced


def _by_words(code: str, phase: str | None, text: str) -> _Verdict | None:
    if not text:
        return None
    from smtpprobe.reference.wording import find_wording

    wording = find_wording(code, phase, text)
    if wording is None:
        return None
    return _Verdict(f"wording:{wording.row.id}", wording.row.diagnosis, wording.row.confidence, is_by_words=True)


def _by_enhanced(
    extra: EnhancedRow | None, enhanced: str | None, digit: str, code: int | None = None
) -> _Verdict | None:
    if extra is None:
        return None
    diagnosis = extra.temporary if digit == "4" else extra.permanent
    if diagnosis is None:
        return None
    is_vague = extra.key in _VAGUE or (code, extra.key) in _VAGUE_WITH
    return _Verdict(f"enhanced:{enhanced}", diagnosis, "possible" if is_vague else "likely")


def _by_code(code: int | None, phase: str | None, digit: str) -> _Verdict:
    row = code_row(code, phase)
    if row is None:
        return _Verdict(f"class:{digit}", None, "generic")
    if row.diagnosis is None:
        return _Verdict(f"code:{row.key}", None, "certain", retry=row.retry)
    return _Verdict(f"code:{row.key}", row.diagnosis, "possible" if row.select else "generic", retry=row.retry)


def _weigh(by_words: _Verdict, by_enhanced: _Verdict, extra: EnhancedRow | None, code: int | None) -> _Verdict:
    """Choose between words and enhanced code: they strengthen each other, or the more specific one wins."""
    rows = diagnoses()
    is_named = by_enhanced.confidence == "likely"
    if rows[by_words.diagnosis or ""].category == rows[by_enhanced.diagnosis or ""].category:
        return by_words._replace(confidence="certain") if is_named and by_words.confidence == "likely" else by_words
    if is_named and by_words.confidence == "possible":
        return by_enhanced._replace(confidence="possible")
    if is_named and rows[by_words.diagnosis or ""].category == _PROTOCOL and not _is_of_protocol(code, extra):
        return by_enhanced._replace(confidence="possible")
    if extra is not None and extra.key in _ABOUT_SENDER and by_words.diagnosis in _OF_SENDER:
        return by_enhanced._replace(diagnosis=_OF_SENDER[by_words.diagnosis])
    return by_words


def _says_more(code: int | None, extra: EnhancedRow | None) -> bool:
    """Tell whether a basic code says more than a vague enhanced one: 421 x.7.0 is a limit as often as a rule."""
    return code in _NAMED_CODES or (code == 421 and extra is not None and extra.key.startswith("x.7."))


def _is_of_protocol(code: int | None, extra: EnhancedRow | None) -> bool:
    """Tell whether the codes are those of a command in the wrong form or order (RFC 5321 4.2.2, RFC 3463 3.6)."""
    return (code is not None and 500 <= code <= 504) or (extra is not None and extra.key.startswith("x.5."))


# --- what follows from it -------------------------------------------------------------------------------------------


def _class_digit(code: int | None, enhanced: str | None) -> str:
    if code is not None:
        return str(code)[0]
    return enhanced[0] if enhanced else "?"


def _is_success(verdict: _Verdict, digit: str) -> bool:
    return verdict.diagnosis is None and (digit in "23" or verdict.retry == "n.a.")


def _retry(verdict: _Verdict, digit: str, of_diagnosis: str | None, category: str, text: str) -> str:
    """Tell whether waiting helps: by the words, if it is their row that knows; else by the class of the code.

    A server that permanently refuses TLS has none (RFC 3207 4: 454 is for what passes).
    """
    if _is_success(verdict, digit):
        return "n.a."
    if verdict.retry is not None:
        return verdict.retry
    if digit == "4" and category in _PASSES_WHERE_SAID and _sounds_temporary(text):
        return "yes"
    if digit == "5" and category == "tls_problem":
        return "no"
    if of_diagnosis is not None and verdict.confidence in ("certain", "likely"):
        return of_diagnosis
    return "yes" if digit == "4" else "no"


def _sounds_temporary(text: str) -> bool:
    from smtpprobe.reference.lasting import sounds_temporary

    return sounds_temporary(text)


def _actor(verdict: _Verdict, of_diagnosis: str | None, row: CodeRow | None, category: str) -> str:
    if category == SUCCESS:
        return "none"
    return verdict.actor or of_diagnosis or (row.actor if row is not None else "either")


def _code_key(row: CodeRow | None, code: int | None) -> str | None:
    if row is not None:
        return row.key
    return class_key(code) if code is not None else None


def _text(lines: Sequence[str]) -> str:
    if not any(lines):
        return ""
    from smtpprobe.reference.plain import plain_text
    from smtpprobe.reference.recognition import MAX_TEXT

    return plain_text(lines, MAX_TEXT)


def _known_provider(text: str, hint: str | None) -> str | None:
    """The provider that a host name, a greeting or a mark proves, before any pattern is looked at."""
    from smtpprobe.reference.recognition import provider_of_host, provider_of_text

    if hint:
        if found := provider_of_host(hint):
            return found
        if " " in hint:
            from smtpprobe.reference.fingerprints import of_greeting

            fingerprint = of_greeting([hint])
            if fingerprint is not None and fingerprint.row.provider is not None:
                return fingerprint.row.provider
    return provider_of_text(text, of_mailbox=False) if text else None


def _provider(pattern: PatternRow | None, text: str, known: str | None, category: str) -> str | None:
    """Name the provider only where something proves it."""
    if pattern is not None and pattern.proof == "text":
        return pattern.provider
    if known is not None or category not in _ABOUT_MAILBOX or "@" not in text:
        return known
    from smtpprobe.reference.recognition import provider_of_text

    return provider_of_text(text, of_mailbox=True)


def _links(pattern: PatternRow | None, provider: str | None) -> tuple[str, ...]:
    """The page of the pattern, unless it would be that of a provider who is not proved."""
    if pattern is None or pattern.link is None or (pattern.provider is not None and pattern.provider != provider):
        return ()
    return (pattern.link,)


def _named_category(extra: EnhancedRow | None, enhanced: str | None) -> str | None:
    """The category that an enhanced code names by the registry; None for a vague one and for a provider's own."""
    by_enhanced = _by_enhanced(extra, enhanced, (enhanced or "?")[0])
    if extra is None or extra.kind != "code" or by_enhanced is None or by_enhanced.confidence != "likely":
        return None
    return diagnoses()[by_enhanced.diagnosis or ""].category
