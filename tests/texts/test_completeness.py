"""Every shipped language says everything that English says, in a form that is read as it is meant."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from smtpprobe import texts
from smtpprobe.checks import KINDS
from smtpprobe.reference import tables, wordtables
from smtpprobe.reference.compare import pair_key, side
from smtpprobe.texts.gaps import gaps, placeholders, read, room_gaps

SHOWN = 30
"""So many gaps are named; a translator who has more works with ``python -m smtpprobe.texts``."""


def test_a_room_has_the_keys_fields_placeholders_and_steps_of_english(language: str, room: str) -> None:
    found = [str(gap) for gap in (room_gaps(language, room) if room in texts.rooms(language) else gaps(language))]
    more = f"\n... and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    assert not found, "\n".join(["", *found[:SHOWN]]) + more


def test_a_room_read_table_by_table_is_the_same_as_the_parsed_file(language: str, room: str) -> None:
    if room not in texts.rooms(language):
        pytest.skip("not translated yet")
    cut = {key: texts.entry(language, room, key) for key in texts.keys(language, room)}
    assert cut == read(language, room)


@pytest.mark.parametrize("language", texts.languages())
def test_a_language_has_no_room_that_english_lacks(language: str) -> None:
    assert texts.rooms(language) == texts.rooms(texts.DEFAULT_LANGUAGE)


TABLES: dict[str, Iterable[str]] = {
    "replies": (*tables.codes(), "1xx", "2xx", "3xx", "4xx", "5xx", "xxx"),
    "enhanced": tables.enhanced_codes(),
    "diagnoses": tables.diagnoses(),
    "keywords": tables.keywords(),
    "findings": KINDS,
}


@pytest.mark.parametrize("room", TABLES)
def test_every_row_of_a_table_has_words_and_no_words_are_left_over(room: str) -> None:
    rows, written = set(TABLES[room]), set(texts.keys(texts.DEFAULT_LANGUAGE, room))
    assert not rows - written, f"{room}.toml lacks {sorted(rows - written)}"
    assert not written - rows, f"{room}.toml has words of no row: {sorted(written - rows)}"


def test_notes_are_on_wordings_that_the_tables_have() -> None:
    unknown = set(texts.keys(texts.DEFAULT_LANGUAGE, "patterns")) - set(wordtables.patterns())
    assert not unknown


def test_pairs_that_are_compared_in_words_are_codes_that_the_tables_have() -> None:
    for key in texts.keys(texts.DEFAULT_LANGUAGE, "compare"):
        a, b = (side(code) for code in key.split("-"))
        assert (a.is_known, b.is_known) == (True, True), key
        assert pair_key(b, a) == key


FIELDS = {
    "replies": {"name", "meaning", "when", "fix"},
    "enhanced": {"name", "meaning"},
    "diagnoses": {"title", "meaning", "sender", "receiver"},
    "keywords": {"meaning"},
    "contradictions": {"meaning"},
    "patterns": {"note"},
    "compare": {"summary", "use", "server"},
}


@pytest.mark.parametrize("room", FIELDS)
def test_every_table_of_a_room_has_the_fields_that_are_shown(room: str) -> None:
    wrong = {key: set(fields) for key, fields in read("en", room).items() if set(fields) != FIELDS[room]}
    assert not wrong


def test_words_of_the_code_book_have_no_placeholders() -> None:
    """They are shown as they are: a brace in a setting must not look like one."""
    for room in FIELDS:
        for key, fields in read("en", room).items():
            assert not any(placeholders(phrase) for phrase in fields.values()), (room, key)


def test_the_names_of_codes_fit_a_table() -> None:
    for key, fields in read("en", "replies").items():
        assert 1 <= len(fields["name"].split()) <= 7, key
        assert not fields["name"].endswith("."), key


# --- how gaps are found ---------------------------------------------------------------------------------------------

ENGLISH = """\
# words
[first]
title = "Wait for {count} of the servers to answer"
fix = \"\"\"
Do this.
Then that.\"\"\"
meaning = "After 421 see smtpd_timeout and --deadline (RFC 5321 4.5)"

