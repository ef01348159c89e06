"""``smtpprobe judge``: reports again on what was saved, without the network."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from smtpprobe.cli import main
from smtpprobe.cli import saved as saved_evidence
from smtpprobe.evidence import encode
from tests.render import reports

NETWORK = {"asyncio", "dns", "aiosmtplib", "cryptography", "OpenSSL", "ssl", "rich"}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Two targets, as ``check --save`` writes them."""
    path = tmp_path / "evidence.json"
    path.write_bytes(b"".join(encode(reports.ALL[name]().evidence) + b"\n" for name in ("healthy", "dead")))
    return path


def test_each_target_of_a_file_is_reported(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", "-q", str(saved)]) == 1
    healthy, dead = capsys.readouterr().out.splitlines()
    assert "OK  example.org" in healthy
    assert "ERROR  example.org" in dead


def test_several_files_and_stdin_are_read(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encode(reports.inconclusive().evidence))))
    assert main(["judge", "-q", "-", str(saved)]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_the_output_of_check_in_json_can_be_judged_too(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["judge", "--format", "json", str(saved)])
    first = capsys.readouterr().out
    whole, pretty, one = tmp_path / "reports.json", tmp_path / "pretty.json", tmp_path / "report.json"
    whole.write_text(first)
    pretty.write_text(json.dumps(json.loads(first), indent=4))
    one.write_text(json.dumps(json.loads(first)["reports"][0]))
    for path in (whole, pretty):
        main(["judge", "--format", "json", str(path)])
        assert capsys.readouterr().out == first
    assert main(["judge", "-q", str(one)]) == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "there is no evidence in it"),
        (b"220 mx.example.org ESMTP\n", "not evidence of the form smtpprobe/evidence/1"),
        (b'{"schema": "smtpprobe/evidence/9"}', "not evidence"),
        (b'{"schema":"smtpprobe/reports/1","reports":[{"evidence":{"target":7}}]}', "not evidence"),
        (b"[]", "not evidence"),
        (b"\xff\xfe\x00", "not evidence"),
        (encode(reports.healthy().evidence) + b"\n{}\n", "line 2: not evidence"),
        (b'{"evidence":' * 100_000, "maximum recursion depth"),
    ],
)
def test_a_file_that_is_no_evidence_ends_with_one_line_and_status_2(
    content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "what.json"
    path.write_bytes(content)
    assert main(["judge", str(path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith(f"smtpprobe: {path}: ")
    assert said in printed.err


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", "missing.json"]) == 2
    assert capsys.readouterr().err == "smtpprobe: missing.json: No such file or directory\n"


def test_nothing_of_the_network_is_imported(saved: Path) -> None:
    program = (
        "import sys; from smtpprobe.cli import main; main(['judge', '-v', sys.argv[1]]);"
        "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(saved)], capture_output=True, text=True, timeout=60)
    assert "mx1.example.org" in ended.stdout
    assert NETWORK.isdisjoint(ended.stderr.split())


def test_a_file_without_end_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(saved_evidence, "MAX_BYTES", 3 * 1024 * 1024)
    assert main(["judge", "/dev/zero"]) == 2
    assert capsys.readouterr().err == "smtpprobe: /dev/zero: it has more than 3 MiB; split it, one target a line\n"
