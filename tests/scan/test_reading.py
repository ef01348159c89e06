"""Lists, tables and objects as people keep them: each line is a target or a bad line, and no file is a traceback."""

from __future__ import annotations

import gzip
import io
import json
import string
from pathlib import Path
from types import SimpleNamespace

import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from smtpprobe.errors import OptionError
from smtpprobe.scan import reading
from smtpprobe.scan.reading import MAX_LINE, Bad, Entry, read_entries
from smtpprobe.targets import parse_target

MANY = b"".join(b"d%d.example\n" % number for number in range(20_000))


def read(folder: Path, name: str, data: bytes, column: str | None = None) -> list[Entry | Bad]:
    path = folder / name
    path.write_bytes(data)
    return list(read_entries(str(path), column))


def targets(entries: list[Entry | Bad]) -> list[tuple[int, str]]:
    return [(each.line, each.target.text) for each in entries if isinstance(each, Entry)]


def bad(entries: list[Entry | Bad]) -> list[int]:
    return [each.line for each in entries if isinstance(each, Bad)]


# --- lists ----------------------------------------------------------------------------------------------------------


def test_a_list_has_comments_blanks_and_words_behind_the_target(tmp_path: Path) -> None:
    data = b"# customers\na.example\n\n  b.example\t25 years\nc.example # gone?\n#d.example\n   \ne.example"
    assert targets(read(tmp_path, "list.txt", data)) == [
        (2, "a.example"),
        (4, "b.example"),
        (5, "c.example"),
        (8, "e.example"),
    ]


def test_a_list_may_have_the_target_in_another_word(tmp_path: Path) -> None:
    entries = read(tmp_path, "list", b"1 a.example x\n2 b.example\n3\n", "2")
    assert targets(entries) == [(1, "a.example"), (2, "b.example")]
    assert bad(entries) == [3]


@pytest.mark.parametrize("name", ["list", "list.txt"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_mark_in_front_and_the_ends_of_lines_of_any_system_are_understood(
    tmp_path: Path, name: str, end: bytes
) -> None:
    assert targets(read(tmp_path, name, b"\xef\xbb\xbfa.example" + end + b"b.example" + end)) == [
        (1, "a.example"),
        (2, "b.example"),
    ]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["list", "list.gz", "list.zst", "t.tsv", "-"])
def test_text_of_two_bytes_a_character_is_read_where_it_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, name: str
) -> None:
    data = "\ufeffdomain\r\nbücher.example\r\nb.example\r\n".encode(encoding)
    if name == "-":
        stdin(monkeypatch, data)
        entries = list(read_entries(name))
    else:
        packed = gzip.compress(data) if name == "list.gz" else zstandard.compress(data) if name == "list.zst" else data
        entries = read(tmp_path, name, packed, "domain" if name == "t.tsv" else None)
    assert targets(entries)[-2:] == [(2, "bücher.example"), (3, "b.example")]


def test_a_target_is_read_as_everywhere(tmp_path: Path) -> None:
    texts = ["192.0.2.1", "[2001:db8::1]:587", "me@example.org", "smtps://mx.example.org", "BÜCHER.example", "x.org:26"]
    entries = read(tmp_path, "list", "\n".join(texts).encode())
    assert [each.target for each in entries if isinstance(each, Entry)] == [parse_target(each) for each in texts]


@pytest.mark.parametrize(
    "line", [b"a:b:c", b"\x00", b"c.example\x00", b"b\xff.example", b"\x1b[31mred", b"..", b"1.2.3.400"]
)
def test_a_line_that_names_no_target_says_why_and_the_reading_goes_on(tmp_path: Path, line: bytes) -> None:
    entries = read(tmp_path, "list", b"a.example\n" + line + b"\nb.example\n")
    assert targets(entries) == [(1, "a.example"), (3, "b.example")]
    [found] = [each for each in entries if isinstance(each, Bad)]
    assert found.line == 2
    assert found.why
    assert "A target looks like" not in found.why


@pytest.mark.parametrize("length", [MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, 2 * MAX_LINE, 3 * MAX_LINE + 7])
def test_a_line_that_is_too_long_is_one_bad_line(tmp_path: Path, length: int) -> None:
    entries = read(tmp_path, "list", b"a.example\n" + b"x" * length + b"\nb.example\n")
    assert targets(entries) == [(1, "a.example"), (3, "b.example")]
    assert bad(entries) == [2]
    assert all(len(each.text) <= 80 for each in entries if isinstance(each, Bad))


# --- tables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["domain", " Domain ", "2"])
def test_a_table_names_its_column_by_name_or_number(tmp_path: Path, column: str) -> None:
    data = b'\n\nid,Domain,note\n1,a.example,"x, y"\n\n2,,\n3,"b.example"\n4\n'
    entries = read(tmp_path, "t.csv", data, column)
    expected = [(4, "a.example"), (7, "b.example")]
    if column == "2":
        assert bad(entries) == [6, 8]
        entries = [each for each in entries if each.line != 3]  # by number there need be no header
    assert targets(entries) == expected
    assert bad(entries) == [6, 8]


