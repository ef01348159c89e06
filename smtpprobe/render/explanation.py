"""What the code book says to one question, for people and programs: the facts with the words of one language.

A `Block` answers one question: a title, what was asked where it is a text of others, and headed lines; the forms in
`explanation_text` lay it out without another look at the tables. Imports only what the code book needs, since `explain`
must start about as fast as the command line library.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smtpprobe import texts
from smtpprobe.reference.asked import Asked, Kind, keyword_of
from smtpprobe.reference.tables import (
    class_key,
    code_row,
    codes,
    contexts,
    diagnoses,
    enhanced_codes,
    enhanced_row,
    keywords,
)
from smtpprobe.render import writing
from smtpprobe.render.escaping import escape

if TYPE_CHECKING:
    from smtpprobe.reference.matching import Match
    from smtpprobe.reference.reading import ReadReply

MAX_SHOWN_LINES: Final = 20
"""Lines of a reply that are shown; the rest is counted."""
MAX_SHOWN_CHARACTERS: Final = 600
"""Characters of one line that are shown."""
MAX_KEYWORD: Final = 40
"""Characters of an EHLO keyword that is in no list."""
_STEPS: Final = ("fix", "sender", "receiver")
"""Headings under which each line is a step."""


class Line(NamedTuple):
    """One headed line."""

    head: str
    text: str
    is_steps: bool = False
    """Each line of the text is a step."""


class Block(NamedTuple):
    """The answer to one question."""

    title: str
    lines: tuple[Line, ...]
    facts: dict[str, Any]
    """What programs get: ids, numbers and lists."""
    words: dict[str, Any]
    """The words of the language, by field."""
    quoted: tuple[str, ...] = ()
    """The reply that was asked about, escaped."""


def explain(asked: Asked, phase: str | None, language: str) -> Block:
    """Answer one question.

    Args:
        phase: a value of `evidence.Phase` where the reply was met; None where that is not known.
    """
    match asked.kind:
        case Kind.CODE:
            return _code(asked.value, phase, language)
        case Kind.CLASS:
            return _class_of_codes(asked.value, phase, language)
        case Kind.ENHANCED:
            return _enhanced(asked.value, language)
        case Kind.KEYWORD:
            return _keyword(asked.value, language)
        case Kind.FINDING:
            return _finding(asked.value, language)
        case Kind.DIAGNOSIS:
            return _diagnosis(asked.value, language)
        case Kind.REPLY:
            return _reply(asked.value, phase, language)


# --- words ----------------------------------------------------------------------------------------------------------


def _book(language: str, table: str, field: str, **params: object) -> str:
    return texts.phrase(language, "book", table, field, **params)


def _label(language: str, table: str, field: str, **params: object) -> str:
    return texts.phrase(language, "labels", table, field, **params)


def _words(language: str, room: str, key: str | None) -> dict[str, str]:
    found = texts.entry(language, room, key) if key is not None else None
    return {field: phrase.strip() for field, phrase in (found or {}).items()}


def _lines(language: str, *given: tuple[str, str]) -> tuple[Line, ...]:
    """Headed lines, without those that have nothing to say; a heading is a field of the ``explain`` table of the
    ``book`` texts, or ``table.field``."""
    return tuple(Line(_head(language, head), text, head in _STEPS) for head, text in given if text)


def _head(language: str, head: str) -> str:
    table, dot, field = head.partition(".")
    return _book(language, table, field) if dot else _book(language, "explain", head)


def _retry(retry: str, after_s: int | None, language: str) -> str:
    if retry == "class":
        return _book(language, "class", "x")
    if retry == "yes" and after_s:
        return _label(language, "retry", "after", duration=_duration(after_s, language))
    return "" if retry in ("n.a.", "-") else _label(language, "retry", retry)


def _duration(seconds: int, language: str) -> str:
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size or seconds == size:
            return _label(language, "unit", unit, value=round(seconds / size))
    return _label(language, "unit", "seconds", value=seconds)


def _actor(actor: str, language: str) -> str:
    return "" if actor == "none" else _label(language, "actor", actor)


def _phases(ids: tuple[str, ...], language: str) -> str:
    if "any" in ids:
        return _book(language, "explain", "anywhere")
    return writing.listed((_label(language, "phase", each) for each in ids), language)


def _class(digit: str, language: str) -> str:
    return _book(language, "class", digit if digit in "2345" else "other")


def _category(digits: str, language: str) -> str:
    """What the second digit stands for (RFC 5321 4.2.1)."""
    return _book(language, "category", digits[1] if digits[1] in "0125" else "other")


def _source(reference: str, status: str, language: str) -> str:
    return writing.aside(reference, _book(language, "status", status), language)


def _class_and_category(digits: str, language: str) -> str:
    return writing.together((_class(digits[0], language), _category(digits, language)), language)


# --- single codes and words -----------------------------------------------------------------------------------------


def _code(value: str, phase: str | None, language: str) -> Block:
    number = int(value[:3])
    row = codes().get(value) if "." in value else code_row(number, phase)
    if row is None:
        return _unknown_code(number, language)
    words = _words(language, "replies", row.key)
    cause = diagnoses().get(row.diagnosis) if row.diagnosis else None
    stories = [each.key for each in contexts(number) if each.key != row.key]
    elsewhere = _listed({key: _words(language, "replies", key) for key in stories})
    after_s = cause.retry_after_s if cause is not None and row.retry == "yes" else None
    return Block(
        title=f"{row.key}  {words.get('name', '')}".rstrip(),
        lines=_lines(
            language,
            ("means", words.get("meaning", "")),
            ("when", words.get("when", "")),
            ("who", _actor(row.actor, language)),
            ("retry", _retry(row.retry, after_s, language)),
            ("fix", words.get("fix", "")),
            ("compare.class", _class_and_category(str(number), language)),
            ("compare.phases", _phases(row.phases, language)),
            ("source", _source(row.reference, row.status, language)),
            ("elsewhere", elsewhere),
        ),
        facts={
            "kind": "code",
            "code": number,
            "key": row.key,
            "status": row.status,
            "phases": list(row.phases),
            "retry": row.retry,
            "retry_after_s": after_s,
            "actor": row.actor,
            "diagnosis": row.diagnosis,
            "category": cause.category if cause is not None else "none",
            "references": [row.reference],
            "stories": stories,
        },
        words=words,
    )


def _unknown_code(number: int, language: str) -> Block:
    digits = str(number).zfill(3)
    key = class_key(number)
    words = _words(language, "replies", key)
    return Block(
        title=f"{digits}  {words.get('name', '')}".rstrip(),
        lines=_lines(
            language,
            (
                "note",
                _book(
                    language,
                    "explain",
                    "unknown-code",
                    code=digits,
                    **{"class": _class(digits[0], language), "category": _category(digits, language)},
                ),
            ),
            ("means", words.get("meaning", "")),
            ("fix", words.get("fix", "")),
        ),
        facts={"kind": "code", "code": number, "key": key, "status": "unknown", "references": []},
        words=words,
    )


def _class_of_codes(value: str, phase: str | None, language: str) -> Block:
    """Tell what all codes with the same first digit have in common, or the first two (``55x``), and name them."""
    from smtpprobe.reference.compare import side

    digit, group = value[0], value[1]
    known = side(value)
    words = _words(language, "replies", known.key)
    retry = known.retry or "n.a."
    members = [
        row.key
        for row in codes().values()
        if row.key.startswith(value.rstrip("x"))
        and "." not in row.key
        and row.status == "standard"
        and (phase is None or not {phase, "any"}.isdisjoint(row.phases))
    ]
    return Block(
        title=f"{value}  {words.get('name', '')}".rstrip(),
        lines=_lines(
            language,
            ("means", words.get("meaning", "")),
            ("when", words.get("when", "")),
            ("who", _actor(known.actor, language)),
            ("retry", _retry(retry, None, language)),
            ("fix", words.get("fix", "")),
            ("compare.class", _class_and_category(value, language) if group != "x" else ""),
            ("enhanced", f"{digit}.x.x" if digit in "245" and group == "x" else ""),
            ("source", known.reference or ""),
            ("code", _listed({each: _words(language, "replies", each) for each in members})),
        ),
        facts={
            "kind": "class",
            "class": value,
            "key": known.key,
            "retry": retry,
            "actor": known.actor,
            "codes": [int(each) for each in members],
            "references": [known.reference] if known.reference else [],
        },
        words=words,
    )


def _enhanced(value: str, language: str) -> Block:
    row = enhanced_row(value)
    key = row.key if row is not None else None
    words = _words(language, "enhanced", key)
    is_open = row is not None and value.split(".")[1:] == row.key.split(".")[1:]  # as 4.7.x: the whole subject is meant
    is_exact = row is not None and (is_open or row.kind in ("code", "draft", "vendor"))
    digit = value[0]
    cause = None
    if row is not None:
        cause = row.temporary if digit == "4" else row.permanent if digit == "5" else row.permanent or row.temporary
    advice = _words(language, "diagnoses", cause)
    note = "" if is_exact else _book(language, "explain", "unknown-enhanced", code=value)
    retry, after_s = _retry_of_enhanced(value, digit)
    subject = _words(language, "enhanced", f"x.{value.split('.')[1]}.x").get("name", "")
    basic = [] if row is None else [each for each in row.basic_codes.split(",") if each[0] == digit or digit == "x"]
    basic = [each for each in basic if each not in ("-", "any")]
    members = _members(value) if is_open and row is not None and row.kind in ("class", "subject") else []
    return Block(
        title=f"{value}  {words.get('name', '')}".rstrip(),
        lines=_lines(
            language,
            ("note", note),
            ("means", words.get("meaning", "")),
            ("codes.basic", ", ".join(basic)),
            ("cause", advice.get("title", "") if digit != "2" else ""),
            ("who", _actor(row.actor, language) if row is not None else ""),
            ("retry", _retry(retry, after_s, language)),
            ("sender", advice.get("sender", "") if digit != "2" else ""),
            ("receiver", advice.get("receiver", "") if digit != "2" else ""),
            (
                "compare.class",
                writing.together((_book(language, "class", digit), subject), language) if value[1:] != ".x.x" else "",
            ),
            ("source", _source(row.reference, row.kind, language) if row is not None else ""),
            ("code", _listed({_shown(value, each): _words(language, "enhanced", each) for each in members})),
        ),
        facts={
            "kind": "enhanced",
            "enhanced": value,
            "key": key,
            "status": row.kind if row is not None else "unknown",
            "basic_codes": basic,
            "retry": retry,
            "retry_after_s": after_s,
            "actor": row.actor if row is not None else None,
            "diagnosis": cause,
            "references": [row.reference] if row is not None else [],
            "codes": [_shown(value, each) for each in members],
        },
        words=words,
    )


def _members(value: str) -> list[str]:
    """The keys of what a class (``5.x.x``) or a subject (``5.7.x``) is made of, as far as the registry has it."""
    subject = value.split(".")[1]
    if subject == "x":
        return [row.key for row in enhanced_codes().values() if row.kind == "subject"]
    return [row.key for row in enhanced_codes().values() if row.kind == "code" and row.key.split(".")[1] == subject]


def _shown(value: str, key: str) -> str:
    """A key of the tables, in the class that was asked about."""
    return value[0] + key[1:]


def _listed(words: dict[str, dict[str, str]]) -> str:
    """Codes and their names, a line each."""
    widest = max(map(len, words), default=0)
    return "\n".join(f"{code.ljust(widest)}  {each.get('name', '')}" for code, each in words.items())


def _retry_of_enhanced(value: str, digit: str) -> tuple[str, int | None]:
    """Tell whether waiting helps after a code, and after how many seconds: as after a reply that has nothing else."""
    if digit == "x":
        return "class", None
    from smtpprobe.reference.matching import match

    found = match(None, value, None)
    return found.retry, found.retry_after_s


def _keyword(value: str, language: str) -> Block:
    row = keywords().get(value)
    if row is None:
        note = _book(language, "explain", "unknown-keyword", keyword=escape(value))
        facts: dict[str, Any] = {"kind": "keyword", "keyword": value, "status": "unknown", "references": []}
        return Block(escape(value), _lines(language, ("note", note)), facts, {})
    words = _words(language, "keywords", value)
    return Block(
        title=value,
        lines=_lines(
            language,
            ("means", words.get("meaning", "")),
            ("parameters", "" if row.parameters == "none" else row.parameters),
            ("verbs", ", ".join(row.verbs)),
            ("adds-parameters", "" if row.adds == "-" else row.adds),
            ("source", _source(row.reference, row.status, language)),
        ),
        facts={
            "kind": "keyword",
            "keyword": value,
            "status": row.status,
            "parameters": row.parameters,
            "verbs": list(row.verbs),
            "adds": row.adds,
            "references": [row.reference],
        },
        words=words,
    )


def _finding(value: str, language: str) -> Block:
    from smtpprobe.checks import KINDS  # brings the whole evidence model along

    kind = KINDS[value]
    words = {field: texts.with_blanks(phrase) for field, phrase in _words(language, "findings", value).items()}
    severities = writing.listed((_label(language, "severity", each) for each in kind.severities), language)
    return Block(
        title=f"{value}  {words.get('title', '')}".rstrip(),
        lines=_lines(
            language,
            ("severity", severities),
            ("means", words.get("meaning", "")),
            ("fix", words.get("fix", "")),
        ),
        facts={
            "kind": "finding",
            "finding": value,
            "topic": str(kind.topic),
            "severities": [str(each) for each in kind.severities],
        },
        words=words,
    )


def is_finding(word: str) -> bool:
    """Tell whether a word is the id of a finding."""
    return texts.entry(texts.DEFAULT_LANGUAGE, "findings", word) is not None


def _diagnosis(value: str, language: str) -> Block:
    row = diagnoses()[value]
    words = _words(language, "diagnoses", value)
    return Block(
        title=f"{value}  {words.get('title', '')}".rstrip(),
        lines=_lines(
            language,
            ("means", words.get("meaning", "")),
            ("who", _actor(row.actor, language)),
            ("retry", _retry(row.retry, row.retry_after_s, language)),
            ("sender", words.get("sender", "")),
            ("receiver", words.get("receiver", "")),
        ),
        facts={
            "kind": "diagnosis",
            "diagnosis": value,
            "category": row.category,
            "retry": row.retry,
            "retry_after_s": row.retry_after_s,
            "actor": row.actor,
        },
        words=words,
    )


def pattern_note(pattern: str | None, provider: str | None, language: str) -> str:
    """What the wording of one provider adds, said of it only where it is proved; empty where there is nothing to add.

    Args:
        pattern: id of the row that decided.
        provider: the provider that is proved.
    """
    note = _words(language, "patterns", pattern).get("note", "")
    if not note or pattern is None:
        return note
    from smtpprobe.reference.wordtables import patterns

    row = patterns().get(pattern)
    if row is None or row.provider is None or row.provider == provider:
        return note
    if note.startswith((f"{row.provider}:", f"{row.provider}：")):
        return note
    return _book(language, "explain", "if-provider", provider=row.provider, note=note)


# --- whole replies --------------------------------------------------------------------------------------------------


def judge(reply: str, phase: str | None) -> tuple[ReadReply, str | None, Match]:
    """Take a pasted reply apart and match it: the parts, the phase, what it means."""
    from smtpprobe.reference.matching import match
    from smtpprobe.reference.reading import read_reply

    read = read_reply(reply)
    phase = phase or read.phase
    found = match(read.code, read.enhanced, phase, read.lines, has_mixed_codes=read.has_mixed_codes)
    return read, phase, found


def _reply_facts(code: int | None, enhanced: str | None, phase: str | None, found: Match) -> dict[str, Any]:
    return {
        "code": code,
        "enhanced": enhanced,
        "phase": phase,
        "diagnosis": found.diagnosis,
        "category": found.category,
        "confidence": found.confidence,
        "provider": found.provider,
        "rule": found.rule,
        "retry": found.retry,
        "retry_after_s": found.retry_after_s,
        "actor": found.actor,
        "code_key": found.code_key,
        "enhanced_key": found.enhanced_key,
        "pattern": found.pattern,
        "references": list(found.references),
        "links": list(found.links),
        "contradictions": list(found.contradictions),
    }


def _reply(reply: str, phase: str | None, language: str) -> Block:
    read, phase, found = judge(reply, phase)
    code, enhanced = read.code, read.enhanced
    number = str(code) if code is not None else None
    general = _words(language, "replies", number if number in codes() else found.code_key)
    here = _words(language, "replies", found.code_key) if "." in (found.code_key or "") else {}
    added = _words(language, "enhanced", found.enhanced_key)
    cause = _words(language, "diagnoses", found.diagnosis)
    note = pattern_note(found.pattern, found.provider, language)
    contradictions = "\n".join(
        _words(language, "contradictions", each).get("meaning", each) for each in found.contradictions
    )
    title = cause.get("title") or here.get("name") or general.get("name") or _class(_digit(code, enhanced), language)
    has_advice = bool(cause.get("sender") or cause.get("receiver"))
    no_code = "" if code is not None else _book(language, "explain", "no-code")
    software = _software(read, phase)
    is_known = code is not None or enhanced is not None or found.diagnosis is not None
    return Block(
        title=title,
        quoted=tuple(_quoted(reply)),
        lines=_lines(
            language,
            ("cause", cause.get("meaning", "")),
            ("provider", found.provider or ""),
            ("software", _software_words(software, language)),
            ("note", writing.sentences((note, no_code), language)),
            ("contradiction", contradictions),
            ("who", _actor(found.actor, language) if is_known else ""),
            ("retry", _retry(found.retry, found.retry_after_s, language) if is_known else ""),
            ("sender", cause.get("sender", "")),
            ("receiver", cause.get("receiver", "")),
            ("fix", "" if has_advice else (here or general).get("fix", "")),
            (
                "code",
                writing.sentences((_told(number, general, language), unlisted(found.code_key, language)), language),
            ),
            ("enhanced", _told(enhanced, added, language)),
            ("phase", here.get("meaning", "")),
            ("certainty", writing.aside(_label(language, "confidence", found.confidence), found.rule, language)),
            ("source", "; ".join(found.references)),
            ("see", "\n".join(found.links)),
        )
        + _offered(read, language),
        facts={"kind": "reply", "reply": reply, **_reply_facts(code, enhanced, phase, found), "software": software},
        words={
            "title": title,
            "cause": cause,
            "code": general,
            "here": here,
            "enhanced": added,
            "note": note or None,
            "contradictions": contradictions.split("\n") if contradictions else [],
        },
    )


def _offered(read: ReadReply, language: str) -> tuple[Line, ...]:
    """What each keyword of an EHLO reply means (RFC 5321 4.1.1.1: the first line greets, the others are keywords)."""
    if read.code != 250 or len(read.lines) < 2:
        return ()
    offered = read.lines[1 : MAX_SHOWN_LINES + 1]
    known = {line: keyword_of(line) for line in offered}
    if not any(known.values()):  # some other reply of several lines
        return ()
    told = {}
    for line, keyword in known.items():
        if keyword is not None:
            told[keyword] = _words(language, "keywords", keyword).get("meaning", "")
        elif (word := line.partition(" ")[0]) and _is_keyword(word):
            told[word.upper()] = _label(language, "conversation", "unknown-keyword")
    return tuple(Line(keyword, meaning) for keyword, meaning in told.items() if meaning)


def _is_keyword(word: str) -> bool:
    """RFC 5321 4.1.1.1: letters, digits and hyphens. Longer ones than any that is used are somebody's text."""
    return len(word) <= MAX_KEYWORD and word.isascii() and word.replace("-", "").isalnum()


