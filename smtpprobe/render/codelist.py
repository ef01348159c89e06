"""The tables of the code book as lists: which rows to show, and how they look to people and programs.

A row has its facts, for programs, and its words in one language, for people and for searching. In text the last
column takes what is left of the line and wraps; nothing is cut, since a list that hides what was searched for is of no
use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from smtpprobe import texts
from smtpprobe.reference import tables
from smtpprobe.reference.tables import EnhancedRow
from smtpprobe.render import writing
from smtpprobe.render.layout import Terminal, cell_width, pad, wrap

SCHEMA: Final = "smtpprobe/codes/1"

MIN_LAST_COLUMN: Final = 20
"""Cells. With less each row goes onto lines of its own."""
_GAP: Final = 2

CLASSES: Final = ("2", "3", "4", "5")


class Row(NamedTuple):
    """One row of a table, with its words."""

    id: str
    group: str
    """Rows of one group stand under one heading; empty for none."""
    cells: Mapping[str, str]
    """Heading (a field of the ``codes`` table of the ``book`` texts) -> what stands under it, in order."""
    facts: Mapping[str, Any]
    """What programs get: ids, numbers and lists."""
    words: str
    """All that a search looks at."""


class Filter(NamedTuple):
    """Which rows are wanted; None: all."""

    digit: str | None = None
    phase: str | None = None
    search: str | None = None

    def finds(self, row: Row) -> bool:
        """Tell whether each word of the search stands somewhere in the row, whatever its case."""
        words = row.words.casefold()
        return all(word in words for word in (self.search or "").casefold().split())


# --- the tables -----------------------------------------------------------------------------------------------------


def codes(language: str, wanted: Filter) -> Iterator[Row]:
    """The basic codes and their stories, in numeric order."""
    for row in tables.codes().values():
        if wanted.digit is not None and row.key[0] != wanted.digit:
            continue
        if wanted.phase is not None and wanted.phase not in row.phases and "any" not in row.phases:
            continue
        words = _words(language, "replies", row.key)
        where = _phases(language, row.phases)
        yield _row(
            row.key,
            row.key[0],
            {"code": row.key, "name": words.get("name", ""), "where": where},
            {
                "code": row.code,
                "status": row.status,
                "phases": list(row.phases),
                "retry": row.retry,
                "actor": row.actor,
                "diagnosis": row.diagnosis,
                "reference": row.reference,
                **words,
            },
            (*_both(language, "replies", row.key), *_both(language, "diagnoses", row.diagnosis, "title"), where),
        )


def enhanced(language: str, wanted: Filter) -> Iterator[Row]:
    """The enhanced codes, by subject."""
    for row in tables.enhanced_codes().values():
        if wanted.digit is not None and not _can_have_class(row, wanted.digit):
            continue
        words = _words(language, "enhanced", row.key)
        basic = [
            each for each in row.basic_codes.split(",") if each not in ("-", "any") and wanted.digit in (None, each[0])
        ]
        yield _row(
            row.key,
            "",
            {
                "code": row.key.replace("x", wanted.digit, 1) if wanted.digit and row.key[0] == "x" else row.key,
                "name": words.get("name", ""),
                "basic": ", ".join(basic),
            },
            {
                "kind": row.kind,
                "basic_codes": basic,
                "retry": row.retry,
                "actor": row.actor,
                "temporary": row.temporary,
                "permanent": row.permanent,
                "reference": row.reference,
                **words,
            },
            (
                *_both(language, "enhanced", row.key),
                *_both(language, "diagnoses", row.temporary, "title"),
                *_both(language, "diagnoses", row.permanent, "title"),
            ),
        )


def _can_have_class(row: EnhancedRow, digit: str) -> bool:
    if row.kind == "class":
        return row.key[0] == digit
    if row.kind == "subject" or row.key == "x.0.0":
        return digit in "245"
    is_positive = row.retry == "n.a."
    if digit == "2":
        return is_positive or any(each[0] == "2" for each in row.basic_codes.split(","))
    mine, other = (row.temporary, row.permanent) if digit == "4" else (row.permanent, row.temporary)
    return digit in "45" and not is_positive and (mine is not None or other is None)


def keywords(language: str, wanted: Filter) -> Iterator[Row]:
    """The words of EHLO replies, in the order of the table."""
    for row in tables.keywords().values():
        words = _words(language, "keywords", row.keyword)
        status = texts.phrase(language, "book", "status", row.status)
        yield _row(
            row.keyword,
            "",
            {"keyword": row.keyword, "status": status, "meaning": words.get("meaning", "")},
            {
                "status": row.status,
                "parameters": row.parameters,
                "verbs": list(row.verbs),
                "adds": row.adds,
                "reference": row.reference,
                **words,
            },
            (*_both(language, "keywords", row.keyword), status, row.reference),
        )


def diagnoses(language: str, wanted: Filter) -> Iterator[Row]:
    """The causes of refusals, in the order of the table."""
    for row in tables.diagnoses().values():
        words = _words(language, "diagnoses", row.id)
        yield _row(
            row.id,
            "",
            {"diagnosis": row.id, "category": row.category, "title": words.get("title", "")},
            {
                "category": row.category,
                "actor": row.actor,
                "retry": row.retry,
                "retry_after_s": row.retry_after_s,
                **words,
            },
            (*_both(language, "diagnoses", row.id), row.category),
        )


def findings(language: str, wanted: Filter) -> Iterator[Row]:
    """The kinds of findings that a check can make, by topic."""
    from smtpprobe.checks import KINDS  # brings the whole evidence model along

    for kind in KINDS.values():
        words = {field: texts.with_blanks(phrase) for field, phrase in _words(language, "findings", kind.id).items()}
        severity = writing.listed(
            (texts.phrase(language, "labels", "severity", each) for each in kind.severities), language
        )
        yield _row(
            kind.id,
            "",
            {"finding": kind.id, "severity": severity, "title": words.get("title", "")},
            {
                "topic": str(kind.topic),
                "severities": [str(each) for each in kind.severities],
                "params": list(kind.params),
                **words,
            },
            (*_both(language, "findings", kind.id), str(kind.topic), severity),
        )


TABLES: Final[Mapping[str, Callable[[str, Filter], Iterator[Row]]]] = {
    "codes": codes,
    "enhanced": enhanced,
    "keywords": keywords,
    "findings": findings,
    "diagnoses": diagnoses,
}


def select(table: str, language: str, wanted: Filter) -> list[Row]:
    """The rows of a table that are wanted, in the table's order."""
    return [row for row in TABLES[table](language, wanted) if wanted.finds(row)]