def test_a_table_of_tabs_and_one_on_several_lines_a_row(tmp_path: Path) -> None:
    assert targets(read(tmp_path, "t.tsv", b"n\td\n1\ta.example\n", "d")) == [(2, "a.example")]
    data = b'd,address\na.example,"Main St\nTown"\nb.example,\n'
    assert targets(read(tmp_path, "t.csv", data, "d")) == [(3, "a.example"), (4, "b.example")]


@pytest.mark.parametrize("note", ["x" * (MAX_LINE - 20), '"' + "x" * MAX_LINE + '"', "x" * 3 * MAX_LINE])
def test_a_row_that_is_too_long_is_one_bad_line(tmp_path: Path, note: str) -> None:
    entries = read(tmp_path, "t.csv", f"d,n\na.example,\nb.example,{note}\nc.example,\n".encode(), "d")
    is_fit = len(note) < MAX_LINE
    assert targets(entries) == [(2, "a.example"), *([(3, "b.example")] if is_fit else []), (4, "c.example")]
    assert bad(entries) == ([] if is_fit else [3])


@pytest.mark.parametrize(
    "behind",
    [
        b"b.example,\n",
        b"b.example,\n" * 3 + b'c.example,"with, comma"\n',
        b'b.example,\n"c.example",\n',
        b'b.example,"on two\nlines"\nc.example,\n',
        b"b.example,\n" * 20_000,  # more than a row may have
    ],
    ids=["end", "a quote later", "a quote at once", "a row of two lines", "much"],
)
def test_a_quote_that_is_never_closed_is_one_bad_line_whatever_follows(tmp_path: Path, behind: bytes) -> None:
    whole = targets(read(tmp_path, "whole.csv", b"d,n\na.example,\n" + behind, "d"))
    entries = read(tmp_path, "t.csv", b'd,n\na.example,"open\n' + behind, "d")
    assert [(each.line, each.text, each.why) for each in entries if isinstance(each, Bad)] == [
        (2, 'a.example,"open', "a quote that begins here is never closed")
    ]
    assert targets(entries) == whole[1:]


def test_quotes_that_are_odd_within_a_line_spoil_nothing(tmp_path: Path) -> None:
    data = b'd,n\n"a.example" ,x\nb.example,5" disk\n"c.example","a "quoted" word"\nd.example,""\n'
    entries = read(tmp_path, "t.csv", data, "d")
    assert targets(entries) == [(2, "a.example"), (3, "b.example"), (4, "c.example"), (5, "d.example")]
    assert bad(entries) == []


def test_two_quotes_that_are_never_closed_are_two_bad_lines(tmp_path: Path) -> None:
    data = b'n,d\n"one,a.example\ntwo,b.example\n"three,c.example\nfour,d.example\n'
    entries = read(tmp_path, "t.csv", data, "d")
    assert (bad(entries), targets(entries)) == ([2, 4], [(3, "b.example"), (5, "d.example")])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(("column", "first"), [("Domain", 2), ("2", 1)])
def test_a_table_has_the_delimiter_that_its_header_shows(
    tmp_path: Path, delimiter: str, column: str, first: int
) -> None:
    rows = [["id", "domain", "price, in euros"], ["1", "a.example", "1,50"], ["2", "b.example", ""]]
    data = "".join(delimiter.join(f'"{each}"' if delimiter in each else each for each in row) + "\r\n" for row in rows)
    entries = read(tmp_path, "t.csv", b"\xef\xbb\xbf\r\n" + data.encode(), column)
    assert targets(entries)[-2:] == [(3, "a.example"), (4, "b.example")]
    assert len(entries) == 4 - first


def test_the_columns_of_a_table_with_semicolons_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no column 'host'; there are 'id', 'domain'"):
        read(tmp_path, "t.csv", b"id;domain\n1;a.example\n", "host")


def test_a_column_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no column 'host'; there are 'id', 'domain'"):
        read(tmp_path, "t.csv", b"id,domain\n1,a.example\n", "host")


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.ndjson", "t.jsonl", "t.csv.gz", "t.ndjson.zst"])
def test_a_table_needs_a_column(tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match="--column"):
        read(tmp_path, name, b"")


@pytest.mark.parametrize("name", ["list", "t.csv"])
def test_columns_are_counted_from_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match="from 1"):
        read(tmp_path, name, b"a.example\n", "0")


# --- objects --------------------------------------------------------------------------------------------------------


