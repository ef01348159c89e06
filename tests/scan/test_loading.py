"""Reading results back: each form, and what is broken in it."""

from __future__ import annotations

import gzip
import io
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from smtpprobe.errors import EvidenceError, MissingExtraError
from smtpprobe.scan import loading, sinks
from smtpprobe.scan.loading import Unreadable, is_finished, read_results
from smtpprobe.scan.results import Result
from tests.scan.made import town

LINES = [msgspec.json.encode(each) for each in town()]
NDJSON = b"".join(line + b"\n" for line in LINES)


def write_parquet(path: Path, records: list[bytes | None]) -> None:
    texts = [record.decode("utf-8", "replace") if record is not None else None for record in records]
    pq.write_table(pa.table({"line": list(range(len(records))), "result": texts}), path)


def write_sqlite(path: Path, records: list[bytes | None]) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE result (line INTEGER PRIMARY KEY, json TEXT)")
    connection.executemany(
        "INSERT INTO result (json) VALUES (?)", [(each.decode() if each is not None else None,) for each in records]
    )
    connection.commit()
    connection.close()


FORMS: dict[str, Callable[[Path, list[bytes | None]], object]] = {
    "r.ndjson": lambda path, records: path.write_bytes(b"\n".join(each or b"null" for each in records)),
    "r.ndjson.gz": lambda path, records: path.write_bytes(gzip.compress(b"\n".join(each or b"0" for each in records))),
    "r.jsonl.zst": lambda path, records: path.write_bytes(
        zstandard.ZstdCompressor().compress(b"\n".join(each or b"0" for each in records))
    ),
    "r.parquet": write_parquet,
    "r.sqlite": write_sqlite,
    "no-ending": write_sqlite,
}


@pytest.mark.parametrize("name", FORMS)
def test_each_form_gives_the_same_results(name: str, tmp_path: Path) -> None:
    FORMS[name](tmp_path / name, [*LINES])
    assert list(read_results(str(tmp_path / name))) == town()


@pytest.mark.parametrize("name", FORMS)
def test_a_broken_record_is_told_and_the_others_are_read(name: str, tmp_path: Path) -> None:
    FORMS[name](tmp_path / name, [LINES[0], b'{"broken":', None, LINES[1]])
    read = list(read_results(str(tmp_path / name)))
    assert [each.number if isinstance(each, Unreadable) else each.target for each in read] == [
        "alpha.example",
        2,
        3,
        "beta.example",
    ]


@pytest.mark.parametrize("write", [sinks.write_sqlite, sinks.write_parquet])
@pytest.mark.parametrize("fields", [None, ("target", "outcome")])
def test_the_tables_that_a_scan_writes_are_read(
    write: Callable[[str, list[bytes], tuple[str, ...] | None], None], fields: tuple[str, ...] | None, tmp_path: Path
) -> None:
    write(str(tmp_path / "r"), LINES, fields)
    assert list(read_results(str(tmp_path / "r"))) == town()


def test_a_folder_stands_for_the_files_in_it(tmp_path: Path) -> None:
    write_parquet(tmp_path / "part-00001.parquet", [LINES[2], b"{broken"])
    write_parquet(tmp_path / "part-00000.parquet", list(LINES[:2]))
    (tmp_path / "_SUCCESS").write_text("{}\n", encoding="ascii")
    (tmp_path / "_scan").mkdir()
    (tmp_path / ".hidden").write_text("nothing\n", encoding="ascii")
    *found, broken = read_results(str(tmp_path))
    assert found == town()[:3]
    assert isinstance(broken, Unreadable)
    assert broken.number == 2
    assert broken.why.startswith("part-00001.parquet: ")


def test_what_is_beside_results_says_whether_the_scan_is_finished(tmp_path: Path) -> None:
    file, folder = tmp_path / "results.ndjson", tmp_path / "folder"
    file.touch()
    folder.mkdir()
    (folder / "part-00000.parquet").touch()
    assert (is_finished("-"), is_finished(str(file)), is_finished(str(folder))) == (True, True, False)
    (folder / "_SUCCESS").touch()
    (tmp_path / "results.ndjson.journal").touch()
    assert (is_finished(str(file)), is_finished(str(folder))) == (False, True)


