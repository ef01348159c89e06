"""The answers of `explanation` as text, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from smtpprobe.render import writing
from smtpprobe.render.escaping import fenced
from smtpprobe.render.explanation import Block, Line
from smtpprobe.render.layout import Terminal, cell_width, wrap

SCHEMA: Final = "smtpprobe/explain/1"

_GAP: Final = 2
_INDENT: Final = "  "


# --- text -----------------------------------------------------------------------------------------------------------


def text(block: Block, terminal: Terminal) -> Iterator[str]:
    """Write an answer for a terminal, in lines."""
    for quote in block.quoted:
        for part in wrap(quote, terminal.width):
            yield terminal.paint(part, "dim")
    if block.quoted:
        yield ""
    for part in wrap(block.title, terminal.width):
        yield terminal.paint(part, "bold")
    column = max((cell_width(line.head) for line in block.lines), default=0) + _GAP
    room = terminal.prose - len(_INDENT) - column
    for line in block.lines:
        for number, part in enumerate(_parts(line, room, terminal)):
            head = line.head if number == 0 else ""
            yield (_INDENT + terminal.paint(head, "dim") + " " * (column - cell_width(head)) + part).rstrip()


def _parts(line: Line, room: int, terminal: Terminal) -> Iterator[str]:
    pieces = line.text.split("\n")
    sign = f"{terminal.sign('info')} " if line.is_steps and len(pieces) > 1 else ""
    for piece in pieces:
        yield from wrap(piece, room, first=sign)


# --- markdown -------------------------------------------------------------------------------------------------------


def markdown(block: Block, language: str) -> Iterator[str]:
    """Write an answer as GitHub Markdown, in lines."""
    yield f"### {_escaped(block.title)}"
    yield ""
    if block.quoted:
        yield from (*fenced(block.quoted), "")
    for line in block.lines:
        pieces = line.text.split("\n")
        if line.is_steps and len(pieces) > 1:
            yield f"- **{_escaped(line.head)}**"
            yield from (f"  - {_escaped(piece)}" for piece in pieces)
        else:
            head = _escaped(writing.named(line.head, "", language)).rstrip()
            yield f"- **{head}** {'<br>'.join(map(_escaped, pieces))}"


def _escaped(prose: str) -> str:
    """Keep text from being read as markup."""
    for character in "\\`*_[]<|":
        prose = prose.replace(character, f"\\{character}")
    return prose


# --- JSON -----------------------------------------------------------------------------------------------------------


def document(block: Block) -> dict[str, Any]:
    """Make the JSON form: facts as ids, beside them the words of the language."""
    return {**block.facts, "words": {**block.words, "title": block.title}}
