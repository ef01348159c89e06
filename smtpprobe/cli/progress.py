"""One line on the terminal that says what is waited for, and leaves no trace."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import IO

from smtpprobe.evidence import Endpoint, Target
from smtpprobe.probing import Begun, Decided, Ended, Progress, Resolved
from smtpprobe.render.escaping import escape
from smtpprobe.render.layout import cut, describe_terminal

_ERASE = "\r\x1b[2K"
"""To the first column, then erase the line (ECMA-48 EL)."""


class _State:
    """How far one target has come."""

    def __init__(self) -> None:
        self.endpoints: tuple[Endpoint, ...] | None = None
        self.open: dict[Endpoint, None] = {}
        self.done = 0
        self.is_decided = False

    def take(self, progress: Progress) -> None:
        match progress:
            case Resolved(endpoints=endpoints):
                self.endpoints = endpoints
            case Begun(endpoint=endpoint):
                self.open[endpoint] = None
            case Ended(conversation=conversation):
                self.open.pop(conversation.endpoint, None)
                self.done += 1
            case Decided():
                self.is_decided = True

    def words(self, language: str) -> str:
        from smtpprobe.render import writing
        from smtpprobe.render.words import label

        if self.endpoints is None:
            return label(language, "progress", "resolving")
        if self.is_decided:
            return label(language, "progress", "closing")
        parts = [label(language, "progress", "running", done=self.done, total=len(self.endpoints))]
        waiting = next(iter(self.open), None)
        if waiting is not None:
            parts.append(label(language, "progress", "waiting", endpoint=waiting.id))
        return writing.together(parts, language)


class ProgressLine:
    """The line; where the stream is no terminal, there is none."""

    def __init__(self, targets: Sequence[Target], language: str, stream: IO[str] | None = None) -> None:
        self._targets = targets
        self._language = language
        self._stream = sys.stderr if stream is None else stream
        self._terminal = describe_terminal(self._stream)
        self._is_possible = self._stream.isatty()
        self._is_shown = False
        self._states: dict[int, _State] = {}
        self._due = 0

    def wait_for(self, number: int) -> None:
        """Tell of this target from now on."""
        if self._is_possible:
            self._states.pop(self._due - 1, None)
            self._due = number
            self._show()

    def take(self, number: int, progress: Progress) -> None:
        """Learn what happened to a target."""
        if self._is_possible:
            self._states.setdefault(number, _State()).take(progress)
            if number == self._due:
                self._show()

    def erase(self) -> None:
        """Leave the line as if nothing had been there."""
        if self._is_shown:
            self._write(_ERASE)
            self._is_shown = False

    def _show(self) -> None:
        from smtpprobe.render import writing
        from smtpprobe.render.words import label

        state = self._states.setdefault(self._due, _State())
        text = writing.named(escape(self._targets[self._due].text), state.words(self._language), self._language)
        if len(self._targets) > 1:
            count = label(self._language, "progress", "targets", done=self._due, total=len(self._targets))
            text = writing.clauses((count, text), self._language)
        self._write(_ERASE + cut(text, self._terminal.width - 1, self._terminal.sign("more")))
        self._is_shown = True

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
