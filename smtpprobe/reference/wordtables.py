"""The tables of wordings: what servers write, who writes so, and what it means.

They are apart from `tables` because a single code is explained without them, and then they need not be imported. What a
column means is told in ``data/README.md``.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from smtpprobe.reference.tables import lines, list_of, or_none


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


@cache
def patterns() -> dict[str, PatternRow]:
    """All provider patterns by id, in order of precedence."""
    rows = {}
    for line in lines("patterns"):
        cells = line.split("\t")
        id_, provider, codes_, enhanced, marker, diagnosis, actor, retry, proof, confidence, link, source, example = (
            cells
        )
        rows[id_] = PatternRow(
            id_,
            or_none(provider),
            list_of(codes_),
            tuple(enhanced.split(",")),
            marker,
            diagnosis,
            actor,
            retry,
            proof,
            confidence,
            or_none(link),
            source,
            _examples(example),
        )
    return rows


@cache
def providers() -> dict[str, ProviderRow]:
    """How providers betray themselves, by name."""
    rows = {}
    for line in lines("providers"):
        provider, marks, links, hosts, mailboxes, source = line.split("\t")
        rows[provider] = ProviderRow(
            provider, list_of(marks, ";"), list_of(links), list_of(hosts), list_of(mailboxes), source
        )
    return rows


@cache
def banners() -> dict[str, BannerRow]:
    """All fingerprints by id, in order of precedence within each `BannerRow.where`."""
    rows = {}
    for line in lines("banners"):
        id_, where, marker, product, vendor, provider, confidence, source, example = line.split("\t")
        rows[id_] = BannerRow(
            id_, where, marker, product, or_none(vendor), or_none(provider), confidence, source, _examples(example)
        )
    return rows


@cache
def lexicon() -> tuple[LexiconRow, ...]:
    """The words by which ideas are told; an idea may have several rows of a language."""
    rows = []
    for line in lines("lexicon"):
        idea, language, words = line.split("\t")
        rows.append(LexiconRow(idea, language, tuple(words.split(", "))))
    return tuple(rows)


@cache
def wordings() -> tuple[WordingRow, ...]:
    """The rules of general wording, in order of precedence."""
    rows = []
    for line in lines("wordings"):
        id_, diagnosis, codes_, phases, needs, lacks, confidence, example = line.split("\t")
        rows.append(
            WordingRow(
                id_,
                diagnosis,
                () if codes_ == "*" else list_of(codes_),
                () if phases == "*" else list_of(phases),
                needs,
                "" if lacks == "-" else lacks,
                confidence,
                _examples(example),
            )
        )
    return tuple(rows)


def _examples(cell: str) -> tuple[str, ...]:
    """Examples are separated by `` || ``; a line end inside one is written ``\\n``."""
    return () if cell == "-" else tuple(cell.replace("\\n", "\n").split(" || "))
