"""Reports in files beside stdout, and the exit status that monitoring reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from smtpprobe.cli import main
from smtpprobe.cli.files import replacing
from smtpprobe.evidence import encode
from tests.cli.small_world import BUSY, HEALTHY, REFUSING, SmallWorld, small_world
from tests.render import reports


@pytest.fixture(scope="module")
def world() -> Iterator[SmallWorld]:
    with small_world(healthy=HEALTHY, refusing=REFUSING, busy=BUSY) as servers:
        yield servers


def check(world: SmallWorld, *arguments: str) -> int:
    return main(["check", *world.options, *arguments])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "evidence.json"
    path.write_bytes(b"".join(encode(reports.ALL[name]().evidence) + b"\n" for name in ("healthy", "dead")))
    return path


# --- files ----------------------------------------------------------------------------------------------------------


def test_several_formats_are_written_at_once_beside_stdout(
    world: SmallWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {name: tmp_path / f"report.{name}" for name in ("json", "junit", "markdown", "text")}
    typed = [f"--output={name}={path}" for name, path in files.items()]
    targets = [world.target("healthy"), world.target("refusing")]
    assert check(world, "--format", "ndjson", *typed, *targets) == 1
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert json.loads(files["json"].read_text())["reports"] == printed
    suites = ElementTree.fromstring(files["junit"].read_text())  # noqa: S314 - our own
    assert [suite.get("name") for suite in suites] == targets
    for name in ("markdown", "text"):
        assert all(target in files[name].read_text() for target in targets)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in files.values())


def test_a_file_has_no_colours_though_the_terminal_has(
    world: SmallWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    check(world, "--output", f"text={tmp_path / 'report.txt'}", world.target("healthy"))
    assert "\x1b[" in capsys.readouterr().out
    assert "\x1b[" not in (tmp_path / "report.txt").read_text()


def test_saved_evidence_is_written_in_several_formats_too(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv, sarif = tmp_path / "report.csv", tmp_path / "report.sarif"
    assert main(["judge", "-q", "--output", f"csv={csv}", "--output", f"sarif={sarif}", str(saved)]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert csv.read_bytes().startswith(b"target,status,")
    assert b"\r\n" in csv.read_bytes()
    assert json.loads(sarif.read_text())["version"] == "2.1.0"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--output", "junit"], "FORMAT=FILE"),
        (["--output", "junit="], "FORMAT=FILE"),
        (["--output", "xml=report.xml"], "'xml' is not one of text, json"),
        (["--output", "csv=same", "--output", "json=./same"], "written to already"),
        (["--save", "same", "--output", "json=same"], "written to already"),
        (["--output", "json=missing/report.json"], "missing/report.json: No such file"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_anything_is_tried(
    typed: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check", "--resolver", "127.0.0.1:1", *typed, "127.0.0.1"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_leaves_every_file_as_it_was(saved: Path, tmp_path: Path) -> None:
    small, large = tmp_path / "small.txt", tmp_path / "large.json"
    small.write_text("of yesterday")
    program = (
        "import resource, sys; from smtpprobe.cli import main;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); sys.exit(main(sys.argv[1:]))"
    )
    command = ["judge", "-q", "--output", f"nagios={small}", "--output", f"json={large}", str(saved)]
    ended = subprocess.run([sys.executable, "-B", "-c", program, *command], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr == f"smtpprobe: {large}: File too large\n"
    assert small.read_text() == "of yesterday"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evidence.json", "small.txt"]


def test_a_draft_is_in_nobodys_way_not_even_of_a_process_of_the_same_number(tmp_path: Path) -> None:
    path = tmp_path / ("r" * 250 + ".txt")
    with replacing(str(path)) as left_behind:
        with replacing(str(path)) as stream:
            stream.write(b"today")
        assert path.read_bytes() == b"today"
        left_behind.write(b"later")
    assert path.read_bytes() == b"later"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
@pytest.mark.parametrize(
    "typed", [["--save", "/dev/full"], ["--output", "json=/dev/full"], ["--output", "csv=/dev/full"]]
)
def test_a_file_that_takes_nothing_is_named(
    world: SmallWorld, typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "-q", *world.options, *typed, world.target("healthy")]) == 2
    assert "smtpprobe: /dev/full: No space left on device\n" in capsys.readouterr().err


@pytest.mark.parametrize("name", [".", "missing/evidence.json"])
def test_evidence_that_cannot_be_kept_is_said_before_anything_is_tried(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check", "--resolver", "127.0.0.1:1", "--save", name, "127.0.0.1"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"smtpprobe: {name}: " in printed.err


def test_a_file_whose_name_is_no_text_is_as_good_as_any(
    world: SmallWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from smtpprobe.lab.certificates import trusted_root

    roots = os.fsdecode(bytes(tmp_path) + b"/\xff.pem")
    Path(roots).write_bytes(trusted_root())
    status = main(["check", "--ca", roots, "--format", "json", *world.options, world.target("healthy")])
    [report] = json.loads(capsys.readouterr().out)["reports"]
    assert status == 0
    assert report["evidence"]["options"]["ca_file"].endswith("/?.pem")


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="the system has no /dev/stdout")
def test_a_pipe_is_written_to_by_its_name(saved: Path) -> None:
    command = [sys.executable, "-m", "smtpprobe", "judge", "-q", "--output", "ndjson=/dev/stdout", str(saved)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.stderr == ""
    assert sum(line.startswith("{") for line in ended.stdout.splitlines()) == 2


def unread(*arguments: str) -> int:
    """The exit status of a command whose output nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        command = [sys.executable, "-m", "smtpprobe", *arguments]
        ended = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, timeout=60)
    assert ended.stderr == ""
    return ended.returncode