def elsewhere(table: str, language: str, wanted: Filter) -> list[tuple[str, int]]:
    """Count what a search finds in the other tables: (table, matches), those without a match left out."""
    if not wanted.search:
        return []
    only_words = Filter(search=wanted.search)
    counts = []
    for other in TABLES:
        if other == "findings":  # by their words alone: the checks that make them take long to import
            keys = texts.keys(texts.DEFAULT_LANGUAGE, "findings")
            rows = [_row(key, "", {}, {}, _both(language, "findings", key)) for key in keys]
            count = sum(map(only_words.finds, rows))
        else:
            count = len(select(other, language, only_words))
        if count and other != table:
            counts.append((other, count))
    return counts


def _row(id: str, group: str, cells: Mapping[str, str], facts: Mapping[str, Any], words: Iterable[str]) -> Row:
    return Row(id, group, cells, facts, "\n".join((id, *words)))


def _words(language: str, room: str, key: str) -> Mapping[str, str]:
    return texts.entry(language, room, key) or {}


def _both(language: str, room: str, key: str | None, *fields: str) -> Iterator[str]:
    """The phrases of a key for a search: those of the language, and the English ones, which are better known."""
    if key is None:
        return
    yield key
    for tag in dict.fromkeys((language, texts.DEFAULT_LANGUAGE)):
        words = _words(tag, room, key)
        yield from (words[field] for field in fields or words)


