"""Every word that a person reads, by language.

``texts/<lang>/<room>.toml`` holds tables keyed by stable ids; each field of a table is one phrase. Facts are not here:
an RFC section or who must act stands once, in the reference, for all languages. English is complete by definition; a
language is shipped when it has the same rooms, keys, fields and placeholders, which a test demands.

Reading is lazy, since one explanation needs a handful of phrases out of thousands: a file is cut at its table headers
and only the tables asked for are parsed. So a table header stands at the beginning of its line, and no line inside a
multi-line string may begin with ``[``; a test compares with parsing the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from smtpprobe.errors import UnknownLanguageError

DEFAULT_LANGUAGE = "en"
ENVIRONMENT = ("SMTPPROBE_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
"""Where a language is looked for when none is asked for, first match first."""

_HERE = Path(__file__).parent
_HEADER = re.compile(r"^\[\s*(?:\"([^\"\n]+)\"|([A-Za-z0-9_-]+))\s*\][ \t]*(?:#[^\n]*)?$", re.MULTILINE)


@cache
def languages() -> tuple[str, ...]:
    """List the shipped languages as BCP 47 tags (``en``, ``pt-BR``, ``zh-Hans``), English first."""
    found = sorted(path.name for path in _HERE.iterdir() if path.is_dir() and any(path.glob("*.toml")))
    return (DEFAULT_LANGUAGE, *(tag for tag in found if tag != DEFAULT_LANGUAGE))


def match_language(wanted: str) -> str | None:
    """Find the shipped language for a tag or a locale name (``de``, ``de_AT.UTF-8``, ``zh-CN``); None if there is none.

    A locale without language (``C``, ``POSIX``) is English.
    """
    tag = wanted.split(".")[0].split("@")[0].replace("_", "-").strip().lower()
    if tag in ("c", "posix"):
        return DEFAULT_LANGUAGE
    by_tag = {language.lower(): language for language in languages()}
    if tag in by_tag:
        return by_tag[tag]
    primary = tag.split("-")[0]
    if primary == "zh" and any(part in tag.split("-") for part in ("tw", "hk", "mo", "hant")):
        return None  # Traditional readers are not served by Simplified characters.
    return next((language for lower, language in by_tag.items() if lower.split("-")[0] == primary), None)


def choose_language(option: str | None, environ: Mapping[str, str]) -> tuple[str, str | None]:
    """Choose the language: the option, else the first of `ENVIRONMENT` that is set, else English.

    Returns the language and, where the environment names one that is not shipped, that name for a note.

    Raises:
        UnknownLanguageError: the option names a language that is not shipped.
    """
    if option:
        language = match_language(option)
        if language is None:
            raise UnknownLanguageError(f"no texts in {option!r}; there are: {', '.join(languages())}")
        return language, None
    for variable in ENVIRONMENT:
        if wanted := environ.get(variable):
            language = match_language(wanted)
            return (language, None) if language else (DEFAULT_LANGUAGE, wanted)
    return DEFAULT_LANGUAGE, None


@cache
def _sections(language: str, room: str) -> dict[str, str]:
    """Cut a file at its table headers: key -> the TOML text of that table's body."""
    text = (_HERE / language / f"{room}.toml").read_text(encoding="utf-8")
    headers = list(_HEADER.finditer(text))
    ends = [header.start() for header in headers[1:]] + [len(text)]
    return {h[1] or h[2]: text[h.end() : end] for h, end in zip(headers, ends, strict=True)}


@cache
def entry(language: str, room: str, key: str) -> Mapping[str, str] | None:
    """Read one table: field -> phrase; None where the room has no such key.

    Raises:
        FileNotFoundError: there is no such room or language.
    """
    body = _sections(language, room).get(key)
    if body is None:
        return None
    import tomllib  # only when a text is needed: parsing a table is cheap, the import is not

    return tomllib.loads(body)


def keys(language: str, room: str) -> tuple[str, ...]:
    """List the keys of a room in file order."""
    return tuple(_sections(language, room))


def phrase(language: str, room: str, key: str, field: str, /, **params: object) -> str:
    """Read one phrase and fill its placeholders.

    Raises:
        KeyError: English has no such key or field, or a placeholder has no parameter: a defect of the caller.
    """
    table = entry(language, room, key)
    if table is None or field not in table:
        raise KeyError(f"{language}/{room}: [{key}] {field}")
    return table[field].format_map(params) if params else table[field]
