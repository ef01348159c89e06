"""The tables of the code book, read when first asked for.

One explanation needs a few rows out of a thousand, and `explain` must start about as fast as the command line library
itself. So a file is read as text and split into lines at once, while a row becomes a value only when it is looked up.
The rows are facts and hold for every language; the words are in `smtpprobe.texts` under the same keys. What a column
means is told in ``data/README.md``.
"""

from __future__ import annotations

import os
from functools import cache
from typing import NamedTuple

_DATA = os.path.join(os.path.dirname(__file__), "data")


class CodeRow(NamedTuple):
    """A basic code, or one of the stories that the same number tells in a context."""

    key: str
    """``421`` or ``421.greeting``."""
    status: str
    phases: tuple[str, ...]
    """Where it is met; ``any`` for everywhere."""
    select: tuple[str, ...]
    """The phases that choose this context by themselves."""
    retry: str
    actor: str
    diagnosis: str | None
    reference: str
    source: str

    @property
    def code(self) -> int:
        """The number."""
        return int(self.key[:3])


class EnhancedRow(NamedTuple):
    """An enhanced status code (RFC 3463), without its class digit."""

    key: str
    """``x.7.1``, ``x.7.x`` for the subject, ``4.x.x`` for the class, ``x.7.606-649`` for a range."""
    kind: str
    """``class``, ``subject``, ``code``, ``draft`` or ``vendor``."""
    basic_codes: str
    retry: str
    """``class`` where the first digit decides."""
    actor: str
    temporary: str | None
    """The diagnosis of 4.y.z where the text tells nothing."""
    permanent: str | None
    reference: str
    source: str


class DiagnosisRow(NamedTuple):
    """A cause, with who mends it and whether waiting helps."""

    id: str
    category: str
    """The kind of reason, as ``rate_limited``."""
    actor: str
    retry: str
    retry_after_s: int | None


class KeywordRow(NamedTuple):
    """A word that a server offers in its EHLO reply."""

    keyword: str
    status: str
    parameters: str
    verbs: tuple[str, ...]
    adds: str
    reference: str
    source: str


class PatternRow(NamedTuple):
    """A wording by which one provider, product or block list gives a cause."""

    id: str
    provider: str | None
    """Whose words they are; None where they are quoted by many, as the name of a block list is."""
    codes: tuple[str, ...]
    """``550``, ``4*`` for a class, or ``*``."""
    enhanced: tuple[str, ...]
    """Enhanced codes as sent, ``-`` for none sent, or ``*``."""
    marker: str
    """A regular expression, sought without regard to case in the lines joined by blanks, codes removed."""
    diagnosis: str
    actor: str
    retry: str
    proof: str
    """``text``: the words prove the provider; ``host``: the cause holds, but only a host name or greeting proves the
    provider; ``host-only``: the row holds only where one does; ``-``: no provider."""
    confidence: str
    link: str | None
    source: str
    examples: tuple[str, ...]
    """Whole replies that select this row, made up; lines joined by ``\\n``."""


class ProviderRow(NamedTuple):
    """How a provider or product betrays itself besides by a pattern."""

    provider: str
    marks: tuple[str, ...]
    """What only its own replies contain, in lower case."""
    links: tuple[str, ...]
    """Domains of pages that its replies point to."""
    hosts: tuple[str, ...]
    """Domains of its MX hosts."""
    mailboxes: tuple[str, ...]
    """Domains whose mailboxes it alone holds."""
    source: str


class BannerRow(NamedTuple):
    """A fingerprint of a product."""

    id: str
    where: str
    """``greeting``: the text after 220; ``ehlo``: one line of the EHLO reply; ``help``; ``reply``: any reply;
    ``host``: a host name."""
    marker: str
    """A regular expression; its first group that matched is the version."""
    product: str
    vendor: str | None
    provider: str | None
    """The name in ``patterns.tsv`` that it proves."""
    confidence: str
    source: str
    examples: tuple[str, ...]


class LexiconRow(NamedTuple):
    """Words and phrases of one language for one idea."""

    idea: str
    language: str
    words: tuple[str, ...]


class WordingRow(NamedTuple):
    """A rule of general wording."""

    id: str
    diagnosis: str
    codes: tuple[str, ...]
    """Beginnings of the basic code; empty for any."""
    phases: tuple[str, ...]
    """Where it holds; empty for everywhere, known or not."""
    needs: str
    """Ideas separated by blanks, ``|`` between alternatives, ``~`` where two must be near."""
    lacks: str
    """Ideas that must not be there, separated by ``|``."""
    confidence: str
    examples: tuple[str, ...]


def _lines(name: str) -> list[str]:
    """The rows of a table, unsplit, without the header."""
    with open(os.path.join(_DATA, f"{name}.tsv"), encoding="utf-8") as file:
        return file.read().splitlines()[1:]


def _list(cell: str, separator: str = ",") -> tuple[str, ...]:
    return () if cell == "-" else tuple(part.strip() for part in cell.split(separator))


def _or_none(cell: str) -> str | None:
    return None if cell == "-" else cell


