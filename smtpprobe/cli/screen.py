"""Where a watch is shown: a table redrawn in place on a terminal, else lines that follow each other."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Sequence
from typing import IO, Protocol

from smtpprobe.evidence import Target
from smtpprobe.render.layout import Terminal, describe_terminal
from smtpprobe.render.watch import MAX_RECENT, Row, change_line, ndjson_line, said, table
from smtpprobe.report import Severity
from smtpprobe.watching import Change, Sighting

DEFAULT_HEIGHT = 24


class Screen(Protocol):
    """What a watch is shown on."""

    def begin(self) -> None:
        """Show that it has begun."""

    def take(self, number: int, sighting: Sighting, change: Change | None, pause_s: float) -> None:
        """Show a probe of the target with that number."""

    def end(self, word: str) -> None:
        """Say how it ended, in a field of the texts ``ending``."""


class Lines:
    """A line for every change, in words."""

    def __init__(self, language: str, terminal: Terminal, stream: IO[str]) -> None:
        self._language = language
        self._terminal = terminal
        self._stream = stream

    def begin(self) -> None:
        """Nothing is known yet."""

    def take(self, number: int, sighting: Sighting, change: Change | None, pause_s: float) -> None:
        """Say what is new."""
        if change is not None:
            print(change_line(sighting, change, language=self._language, terminal=self._terminal), file=self._stream)
            self._stream.flush()

    def end(self, word: str) -> None:
        """Say how it ended."""
        print(said(self._language, "ending", word), file=self._stream, flush=True)


class Ndjson:
    """A line for every probe, for programs."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._counts: dict[int, int] = {}

    def begin(self) -> None:
        """Nothing is known yet."""

    def take(self, number: int, sighting: Sighting, change: Change | None, pause_s: float) -> None:
        """Write the probe down."""
        count = self._counts[number] = self._counts.get(number, 0) + 1
        self._stream.write(ndjson_line(sighting, change, number=count, next_s=pause_s))
        self._stream.flush()

    def end(self, word: str) -> None:
        """The exit status tells it."""


class LiveTable:
    """The table, with the changes above it, which scroll away."""

    def __init__(self, targets: Sequence[Target], every_s: float, language: str, stream: IO[str]) -> None:
        self._rows = [Row(each.text) for each in targets]
        self._recent: list[deque[Severity]] = [deque(maxlen=MAX_RECENT) for _ in targets]
        self._every_s = every_s
        self._language = language
        self._stream = stream
        self._probes = 0
        self._height = 0
        """Lines of the table that stand on the screen."""

    def begin(self) -> None:
        """Draw it without results."""
        self._draw("")

    def take(self, number: int, sighting: Sighting, change: Change | None, pause_s: float) -> None:
        """Draw it anew, below a line for what has changed since the probe before."""
        self._probes += 1
        self._recent[number].append(sighting.status)
        self._rows[number] = Row(self._rows[number].target, tuple(self._recent[number]), sighting, pause_s)
        if change is None or change.before is None:  # how it begins is to be seen in the table
            self._draw("")
        else:
            terminal = describe_terminal(self._stream)
            self._draw(change_line(sighting, change, language=self._language, terminal=terminal) + "\n")

    def end(self, word: str) -> None:
        """Leave the table, and say how it ended."""
        # A terminal has perhaps shown ^C here.
        self._stream.write(f"\r\x1b[K{said(self._language, 'ending', word)}\n")
        self._stream.flush()

    def _draw(self, above: str) -> None:
        terminal, height = _size(self._stream)
        lines = table(
            self._rows, every_s=self._every_s, probes=self._probes, language=self._language, terminal=terminal,
            height=height,
        )  # fmt: skip
        # Up to the first line of the last table and erase all below (ECMA-48 CPL, ED).
        back = f"\x1b[{self._height}F\x1b[J" if self._height else ""
        self._stream.write(back + above + "".join(f"{line}\n" for line in lines))
        self._stream.flush()
        self._height = len(lines)


def _size(stream: IO[str]) -> tuple[Terminal, int]:
    """The terminal as it is now, and its height. A line that wraps could not be drawn over, so the width is the real
    one, however narrow; COLUMNS can make it less."""
    terminal = describe_terminal(stream)
    try:
        columns, height = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        columns, height = 0, 0
    width = min(terminal.width, columns) if columns else terminal.width
    wanted = os.environ.get("COLUMNS", "")
    if wanted.isdecimal() and int(wanted) > 0:
        width = min(width, int(wanted))
    return terminal._replace(width=width), height or DEFAULT_HEIGHT


def make_screen(format: str | None, targets: Sequence[Target], every_s: float, language: str) -> Screen:
    """Choose: by the format, else by what stdout is."""
    stream = sys.stdout
    is_terminal = stream.isatty()
    if (format or ("text" if is_terminal else "ndjson")) == "ndjson":
        return Ndjson(stream)
    if is_terminal and os.environ.get("TERM") != "dumb":
        return LiveTable(targets, every_s, language, stream)
    return Lines(language, describe_terminal(stream), stream)
