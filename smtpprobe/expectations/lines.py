"""On which line of a TOML file a key stands.

No reader of TOML for Python keeps positions beyond a syntax error (tomllib, tomli and tomlkit give none), so the lines
are found in a second look at a text that is known to be TOML. It knows table headers, dotted keys, strings of several
lines and arrays of several lines; what is inside an inline value has the line on which its key begins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress

Path = tuple[str, ...]

_PART = r'(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|\'[^\']*\')'
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")
_HEADER = re.compile(rf"\s*\[\[?\s*({_PART}(?:\s*\.\s*{_PART})*)\s*\]\]?")
_PARTS = re.compile(_PART)
_TOKEN = re.compile(r'"""|\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#|[\[\]{}]')


def lines_of(text: str) -> Mapping[Path, int]:
    """Map the path of each table and key to its line, counted from 1; the first mention counts.

    The tables of an array of tables are numbered from 1, as text.
    """
    found: dict[Path, int] = {}
    elements: dict[Path, int] = {}
    table: Path = ()
    depth, closing = 0, ""
    for number, line in enumerate(text.split("\n"), start=1):  # what else ends a line is text to TOML
        rest = line
        if depth == 0 and not closing:
            header = _HEADER.match(line)
            key = None if header else _KEY.match(line)
            if header is not None:
                table = _path(header[1])
                for length in range(1, len(table) + 1):
                    found.setdefault(table[:length], number)
                if line.lstrip().startswith("[["):
                    elements[table] = elements.get(table, 0) + 1
                    table = (*table, str(elements[table]))
                    found[table] = number
                continue
            if key is not None:
                path = (*table, *_path(key[1]))
                for length in range(len(table) + 1, len(path) + 1):
                    found.setdefault(path[:length], number)
                rest = line[key.end() :]
        depth, closing = _after(rest, depth, closing)
    return found


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """The line of a path, or of the nearest thing around it; 1 where nothing is."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), 1)


def _path(text: str) -> Path:
    return tuple(map(_unquoted, _PARTS.findall(text)))


def _unquoted(part: str) -> str:
    if part.startswith('"') and "\\" in part:
        import tomllib

        with suppress(tomllib.TOMLDecodeError):
            return str(tomllib.loads(f"key = {part}")["key"])
    return part[1:-1] if part[0] in "\"'" else part


def _after(text: str, depth: int, closing: str) -> tuple[int, str]:
    """How deep in brackets, and in which string of several lines, the end of a line is."""
    at = 0
    while at < len(text):
        if closing:
            end = text.find(closing, at)
            if end < 0:
                return depth, closing
            at, closing = end + 3, ""
            continue
        token = _TOKEN.search(text, at)
        if token is None or token[0] == "#":
            break
        at = token.end()
        if token[0] in ('"""', "'''"):
            closing = token[0]
        elif token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
    return max(0, depth), closing
