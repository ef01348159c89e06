"""Codes side by side, for people and programs: the facts of `reference.compare` with the words of one language.

The text form is a table with one column a code where each column gets room enough to be read, else one block a code.
Imports only what the code book needs, since comparing must start about as fast as the command line library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, zip_longest
from typing import Any, Final, NamedTuple

from smtpprobe import texts
from smtpprobe.reference import compare
from smtpprobe.reference.compare import Difference, Side
from smtpprobe.reference.tables import codes
from smtpprobe.render import writing
from smtpprobe.render.layout import Terminal, cell_width, wrap

SCHEMA: Final = "smtpprobe/compare/1"

MIN_COLUMN: Final = 24
"""Cells. In narrower columns sentences fall apart; then the codes stand one below the other."""
MAX_COLUMN: Final = 60
"""Cells. In wider ones the eye loses the line."""
_GAP: Final = 2

_ROWS: Final = (
    "name",
    "class",
    "category",
    "status",
    "phases",
    "basic",
    "retry",
    "actor",
    "connection",
    "meaning",
    "when",
    "fix",
    "source",
)
"""The rows of the table, in order; one that has no value for any code is left out."""
_STEPS: Final = "fix"
"""The row whose lines are steps."""


class Pair(NamedTuple):
    """What is said about two of the codes."""

    a: str
    b: str
    is_written: bool
    """Somebody wrote text for this very pair; else it is put together from the facts."""
    summary: tuple[str, ...]
    """The key difference, one thing a line."""
    use: str
    server: str


class Comparison(NamedTuple):
    """All that is said about some codes, in one language."""

    language: str
    sides: tuple[Side, ...]
    cells: tuple[Mapping[str, str], ...]
    """For each side its words by row; a row without a value is missing."""
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]


def comparison(sides: Sequence[Side], language: str) -> Comparison:
    """Put the words of a language to codes that differ from each other, in the order asked for."""
    unique = tuple(dict.fromkeys(sides))
    notes = [_text(language, "compare", "unknown", code=each.code) for each in unique if not each.is_known]
    if len(unique) == 1:
        notes.insert(0, _text(language, "compare", "same", code=unique[0].code))
    return Comparison(
        language=language,
        sides=unique,
        cells=tuple(_cells(each, language) for each in unique),
        pairs=tuple(_pair(a, b, language) for a, b in combinations(unique, 2)),
        notes=tuple(notes),
    )


# --- words ----------------------------------------------------------------------------------------------------------


def _text(language: str, table: str, field: str, **params: object) -> str:
    return texts.phrase(language, "book", table, field, **params)


def _cells(each: Side, language: str) -> dict[str, str]:
    words = texts.entry(language, "enhanced" if each.is_enhanced else "replies", each.key) if each.key else None
    retry = (
        _text(language, "class", "x") if each.retry is None else texts.phrase(language, "labels", "retry", each.retry)
    )
    advice = texts.entry(language, "diagnoses", each.diagnosis) if each.diagnosis else None
    cells = {
        **(words or {}),
        **({"fix": advice["sender"]} if advice is not None else {}),
        "class": _text(language, "class", each.digit if each.digit in "2345x" else "other"),
        "category": _group(each.group, each.is_enhanced, language),
        "status": _text(language, "status", each.status),
        "phases": phases(each.phases, language),
        "basic": ", ".join(each.basic_codes),
        "retry": retry,
        "actor": texts.phrase(language, "labels", "actor", each.actor),
        "connection": _text(language, "connection", each.connection) if each.connection else "",
        "source": each.reference or "",
    }
    return {row: cells[row] for row in _ROWS if cells.get(row)}


def _group(group: str, is_enhanced: bool, language: str) -> str:
    if group == "x":  # left open
        return ""
    if not is_enhanced:
        return _text(language, "category", group)
    words = texts.entry(language, "enhanced", f"x.{group}.x")
    return words["name"] if words is not None else _text(language, "category", "other")


def phases(ids: Sequence[str], language: str) -> str:
    """Name the steps of a session; ``any`` is everywhere."""
    if "any" in ids:
        return _text(language, "compare", "anywhere")
    return writing.listed((texts.phrase(language, "labels", "phase", each) for each in ids), language)


def _pair(a: Side, b: Side, language: str) -> Pair:
    first, second = compare.ordered(a, b)
    key = compare.pair_key(a, b)
    written = texts.entry(language, "compare", key) if key is not None else None
    if written is not None:
        return Pair(first.code, second.code, True, (written["summary"],), written["use"], written["server"])
    is_enhanced = a.is_enhanced
    expected = compare.expectation(a, b)
    return Pair(
        a=first.code,
        b=second.code,
        is_written=False,
        summary=tuple(_said("difference", each, is_enhanced, language) for each in compare.differences(a, b)),
        use=_said("expect", expected, is_enhanced, language) if expected is not None else "",
        server=writing.sentences(
            (_said("send", each, is_enhanced, language) for each in compare.sending(a, b)), language
        ),
    )


def _said(table: str, difference: Difference, is_enhanced: bool, language: str) -> str:
    """Fill the phrase of a difference, ids in it made words."""
    params = dict(difference.params)
    for name, value in params.items():
        match name.partition("_")[0]:
            case "category":
                params[name] = _group(value, is_enhanced, language)
            case "phases":
                params[name] = phases(value.split(","), language)
            case "actor":
                params[name] = texts.phrase(language, "labels", "actor", value)
    return _text(language, table, difference.kind, **params)


# --- text -----------------------------------------------------------------------------------------------------------


def text(shown: Comparison, terminal: Terminal) -> Iterator[str]:
    """Write a comparison for a terminal, in lines."""
    language = shown.language
    for note in shown.notes:
        yield from wrap(note, terminal.prose)
        yield ""
    if len(shown.sides) == 1:
        yield from _block(shown, 0, terminal)
        yield from _stories(shown.sides[0], language, terminal)
        return
    heads = {row: _text(language, "compare", row) for row in _rows(shown)}
    label = max(cell_width(head) for head in heads.values())
    column = min(MAX_COLUMN, (terminal.width - label) // len(shown.sides) - _GAP)
    if column >= max(MIN_COLUMN, _longest_word(shown.cells)):
        yield from _table(shown, heads, label, column, terminal)
    else:
        for index in range(len(shown.sides)):
            if index:
                yield ""
            yield from _block(shown, index, terminal)
    yield from _pairs_text(shown, terminal)


def _longest_word(cells: Sequence[Mapping[str, str]]) -> int:
    """Cells. The name of a setting must not be broken, or it cannot be copied."""
    words = (word for each in cells for cell in each.values() for word in cell.split() if word.isascii())
    return _GAP + max(map(len, words), default=0)


def _rows(shown: Comparison) -> tuple[str, ...]:
    return tuple(row for row in _ROWS if any(row in cells for cells in shown.cells))


def _table(shown: Comparison, heads: Mapping[str, str], label: int, column: int, terminal: Terminal) -> Iterator[str]:
    widths = (label, *(column for _ in shown.sides))
    yield _line(("", *(each.code for each in shown.sides)), widths, "bold", terminal)
    for row, head in heads.items():
        columns = [_wrapped(cells.get(row, terminal.sign("dash")), row, column, terminal) for cells in shown.cells]
        style = "bold" if row == "name" else None
        for parts in zip_longest([head], *columns, fillvalue=""):
            yield _line(parts, widths, style, terminal)


def _line(parts: Sequence[str], widths: Sequence[int], style: str | None, terminal: Terminal) -> str:
    """One line of the table, its heading dim and the rest in a style; blanks are never painted."""
    styles = ("dim", *(style for _ in parts[1:]))
    cells = [
        terminal.paint(part, paint) + " " * (width + _GAP - cell_width(part))
        for part, width, paint in zip(parts, widths, styles, strict=True)
    ]
    return "".join(cells).rstrip()


def _wrapped(cell: str, row: str, cells: int, terminal: Terminal) -> list[str]:
    steps = cell.split("\n")
    sign = f"{terminal.sign('info')} " if row == _STEPS and len(steps) > 1 else ""
    return [line for step in steps for line in wrap(step, cells, first=sign)]


def _block(shown: Comparison, index: int, terminal: Terminal) -> Iterator[str]:
    """One code by itself: its name on the first line, then the rest with headings."""
    cells = shown.cells[index]
    heads = {row: _text(shown.language, "compare", row) for row in cells if row != "name"}
    label = max(cell_width(head) for head in heads.values()) + _GAP
    for line in wrap(f"{shown.sides[index].code}  {cells.get('name', '')}".rstrip(), terminal.width):
        yield terminal.paint(line, "bold")
    for row, head in heads.items():
        room = terminal.prose - label - _GAP
        for number, line in enumerate(_wrapped(cells[row], row, room, terminal)):
            heading = head if number == 0 else ""
            yield "  " + terminal.paint(heading, "dim") + " " * (label - cell_width(heading)) + line


def _stories(only: Side, language: str, terminal: Terminal) -> Iterator[str]:
    """The other stories of the number, for somebody who gave the same code twice."""
    others = [key for key in codes() if not only.is_enhanced and key[:3] == only.number and key != only.code]
    if not others:
        return
    yield ""
    yield from wrap(_text(language, "compare", "same-stories"), terminal.prose)
    width = max(map(len, others))
    for key in others:
        yield f"  {key:{width}}  {(texts.entry(language, 'replies', key) or {}).get('name', '')}"


def _pairs_text(shown: Comparison, terminal: Terminal) -> Iterator[str]:
    language = shown.language
    for pair in shown.pairs:
        yield ""
        title = _text(language, "compare", "differences")
        if len(shown.pairs) > 1:
            title = _text(language, "compare", "between", a=pair.a, b=pair.b)
        yield terminal.paint(title, "bold")
        sign = f"  {terminal.sign('info')} " if len(pair.summary) > 1 else "  "
        for line in pair.summary:
            yield from wrap(line, terminal.prose, first=sign)
        for head, said in (("expect", pair.use), ("server", pair.server)):
            if not said:
                continue
            heading = _text(language, "compare", head)
            if len(shown.pairs) > 1:
                yield "  " + terminal.paint(heading, "dim")
                yield from wrap(said, terminal.prose, first="    ")
            else:
                yield ""
                yield terminal.paint(heading, "bold")
                yield from wrap(said, terminal.prose, first="  ")


# --- markdown -------------------------------------------------------------------------------------------------------


def markdown(shown: Comparison) -> Iterator[str]:
    """Write a comparison as GitHub Markdown, in lines."""
    language = shown.language
    for note in shown.notes:
        yield from (_escaped(note), "")
    yield "| | " + " | ".join(f"`{each.code}`" for each in shown.sides) + " |"
    yield "|---" * (len(shown.sides) + 1) + "|"
    for row in _rows(shown):
        cells = (_escaped(cells.get(row, "")).replace("\n", "<br>") for cells in shown.cells)
        yield f"| {_text(language, 'compare', row)} | " + " | ".join(cells) + " |"
    for pair in shown.pairs:
        yield from ("", f"### {_text(language, 'compare', 'between', a=pair.a, b=pair.b)}", "")
        yield from (f"- {_escaped(line)}" for line in pair.summary)
        for head, said in (("expect", pair.use), ("server", pair.server)):
            if said:
                yield f"- **{_text(language, 'compare', head)}:** {_escaped(said)}"


def _escaped(prose: str) -> str:
    """Keep our own prose from being read as markup."""
    for character in "\\`*_[]<|":
        prose = prose.replace(character, f"\\{character}")
    return prose


# --- JSON -----------------------------------------------------------------------------------------------------------


def document(shown: Comparison) -> dict[str, Any]:
    """Make the JSON form: facts as ids, beside them the words of the language."""
    return {
        "schema": SCHEMA,
        "language": shown.language,
        "codes": [_code(each, cells) for each, cells in zip(shown.sides, shown.cells, strict=True)],
        "pairs": [
            {
                "a": pair.a,
                "b": pair.b,
                "written": pair.is_written,
                "summary": list(pair.summary),
                "use": pair.use or None,
                "server": pair.server or None,
                "differences": [{"kind": each.kind, **each.params} for each in compare.differences(a, b)],
            }
            for pair, (a, b) in zip(shown.pairs, combinations(shown.sides, 2), strict=True)
        ],
    }


def _code(each: Side, cells: Mapping[str, str]) -> dict[str, Any]:
    return {
        "code": each.code,
        "enhanced": each.is_enhanced,
        "known": each.is_known,
        "class": each.digit,
        "category": each.group,
        "status": each.status,
        "phases": list(each.phases),
        "basic_codes": list(each.basic_codes),
        "retry": each.retry,
        "actor": each.actor,
        "connection": each.connection,
        "reference": each.reference,
        "name": cells.get("name"),
        "meaning": cells.get("meaning"),
        "when": cells.get("when"),
        "fix": cells["fix"].split("\n") if "fix" in cells else [],
    }
