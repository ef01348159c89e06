"""What somebody asks about: a code, a class, an enhanced code, a whole reply, an EHLO keyword, a finding or a cause.

One word may be any of them, so the forms are tried from the narrowest to the widest. Nothing is guessed: a word that
is in none of the tables and has no form of its own is not understood, and the caller says so. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from typing import Final, NamedTuple

from smtpprobe.reference.tables import codes, diagnoses, keywords

MAX_REPLY_LINES: Final = 512
"""Lines. A reply in a file that never ends is given out in pieces of as many."""

# As text: `re` compiles an expression when it is first used, and most questions need only the first.
_NUMBER: Final = r"[0-9]{3}"
_STORY: Final = r"[0-9]{3}\.[a-z]+"
_CLASS: Final = r"([0-9])(?:([0-9])[xyz*]|[xyz*]{2})"
_ENHANCED: Final = r"#?(?:([245x]\.[0-9]{1,3}\.)(?:([0-9]{1,3})|[xyz*])|([245])\.[xyz*](?:\.[xyz*])?)"
_PLAIN_WORD: Final = r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*[.,:;!?]?"
"""A word of prose, and no name of a file."""
_WRAPPED: Final = "()[]<>\"'`"
_TRAILING: Final = "-:;,.!"
"""What stands around a code in the prose or the log that it was copied from."""
_BEGINS_REPLY: Final = r"\s*[0-9]{3}(?:[ \t-]|$)"
_PRIVATE_KEYWORD: Final = r"X[A-Z0-9-]{1,40}"
"""RFC 5321 2.2.2: keywords that begin with X are anybody's own."""
_LINE: Final = r"\s*([0-9]{3})([ \t-]|$)"


class Kind(Enum):
    """What it is that somebody asks about."""

    CODE = "code"
    CLASS = "class"
    ENHANCED = "enhanced"
    REPLY = "reply"
    KEYWORD = "keyword"
    FINDING = "finding"
    DIAGNOSIS = "diagnosis"


class Asked(NamedTuple):
    """One question."""

    kind: Kind
    value: str
    """The code, the keyword as the tables have it, the id, or the text of the reply; ``5xx`` for a class, ``55x`` for
    a group of it, however the open digits were written."""
    text: str
    """What was typed."""


def recognise(text: str, is_finding: Callable[[str], bool]) -> Asked | None:
    """Tell what a text asks about; None where it is none of the forms.

    Args:
        is_finding: tells whether a word is the id of a finding.
    """
    word = text.strip()
    lower = word.lower()
    if code := code_of(word):
        return Asked(*code, text)
    if not word:
        return None
    if keyword := keyword_of(word):
        return Asked(Kind.KEYWORD, keyword, text)
    if lower in diagnoses():
        return Asked(Kind.DIAGNOSIS, lower, text)
    if is_finding(lower):
        return Asked(Kind.FINDING, lower, text)
    if re.match(_BEGINS_REPLY, word) or len(word.split()) > 1 or not word.isascii():
        return Asked(Kind.REPLY, text, text)
    if re.fullmatch(_PRIVATE_KEYWORD, word.upper()):
        return Asked(Kind.KEYWORD, word.upper(), text)
    return None


def code_of(text: str) -> tuple[Kind, str] | None:
    """Read a code, a class or an enhanced code, whatever stands around it; None where it is none of them."""
    word = text.strip().strip(_WRAPPED).rstrip(_TRAILING).lower()
    if re.fullmatch(_NUMBER, word) or (re.fullmatch(_STORY, word) and word in codes()):
        return Kind.CODE, word
    if found := re.fullmatch(_ENHANCED, word):
        beginning, detail, class_ = found.groups()
        return Kind.ENHANCED, f"{class_}.x.x" if class_ else f"{beginning}{detail or 'x'}"
    if found := re.fullmatch(_CLASS, word):
        return Kind.CLASS, f"{found[1]}{found[2] or 'x'}x"
    return None


def recognise_all(words: Sequence[str], is_finding: Callable[[str], bool]) -> list[Asked] | str:
    """Tell what the arguments of a command ask about; a reply whose quotes were forgotten is put together again, be it
    only its words, where they tell a cause.

    Returns:
        The questions, or the first word that is not understood.
    """
    asked = [recognise(word, is_finding) for word in words]
    if len(asked) > 1 and _is_one_reply(words, asked):
        joined = " ".join(words)
        return [Asked(Kind.REPLY, joined, joined)]
    for word, each in zip(words, asked, strict=True):
        if each is None:
            return word
    return [each for each in asked if each is not None]


def _is_one_reply(words: Sequence[str], asked: Sequence[Asked | None]) -> bool:
    """Tell whether questions are the words of one reply."""
    first, second = asked[0], asked[1]
    if re.match(_BEGINS_REPLY, words[0]):
        return None in asked[1:] or (second is not None and second.kind is Kind.ENHANCED and second.value[0] != "x")
    if first is not None and first.kind is Kind.ENHANCED:
        return None in asked[1:] and first.value[0] != "x"
    return not any(asked) and all(re.fullmatch(_PLAIN_WORD, each) for each in words) and _tell_a_cause(words)


def _tell_a_cause(words: Sequence[str]) -> bool:
    """Tell whether words are known from replies; others are rather two that are not spelt as the tables have them."""
    from smtpprobe.reference.matching import match

    return match(None, None, None, (" ".join(words),)).diagnosis is not None


def keyword_of(word: str) -> str | None:
    """The keyword of a line of an EHLO reply, parameters and all: ``SIZE 35882577``; None where it is none."""
    first, _, rest = word.upper().partition(" ")
    known = keywords()
    if first not in known and "=" in first:
        first = first.partition("=")[0] + "="
    if first in known and (not rest or known[first].parameters != "none"):
        return first
    return None


def replies_of(lines: Iterable[str]) -> Iterator[str]:
    """Put the lines of a file together to replies: ``250-`` announces another line, an empty line ends a reply."""
    pending: list[str] = []
    code = ""
    for line in lines:
        text = line.rstrip("\r\n")
        found = re.match(_LINE, text)
        if pending and (found is None or found[1] != code or len(pending) >= MAX_REPLY_LINES):
            yield "\n".join(pending)
            pending = []
        if not text.strip():
            continue
        pending.append(text)
        if found is not None and found[2] == "-":
            code = found[1]
        else:
            yield "\n".join(pending)
            pending = []
    if pending:
        yield "\n".join(pending)