def _software(read: ReadReply, phase: str | None) -> dict[str, Any] | None:
    """Which software a greeting or an EHLO reply gives away; None for other replies and for what is not known."""
    is_greeting = read.code == 220 or phase == "greeting"
    if not is_greeting and (read.code != 250 or len(read.lines) < 2):
        return None
    from smtpprobe.reference.fingerprints import of_ehlo, of_greeting

    found = of_greeting(read.lines) if is_greeting else of_ehlo(read.lines)
    if found is None:
        return None
    row = found.row
    return {
        "product": row.product,
        "version": found.version,
        "vendor": row.vendor,
        "provider": row.provider,
        "confidence": row.confidence,
        "rule": f"banner:{row.id}",
    }


def _software_words(software: dict[str, Any] | None, language: str) -> str:
    if software is None:
        return ""
    name = " ".join(filter(None, (software["product"], escape(software["version"] or ""))))
    told = writing.together((_label(language, "confidence", software["confidence"]), software["rule"]), language)
    return writing.aside(name, told, language)


def _digit(code: int | None, enhanced: str | None) -> str:
    return str(code)[0] if code is not None else (enhanced or "?")[0]


def _told(code: str | None, words: dict[str, str], language: str) -> str:
    """A code, its name and what is said of it, in one text."""
    if code is None or not words:
        return code or ""
    name = writing.closed(f"{code} {words.get('name', '')}", language)
    return writing.sentences((name, words.get("meaning", "")), language)


def unlisted(code_key: str | None, language: str) -> str:
    """Say that only the class of a code is known; empty for one that is in the tables and for what is no SMTP code.

    Args:
        code_key: the entry that tells of it.
    """
    return _book(language, "explain", "unlisted") if code_key in ("2xx", "3xx", "4xx", "5xx") else ""


def _quoted(reply: str) -> Iterator[str]:
    lines = reply.replace("\\n", "\n").split("\n") if "\n" not in reply else reply.split("\n")
    for line in lines[:MAX_SHOWN_LINES]:
        more = "…" if len(line) > MAX_SHOWN_CHARACTERS else ""
        yield escape(line[:MAX_SHOWN_CHARACTERS].rstrip("\r")) + more
    if len(lines) > MAX_SHOWN_LINES:
        yield f"… {len(lines) - MAX_SHOWN_LINES}"
