"""The words of findings, replies and labels in one language: where ids become phrases.

Each parameter that is put into a phrase passes `escape`, since it may come from a server. An id without words, as a
check of somebody else's may bring, stands for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from smtpprobe import texts
from smtpprobe.checks import KINDS
from smtpprobe.reference.model import Actor, Explanation, Retry
from smtpprobe.render import writing
from smtpprobe.render.escaping import escape
from smtpprobe.render.explanation import pattern_note, unlisted
from smtpprobe.report import Finding, Param, Severity

MAX_LISTED: Final = 12
"""How many members of a list a sentence names; a certificate may have thousands of names. The data keep them all."""


class FindingWords(msgspec.Struct, frozen=True, kw_only=True):
    """What a finding says."""

    title: str
    meaning: str = ""
    """Empty where no words are shipped for the id."""
    fix: str = ""
    """One step a line; empty where nothing is to be done."""


class ExplanationWords(msgspec.Struct, frozen=True, kw_only=True):
    """What an explanation says; a text is empty where the reference has none."""

    name: str = ""
    """Of the code, in a few words."""
    meaning: str = ""
    when: str = ""
    fix: str = ""
    enhanced_name: str = ""
    enhanced_meaning: str = ""
    diagnosis: str = ""
    """The cause, in a few words."""
    diagnosis_meaning: str = ""
    """With what the provider's own wording adds to it."""
    sender_steps: str = ""
    """What the sending side can do, one step a line."""
    receiver_steps: str = ""
    actor: str = ""
    retry: str = ""
    confidence: str = ""
    contradictions: tuple[str, ...] = ()


class _Parameters(dict[str, str]):
    """Parameters of a phrase; one that is missing shows its name rather than ending the whole report."""

    def __missing__(self, key: str) -> str:
        return f"{{{key}}}"


def label(language: str, table: str, field: str, /, **params: Param) -> str:
    """Read one phrase of ``labels.toml`` and fill it; a field that is not there stands for itself."""
    entry = texts.entry(language, "labels", table) or {}
    return fill(entry.get(field, field), params, language)


def standing_word(language: str, standing: str) -> str:
    """How a target of a scan stands: in the word of a severity, or of what none tells."""
    return label(language, "severity" if standing in frozenset(Severity) else "standing", standing)


def fill(phrase: str, params: Mapping[str, Param], language: str) -> str:
    """Put parameters into a phrase, each escaped."""
    if "{" not in phrase:
        return phrase
    return phrase.format_map(_Parameters({name: shown_param(value, language) for name, value in params.items()}))


def shown_param(value: Param, language: str) -> str:
    """Write a parameter as a person reads it: lists with commas, numbers without needless digits."""
    match value:
        case bool():
            return label(language, "answer", "yes" if value else "no")
        case float():
            return writing.decimal(f"{value:.2f}".rstrip("0").rstrip("."), language)
        case tuple():
            more = len(value) - MAX_LISTED
            others = (label(language, "section", "more-listed", count=more),) if more > 0 else ()
            return writing.listed((*map(escape, value[:MAX_LISTED]), *others), language)
        case _:
            return escape(str(value))


def finding_words(finding: Finding, language: str) -> FindingWords:
    """Resolve the words of a finding."""
    entry = texts.entry(language, "findings", finding.id)
    if entry is None:
        values = ", ".join(f"{escape(name)}={shown_param(value, language)}" for name, value in finding.params.items())
        return FindingWords(title=f"{escape(finding.id)} ({values})" if values else escape(finding.id))
    params = _worded(finding, language)
    return FindingWords(
        title=fill(entry["title"], params, language),
        meaning=fill(entry.get("meaning", ""), params, language).strip(),
        fix=fill(_possible(entry.get("fix", ""), params), params, language).strip(),
    )


def _possible(fix: str, params: Mapping[str, Param]) -> str:
    """The steps of a fix without those that need something that is not known, for which a parameter says ``-``."""
    unknown = [f"{{{name}}}" for name, value in params.items() if value == "-"]
    return "\n".join(line for line in fix.splitlines() if not any(each in line for each in unknown))


