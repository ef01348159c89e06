"""The transcript at a terminal: the name system, then one conversation after the other, as it was spoken.

The arrows are those of swaks, which mail people know: ``->`` we say, ``<-`` the server says, ``~>`` and ``<~`` inside
TLS. With ``-vv`` each line shows its bytes without loss and when it passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Final

from smtpprobe.render import writing
from smtpprobe.render.layout import cell_width, cut, pad, painted, wrap
from smtpprobe.render.lookups import DnsLine
from smtpprobe.render.steps import SLOW_S, Step, StepKind
from smtpprobe.render.style import Style
from smtpprobe.render.transcript import ConversationView, Transcript
from smtpprobe.render.words import duration, label
from smtpprobe.report import Severity

MAX_LINES: Final = 40
"""So many lines of one reply are shown without ``-vv``."""
MAX_LINE_CELLS: Final = 600
"""Cells. A longer line is cut without ``-vv``."""
MAX_NOTED_CELLS: Final = 32
"""Cells. What a longer line of an EHLO reply offers is not set in the column of the others."""
MIN_NOTE_CELLS: Final = 24
"""Cells. With less room, a note stands below its line."""

_ARROWS: Final = {
    (StepKind.SENT, False): "->",
    (StepKind.SENT, True): "~>",
    (StepKind.RECEIVED, False): "<-",
    (StepKind.RECEIVED, True): "<~",
    (StepKind.EVENT, False): "==",
    (StepKind.EVENT, True): "==",
}


def transcript_lines(seen: Transcript, style: Style) -> Iterator[str]:
    """Lay the transcript out."""
    terminal, language = style.terminal, style.language
    yield ""
    yield terminal.paint(label(language, "section", "probe"), "bold")
    for remark in seen.circumstances:
        yield from wrap(writing.named(remark.name, remark.text, language), terminal.prose, first="  ", rest=" " * 4)
    if seen.lookups:
        yield ""
        yield terminal.paint(label(language, "section", "dns"), "bold")
        yield from _lookups(seen.lookups, style)
    if seen.conversations:
        yield ""
        heading = label(language, "section", "conversations")
        legend = label(language, "conversation", "legend")
        yield from painted(
            terminal, wrap(writing.aside(heading, legend, language), terminal.prose, rest="  "), heading, "bold", "dim"
        )
    was_connected = True
    for conversation in seen.conversations:
        if conversation.is_connected or was_connected:
            yield ""
        was_connected = conversation.is_connected
        yield from _conversation(conversation, style)


# --- the name system ------------------------------------------------------------------------------------------------


def _lookups(lookups: Sequence[DnsLine], style: Style) -> Iterator[str]:
    """Name, type and answer in columns, or in running text where they do not fit."""
    terminal = style.terminal
    names = max(cell_width(each.name) for each in lookups)
    types = max(cell_width(each.rrtype) for each in lookups)
    has_columns = names + types + 30 <= terminal.width
    previous = ""
    for each in lookups:
        if has_columns:
            name = "" if each.name == previous else each.name
            first = f"  {pad(name, names)}  {pad(each.rrtype, types)}  "
            rest = " " * cell_width(first)
        else:
            first, rest = "  ", " " * 4
        previous = each.name
        remarks = writing.together((*each.remarks, duration(each.elapsed_s, style.language)), style.language)
        answers = _bounded(each.answers, style)
        joined = ", ".join(answers)
        answers = [joined] if cell_width(first + joined) <= terminal.width else answers
        if not has_columns:
            answers[0] = f"{each.name} {each.rrtype}  {answers[0]}"
        remarked = writing.aside(answers[-1], remarks, style.language)
        if cell_width(first + remarked) <= terminal.width:
            answers[-1] = remarked
        else:
            answers.append(writing.aside("", remarks, style.language).lstrip())
        for index, answer in enumerate(answers):
            lines = wrap(answer, terminal.width, first=rest if index else first, rest=rest + "  ")
            yield from painted(terminal, lines, rest if index else first, None, None if each.is_found else "dim")


# --- the conversations ----------------------------------------------------------------------------------------------


def _conversation(seen: ConversationView, style: Style) -> Iterator[str]:
    terminal = style.terminal
    first = terminal.sign("rule") * 2 + " "
    if not seen.is_connected:
        reasons = [line for step in seen.steps for line in (*step.lines, *(each.text for each in step.remarks))]
        text = writing.named(seen.title, writing.together(reasons, style.language), style.language)
        lines = wrap(text, terminal.prose, first=first, rest="   ")
        yield from painted(terminal, lines, first + seen.title, "bold")
        return
    for line in wrap(seen.title, terminal.prose, first=first, rest="   "):
        yield terminal.paint(line, "bold")
    for step in seen.steps:
        yield from _step(step, style)
    for note in seen.notes:
        yield from wrap(note, terminal.prose, first=f"{_margin(style)}== ", rest=f"{_margin(style)}   ")


def _margin(style: Style) -> str:
    """What stands before the arrows: nothing, or room for the times."""
    return " " * (10 if style.verbosity > 1 else 2)


def _step(step: Step, style: Style) -> Iterator[str]:
    """One step: who, what, and below it what it means."""
    is_exact = style.verbosity > 1
    terminal = style.terminal
    clock = f"{step.at_s:8.3f}  " if is_exact else _margin(style)
    first = f"{clock}{_ARROWS[step.kind, step.is_encrypted]} "
    rest = " " * len(first)
    paint = "bold" if step.kind is StepKind.SENT else "dim" if step.kind is StepKind.EVENT else None
    said = _noted(step, style)
    column = _note_column(said, style)
    for index, (line, note) in enumerate(said):
        head = rest if index else first
        lines = wrap(line, terminal.width, first=head, rest=rest + "  ")
        if note and column and len(lines) == 1:
            start = pad(lines[0], len(rest) + column) + "  "
            yield from painted(terminal, wrap(note, terminal.width, first=start), start, None, "dim")
        elif note:
            yield from painted(terminal, lines, head, None)
            yield from painted(terminal, wrap(note, terminal.width, first=rest + "    "), "", None, "dim")
        else:
            yield from painted(terminal, lines, head, "dim", step.severity or paint)
    for remark in step.remarks:
        text = writing.named(remark.name, remark.text, style.language) if remark.name else remark.text
        yield from _remark(text, remark.severity, style, rest + "  ")


def _noted(step: Step, style: Style) -> list[tuple[str, str]]:
    """The lines of a step, each with what is to be noted beside it."""
    is_exact = style.verbosity > 1
    language, terminal = style.language, style.terminal
    lines = list(step.raw if is_exact and step.raw else step.lines)
    hidden = 0 if is_exact else max(0, len(lines) - MAX_LINES)
    if not is_exact:
        lines = [cut(line, MAX_LINE_CELLS, terminal.sign("more")) for line in lines[:MAX_LINES]]
    if step.took_s is not None and step.took_s >= SLOW_S and lines:
        lines[-1] += " " + label(language, "conversation", "after", duration=duration(step.took_s, language))
    said = list(zip_longest(lines, step.notes[: len(lines)], fillvalue=""))
    if hidden:
        said.append((label(language, "section", "more-lines", count=hidden), ""))
    return said


def _note_column(said: Sequence[tuple[str, str]], style: Style) -> int:
    """How wide the lines with notes are; 0 where there is no room for the notes beside them."""
    width = min(max((cell_width(line) for line, note in said if note), default=0), MAX_NOTED_CELLS)
    return width if len(_margin(style)) + 3 + width + 2 + MIN_NOTE_CELLS <= style.terminal.width else 0


def _bounded(lines: Sequence[str], style: Style) -> list[str]:
    """Lines of somebody else, all of them only where the very bytes are wanted."""
    if style.verbosity > 1:
        return list(lines)
    shown = [cut(line, MAX_LINE_CELLS, style.terminal.sign("more")) for line in lines[:MAX_LINES]]
    if len(lines) > MAX_LINES:
        shown.append(label(style.language, "section", "more-lines", count=len(lines) - MAX_LINES))
    return shown


def _remark(text: str, severity: Severity, style: Style, indent: str) -> Iterator[str]:
    head, *others = _bounded(text.split("\n"), style)
    for line in wrap(head, style.terminal.prose, first=indent, rest=" " * (len(indent) + 2)):
        yield style.terminal.paint(line, severity)
    for other in others:
        for line in wrap(other, style.terminal.prose, first=" " * (len(indent) + 2), rest=" " * (len(indent) + 4)):
            yield style.terminal.paint(line, severity)
