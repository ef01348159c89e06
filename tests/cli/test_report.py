"""``smtpprobe report``: what the results of a scan come to."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest

from smtpprobe.cli import main
from smtpprobe.cli.report import GROUPINGS, MAX_TOP
from smtpprobe.render.schema import schema_of
from smtpprobe.scan import counting
from smtpprobe.scan.claims import Grouping
from smtpprobe.scan.overview import Overview
from tests.scan.made import full, result, town

NDJSON = b"".join(msgspec.json.encode(each) + b"\n" for each in town())
HEAVY = {"asyncio", "dns", "aiosmtplib", "cryptography", "OpenSSL", "ssl", "jinja2", "pyarrow", "zstandard", "sqlite3"}


@pytest.fixture
def results(tmp_path: Path) -> str:
    path = tmp_path / "results.ndjson"
    path.write_bytes(NDJSON)
    return str(path)


def test_the_overview_is_printed(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", results]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("Overview of a scan\n2026-11-20 10:00 to 10:01 UTC\n")
    assert "44%  of the targets answer (4/9)" in shown.out
    assert shown.err == ""


@pytest.mark.parametrize("format", ["text", "markdown", "html", "json"])
def test_a_scan_that_is_not_finished_is_told(
    format: str, results: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.ndjson.journal").touch()
    assert main(["report", "--format", format, results]) == 0
    shown = capsys.readouterr()
    assert ('"is_finished":false' if format == "json" else "The scan is not finished") in shown.out
    assert shown.err == f"smtpprobe: {results}: the scan is not finished; these are the results so far\n"


def test_several_files_are_counted_as_one_scan(
    results: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.gz"
    other.write_bytes(gzip.compress(b"".join(msgspec.json.encode(each) + b"\n" for each in full())))
    assert main(["report", "--format", "json", results, str(other)]) == 0
    assert json.loads(capsys.readouterr().out)["targets"] == 12


def test_results_may_come_from_the_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(NDJSON)))
    assert main(["report", "-"]) == 0
    assert "targets" in capsys.readouterr().out


@pytest.mark.parametrize("by", GROUPINGS)
def test_json_is_as_its_schema_says(by: str, results: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--format", "json", "--group-by", by, "--top", "2", results]) == 0
    told = capsys.readouterr().out
    assert told.isascii()
    document = json.loads(told)
    assert document["schema"] == "smtpprobe/overview/1"
    assert document["groups"]["by"] == by
    assert len(document["problems"]["rows"]) == 2
    jsonschema.Draft202012Validator(schema_of(Overview)).validate(document)


def test_the_schema_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "overview"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == "Overview"


def test_other_formats_and_languages(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--format", "markdown", "--lang", "zh", results]) == 0
    assert capsys.readouterr().out.startswith("## 扫描概览\n")
    assert main(["report", "--format", "html", results]) == 0
    assert capsys.readouterr().out.startswith("<!doctype html>")


def test_a_group_is_a_table(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["report", "--group-by", "tld", results])
    shown = capsys.readouterr().out
    assert "By top-level domain" in shown
    assert "29% (2/7)" in shown
    main(["report", results])
    assert "By top-level domain" not in capsys.readouterr().out


def test_broken_records_are_told_and_the_others_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r"
    path.write_bytes(b"{\x1b[2J\n" + NDJSON + b'{"schema":')
    assert main(["report", str(path)]) == 0
    shown = capsys.readouterr()
    assert "records that could not be read: 2" in shown.out
    assert f"{path}: records that could not be read: 2; the first is number 1: " in shown.err
    assert "\x1b" not in shown.err


@pytest.mark.parametrize("content", [b"", b"\n\n", b"not a result\n", b"SQLite format 3\0 or not"])
def test_a_file_without_a_result_is_refused(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r"
    path.write_bytes(content)
    assert main(["report", str(path)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[-1].startswith(f"smtpprobe: {path}: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.ndjson"], "missing.ndjson: No such file"),
        (["."], ".: a folder without results"),
        ([], "Missing argument"),
        (["--top", "0", "x"], "--top"),
        (["--top", "1001", "x"], "--top"),
        (["--group-by", "colour", "x"], "--group-by"),
    ],
)
def test_what_cannot_be_carried_out_is_said(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *arguments]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""


def test_a_missing_package_is_named_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert main(["report", "--format", "html", "missing"]) == 2
    assert "smtpprobe[ci]" in capsys.readouterr().err


def test_the_limits_of_the_options_are_those_of_the_counting() -> None:
    assert list(Grouping) == list(GROUPINGS)
    assert counting.MAX_TOP == MAX_TOP


def test_a_long_list_is_as_long_as_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r"
    many = (result(f"x{n}.test", provider=f"provider {n}") for n in range(40))
    path.write_bytes(b"\n".join(map(msgspec.json.encode, many)))
    main(["report", "--format", "json", "--top", "25", str(path)])
    providers = json.loads(capsys.readouterr().out)["providers"]
    assert (len(providers["rows"]), providers["others"]) == (25, 15)


def test_text_needs_neither_the_network_nor_an_extra(results: str) -> None:
    script = (
        "import sys; from smtpprobe.cli import main; status = main(['report', sys.argv[1]]);"
        "print(','.join({name.split('.')[0] for name in sys.modules}), file=sys.stderr); sys.exit(status)"
    )
    ended = subprocess.run([sys.executable, "-c", script, results], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0
    assert not HEAVY & set(ended.stderr.strip().split(","))


def test_a_reader_that_leaves_is_no_error(results: str) -> None:
    script = "import sys; from smtpprobe.cli import main; sys.exit(main(['report', sys.argv[1]]))"
    with subprocess.Popen(
        [sys.executable, "-c", script, results], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 141
