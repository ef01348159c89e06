"""The wordings of single providers and products: which row of ``patterns.tsv`` a reply fulfils, and whose words it has.

Trying hundreds of expressions on every reply would be slow, so each expression gives a literal that any text it matches
must contain. Only rows for the code at hand are looked at, only those whose literal is there are tried, and only those
that are ever tried are compiled. Expressions run over `MAX_TEXT` characters at most, and their repetitions are bounded,
so that no server can make one slow.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache, lru_cache
from typing import Final, NamedTuple

from smtpprobe.reference.wordtables import PatternRow, patterns, providers

MAX_TEXT: Final = 2048
"""Characters. What stands behind tells nothing new: real replies have a few hundred."""

_PIECE: Final = re.compile(
    r"""
      (?P<open>\((?:\?:)?)
    | (?P<close>\))
    | (?P<bar>\|)
    | (?P<repeat>[?*+]\??|\{[0-9,]+\}\??)
    | (?P<other>\\[A-Za-z]|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?[^:][^()]*\)|[.^$])
    | (?P<run>[\w\ @:;,=/-]+(?![?*+{]))
    | \\?(?P<literal>.)
    """,
    re.VERBOSE,
)
"""The pieces of an expression, as far as markers use the syntax: a look-around counts as one piece. Most of them are
plain characters, so those that nothing repeats are taken together."""
_MIN_LITERAL: Final = 2
"""Characters. A shorter literal would be in nearly every text."""


_GRAM: Final = 4
"""Characters. Literals are looked up by a piece of this length, so that a text is gone through once for all rows."""


class _Candidates(NamedTuple):
    """The rows for one code, in order, made ready to be found."""

    rows: tuple[PatternRow, ...]
    grams: dict[str, tuple[int, ...]]
    """Piece of a literal -> the rows that may hold where it stands."""
    short: tuple[tuple[str, int], ...]
    """Literals that are shorter than a piece, and their rows."""
    always: tuple[int, ...]
    """Rows without any literal."""


def find_pattern(
    code: int | None, enhanced: str | None, text: str, known: frozenset[str] = frozenset()
) -> PatternRow | None:
    """Find the first row that a reply fulfils.

    Args:
        code: the basic code; None where there is none.
        enhanced: the enhanced code as sent.
        text: the lines joined by blanks, codes removed, at most `MAX_TEXT` characters.
        known: the providers that a host name or a mark has proved, for the rows that need one.
    """
    lower = text.lower()
    candidates = _candidates(code)
    grams = candidates.grams
    found = set(candidates.always)
    for gram in grams.keys() & {lower[start : start + _GRAM] for start in range(len(lower) - _GRAM + 1)}:
        found.update(grams[gram])
    found.update(index for literal, index in candidates.short if literal in lower)
    for index in sorted(found):
        row = candidates.rows[index]
        if row.proof == "host-only" and row.provider not in known:
            continue
        if _has_enhanced(row, enhanced) and expression(row.marker).search(text):
            return row
    return None


def _has_enhanced(row: PatternRow, enhanced: str | None) -> bool:
    return "*" in row.enhanced or (enhanced or "-") in row.enhanced


@lru_cache(maxsize=1024)
def expression(marker: str) -> re.Pattern[str]:
    """Compile a marker."""
    return re.compile(marker, re.IGNORECASE)


@lru_cache(maxsize=1024)
def _candidates(code: int | None) -> _Candidates:
    """The rows for a code; where there is none, every row may be for it."""
    rows = tuple(patterns().values())
    if code is not None:
        digits = str(code)
        entries = {digits, *(f"{digits[:length]}*" for length in range(len(digits) + 1))}
        rows = tuple(row for row in rows if not entries.isdisjoint(row.codes))
    literals = [required_literals(row.marker) for row in rows]
    frequency = Counter(gram for each in literals for literal in each for gram in set(_grams(literal)))
    grams: dict[str, list[int]] = {}
    short: list[tuple[str, int]] = []
    for index, each in enumerate(literals):
        for literal in each:
            if len(literal) < _GRAM:
                short.append((literal, index))
            else:
                grams.setdefault(min(_grams(literal), key=frequency.__getitem__), []).append(index)
    always = tuple(index for index, each in enumerate(literals) if not each)
    return _Candidates(rows, {gram: tuple(found) for gram, found in grams.items()}, tuple(short), always)


def _grams(literal: str) -> list[str]:
    return [literal[start : start + _GRAM] for start in range(len(literal) - _GRAM + 1)]


@lru_cache(maxsize=2048)
def required_literals(marker: str) -> tuple[str, ...]:
    """Give literals, in lower case, of which every text that a marker matches contains one; empty if there are none."""
    pieces = [(found.lastgroup or "", found[found.lastgroup or 0]) for found in _PIECE.finditer(marker)]
    literals, _ = _literals_of_alternatives(pieces, 0)
    return tuple(dict.fromkeys(literals))


def _literals_of_alternatives(pieces: list[tuple[str, str]], start: int) -> tuple[list[str], int]:
    """Read alternatives up to the bracket that closes them; give their literals and the index behind."""
    together: list[str] | None = []
    index = start
    while True:
        literals, index = _literals_of_sequence(pieces, index)
        together = None if together is None or not literals else together + literals
        if index >= len(pieces) or pieces[index][0] == "close":
            return together or [], index + 1
        index += 1  # past the bar


def _literals_of_sequence(pieces: list[tuple[str, str]], start: int) -> tuple[list[str], int]:
    """Read one alternative; of the literals that it must contain, give the set whose shortest is longest."""
    best: list[str] = []
    run = ""
    index = start
    while index < len(pieces) and pieces[index][0] not in ("bar", "close"):
        kind, text = pieces[index]
        inside: list[str] = []
        if kind == "open":
            inside, index = _literals_of_alternatives(pieces, index + 1)
        else:
            index += 1
        is_repeated = index < len(pieces) and pieces[index][0] == "repeat"
        if kind == "run" or (kind == "literal" and not is_repeated):
            run += text.lower()
            continue
        if run:
            best, run = max(best, [run], key=_worth), ""
        if is_repeated:
            index += 1
        elif inside:
            best = max(best, inside, key=_worth)
    best = max(best, [run], key=_worth)
    return (best if _worth(best) >= _MIN_LITERAL else []), index


def _worth(literals: list[str]) -> int:
    return min(map(len, literals), default=0)


# --- providers ------------------------------------------------------------------------------------------------------

_LINK: Final = re.compile(r"(?:https?://|www\.)([a-z0-9.-]{4,100})", re.IGNORECASE)
_HOST: Final = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63}){1,10}", re.IGNORECASE)
_MAILBOX: Final = re.compile(r"@([a-z0-9.-]{4,100})", re.IGNORECASE)


def provider_of_host(text: str) -> str | None:
    """Tell the provider from a host name, or from a greeting that has one."""
    hosts = _domains()[0]
    for name in _HOST.findall(text[:MAX_TEXT]):
        if found := _lookup(hosts, name):
            return found
    return None


def provider_of_text(text: str, *, of_mailbox: bool) -> str | None:
    """Tell the provider from what only its own replies contain: a mark, its page, its name at the beginning.

    Args:
        of_mailbox: the reply is about a mailbox; then the domain of an address proves it too.
    """
    lower = text.lower()
    for mark, provider in _marks():
        if mark in lower:
            return provider
    hosts, links, mailboxes = _domains()
    first = _HOST.match(text)
    if first is not None and (found := _lookup(hosts, first[0])):
        return found
    if "//" in text or "www." in lower:
        for link in _LINK.findall(text):
            if found := _lookup(links, link):
                return found
    if of_mailbox and "@" in text:
        for domain in _MAILBOX.findall(text):
            if found := mailboxes.get(domain.lower().rstrip(".")):
                return found
    return None


def _lookup(domains: dict[str, str], host: str) -> str | None:
    """Look a host up by each domain that it lies in."""
    labels = host.lower().strip(".").split(".")[-12:]
    for start in range(len(labels) - 1):
        if found := domains.get(".".join(labels[start:])):
            return found
    return None


@cache
def _marks() -> tuple[tuple[str, str], ...]:
    return tuple((mark, row.provider) for row in providers().values() for mark in row.marks)


@cache
def _domains() -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Domain -> provider: of hosts, of pages, of mailboxes."""
    rows = providers().values()
    return (
        {domain: row.provider for row in rows for domain in row.hosts},
        {domain: row.provider for row in rows for domain in row.links},
        {domain: row.provider for row in rows for domain in row.mailboxes},
    )