def test_the_ending_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "results.txt"
    path.write_bytes(gzip.compress(NDJSON))
    assert len(list(read_results(str(path)))) == len(LINES)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
def test_the_standard_input_may_be_compressed(pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pack(NDJSON))))
    assert len(list(read_results("-"))) == len(LINES)


def test_blank_lines_a_mark_at_the_beginning_and_a_missing_line_end_are_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r.ndjson"
    path.write_bytes(b"\xef\xbb\xbf" + LINES[0] + b"\r\n\n  \n" + LINES[1])
    assert list(read_results(str(path))) == town()[:2]


def test_a_form_of_another_version_is_no_result(tmp_path: Path) -> None:
    path = tmp_path / "r.ndjson"
    path.write_bytes(LINES[0].replace(b"smtpprobe/scan/1", b"smtpprobe/scan/9"))
    (read,) = read_results(str(path))
    assert isinstance(read, Unreadable)
    assert "smtpprobe/scan/9" in read.why


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_of_a_file_that_is_cut_off_what_is_whole_is_read(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    packed = pack(b"".join(LINES[0].replace(b"alpha", b"alpha%d" % n) + b"\n" for n in range(5000)))
    path = tmp_path / "r"
    path.write_bytes(packed[: len(packed) // 2])
    read = list(read_results(str(path)))
    assert len(read) > 100
    assert all(isinstance(each, Result) for each in read[:-1])
    assert isinstance(read[-1], Unreadable)
    assert "damaged from here on" in read[-1].why


def test_a_file_that_is_damaged_in_the_middle_ends_there(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(NDJSON * 500))
    packed[len(packed) // 2] ^= 0xFF
    (tmp_path / "r").write_bytes(packed)
    *_, last = read_results(str(tmp_path / "r"))
    assert isinstance(last, Unreadable)
    assert "damaged from here on" in last.why


def test_a_line_that_fills_the_memory_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MAX_LINE_BYTES", 4000)
    path = tmp_path / "r.ndjson"
    path.write_bytes(LINES[0] + b"\n" + b"x" * 50_000 + b"\n" + LINES[1] + b"\n" + b"y" * 4000)
    read = list(read_results(str(path)))
    assert [isinstance(each, Result) for each in read] == [True, False, True, False]
    assert isinstance(read[1], Unreadable)
    assert read[1].number == 2


def test_a_file_without_a_place_for_results_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"other": [1]}), tmp_path / "r.parquet")
    connection = sqlite3.connect(tmp_path / "r.sqlite")
    connection.execute("CREATE TABLE other (x)")
    connection.close()
    (tmp_path / "folder").mkdir()
    for name in ("r.parquet", "r.sqlite", "missing.ndjson", "folder"):
        with pytest.raises(EvidenceError, match=name):
            list(read_results(str(tmp_path / name)))


def test_a_parquet_file_that_is_cut_off_is_broken(tmp_path: Path) -> None:
    write_parquet(tmp_path / "r", [*LINES])
    data = (tmp_path / "r").read_bytes()
    (tmp_path / "r").write_bytes(data[: len(data) // 2])
    (read,) = read_results(str(tmp_path / "r"))
    assert isinstance(read, Unreadable)


def test_a_database_is_only_read(tmp_path: Path) -> None:
    path = tmp_path / "r ?#.sqlite"
    write_sqlite(path, [*LINES])
    before = path.read_bytes()
    assert len(list(read_results(str(path)))) == len(LINES)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("module", "name", "extra"), [("zstandard", "r.jsonl.zst", "scan"), ("pyarrow.parquet", "r.parquet", "parquet")]
)
def test_a_missing_package_is_named(
    module: str, name: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FORMS[name](tmp_path / name, [*LINES])
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"smtpprobe\[{extra}\]"):
        list(read_results(str(tmp_path / name)))