def test_files_are_written_though_nobody_reads_stdout_to_its_end(
    world: SmallWorld, saved: Path, tmp_path: Path
) -> None:
    kept, table = tmp_path / "kept.json", tmp_path / "table.csv"
    asked = ("--save", str(kept), "--output", f"csv={table}")
    assert unread("check", *world.options, *asked, world.target("healthy")) == 141
    assert json.loads(kept.read_text())["target"]["text"] == world.target("healthy")
    assert len(table.read_text().splitlines()) == 2
    lines = tmp_path / "lines.ndjson"
    assert unread("judge", "--output", f"ndjson={lines}", str(saved)) == 141
    assert len(lines.read_text().splitlines()) == 2


# --- monitoring -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "typed", "status", "word"),
    [
        ("healthy", [], 1, "WARNING"),  # it offers no STARTTLS
        ("refusing", [], 2, "CRITICAL"),
        ("busy", [], 3, "UNKNOWN"),
        ("healthy", ["-w", "5", "-c", "time=10"], 1, "WARNING"),
        ("healthy", ["-c", "0"], 2, "CRITICAL"),
        ("healthy", ["--critical", "@~:10"], 2, "CRITICAL"),
    ],
)
def test_monitoring_reads_its_own_exit_status(
    server: str, typed: list[str], status: int, word: str, world: SmallWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(world, "--format", "nagios", *typed, world.target(server)) == status
    assert capsys.readouterr().out.startswith(f"SMTPPROBE {word} - ")


def test_certificate_days_have_thresholds(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved.write_bytes(encode(reports.healthy().evidence))
    judge = ["judge", "--format", "nagios", str(saved)]
    assert main(judge) == 0
    assert main([*judge, "-w", "days=90:", "-c", "days=7:"]) == 1
    assert "certificate_days=60;90:;7:" in capsys.readouterr().out
    assert main([*judge, "-w", "days=90:", "-c", "days=80:"]) == 2


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["-w", "20:10", "127.0.0.1"], "20 is above 10"),
        (["-w", "weeks=2", "127.0.0.1"], "days=14:"),
        (["exa|mple.org "], "is no target"),
        (["--timeout", "never", "127.0.0.1"], "duration"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_to_monitoring_a_mistake_is_unknown_and_not_critical(
    typed: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--resolver", "127.0.0.1:1", "--format", "nagios", *typed]) == 3
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("SMTPPROBE UNKNOWN - ")
    assert said in line
    assert "|" not in line, "what follows would be performance data"


def test_thresholds_without_monitoring_are_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "-w", "5", "127.0.0.1"]) == 2
    assert "they go with --format nagios" in capsys.readouterr().err
