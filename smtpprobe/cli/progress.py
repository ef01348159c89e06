"""One line on the terminal that says what is waited for, and leaves no trace."""

from __future__ import annotations

import sys
from typing import IO

from smtpprobe.render.layout import Terminal, cut, describe_terminal

_ERASE = "\r\x1b[2K"
"""To the first column, then erase the line (ECMA-48 EL)."""


class ProgressLine:
    """The line; where stderr is no terminal, there is none."""

    def __init__(self, language: str, stream: IO[str] | None = None) -> None:
        self._language = language
        self._stream = sys.stderr if stream is None else stream
        self._terminal: Terminal = describe_terminal(self._stream)
        self._is_shown = False
        self.is_possible = self._stream.isatty()

    def show(self, text: str) -> None:
        """Put a text in place of the one before."""
        if self.is_possible:
            self._stream.write(_ERASE + cut(text, self._terminal.width - 1, self._terminal.sign("more")))
            self._stream.flush()
            self._is_shown = True

    def erase(self) -> None:
        """Leave the line as if nothing had been there."""
        if self._is_shown:
            self._stream.write(_ERASE)
            self._stream.flush()
            self._is_shown = False