@cache
def codes() -> dict[str, CodeRow]:
    """All basic codes by key, in numeric order, a number's contexts after its general row."""
    rows = {}
    for line in _lines("codes"):
        key, status, phases, select, retry, actor, diagnosis, reference, source = line.split("\t")
        rows[key] = CodeRow(
            key, status, _list(phases), _list(select), retry, actor, _or_none(diagnosis), reference, source
        )
    return rows


@cache
def contexts(code: int) -> tuple[CodeRow, ...]:
    """The rows of one number: the general one first, then its contexts; empty for an unknown number."""
    number = str(code)
    return tuple(row for key, row in codes().items() if key[:3] == number)


@cache
def enhanced_codes() -> dict[str, EnhancedRow]:
    """All enhanced codes by key: classes, subjects, registered codes, vendors' ranges."""
    rows = {}
    for line in _lines("enhanced"):
        key, kind, basic, retry, actor, temporary, permanent, reference, source = line.split("\t")
        rows[key] = EnhancedRow(
            key, kind, basic, retry, actor, _or_none(temporary), _or_none(permanent), reference, source
        )
    return rows


@cache
def enhanced_row(code: str) -> EnhancedRow | None:
    """Find the row of a code as sent (``4.7.650``): itself, a range that holds it, its subject, its class.

    None where not even the class is known.
    """
    rows = enhanced_codes()
    class_, subject, detail = code.split(".")
    if row := rows.get(f"x.{subject}.{detail}"):
        return row
    return _range_row(subject, int(detail)) or rows.get(f"x.{subject}.x") or rows.get(f"{class_}.x.x")


def _range_row(subject: str, detail: int) -> EnhancedRow | None:
    """The narrowest vendor range that holds a detail."""
    found: tuple[int, EnhancedRow] | None = None
    for key, row in enhanced_codes().items():
        first, dash, last = key.rpartition(".")[2].partition("-")
        if not dash or key.split(".")[1] != subject or not int(first) <= detail <= int(last):
            continue
        size = int(last) - int(first)
        if found is None or size < found[0]:
            found = size, row
    return found[1] if found else None


@cache
def diagnoses() -> dict[str, DiagnosisRow]:
    """All causes by id."""
    rows = {}
    for line in _lines("diagnoses"):
        id_, category, actor, retry, after = line.split("\t")
        rows[id_] = DiagnosisRow(id_, category, actor, retry, None if after == "-" else int(after))
    return rows


@cache
def keywords() -> dict[str, KeywordRow]:
    """All EHLO keywords by name, in the order of the table."""
    rows = {}
    for line in _lines("keywords"):
        keyword, status, parameters, verbs, adds, reference, source = line.split("\t")
        rows[keyword] = KeywordRow(keyword, status, parameters, _list(verbs), adds, reference, source)
    return rows


@cache
def patterns() -> dict[str, PatternRow]:
    """All provider patterns by id, in order of precedence."""
    rows = {}
    for line in _lines("patterns"):
        cells = line.split("\t")
        id_, provider, codes_, enhanced, marker, diagnosis, actor, retry, proof, confidence, link, source, example = (
            cells
        )
        rows[id_] = PatternRow(
            id_,
            _or_none(provider),
            _list(codes_),
            tuple(enhanced.split(",")),
            marker,
            diagnosis,
            actor,
            retry,
            proof,
            confidence,
            _or_none(link),
            source,
            _examples(example),
        )
    return rows


@cache
def providers() -> dict[str, ProviderRow]:
    """How providers betray themselves, by name."""
    rows = {}
    for line in _lines("providers"):
        provider, marks, links, hosts, mailboxes, source = line.split("\t")
        rows[provider] = ProviderRow(provider, _list(marks, ";"), _list(links), _list(hosts), _list(mailboxes), source)
    return rows


@cache
def banners() -> dict[str, BannerRow]:
    """All fingerprints by id, in order of precedence within each `BannerRow.where`."""
    rows = {}
    for line in _lines("banners"):
        id_, where, marker, product, vendor, provider, confidence, source, example = line.split("\t")
        rows[id_] = BannerRow(
            id_, where, marker, product, _or_none(vendor), _or_none(provider), confidence, source, _examples(example)
        )
    return rows


@cache
def lexicon() -> tuple[LexiconRow, ...]:
    """The words by which ideas are told; an idea may have several rows of a language."""
    rows = []
    for line in _lines("lexicon"):
        idea, language, words = line.split("\t")
        rows.append(LexiconRow(idea, language, tuple(words.split(", "))))
    return tuple(rows)


@cache
def wordings() -> tuple[WordingRow, ...]:
    """The rules of general wording, in order of precedence."""
    rows = []
    for line in _lines("wordings"):
        id_, diagnosis, codes_, phases, needs, lacks, confidence, example = line.split("\t")
        rows.append(
            WordingRow(
                id_,
                diagnosis,
                () if codes_ == "*" else _list(codes_),
                () if phases == "*" else _list(phases),
                needs,
                "" if lacks == "-" else lacks,
                confidence,
                _examples(example),
            )
        )
    return tuple(rows)


def _examples(cell: str) -> tuple[str, ...]:
    """Examples are separated by `` || ``; a line end inside one is written ``\\n``."""
    return () if cell == "-" else tuple(part.replace("\\n", "\n") for part in cell.split(" || "))