def test_objects_name_the_target_in_a_field(tmp_path: Path) -> None:
    lines = [{"d": "a.example"}, {"d": " b.example "}, {"d": None}, {"e": "x"}, ["d"], {"d": ""}, {"d": "c.example"}]
    data = "\n".join(map(json.dumps, lines)).encode()
    entries = read(tmp_path, "t.ndjson", data + b"\n\nnot json\n", "d")
    assert targets(entries) == [(1, "a.example"), (2, "b.example"), (7, "c.example")]
    assert bad(entries) == [3, 4, 5, 6, 9]


@pytest.mark.parametrize("line", [b"[" * 60_000, b'{"d":"\\ud800.example"}', b'{"d":' + b"9" * 5000 + b"}", b"\x00"])
def test_json_that_is_none_is_a_bad_line(tmp_path: Path, line: bytes) -> None:
    entries = read(tmp_path, "t.jsonl", line + b'\n{"d":"a.example"}\n', "d")
    assert bad(entries) == [1]
    assert targets(entries) == [(2, "a.example")]


# --- compressed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_compressed_files_are_read_also_when_they_were_put_together(tmp_path: Path, kind: str) -> None:
    compress = gzip.compress if kind == "gz" else zstandard.compress
    half = len(MANY) // 2
    entries = read(tmp_path, f"list.{kind}", compress(MANY[:half]) + compress(MANY[half:]))
    assert "".join(f"{text}\n" for _, text in targets(entries)).encode() == MANY
    assert targets(read(tmp_path, f"t.CSV.{kind.upper()}", compress(b"d\na.example\n"), "d")) == [(2, "a.example")]
    assert read(tmp_path, f"nothing.{kind}", compress(b"")) == []


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_a_damaged_file_does_not_pass_for_a_short_one(tmp_path: Path, kind: str) -> None:
    packed = gzip.compress(MANY) if kind == "gz" else zstandard.ZstdCompressor(write_checksum=True).compress(MANY)
    middle = len(packed) // 2
    for data in (packed[:middle], packed[:-1], b"no archive", packed[:middle] + b"\xff" * 99 + packed[middle + 99 :]):
        with pytest.raises(OSError, match="damaged") as raised:
            read(tmp_path, f"list.{kind}", data)
        assert raised.value.filename.endswith(f"list.{kind}")


# --- the standard input ---------------------------------------------------------------------------------------------


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(reading.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))  # type: ignore[attr-defined]


def test_the_standard_input_is_a_list_or_with_a_column_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, b"\xef\xbb\xbfa.example\nb.example\n")
    assert targets(list(read_entries("-"))) == [(1, "a.example"), (2, "b.example")]
    stdin(monkeypatch, b"id,domain\n1,a.example\n")
    assert targets(list(read_entries("-", "domain"))) == [(2, "a.example")]


# --- anything -------------------------------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(
    data=st.binary(max_size=400) | st.text(alphabet='ab.,"#\t\n\r\0\x1b é{}:1', max_size=200).map(str.encode),
    name=st.sampled_from(["list", "t.csv", "t.tsv", "t.ndjson", "list.gz", "list.zst", "t.csv.zst"]),
    column=st.sampled_from([None, "d", "1", "2", "0", "²", "9" * 5000, ""]),
    is_packed=st.booleans(),
)
@example(data=b"a" * (MAX_LINE + 1), name="t.csv", column="1", is_packed=False)
def test_whatever_a_file_holds_it_is_read_or_told(
    tmp_path: Path, data: bytes, name: str, column: str | None, is_packed: bool
) -> None:
    if is_packed and name.endswith("gz"):
        data = gzip.compress(data)
    elif is_packed and name.endswith("zst"):
        data = zstandard.compress(data)
    try:
        entries = read(tmp_path, name, data, column)
    except OptionError:
        return
    except OSError as error:
        is_told = bool(error.filename) and name.endswith(("gz", "zst"))
        assert is_told
        return
    numbers = [each.line for each in entries]
    assert numbers == sorted(set(numbers))


WORDS = st.text(alphabet=string.ascii_lowercase + string.digits + "-._@[]:\x00\x1bé/", min_size=1, max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lines=st.lists(WORDS | st.just(""), max_size=30), name=st.sampled_from(["list", "list.gz", "t.ndjson", "t.csv"]))
def test_no_line_is_lost(tmp_path: Path, lines: list[str], name: str) -> None:
    column, first, rows = None, 1, list(lines)
    if name == "t.ndjson":
        column, rows = "d", [json.dumps({"d": each}) if each else "" for each in lines]
    elif name == "t.csv":
        column, first, rows = "1", 2, ["d", *lines]
    data = "".join(f"{row}\n" for row in rows).encode()
    entries = read(tmp_path, name, gzip.compress(data) if name == "list.gz" else data, column)
    kept = [each.replace("\0", "") if name == "t.csv" else each for each in lines]
    assert [each.line for each in entries if each.line >= first] == [n for n, text in enumerate(kept, first) if text]
