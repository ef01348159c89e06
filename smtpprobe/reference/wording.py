"""What the words of a reply say, whoever wrote them: from text in many languages to the cause.

Servers refuse in countless wordings, but of few ideas: *a mailbox* that *is not there*, *too many* *connections*. So
the text is read as a row of such ideas. ``lexicon.tsv`` tells which words stand for which idea, in several languages;
a negation turns an idea round (*not* + *found* = missing). ``wordings.tsv`` then holds the rules, first match first:
each names the ideas that a cause needs, near each other where their order tells nothing, and those that rule it out.

Foreign matter is taken out before: addresses, hosts, numbers and URLs become marks, so that a user called ``spam`` is
no spam, and what only says where to read more is left off. All is linear in the text, of which at most `MAX_WORDS`
words are read.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from typing import Final, NamedTuple

from smtpprobe.reference.wordtables import WordingRow, lexicon, wordings

MAX_WORDS: Final = 150
"""Words. Replies that are longer tell the reason at the beginning."""
NEAR: Final = 7
"""Words. As far apart two ideas may stand that belong together."""
_REACH_OF_NO: Final = 5
"""Words. As far a negation reaches forward."""

NEGATED: Final = {
    "accept": "refuse",
    "active": "disabled",
    "allow": "refuse",
    "auth": "unauthenticated",
    "available": "unavailable",
    "exist": "missing",
    "match": "mismatch",
    "resolve": "unresolved",
    "support": "unsupported",
    "valid": "invalid",
}
"""What an idea becomes under a negation."""
_NEGATED_BACKWARD: Final = ("exist", "valid", "resolve")
"""Those that also stand before the negation: "existiert nicht"."""
_ENDED: Final = ("accept", "active", "allow", "available", "exist", "rcpt", "valid")
"""Ideas that "no longer" turns into `disabled`."""

_BRACKETED: Final = re.compile(r"<[^<>]{0,320}>")
_FOREIGN: Final = re.compile(
    r"""
      (?P<url>https?://[^\s<>"']{0,500}|www\.[^\s<>"']{1,200})
    | (?P<pair>\b[a-z_]{2,32}=[^\s,;]{1,200})
    | (?P<addr>[^\s@()\[\]"':,;]{1,64}@[^\s()\[\]"',;]{1,255})
    | (?P<ip>\[?(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?:/\d{1,2})?\b\]?|\[?\b(?:[0-9a-f]{1,4}:){3,7}[0-9a-f:]{1,40}\]?)
    | (?P<host>\b[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63}){0,10}\.[a-z]{2,24}\b)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_PUNCTUATION: Final = ".,:;!?()'\"-"
_URL_LIST_HOST: Final = re.compile(r"uribl|surbl|(?<![a-z])dbl(?![a-z])|rhsbl|ivmuri", re.IGNORECASE)
_LIST_HOST: Final = re.compile(
    r"(?:^|[./-])(?:[a-z]{0,12}bl[0-9]{0,2}|zen|black(?:list|hole)s?|block(?:list)?s?|truncate|d?n?s?rbl[a-z-]{0,9})\."
    r"|spamhaus|spamcop|sorbs|uceprotect|abuseat|barracudacentral|mail-abuse|dnsbl|mailspike|spamrats|invaluement"
    r"|surriel|blocklist|blacklist|dronebl|manitu|junkemailfilter",
    re.IGNORECASE,
)
_ADVICE: Final = re.compile(
    r"\bfor (?:more|further|additional|details|information|assistance|help|explanation)\b"
    r"|\bplease (?:visit|see|contact|refer|go to|ask|forward|consult|read|call)\b"
    r"|\bsee (?:also )?mark(?:url|host|list)\b|\blearn more\b|\bmore info"
    r"|\bto (?:request|review|resolve|learn|avoid|be removed)\b|\bcontact your\b"
    r"|\byou (?:can|may) (?:also )?(?:contact|visit|refer)\b|\bif you (?:believe|think|feel|have)\b",
    re.IGNORECASE,
)
"""Where the reason ends and the advice begins, which is full of other ideas."""
_MIN_WORDS_BEFORE_ADVICE: Final = 3

_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")
_HAN_KANA_HANGUL: Final = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD: Final = re.compile(rf"(?!mx[0-9])[^\W\d_{_HAN_KANA_HANGUL}]+|[0-9]+bit|utf-?8")
"""A word; ``mx3`` is the name of a machine, and no word of an MX record. A script without blanks ends a word before."""
_UNSPACED: Final = re.compile(f"[{_HAN_KANA_HANGUL}]")
"""Kana, Han and Hangul: written without blanks, or with endings that grow on the word."""
_PLAIN: Final = {
    point: unicodedata.normalize("NFD", chr(point))[0] for point in (*range(0xC0, 0xD7), *range(0xD8, 0x250))
} | {0x131: "i", 0x141: "l", 0x142: "l", 0xF8: "o", 0x2019: "'"}
"""Latin letters without their marks, which servers often leave off."""


class Wording(NamedTuple):
    """A rule that the words of a reply fulfil."""

    row: WordingRow
    present: int
    """The bits of all ideas of the text."""

    def has(self, *ideas: str) -> bool:
        """Tell whether the text has one of these ideas."""
        bits = _lexicon().bits
        return any(self.present & bits[idea] for idea in ideas)


class _Lexicon(NamedTuple):
    bits: dict[str, int]
    """Idea -> its bit."""
    single: dict[str, int]
    """Word -> its ideas."""
    paired: dict[tuple[str, str], tuple[tuple[tuple[str, ...], int], ...]]
    """The first two words of phrases -> the words behind and the ideas of each, longest first."""
    unspaced: re.Pattern[str]
    unspaced_ideas: dict[str, int]


class _Near(NamedTuple):
    """Two ideas that belong together."""

    one: int
    other: int
    is_ordered: bool
    """The one comes first."""


class _Rule(NamedTuple):
    row: WordingRow
    terms: tuple[int, ...]
    """Of each term one idea must be there."""
    near: tuple[_Near, ...]
    lacks: int
    classes: tuple[str, ...]
    """Beginnings of the code; empty for any."""


class _Ideas(NamedTuple):
    places: tuple[tuple[int, int], ...]
    """Where in the text which ideas stand, in order."""
    present: int


def find_wording(code: str, phase: str | None, text: str) -> Wording | None:
    """Find the first rule that the text fulfils; None where its words tell nothing.

    Args:
        code: the digits of the basic code, or only the class where an enhanced code tells it; empty where nothing does:
            then rules hold that are for a whole class.
        phase: a value of `evidence.Phase`, or None.
        text: the lines of the reply without codes, joined by blanks.
    """
    ideas = _read(text)
    if not ideas.present:
        return None
    for rule in _rules_for(ideas.present):
        if rule.classes and not (code.startswith(rule.classes) if code else any(map(_is_class, rule.classes))):
            continue
        if rule.row.phases and phase not in rule.row.phases:
            continue
        if all(_are_near(ideas.places, near) for near in rule.near):
            return Wording(rule.row, ideas.present)
    return None


def _is_class(beginning: str) -> bool:
    return len(beginning) == 1


def ideas_of(text: str) -> frozenset[str]:
    """Tell the ideas of a text; for tests and for people who extend the lexicon."""
    return _names(_read(text).present)


def _names(present: int) -> frozenset[str]:
    return frozenset(name for name, bit in _lexicon().bits.items() if bit & present)


# --- reading --------------------------------------------------------------------------------------------------------


def _read(text: str) -> _Ideas:
    """Turn a text into the row of its ideas."""
    lexicon_ = _lexicon()
    marked = _set_marks(text)
    advice = _ADVICE.search(marked)
    if advice is not None and len(marked[: advice.start()].split()) >= _MIN_WORDS_BEFORE_ADVICE:
        marked = marked[: advice.start()]
    plain = _fold(_HUMP.sub(" ", marked))
    words = _WORD.findall(plain)[:MAX_WORDS]
    places = _look_up(words, lexicon_)
    if not plain.isascii():
        behind = len(words)
        for number, match in enumerate(lexicon_.unspaced.finditer(plain[: MAX_WORDS * 4])):
            places.append([behind + number, lexicon_.unspaced_ideas[match[0]]])
    _negate(places, lexicon_.bits)
    present = 0
    for _, ideas in places:
        present |= ideas
    return _Ideas(tuple((place, ideas) for place, ideas in places), present)


def _set_marks(text: str) -> str:
    """Put marks in place of addresses, hosts, numbers and URLs. Most words have none, so each is looked at first."""
    if "<" in text:
        text = _BRACKETED.sub(" markaddr ", text.replace("<>", " marknull "))
    return " ".join(word if word.strip(_PUNCTUATION).isalpha() else _FOREIGN.sub(_mark, word) for word in text.split())


def _fold(text: str) -> str:
    """Lower case, no accents, negations written out."""
    folded = text.lower()
    if not folded.isascii():
        folded = folded.translate(_PLAIN)
    return folded.replace("n't", " not") if "n't" in folded else folded


def _mark(match: re.Match[str]) -> str:
    kind = match.lastgroup or ""
    if kind == "pair":  # "SPF=fail" speaks, "id=4711" does not
        name, _, value = match[0].partition("=")
        return f" {name} {value} " if value.isalpha() else " "
    if kind in ("url", "host"):
        if _URL_LIST_HOST.search(match[0]):
            return " markurllist "
        if _LIST_HOST.search(match[0]):
            return " marklist "
    return f" mark{kind} "


def _look_up(words: list[str], lexicon_: _Lexicon) -> list[list[int]]:
    single, paired = lexicon_.single, lexicon_.paired
    places: list[list[int]] = []
    index, last = 0, len(words) - 1
    while index <= last:
        word = words[index]
        if index < last:
            for rest, ideas in paired.get((word, words[index + 1]), ()):
                if tuple(words[index + 2 : index + 2 + len(rest)]) == rest:
                    places.append([index, ideas])
                    index += 2 + len(rest)
                    break
            else:
                if word in single:
                    places.append([index, single[word]])
                index += 1
            continue
        if word in single:
            places.append([index, single[word]])
        index += 1
    return places


def _negate(places: list[list[int]], bits: dict[str, int]) -> None:
    no, no_longer = bits["neg"], bits["nolonger"]
    turned = [(bits[idea], bits[other]) for idea, other in NEGATED.items()]
    backward = [(bits[idea], bits[NEGATED[idea]]) for idea in _NEGATED_BACKWARD]
    ended = 0
    for idea in _ENDED:
        ended |= bits[idea]
    for index, (place, ideas) in enumerate(places):
        if ideas & no:
            reached = [each for each in places[index + 1 : index + _REACH_OF_NO] if each[0] - place <= _REACH_OF_NO]
            if not any(_turn(each, turned) for each in reached):
                before = [each for each in places[max(0, index - 2) : index] if place - each[0] <= 2]
                any(_turn(each, backward) for each in reversed(before))
        if ideas & no_longer:
            for each in places[index + 1 : index + 4]:
                if each[1] & ended:
                    each[1] |= bits["disabled"]
                    break


def _turn(place: list[int], turned: list[tuple[int, int]]) -> bool:
    """Turn the ideas of one place round; tell whether there was one to turn."""
    found = False
    for idea, other in turned:
        if place[1] & idea:
            place[1] = (place[1] & ~idea) | other
            found = True
    return found


def _are_near(places: tuple[tuple[int, int], ...], near: _Near) -> bool:
    """Tell whether two ideas stand at most `NEAR` words apart."""
    last_one = last_other = -NEAR - 1
    for place, ideas in places:
        if ideas & near.one:
            last_one = place
            if not near.is_ordered and place - last_other <= NEAR:
                return True
        if ideas & near.other:
            last_other = place
            if place - last_one <= NEAR:
                return True
    return False


# --- the tables, made ready -----------------------------------------------------------------------------------------


@cache
def _lexicon() -> _Lexicon:
    bits: dict[str, int] = {}
    for name in (*NEGATED.values(), *(row.idea for row in lexicon())):
        bits.setdefault(name, 1 << len(bits))
    single: dict[str, int] = {}
    phrases: dict[tuple[str, str], dict[tuple[str, ...], int]] = {}
    unspaced: dict[str, int] = {}
    for row in lexicon():
        bit = bits[row.idea]
        for phrase in row.words:
            if _UNSPACED.search(phrase):
                unspaced[phrase] = unspaced.get(phrase, 0) | bit
                continue
            first, *rest = _WORD.findall(_fold(phrase))
            if not rest:
                single[first] = single.get(first, 0) | bit
                continue
            beginning = phrases.setdefault((first, rest[0]), {})
            beginning[tuple(rest[1:])] = beginning.get(tuple(rest[1:]), 0) | bit
    paired = {start: tuple(sorted(ends.items(), key=lambda end: -len(end[0]))) for start, ends in phrases.items()}
    longest_first = sorted(unspaced, key=lambda phrase: (-len(phrase), phrase))
    return _Lexicon(bits, single, paired, re.compile("|".join(map(re.escape, longest_first))), unspaced)


@lru_cache(maxsize=4096)
def _rules_for(present: int) -> tuple[_Rule, ...]:
    """The rules whose ideas are all there and whose excluded ones are not, in order."""
    return tuple(rule for rule in _rules() if not rule.lacks & present and all(term & present for term in rule.terms))


@cache
def _rules() -> tuple[_Rule, ...]:
    bits = _lexicon().bits

    def mask(alternatives: str) -> int:
        found = 0
        for idea in alternatives.split("|"):
            found |= bits[idea]
        return found

    rules = []
    for row in wordings():
        terms: list[int] = []
        near: list[_Near] = []
        for term in row.needs.split():
            one, operator, other = re.split("([~>]|$)", term, maxsplit=1)
            terms.append(mask(one))
            if operator:
                terms.append(mask(other))
                near.append(_Near(mask(one), mask(other), operator == ">"))
        lacks = mask(row.lacks) if row.lacks else 0
        rules.append(_Rule(row, tuple(terms), tuple(near), lacks, row.codes))
    return tuple(rules)
