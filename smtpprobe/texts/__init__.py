"""Every word that a person reads, by language.

``texts/<lang>/<room>.toml`` holds tables keyed by stable ids; each field of a table is one phrase. Facts are not here:
an RFC section or who must act stands once, in the reference, for all languages. English is complete by definition. A
language is offered as soon as its folder has every room that English has; a test then demands the same keys, fields
and placeholders. Until that, a translator works room by room, and ``python -m smtpprobe.texts LANGUAGE`` lists what is
still missing.

Reading is lazy, since one explanation needs a handful of phrases out of thousands: a file is cut at its table headers
and only the tables asked for are parsed. So a table header stands at the beginning of its line, and no line inside a
multi-line string may begin with ``[``; a test compares with parsing the whole file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache

from smtpprobe.errors import UnknownLanguageError

DEFAULT_LANGUAGE = "en"
ENVIRONMENT = ("SMTPPROBE_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
"""Where a language is looked for when none is asked for, first match first."""

RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})
"""Primary tags of languages that are written from right to left."""

FOLDER = os.path.dirname(__file__)
"""Where the languages are, each a folder of its own."""

_FIELD = re.compile(r'^(?:([A-Za-z0-9_-]+)|"([^"\n]+)") = (?:"""\n?(.*?)"""|"([^"\n]*)")$', re.MULTILINE | re.DOTALL)
"""A field without escapes, which most are; the body of a table is a few of them."""


@cache
def languages() -> tuple[str, ...]:
    """List the shipped languages as BCP 47 tags (``en``, ``pt-BR``, ``zh-Hans``), English first.

    A folder that lacks a room is a translation under way and not listed.
    """
    needed = frozenset(rooms(DEFAULT_LANGUAGE))
    return (DEFAULT_LANGUAGE, *(tag for tag in folders() if tag != DEFAULT_LANGUAGE and needed.issubset(rooms(tag))))


def folders() -> tuple[str, ...]:
    """List the languages that have a folder, whether complete or not, in alphabetic order."""
    return tuple(sorted(each.name for each in os.scandir(FOLDER) if each.is_dir() and rooms(each.name)))


def rooms(language: str) -> tuple[str, ...]:
    """List the rooms of a language in alphabetic order; empty if it has none."""
    try:
        names = os.listdir(os.path.join(FOLDER, language))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


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
    with open(os.path.join(FOLDER, language, f"{room}.toml"), encoding="utf-8") as file:
        tables = ("\n" + file.read()).split("\n[")[1:]
    sections = {}
    for table in tables:
        header, _, body = table.partition("\n")
        sections[header.partition("]")[0].strip().strip('"')] = body
    return sections


@cache
def entry(language: str, room: str, key: str) -> Mapping[str, str] | None:
    """Read one table: field -> phrase; None where the room has no such key.

    Raises:
        FileNotFoundError: there is no such room or language.
    """
    body = _sections(language, room).get(key)
    return None if body is None else _fields(body)


def _fields(body: str) -> dict[str, str]:
    """Read the body of a table. The plain form is read here, since importing a TOML parser takes as long as all the
    rest of an explanation; anything else is left to the parser."""
    fields: dict[str, str] = {}
    end = 0
    for field in _FIELD.finditer(body) if "\\" not in body else ():
        if not _is_blank(body[end : field.start()]):
            break
        fields[field[1] or field[2]] = field[4] if field[3] is None else field[3]
        end = field.end()
    if _is_blank(body[end:]):
        return fields
    import tomllib

    return tomllib.loads(body)


def _is_blank(text: str) -> bool:
    """Nothing but white space and comments."""
    return all(not line or line.startswith("#") for line in map(str.strip, text.split("\n")))


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


class _Blanks(dict[str, str]):
    """Parameters that are not known: each is shown as a blank to be filled."""

    def __missing__(self, key: str) -> str:
        return f"<{key}>"


def with_blanks(phrase: str) -> str:
    """Show the placeholders of a phrase as blanks to be filled: ``{host}`` as ``<host>``, and ``{{`` as ``{``."""
    return phrase.format_map(_Blanks())
