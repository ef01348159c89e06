"""The tables of the code book, read when first asked for.

One explanation needs two or three small tables, and `explain` must start about as fast as the command line library
itself. So each file is read when a row of it is asked for, and a row is a plain tuple of texts. The rows are facts and
hold for every language; the words are in `smtpprobe.texts` under the same keys. What a column means is told in
``data/README.md``.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Final, NamedTuple

FOLDER: Final = os.path.join(os.path.dirname(__file__), "data")
"""Where the tables lie; a plain text, since `pathlib` takes longer to import than all of this."""


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


def lines(name: str) -> list[str]:
    """The rows of a table, unsplit, without the header."""
    with open(os.path.join(FOLDER, f"{name}.tsv"), encoding="utf-8") as file:
        return file.read().splitlines()[1:]


def list_of(cell: str, separator: str = ",") -> tuple[str, ...]:
    """The parts of a cell, ``-`` being none."""
    return () if cell == "-" else tuple(map(str.strip, cell.split(separator)))


def or_none(cell: str) -> str | None:
    """A cell, ``-`` being nothing."""
    return None if cell == "-" else cell


@cache
def codes() -> dict[str, CodeRow]:
    """All basic codes by key, in numeric order, a number's contexts after its general row."""
    rows = {}
    for line in lines("codes"):
        key, status, phases, select, retry, actor, diagnosis, reference, source = line.split("\t")
        rows[key] = CodeRow(
            key, status, list_of(phases), list_of(select), retry, actor, or_none(diagnosis), reference, source
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
    for line in lines("enhanced"):
        key, kind, basic, retry, actor, temporary, permanent, reference, source = line.split("\t")
        rows[key] = EnhancedRow(
            key, kind, basic, retry, actor, or_none(temporary), or_none(permanent), reference, source
        )
    return rows


@cache
def enhanced_row(code: str) -> EnhancedRow | None:
    """Find the row of a code as sent (``4.7.650``): itself, a range that holds it, its subject, its class.

    Subject and detail may be left open (``4.7.x``). None where not even the class is known.
    """
    rows = enhanced_codes()
    class_, subject, detail = code.split(".")
    if detail == "x":
        return rows.get(f"x.{subject}.x") or rows.get(f"{class_}.x.x")
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
    for line in lines("diagnoses"):
        id_, category, actor, retry, after = line.split("\t")
        rows[id_] = DiagnosisRow(id_, category, actor, retry, None if after == "-" else int(after))
    return rows


@cache
def keywords() -> dict[str, KeywordRow]:
    """All EHLO keywords by name, in the order of the table."""
    rows = {}
    for line in lines("keywords"):
        keyword, status, parameters, verbs, adds, reference, source = line.split("\t")
        rows[keyword] = KeywordRow(keyword, status, parameters, list_of(verbs), adds, reference, source)
    return rows


def code_row(code: int | None, phase: str | None, diagnosis: str | None = None) -> CodeRow | None:
    """The row that fits best: the context that a diagnosis or the phase selects, else the number's general row."""
    if code is None:
        return None
    rows = contexts(code)
    if diagnosis is not None and rows and rows[0].diagnosis != diagnosis:  # else it tells nothing of the context
        for row in rows:
            if row.diagnosis == diagnosis and "." in row.key and not row.select:
                return row
    for row in rows:
        if phase is not None and phase in row.select:
            return row
    return rows[0] if rows else None


def class_key(code: int) -> str:
    """The entry of the ``replies`` texts for a number in no table: ``4xx``; ``xxx`` for what is no SMTP code."""
    return f"{code // 100}xx" if 100 <= code <= 599 else "xxx"
