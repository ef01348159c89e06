"""``smtpprobe codes``: the tables of the code book as lists."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from smtpprobe.checks import KINDS
from smtpprobe.cli import main
from smtpprobe.reference import tables
from smtpprobe.render import codelist
from smtpprobe.render.codelist import Filter, Row, elsewhere, select
from smtpprobe.render.layout import Terminal, cell_width

HEAVY = {"asyncio", "dns", "aiosmtplib", "cryptography", "OpenSSL", "rich", "ssl", "msgspec", "json", "tomllib"}


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def ids(table: str, **wanted: str) -> list[str]:
    return [row.id for row in select(table, "en", Filter(**wanted))]


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["codes", "--format", "json", *arguments]) == 0
    read: dict[str, Any] = json.loads(capsys.readouterr().out)
    return read


@pytest.mark.parametrize(
    ("option", "keys"),
    [
        ([], list(tables.codes())),
        (["--enhanced"], list(tables.enhanced_codes())),
        (["--keywords"], list(tables.keywords())),
        (["--diagnoses"], list(tables.diagnoses())),
        (["--findings"], list(KINDS)),
    ],
)
def test_each_table_is_listed_whole_and_in_order(
    option: list[str], keys: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    listed = document(capsys, *option)
    assert listed["schema"] == "smtpprobe/codes/1"
    assert listed["table"] == (option[0][2:] if option else "codes")
    assert [entry["id"] for entry in listed["entries"]] == keys
    assert all(entry.get("meaning") or entry["title"] for entry in listed["entries"])


def test_the_list_has_a_heading_for_each_class_and_says_how_long_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codes", "--class", "3"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Code  Name                             Where",
        "",
        "3yz  go on",
        "334   Login goes on                    AUTH",
        "353   One reply per recipient follows  end of message",
        "354   Send the message                 DATA",
        "355   Resume at an offset              DATA",
        "",
        "entries: 4",
    ]


def test_every_class_that_the_list_has_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    for digit in {key[0] for key in tables.codes()}:
        assert {entry["id"][0] for entry in document(capsys, "--class", digit)["entries"]} == {digit}


def test_a_class_chooses_codes_by_their_first_digit() -> None:
    assert ids("codes", digit="4") == [key for key in tables.codes() if key[0] == "4"]


def test_a_step_chooses_codes_that_are_met_there_or_anywhere() -> None:
    found = ids("codes", digit="4", phase="rcpt")
    assert {"450", "450.rcpt", "452.recipients", "421"} <= set(found)
    assert "454.starttls" not in found
    assert "450.mail" not in found


@pytest.mark.parametrize(
    ("digit", "there", "missing"),
    [
        ("2", {"2.x.x", "x.7.x", "x.0.0", "x.1.5", "x.7.0"}, {"5.x.x", "x.1.1", "x.7.57"}),
        ("4", {"4.x.x", "x.2.2", "x.7.25", "x.4.8", "x.7.650-651"}, {"2.x.x", "x.1.5", "x.7.57"}),
        ("5", {"5.x.x", "x.1.1", "x.7.57", "x.0.0"}, {"4.x.x", "x.1.5", "x.7.650-651"}),
        ("3", set(), {"2.x.x", "x.7.x", "x.7.1", "x.0.0"}),
    ],
)
def test_a_class_chooses_enhanced_codes_that_can_have_it(digit: str, there: set[str], missing: set[str]) -> None:
    found = set(ids("enhanced", digit=digit))
    assert there <= found
    assert not missing & found


def test_a_class_that_was_asked_for_stands_in_the_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codes", "--enhanced", "--class", "4"]) == 0
    out = capsys.readouterr().out
    assert "\n4.7.1 " in out
    assert "\nx." not in out
    (row,) = (row for row in select("enhanced", "en", Filter()) if row.id == "x.7.1")
    assert row.cells["code"] == "x.7.1"


def test_a_class_leaves_only_its_own_basic_codes_beside_an_enhanced_one() -> None:
    (row,) = (row for row in select("enhanced", "en", Filter(digit="4")) if row.id == "x.7.1")
    assert row.cells["basic"] == "451, 454"


def test_a_search_wants_all_words_in_any_case_and_any_field() -> None:
    assert {"450", "450.rcpt", "451"} <= set(ids("codes", search="greylist"))
    assert ids("codes", search="GREYLIST rcpt Courier") == ["412"]
    assert ids("keywords", search="encrypted starttls") == ids("keywords", search="STARTTLS ENCRYPTED")
    assert ids("codes", search="421.greeting") == ["421.greeting"]
    assert ids("codes", search="nothing-has-this-word") == []


def test_a_search_finds_english_words_in_any_language(monkeypatch: pytest.MonkeyPatch) -> None:
    from smtpprobe import texts

    english = texts.entry
    monkeypatch.setattr(
        texts, "entry", lambda lang, room, key: english("en", room, key) if lang == "en" else {"title": "Graue Liste"}
    )
    assert [row.cells["title"] for row in select("diagnoses", "de", Filter(search="greylisted minutes graue"))] == [
        "Graue Liste"
    ] * len(ids("diagnoses", search="greylisted minutes"))


def test_a_search_counts_what_matches_in_the_other_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codes", "--keywords", "--search", "greylist"]) == 0
    nothing, _, others = capsys.readouterr().out.splitlines()
    assert nothing == "Nothing in this table matches."
    assert others.startswith("Matches in other tables: codes ")
    assert "--diagnoses " in others
    assert elsewhere("codes", "en", Filter()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--enhanced", "--keywords"], "one table at a time, not --enhanced and --keywords"),
        (["--keywords", "--class", "4"], "--class is for codes; the rows of --keywords have none"),
        (["--enhanced", "--phase", "rcpt"], "--phase is for reply codes; it cannot choose among --enhanced"),
        (["--phase", "lunch"], "'lunch' is not one of connect"),
        (["421"], "Got unexpected extra argument (421)"),
    ],
)
def test_a_choice_that_makes_no_sense_ends_with_status_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["codes", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err


@pytest.mark.parametrize("table", codelist.TABLES)
@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_cut(table: str, width: int) -> None:
    rows = select(table, "en", Filter())
    out = list(codelist.text(rows, "en", Terminal(width=width)))
    assert max(map(cell_width, out)) <= width
    shown = "".join("".join(out).split())
    assert all("".join(cell.split()) in shown for cell in (rows[0].id, rows[-1].id))
    assert "…" not in shown


def test_wide_characters_line_up() -> None:
    cells = ({"code": "421", "name": "服务不可用", "where": "问候"}, {"code": "450", "name": "x", "where": "问候"})
    out = list(codelist.text([Row(cell["code"], "", cell, {}, "") for cell in cells], "en", Terminal()))
    assert len({cell_width(line[: line.index("问候")]) for line in out[1:]}) == 1


@pytest.mark.parametrize("table", codelist.TABLES)
def test_markdown_is_a_table(table: str) -> None:
    rows = select(table, "en", Filter())
    out = list(codelist.markdown(rows, "en"))
    assert len(out) == len(rows) + 2
    assert len({line.replace("\\|", "").count("|") for line in out}) == 1


def test_titles_of_findings_show_their_parameters_as_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    entries = document(capsys, "--findings")["entries"]
    assert not any("{" in entry["title"] for entry in entries)
    assert any("<" in entry["title"] for entry in entries)
    assert not any("{{" in entry["fix"] or "}}}" in entry["fix"] for entry in entries if "fix" in entry)
    assert all(entry["severities"] for entry in entries)


@pytest.mark.parametrize("option", ["--enhanced", "--keywords", "--class=4", "--search=greylist"])
def test_listing_imports_nothing_that_it_does_not_need(option: str) -> None:
    program = (
        "import sys; from smtpprobe.cli import main; status = main(['codes', sys.argv[1]]);"
        "print(status, *sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program, option], capture_output=True, text=True, timeout=60)
    status, *modules = ended.stderr.split()
    assert status == "0"
    assert (HEAVY - {"tomllib"}).isdisjoint(modules)