def _worded(finding: Finding, language: str) -> Mapping[str, Param]:
    """The parameters of a finding, with words for the ids that the language has words for."""
    kind = KINDS.get(finding.id)
    if kind is None or not kind.worded:
        return finding.params
    return {
        name: _in_words(value, kind.worded[name], language) if name in kind.worded else value
        for name, value in finding.params.items()
    }


def _in_words(value: Param, table: str, language: str) -> Param:
    if isinstance(value, tuple):
        return tuple(_id_in_words(each, table, language) for each in value)
    return _id_in_words(value, table, language) if isinstance(value, str) else value


def _id_in_words(id_: str, table: str, language: str) -> str:
    """The phrase for an id; what stands behind a colon is put in for its ``{value}``."""
    name, _, about = id_.partition(":")
    phrase = (texts.entry(language, "labels", table) or {}).get(name)
    return id_ if phrase is None else phrase.replace("{value}", about)


def explanation_words(explanation: Explanation, language: str) -> ExplanationWords:
    """Resolve the words of an explanation."""
    code = _entry(language, "replies", explanation.code_key)
    enhanced = _entry(language, "enhanced", explanation.enhanced_key)
    diagnosis = _entry(language, "diagnoses", explanation.diagnosis)
    note = pattern_note(explanation.pattern, explanation.provider, language)
    return ExplanationWords(
        name=code.get("name", "").strip(),
        meaning=writing.sentences(
            (code.get("meaning", "").strip(), unlisted(explanation.code_key, language)), language
        ),
        when=code.get("when", "").strip(),
        fix=code.get("fix", "").strip(),
        enhanced_name=enhanced.get("name", "").strip(),
        enhanced_meaning=enhanced.get("meaning", "").strip(),
        diagnosis=diagnosis.get("title", "").strip(),
        diagnosis_meaning=writing.sentences((diagnosis.get("meaning", "").strip(), note.strip()), language),
        sender_steps=diagnosis.get("sender", "").strip(),
        receiver_steps=diagnosis.get("receiver", "").strip(),
        actor="" if explanation.actor is Actor.NONE else label(language, "actor", explanation.actor),
        retry=retry_words(explanation, language),
        confidence=label(language, "confidence", explanation.confidence),
        contradictions=tuple(
            _entry(language, "contradictions", key).get("meaning", key).strip() for key in explanation.contradictions
        ),
    )


def cause_words(words: ExplanationWords, language: str) -> str:
    """Say the cause of a refusal, how sure that is, and what it means; empty where it is not known."""
    if not words.diagnosis:
        return ""
    cause = writing.closed(writing.aside(words.diagnosis, words.confidence, language), language)
    return writing.sentences((cause, words.diagnosis_meaning), language)


def retry_words(explanation: Explanation, language: str) -> str:
    """Say whether and when to try again; empty where nothing failed."""
    if explanation.retry is Retry.NOT_APPLICABLE:
        return ""
    if explanation.retry is Retry.YES and explanation.retry_after_s:
        return label(language, "retry", "after", duration=duration(explanation.retry_after_s, language))
    return label(language, "retry", explanation.retry)


def keyword_words(keyword: str, language: str) -> str:
    """Say what an EHLO keyword offers; that it is not known, where it is not."""
    words = _entry(language, "keywords", keyword.upper()).get("meaning", "").strip()
    return words or label(language, "conversation", "unknown-keyword")


def duration(seconds: float, language: str) -> str:
    """Write a duration with one unit and at most two meaningful digits: ``84 ms``, ``1.4 s``, ``5 min``, ``2 h``."""
    if seconds < 0.9995:
        return label(language, "unit", "milliseconds", value=round(seconds * 1000))
    if seconds < 9.95:
        return label(language, "unit", "seconds", value=writing.decimal(f"{seconds:.1f}", language))
    if seconds < 120:
        return label(language, "unit", "seconds", value=round(seconds))
    if seconds < 7200:
        return label(language, "unit", "minutes", value=round(seconds / 60))
    return label(language, "unit", "hours", value=round(seconds / 3600))


def _entry(language: str, room: str, key: str | None) -> Mapping[str, str]:
    return (texts.entry(language, room, key) if key is not None else None) or {}
