"""What a translation lacks, or has too much, against English: for translators and for the tests.

A gap is named by language, room, key and field, so that it is found at once. Nothing here judges style; only what can
be counted is compared: rooms, keys, fields, placeholders, the number of lines where a line is a step, and what is the
same in every language: codes, other numbers, settings and options.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Final, NamedTuple

from smtpprobe import texts

MIN_SENTENCE: Final = 6
"""Words. A phrase of so many that is the same as in English has been forgotten; shorter ones may be names."""

_SENTENCE: Final = re.compile(r"[A-Za-z']+ [a-z']+ [a-z']+ [a-z']+")
"""Four words of running English; commands and settings have none."""

_FIXED: Final = re.compile(r"\d+(?:\.\d+)+|\d{2,}|[a-z]+_[a-z_]+|--[a-z]+(?:-[a-z]+)*")
"""Codes and numbers, as ``550``, ``5.7.1`` and ``RFC 5321 4.2``; settings, as ``smtp_helo_name``; options."""

Tables = Mapping[str, Mapping[str, str]]


class Gap(NamedTuple):
    """One thing that differs from English where it must not."""

    language: str
    room: str
    key: str
    """Empty where the whole room is meant."""
    field: str
    """Empty where the whole table is meant."""
    problem: str

    def __str__(self) -> str:
        place = f"{self.language}/{self.room}.toml"
        if self.key:
            place += f" [{self.key}]"
        if self.field:
            place += f" {self.field}"
        return f"{place}: {self.problem}"


def gaps(language: str) -> Iterator[Gap]:
    """Compare a language with English, room by room, in the order of the English files."""
    there = texts.rooms(language)
    for room in texts.rooms(texts.DEFAULT_LANGUAGE):
        if room not in there:
            yield Gap(language, room, "", "", "the file is missing")
            continue
        yield from room_gaps(language, room)
    for room in there:
        if room not in texts.rooms(texts.DEFAULT_LANGUAGE):
            yield Gap(language, room, "", "", "English has no such file")


def room_gaps(language: str, room: str) -> Iterator[Gap]:
    """Compare one room of a language with English."""
    english = read(texts.DEFAULT_LANGUAGE, room)
    try:
        tables = read(language, room)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        yield Gap(language, room, "", "", f"not readable as TOML: {error}")
        return
    yield from _form_gaps(language, room, tables)
    for key, fields in english.items():
        if key not in tables:
            yield Gap(language, room, key, "", "missing")
            continue
        yield from _table_gaps(language, room, key, fields, tables[key])
    for key in tables:
        if key not in english:
            yield Gap(language, room, key, "", "English has no such table")


def read(language: str, room: str) -> Tables:
    """Parse a whole room with the TOML parser.

    Raises:
        tomllib.TOMLDecodeError: it is not TOML.
    """
    with open(os.path.join(texts.FOLDER, language, f"{room}.toml"), "rb") as file:
        return tomllib.load(file)


def placeholders(phrase: str) -> tuple[str, ...]:
    """List the placeholders of a phrase, sorted: ``{count}`` is ``count``.

    Raises:
        ValueError: a brace is not closed.
    """
    return tuple(sorted({name for _, name, _, _ in Formatter().parse(phrase) if name is not None}))


def _form_gaps(language: str, room: str, tables: Tables) -> Iterator[Gap]:
    """What would make reading table by table differ from parsing the file."""
    if tuple(tables) != texts.keys(language, room):
        yield Gap(
            language, room, "", "", "no line inside a text may begin with '[', and a header stands on its own line"
        )
        return
    for key, fields in tables.items():
        if not isinstance(fields, dict) or not all(isinstance(phrase, str) for phrase in fields.values()):
            yield Gap(language, room, key, "", "must be a table of texts")
        elif texts.entry(language, room, key) != fields:
            yield Gap(language, room, key, "", "reads differently by itself than within the file")


def _table_gaps(
    language: str, room: str, key: str, english: Mapping[str, str], fields: Mapping[str, str]
) -> Iterator[Gap]:
    for field, phrase in english.items():
        if field not in fields:
            yield Gap(language, room, key, field, "missing")
        elif problem := _phrase_problem(phrase, fields[field], is_english=language == texts.DEFAULT_LANGUAGE):
            yield Gap(language, room, key, field, problem)
    for field in fields:
        if field not in english:
            yield Gap(language, room, key, field, "English has no such field")


def _phrase_problem(english: str, phrase: str, *, is_english: bool) -> str | None:
    if english and not phrase.strip():
        return "empty"
    if phrase != phrase.strip("\n") or any(line != line.strip() for line in phrase.split("\n")):
        return "blanks or empty lines at the beginning or the end"
    try:
        wanted, found = placeholders(english), placeholders(phrase)
    except ValueError as error:
        return f"broken placeholder: {error}"
    if wanted != found:
        return f"placeholders {_braced(found)} instead of {_braced(wanted)}"
    if (lines := len(english.split("\n"))) != len(phrase.split("\n")):
        return f"lines: {len(phrase.split(chr(10)))} instead of {lines}; each line is a step"
    if missing := [word for word in dict.fromkeys(_FIXED.findall(english)) if word not in phrase]:
        return f"without {', '.join(missing)}"
    if not is_english and phrase == english and len(phrase.split()) >= MIN_SENTENCE and _SENTENCE.search(phrase):
        return "still in English"
    return None


def _braced(names: tuple[str, ...]) -> str:
    return ", ".join(f"{{{name}}}" for name in names) or "(none)"