["421.greeting"]
title = "Closed"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A world of texts with one English room."""
    monkeypatch.setattr(texts, "FOLDER", str(tmp_path))
    forget()
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "room.toml").write_text(ENGLISH, encoding="utf-8")
    (tmp_path / "de").mkdir()
    yield tmp_path
    forget()


def forget() -> None:
    for cached in (texts.languages, texts.entry, texts._sections):
        cached.cache_clear()


def german(folder: Path, old: str = "", new: str = "") -> list[str]:
    """The gaps of a translation that is right but for one replacement."""
    text = ENGLISH.replace("Wait for {count} of the servers to answer", "Auf {count} warten").replace("After", "Nach")
    assert old in text
    (folder / "de" / "room.toml").write_text(text.replace(old, new), encoding="utf-8")
    forget()
    return [str(gap) for gap in gaps("de")]


def test_a_complete_translation_has_no_gaps_and_is_listed(folder: Path) -> None:
    assert german(folder) == []
    assert texts.languages() == ("en", "de")


def test_a_language_without_all_rooms_is_not_listed_but_has_a_folder(folder: Path) -> None:
    german(folder)
    (folder / "en" / "other.toml").write_text('[a]\nb = "c"\n', encoding="utf-8")
    forget()
    assert (texts.languages(), texts.folders()) == (("en",), ("de", "en"))
    assert [str(gap) for gap in gaps("de")] == ["de/other.toml: the file is missing"]


@pytest.mark.parametrize(
    ("old", "new", "gap"),
    [
        ('["421.greeting"]\ntitle = "Closed"\n', "", "[421.greeting]: missing"),
        ('title = "Closed"\n', "", "[421.greeting] title: missing"),
        ('"Closed"\n', '"Closed"\nmore = "Mehr"\n', "[421.greeting] more: English has no such field"),
        ('["421.greeting"]', '[other]\na = "b"\n["421.greeting"]', "[other]: English has no such table"),
        ("{count}", "{number}", "[first] title: placeholders {number} instead of {count}"),
        (
            "Auf {count} warten",
            "Auf {count warten",
            "[first] title: broken placeholder: expected '}' before end of string",
        ),
        ("Do this.\nThen that.", "Alles.", "[first] fix: lines: 1 instead of 2; each line is a step"),
        ("Then that.", "Then that. ", "[first] fix: blanks or empty lines at the beginning or the end"),
        ('"Closed"', '""', "[421.greeting] title: empty"),
        ("Nach 421 see", "Nach 451 see", "[first] meaning: without 421"),
        ("smtpd_timeout", "smtpd", "[first] meaning: without smtpd_timeout"),
        ("--deadline (RFC 5321 4.5)", "(RFC 5321)", "[first] meaning: without --deadline, 4.5"),
        ("Auf {count} warten", "Wait for {count} of the servers to answer", "[first] title: still in English"),
        (
            "Then that.",
            "[so] that.",
            ": no line inside a text may begin with '[', and a header stands on its own line",
        ),
    ],
)
def test_a_gap_is_named_by_language_room_key_and_field(folder: Path, old: str, new: str, gap: str) -> None:
    joint = "" if gap.startswith(":") else " "
    assert f"de/room.toml{joint}{gap}" in german(folder, old, new)


def test_a_room_that_is_no_toml_is_one_gap(folder: Path) -> None:
    (found,) = german(folder, 'title = "Closed"', 'title = "Closed')
    assert found.startswith("de/room.toml: not readable as TOML: ")


def test_the_program_for_translators_names_gaps_and_ends_with_status_1() -> None:
    ended = subprocess.run([sys.executable, "-m", "smtpprobe.texts", "tlh"], capture_output=True, text=True, timeout=60)
    lines = ended.stdout.splitlines()
    assert (ended.returncode, lines[0]) == (1, "tlh/book.toml: the file is missing")
    assert lines[-1] == f"tlh: gaps: {len(texts.rooms('en'))}"