def _phases(language: str, ids: Sequence[str]) -> str:
    if "any" in ids:
        return texts.phrase(language, "book", "codes", "anywhere")
    return writing.listed((texts.phrase(language, "labels", "phase", each) for each in ids), language)


# --- text -----------------------------------------------------------------------------------------------------------


def text(rows: Sequence[Row], language: str, terminal: Terminal) -> Iterator[str]:
    """Write rows for a terminal, in lines."""
    if not rows:
        yield texts.phrase(language, "book", "codes", "nothing")
        return
    heads = {field: texts.phrase(language, "book", "codes", field) for field in rows[0].cells}
    *fixed, last = heads
    widths = {
        field: max(cell_width(text) for text in (heads[field], *(row.cells[field] for row in rows))) for field in fixed
    }
    left = sum(widths.values()) + _GAP * len(widths)
    is_narrow = terminal.width - left < MIN_LAST_COLUMN
    if not is_narrow:
        yield terminal.paint(_line(widths, heads, heads[last]), "dim")
    group = ""
    for row in rows:
        if row.group != group:
            group = row.group
            yield from ("", terminal.paint(f"{group}yz  {_class(language, group)}", "bold"))
        if is_narrow:
            first, *others = filter(None, row.cells.values())
            yield first
            for cell in others:
                yield from wrap(cell, terminal.width, first="    ")
        else:
            first, *more = wrap(row.cells[last], min(terminal.width, left + terminal.prose), first=" " * left)
            yield _line(widths, row.cells, first[left:])
            yield from more


def _class(language: str, digit: str) -> str:
    return texts.phrase(language, "book", "class", digit if digit in CLASSES else "other")


def _line(widths: Mapping[str, int], cells: Mapping[str, str], last: str) -> str:
    return ("".join(pad(cells[field], width) + " " * _GAP for field, width in widths.items()) + last).rstrip()


def closing(rows: Sequence[Row], others: Sequence[tuple[str, int]], language: str) -> Iterator[str]:
    """Write how many rows there were and where else something matches, in lines."""
    if rows:
        yield texts.phrase(language, "book", "codes", "count", count=len(rows))
    if others:
        found = writing.listed((f"{_option(table)} {count}" for table, count in others), language)
        yield writing.named(texts.phrase(language, "book", "codes", "elsewhere"), found, language)


def _option(table: str) -> str:
    return "codes" if table == "codes" else f"--{table}"


# --- markdown and JSON ----------------------------------------------------------------------------------------------


def markdown(rows: Sequence[Row], language: str) -> Iterator[str]:
    """Write rows as a table of GitHub Markdown, in lines."""
    if not rows:
        yield texts.phrase(language, "book", "codes", "nothing")
        return
    heads = [texts.phrase(language, "book", "codes", field) for field in rows[0].cells]
    has_meaning = "meaning" not in rows[0].cells
    if has_meaning:
        heads.append(texts.phrase(language, "book", "codes", "meaning"))
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for row in rows:
        _, *others = row.cells.values()
        if has_meaning:
            others.append(row.facts.get("meaning", ""))
        yield f"| `{row.id}` | {' | '.join(map(_escaped, others))} |"


def _escaped(prose: str) -> str:
    """Keep our own prose from being read as markup."""
    for character in "\\`*_[]<|":
        prose = prose.replace(character, f"\\{character}")
    return prose.replace("\n", "<br>")


def document(table: str, rows: Sequence[Row], language: str) -> dict[str, Any]:
    """Make the JSON form: the facts of each row and its words in the language."""
    return {
        "schema": SCHEMA,
        "table": table,
        "language": language,
        "entries": [{"id": row.id, **row.facts} for row in rows],
    }
