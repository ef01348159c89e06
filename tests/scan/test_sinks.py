"""Where results go: what was written is there, whole, and no server's word becomes a formula."""

from __future__ import annotations

import csv
import errno
import io
import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtpprobe.errors import OptionError
from smtpprobe.evidence import Phase, TargetKind
from smtpprobe.scan import sinks
from smtpprobe.scan.claims import Grouping
from smtpprobe.scan.columns import COLUMNS, flat, parse_fields
from smtpprobe.scan.counting import overview_of
from smtpprobe.scan.overview import Shares
from smtpprobe.scan.results import Result, decode_result
from smtpprobe.scan.sinks import Lines, Nothing, write_parquet, write_sqlite
from tests.scan.made import certificate, full, good, refused, result, silent, town

RESULTS = [*town(), *full()]


def encoded(results: list[Result]) -> list[bytes]:
    return [msgspec.json.encode(each) for each in results]


def as_csv(results: list[Result], fields: tuple[str, ...] | None = None) -> list[dict[str, str]]:
    stream = io.BytesIO()
    Lines(stream, is_csv=True, fields=fields).write(encoded(results))
    return list(csv.DictReader(io.StringIO(stream.getvalue().decode(), newline="")))


# --- rows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", RESULTS, ids=lambda each: each.target)
def test_every_column_has_its_kind_in_every_row(each: Result) -> None:
    row = flat(each)
    assert list(row) == list(COLUMNS)
    assert all(value is None or isinstance(value, COLUMNS[name]) for name, value in row.items())


def test_a_row_tells_the_worst_of_the_servers() -> None:
    mixed = result(
        "example.org",
        good("192.0.2.1", tls="TLSv1.3"),
        good("192.0.2.2", tls="TLSv1.2", certificate=certificate(is_chain_trusted=False)),
        good("192.0.2.3", starttls=False, tls=None, certificate=None),
        silent(),
        refused(554, Phase.GREETING, enhanced="5.7.1", category="policy"),
    )
    row = flat(mixed)
    assert (row["addresses"], row["reachable"]) == (5, 3)
    assert (row["starttls"], row["tls"], row["is_trusted"]) == (False, None, False)
    assert (row["code"], row["enhanced"], row["category"], row["failure"]) == (554, "5.7.1", "policy", "timeout")
    assert flat(result("x", good(), good("192.0.2.2", tls="TLSv1.2")))["tls"] == "TLSv1.2"
    nothing = flat(result("x", silent()))
    assert [nothing[each] for each in ("starttls", "tls", "is_trusted", "not_after", "code")] == [None] * 5


def test_what_is_asked_of_the_rows_adds_up_to_the_overview() -> None:
    rows, seen = [flat(each) for each in RESULTS], overview_of(RESULTS)

    def counted(shares: Shares) -> dict[str | None, int]:
        return {row.id: row.count for row in shares.rows if row.count}

    def asked(column: str) -> dict[str | None, int]:
        return dict(Counter(row[column] for row in rows if row[column] is not None))

    assert asked("outcome") == counted(seen.outcomes)
    assert asked("dane") == counted(seen.dane)
    assert asked("mta_sts") == counted(seen.mta_sts)
    assert sum(row["reachable"] > 0 for row in rows) == counted(seen.reachability)["reachable"]
    assert sum(row["starttls"] is True for row in rows) == counted(seen.starttls)["all"]
    assert sum(row["starttls"] is not None for row in rows) == seen.starttls.of
    groups = overview_of(RESULTS, group_by=Grouping.TLD).groups
    assert groups is not None
    assert sum(row["is_trusted"] is True for row in rows) == sum(group.trusted for group in groups.rows)
    assert sum(row["is_trusted"] is not None for row in rows) == sum(group.with_certificate for group in groups.rows)


# --- fields ---------------------------------------------------------------------------------------------------------


def test_fields_are_named_once_each_in_the_order_asked_for() -> None:
    assert parse_fields(None) is None
    assert parse_fields("tls, target,tls,") == ("tls", "target")
    for text in ("target,nope", "", " , "):
        with pytest.raises(OptionError, match="the fields are line, target"):
            parse_fields(text)


def test_only_the_fields_asked_for_are_written() -> None:
    stream = io.BytesIO()
    Lines(stream, fields=("target", "tls")).write(encoded(town()[:2]))
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"target": "alpha.example", "tls": "TLSv1.3"},
        {"target": "beta.example", "tls": "TLSv1.3"},
    ]
    assert [list(row.values()) for row in as_csv(town()[:1], ("outcome", "line"))] == [["ok", "1"]]


# --- lines ----------------------------------------------------------------------------------------------------------


def test_ndjson_is_the_results_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.ndjson"
    sink = Lines.to_file(str(path))
    sink.write(encoded(RESULTS[:3]))
    sink.write([])
    assert sink.length() == path.stat().st_size
    sink.write(encoded(RESULTS[3:]))
    sink.close()
    assert [decode_result(line) for line in path.read_bytes().splitlines()] == RESULTS


