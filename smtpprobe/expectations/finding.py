"""Which file of a folder says what is expected. Most folders have none, and learn so at once."""

from __future__ import annotations

import os
import re
from typing import Final

FILE: Final = "smtpprobe.toml"
PYPROJECT: Final = "pyproject.toml"
PYPROJECT_TABLE: Final = ("tool", "smtpprobe")

MAX_BYTES: Final = 4 * 1024 * 1024
"""A larger file is none that a person wrote."""

_MAY_HAVE_TABLE: Final = re.compile(rb"""tool["']?[ \t]*(?:[\]=]|\.[ \t]*["']?smtpprobe)|\\[uU]""")
"""How our table can be written: both keys with a dot between, or the first alone, or an escape, which can be all."""


def find_config(folder: str = ".") -> str | None:
    """Find the file of a folder: ``smtpprobe.toml``, else a ``pyproject.toml`` with our table; None without either."""
    own = os.path.join(folder, FILE)
    if os.path.isfile(own):
        return os.path.normpath(own)
    other = os.path.join(folder, PYPROJECT)
    try:
        with open(other, "rb") as stream:
            data = stream.read(MAX_BYTES)
    except OSError:
        return None
    return os.path.normpath(other) if _has_table(data) else None


def _has_table(data: bytes) -> bool:
    """Tell whether a ``pyproject.toml`` has our table, however it is written; one that is no TOML may mean it to.

    A project that uses us names us elsewhere, too, and is not worth a parser for that.
    """
    if not _MAY_HAVE_TABLE.search(data):
        return False
    import tomllib

    try:
        found = tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return b"[tool.smtpprobe" in data
    tools = found.get("tool")
    return isinstance(tools, dict) and "smtpprobe" in tools