@pytest.mark.parametrize("is_csv", [False, True])
def test_going_on_cuts_what_was_not_committed(tmp_path: Path, is_csv: bool) -> None:
    path, whole = tmp_path / "out", tmp_path / "whole"
    for to, parts in ((whole, [RESULTS]), (path, [RESULTS[:4]])):
        sink = Lines.to_file(str(to), is_csv=is_csv)
        for part in parts:
            sink.write(encoded(part))
        kept = sink.length()
        sink.close()
    with path.open("ab") as stream:
        stream.write(encoded(RESULTS)[4][:50])
    sink = Lines.to_file(str(path), is_csv=is_csv, keep=kept)
    assert sink.length() == kept
    sink.write(encoded(RESULTS[4:]))
    sink.close()
    assert path.read_bytes() == whole.read_bytes()


def test_a_file_that_became_shorter_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"x")
    with pytest.raises(OptionError, match="shorter than the scan left it"):
        Lines.to_file(str(path), keep=2)
    with pytest.raises(OptionError, match="shorter"):
        Lines.to_file(str(tmp_path / "gone"), keep=2)
    assert path.read_bytes() == b"x"


class Full(io.BytesIO):
    """A disk with room for so many bytes."""

    room = 100

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_a_full_disk_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match="No space") as raised:
        Lines(Full()).write(encoded(RESULTS))
    assert raised.value.errno == errno.ENOSPC


def test_nothing_takes_everything() -> None:
    sink = Nothing()
    sink.write(encoded(RESULTS))
    assert sink.length() == 0
    sink.close()


# --- CSV ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_no_word_becomes_a_formula(start: str) -> None:
    [row] = as_csv([result("x", good(software=f"{start}cmd|' /C calc'!A0"), provider=f"{start}1+1")])
    assert row["software"].startswith("'" + start)
    assert row["provider"] == f"'{start}1+1"


@given(st.text(max_size=50))
@example("\r=1+1")
@example('",\n\r\0')
def test_whatever_a_server_calls_itself_stays_in_its_cell(software: str) -> None:
    rows = as_csv([result("a.example", good(software=software)), result("b.example")], ("software", "target"))
    assert [each["target"] for each in rows] == ["a.example", "b.example"]
    assert rows[0]["software"].removeprefix("'") == software.replace("\r", " ").removeprefix("'")
    assert not rows[0]["software"].startswith(("=", "+", "-", "@", "\t", "\r"))


def test_claims_are_true_false_or_empty() -> None:
    rows = as_csv([result("a", good()), result("b", good(starttls=False, tls=None)), result("c", silent())])
    assert [each["starttls"] for each in rows] == ["true", "false", ""]


# --- tables ---------------------------------------------------------------------------------------------------------


def sqlite_rows(path: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as db, db:
        db.row_factory = sqlite3.Row
        rows = [dict(row) for row in db.execute("SELECT * FROM result")]
    db.close()
    return rows


def parquet_rows(path: Path) -> list[dict[str, Any]]:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


TABLES = [
    pytest.param(write_sqlite, sqlite_rows, "json", id="sqlite"),
    pytest.param(write_parquet, parquet_rows, "result", id="parquet"),
]


@pytest.mark.parametrize(("write", "read", "whole"), TABLES)
@pytest.mark.parametrize("fields", [None, ("target", "is_null_mx", "code")])
def test_a_table_has_its_columns_and_the_whole_results(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[..., None],
    read: Callable[[Path], list[dict[str, Any]]],
    whole: str,
    fields: tuple[str, ...] | None,
) -> None:
    monkeypatch.setattr(sinks, "ROWS_AT_ONCE", 4)
    path = tmp_path / "table"
    write(str(path), iter(encoded(RESULTS)), fields)
    rows = read(path)
    assert [decode_result(row.pop(whole)) for row in rows] == RESULTS
    names = fields or tuple(COLUMNS)
    assert rows == [{each: flat(one)[each] for each in names} for one in RESULTS]
    assert [each.name for each in tmp_path.iterdir()] == ["table"]


@pytest.mark.parametrize(("write", "read", "whole"), TABLES)
def test_a_table_of_nothing_has_its_columns(
    tmp_path: Path, write: Callable[..., None], read: Callable[[Path], list[dict[str, Any]]], whole: str
) -> None:
    write(str(tmp_path / "table"), iter(()), None)
    assert read(tmp_path / "table") == []


@pytest.mark.parametrize(("write", "read", "whole"), TABLES)
def test_a_table_takes_its_place_when_it_is_complete_and_not_before(
    tmp_path: Path, write: Callable[..., None], read: Callable[[Path], list[dict[str, Any]]], whole: str
) -> None:
    def lines() -> Any:
        yield from encoded(RESULTS)
        raise OSError(errno.EIO, "the journal cannot be read")

    path = tmp_path / "table"
    path.write_bytes(b"before")
    with pytest.raises(OSError, match="journal"):
        write(str(path), lines(), None)
    assert path.read_bytes() == b"before"
    assert [each.name for each in tmp_path.iterdir()] == ["table"]
    write(str(path), iter(encoded(RESULTS)), None)
    assert len(read(path)) == len(RESULTS)


@pytest.mark.parametrize("write", [write_sqlite, write_parquet])
def test_a_table_that_cannot_be_written_is_an_error_of_the_system(tmp_path: Path, write: Callable[..., None]) -> None:
    with pytest.raises(OSError, match="nowhere"):
        write(str(tmp_path / "nowhere" / "table"), iter(encoded(RESULTS)), None)


def test_kinds_of_targets_have_rows_too() -> None:
    assert flat(result("192.0.2.1", good(), kind=TargetKind.ENDPOINT, name=None))["name"] is None
