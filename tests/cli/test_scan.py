"""``smtpprobe scan`` on the lab: complete, right, polite, and gone on with after whatever stopped it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from smtpprobe.cli import EXIT_CLOSED_PIPE, EXIT_INTERRUPTED, main
from smtpprobe.evidence import Role
from smtpprobe.lab.scenarios import choose
from smtpprobe.lab.scripted import Hold, Script, greeting, serve
from smtpprobe.lab.world import World
from smtpprobe.scan.columns import COLUMNS
from tests.cli.small_world import HEALTHY, SmallWorld, small_world
from tests.cli.test_main import HEAVY

OUTCOMES = {
    "healthy.lab.test": ("ok", None),
    "greeting-554.lab.test": ("error", "host-accepts-no-mail|greeting-refused|client-refused"),
    "closed.lab.test": ("error", "connection-refused"),
    "null-mx.lab.test": ("null-mx", "null-mx"),
    "certificate-expired.lab.test": ("warning", "certificate-expired"),
    "no-mx.lab.test": ("warning", "implicit-mx"),
    "greeting-421.lab.test": ("inconclusive", None),
}
LIST = "".join(f"{name}\n" for name in OUTCOMES)


class Lab:
    """The world in a thread of its own."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def options(self) -> tuple[str, ...]:
        """What to type so that nothing outside is asked."""
        port = f"smtp:{self.world.ports[Role.SMTP]}"
        ca = str(self.world.ca_path)
        return ("--resolver", self.world.dns.resolver, "--ca", ca, "--port", port, "--per-host-interval", "1ms")

    def visits(self) -> int:
        return sum(len(place.visits) for place in self.world.places.values())


@contextmanager
def running(scenarios: Sequence[str]) -> Iterator[Lab]:
    ready: list[Lab] = []
    is_ready, ended = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def live() -> None:
        async with World(choose(scenarios)) as world:
            loops.append(asyncio.get_running_loop())
            ready.append(Lab(world))
            is_ready.set()
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(live(),), daemon=True)
    thread.start()
    assert is_ready.wait(20)
    try:
        yield ready[0]
    finally:
        loops[0].call_soon_threadsafe(ended.set)
        thread.join(20)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running([each.partition(".")[0] for each in OUTCOMES]) as world:
        yield world


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return written(tmp_path / "list.txt", LIST)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def scan(lab: Lab, *arguments: object, private: bool = True) -> int:
    allow = ("--allow-private",) if private else ()
    return main(["scan", *lab.options, *allow, *map(str, arguments)])


def results(text: str | bytes) -> dict[str, dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines()]
    assert len({each["target"] for each in found}) == len(found)
    return {each["target"]: each for each in found}


# --- what comes out -------------------------------------------------------------------------------------------------


def test_every_target_has_its_result(lab: Lab, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scan(lab, source) == 0
    shown = capsys.readouterr()
    found = results(shown.out)
    assert list(found) != []
    assert {name: each["outcome"] for name, each in found.items()} == {
        name: outcome for name, (outcome, _) in OUTCOMES.items()
    }
    for name, (_, finding) in OUTCOMES.items():
        ids = "\n".join(each["id"] for each in found[name]["findings"])
        assert finding is None or re.search(f"^({finding})$", ids, re.MULTILINE), name
    assert [each["line"] for each in sorted(found.values(), key=lambda each: each["line"])] == list(range(1, 8))
    assert re.match(r"7 targets, \d+ endpoints, \d+ connections in ", shown.err)
    assert main(["schema", "scan"]) == 0
    validator = jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out))
    for each in found.values():
        validator.validate(each)


def test_a_scan_says_what_a_check_says(lab: Lab, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scan(lab, source, "-q") == 0
    found = results(capsys.readouterr().out)
    options = [each for each in lab.options if each not in ("--per-host-interval", "1ms")]
    main(["check", "--format", "json", *options, "healthy.lab.test", "certificate-expired.lab.test"])
    for report in json.loads(capsys.readouterr().out)["reports"]:
        name = report["evidence"]["target"]["text"]
        full = {each["id"] for each in report["findings"] if each["severity"] in ("error", "warning")}
        light = {each["id"] for each in found[name]["findings"] if each["severity"] in ("error", "warning")}
        assert light == {each for each in full if not each.startswith(("ptr-", "mta-sts-", "dane-", "tls-report"))}


def test_duplicates_and_lines_that_name_nothing_are_reported(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "healthy.lab.test\nHEALTHY.lab.test.\n\n# x\nno such..name\nb\x1b[31mad\nnull-mx.lab.test # mine\n"
    assert scan(lab, written(tmp_path / "list", text)) == 0
    shown = capsys.readouterr()
    assert len(results(shown.out)) == 3
    assert "1 repeated targets count once" in shown.err
    assert "1 lines name no target; the first of them:\n  line 6: " in shown.err
    assert "\x1b" not in shown.err


def test_quiet_is_quiet(lab: Lab, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scan(lab, source, "-q") == 0
    assert capsys.readouterr().err == ""


def test_what_is_told_is_told_in_a_language(lab: Lab, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scan(lab, source, "--lang", "zh") == 0
    shown = capsys.readouterr()
    assert results(shown.out)
    assert re.search("[\u4e00-\u9fff]", shown.err)


def test_the_standard_input_is_read(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(LIST.encode())))
    assert scan(lab, "-", "-q") == 0
    assert set(results(capsys.readouterr().out)) == set(OUTCOMES)


def test_two_processes_find_the_same(lab: Lab, source: Path, tmp_path: Path) -> None:
    assert scan(lab, source, "--jobs", "2", "-q", "--out", tmp_path / "out.ndjson") == 0
    found = results((tmp_path / "out.ndjson").read_bytes())
    assert {name: each["outcome"] for name, each in found.items()} == {
        name: outcome for name, (outcome, _) in OUTCOMES.items()
    }


# --- forms ----------------------------------------------------------------------------------------------------------


def test_csv_has_a_head_and_a_row_for_each(lab: Lab, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert scan(lab, source, "-q", "--out", out) == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert {each["target"]: each["outcome"] for each in rows} == {name: each for name, (each, _) in OUTCOMES.items()}
    assert list(rows[0]) == list(COLUMNS)


@pytest.mark.parametrize("ending", ["sqlite", "db"])
def test_sqlite_has_a_table(lab: Lab, source: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"out.{ending}"
    assert scan(lab, source, "-q", "--out", out, "--fields", "target,outcome") == 0
    with closing(sqlite3.connect(out)) as db, db:
        rows = db.execute("SELECT target, outcome, json FROM result").fetchall()
    db.close()
    assert {target: outcome for target, outcome, _ in rows} == {name: each for name, (each, _) in OUTCOMES.items()}
    assert all(json.loads(whole)["target"] == target for target, _, whole in rows)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["list.txt", out.name]


def test_parquet_is_read_back(lab: Lab, source: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "out.parquet"
    assert scan(lab, source, "-q", "--out", out) == 0
    rows = parquet.read_table(out).to_pylist()
    assert {each["target"]: each["outcome"] for each in rows} == {name: each for name, (each, _) in OUTCOMES.items()}


def test_fields_are_listed_and_chosen(lab: Lab, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scan", "--fields", "help"]) == 0
    listed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert list(listed) == list(COLUMNS)
    assert scan(lab, source, "-q", "--fields", "target,tls") == 0
    assert {tuple(json.loads(line)) for line in capsys.readouterr().out.splitlines()} == {("target", "tls")}
    assert scan(lab, source, "--fields", "target,nope") == 2
    assert "no field 'nope'" in capsys.readouterr().err


def test_evidence_can_be_judged_later(
    lab: Lab, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "evidence.ndjson"
    assert scan(lab, source, "-q", "--save-evidence", kept) == 0
    found = results(capsys.readouterr().out)
    main(["judge", "--format", "json", str(kept)])
    reports = json.loads(capsys.readouterr().out)["reports"]
    assert len(reports) == len(OUTCOMES)
    for report in reports:
        ids = {each["id"] for each in report["findings"] if each["severity"] != "ok"}
        if "null-mx" in ids:  # to a check that is no pass, to a scan an answer
            ids.remove("nothing-probed")
        assert ids == {each["id"] for each in found[report["evidence"]["target"]["text"]]["findings"]}


# --- what must not be -----------------------------------------------------------------------------------------------


def test_a_dry_run_asks_nobody(lab: Lab, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked, met = len(lab.world.dns.questions), lab.visits()
    assert scan(lab, source, "--dry-run", "--out", tmp_path / "out.ndjson") == 0
    shown = capsys.readouterr().out
    assert "7 targets: 7 names, 0 addresses" in shown
    assert (len(lab.world.dns.questions), lab.visits()) == (asked, met)
    assert [each.name for each in tmp_path.iterdir()] == ["list.txt"]


def test_private_addresses_are_left_alone(lab: Lab, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    met = lab.visits()
    assert scan(lab, source, private=False) == 0
    shown = capsys.readouterr()
    sessions = [each for result in results(shown.out).values() for host in result["hosts"] for each in host["sessions"]]
    assert {each["skipped"] for each in sessions} == {"not-public"}
    assert lab.visits() == met
    assert re.search(r"\d endpoints were left alone", shown.err)
    for result in results(shown.out).values():
        severities = {each["id"]: each["severity"] for each in result["findings"]}
        if result["hosts"]:  # to mail from the Internet such an address is a fault, though the resolver is our own
            assert (result["skipped"], result["outcome"]) == ("not-public", "error")
            assert severities == {"left-alone": "inconclusive", "mx-address-private": "error"} | severities
        assert "interrupted" not in severities


def test_who_asked_to_be_left_alone_is(
    lab: Lab, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = lab.world.places["certificate-expired"].hosts[0].address
    exclude = written(tmp_path / "exclude", f"healthy.lab.test # asked\n{address}/32\nmx.no-mx.lab.test\n")
    before = {name: len(place.visits) for name, place in lab.world.places.items()}
    asked = len(lab.world.dns.questions)
    assert scan(lab, source, "--exclude", exclude) == 0
    told = capsys.readouterr()
    found = results(told.out)
    assert set(found) == set(OUTCOMES)
    assert found["healthy.lab.test"]["hosts"] == []
    for name in ("healthy.lab.test", "certificate-expired.lab.test"):
        assert [found[name][each] for each in ("outcome", "skipped")] == ["left-alone", "excluded"]
        assert ("left-alone", "inconclusive") in [(each["id"], each["severity"]) for each in found[name]["findings"]]
    assert "1 takes no mail" in told.err
    assert "2 left alone" in told.err
    assert not [each for each in lab.world.dns.questions[asked:] if each.name.endswith("healthy.lab.test")]
    [session] = found["certificate-expired.lab.test"]["hosts"][0]["sessions"]
    assert session["skipped"] == "excluded"
    came = {name for name, place in lab.world.places.items() if len(place.visits) > before[name]}
    assert came.isdisjoint({"healthy", "certificate-expired"})
    assert "greeting-554" in came


def test_an_exclude_file_with_a_mistake_is_refused(
    lab: Lab, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scan(lab, source, "--exclude", written(tmp_path / "exclude", "a.example\n10.0.0.0/99\n")) == 2
    assert "exclude file, line 2" in capsys.readouterr().err


def test_an_exclude_file_without_end_is_not_read_to_its_end(
    lab: Lab, source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("smtpprobe.cli.scan.MAX_EXCLUDE_BYTES", 2 * 1024 * 1024)
    assert scan(lab, source, "--exclude", "/dev/zero") == 2
    assert "/dev/zero: it has more than 2 MiB" in capsys.readouterr().err


def test_many_targets_ask_for_a_name(lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = written(tmp_path / "list", "".join(f"d{number}.lab.test\n" for number in range(101)))
    out = tmp_path / "out.ndjson"
    assert scan(lab, source, "--out", out) == 2
    assert "101 targets will wonder who you are: give --ehlo NAME" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["list"]
    assert scan(lab, source, "--out", out, "--ehlo", "probe.example.org", "-q") == 0
    assert len(results(out.read_bytes())) == 101


@pytest.mark.parametrize("option", ["--out", "--save-evidence"])
def test_what_exists_is_not_written_over(
    lab: Lab, source: Path, tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    there = written(tmp_path / "there.ndjson", "precious\n")
    assert scan(lab, source, option, there) == 2
    assert f"there.ndjson' exists; choose another {option}" in capsys.readouterr().err
    assert there.read_text() == "precious\n"


def test_results_and_evidence_need_files_of_their_own(
    lab: Lab, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scan(lab, source, "--out", tmp_path / "x", "--save-evidence", tmp_path / "x") == 2
    assert "files of their own" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.txt"], "No such file"),
        (["list.csv"], "--column"),
        (["list.csv", "--column", "nope"], "no column 'nope'"),
        (["list.txt", "--column", "0"], "columns are counted from 1"),
        (["list.txt", "--resume"], "--out FILE"),
        (["list.txt", "--resume", "--out", "new.ndjson"], "nothing to go on with"),
        (["list.gz"], "damaged"),
        (["list.txt", "--out", "out.ndjson.gz"], "no results are written as .gz"),
        (["list.txt", "--out", "none/out.ndjson"], "no folder 'none'"),
        (["list.txt", "--out", "."], "'.' is a folder"),
    ],
)
def test_what_cannot_be_done_is_said_on_one_line_and_leaves_nothing(
    lab: Lab,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {"list.txt", "list.csv", "list.gz"}
    for name in files:
        written(tmp_path / name, "domain\na.example\n")
    out = [] if {"--resume", "--out"} & {*arguments} else ["--out", "out.ndjson"]
    assert scan(lab, *arguments, *out) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert shown.count("\n") == 1
    assert {each.name for each in tmp_path.iterdir()} == files


@pytest.mark.parametrize("arguments", [("--out", "out.ndjson"), ("--dry-run",), ("--engine", "dask", "--out", "out")])
@pytest.mark.parametrize(
    ("name", "content", "told"), [("list", "", ""), ("list", "..\na:b:c\n", "line 2"), ("t.csv", "d,n\n,x\n", "line 2")]
)
def test_what_names_no_target_does_not_pass_for_a_scan_that_is_done(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    name: str,
    content: str,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / name, content)
    assert main(["scan", name, *(["--column", "d"] if name == "t.csv" else []), *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert told in shown.err
    assert shown.err.endswith(f"there is no target in '{name}'\n")
    assert not list(tmp_path.glob("out*"))


# --- the run --------------------------------------------------------------------------------------------------------


def test_only_the_first_targets_are_taken(lab: Lab, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scan(lab, source, "-q", "--limit", "2") == 0
    assert set(results(capsys.readouterr().out)) == set(list(OUTCOMES)[:2])


def test_a_scan_whose_time_is_up_is_gone_on_with(
    lab: Lab, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.ndjson"
    assert scan(lab, source, "--out", out, "--rate", "2", "--max-time", "1ms") == 3
    assert "not finished: " in capsys.readouterr().err
    assert scan(lab, source, "--out", out) == 2
    assert "go on with --resume" in capsys.readouterr().err
    assert scan(lab, source, "--out", out, "--resume", "--timeout", "3s") == 2
    assert "begun with other targets or other options" in capsys.readouterr().err
    assert scan(lab, source, "--out", out, "--resume", "--limit", "3") == 2
    assert scan(lab, source, "--out", out, "--resume", "--concurrency", "3", "-q") == 0
    assert set(results(out.read_bytes())) == set(OUTCOMES)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["list.txt", "out.ndjson"]


def test_who_cannot_go_on_is_not_told_to(lab: Lab, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scan(lab, source, "--rate", "2", "--max-time", "1ms") == 3
    shown = capsys.readouterr()
    assert "not finished: " in shown.err
    assert "--out FILE" in shown.err
    assert "--resume" not in shown.err


def test_going_on_cuts_no_file_but_its_own(
    lab: Lab, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, mine = tmp_path / "out.ndjson", tmp_path / "mine.ndjson"
    other = written(tmp_path / "other.ndjson", "precious\n" * 10_000)
    slow = ("--rate", "2", "--max-time", "1ms")
    assert scan(lab, source, "--out", out, "--save-evidence", mine, *slow) == 3
    assert scan(lab, source, "--out", out, "--save-evidence", other, "--resume") == 2
    assert other.read_text() == "precious\n" * 10_000
    assert scan(lab, source, "--out", out, "--save-evidence", mine, "--resume", "-q") == 0
    assert len(mine.read_bytes().splitlines()) == len(OUTCOMES)


@pytest.fixture
def held() -> Iterator[tuple[SmallWorld, asyncio.Event]]:
    """A server that keeps its first visitor waiting, and one that does not, at the same address."""
    release = asyncio.Event()
    script: Script = (Hold(release), greeting("mx.example.org"), serve("mx.example.org"))
    with small_world(held=script, healthy=HEALTHY) as world:
        yield world, release
        world.allow(release)


def start(world: SmallWorld, source: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "smtpprobe", "scan", str(source), "--out", str(out), "--allow-private"]
    return subprocess.Popen([*command, *world.options, *more], stderr=subprocess.PIPE, text=True)


def test_ctrl_c_ends_what_runs_and_the_rest_is_gone_on_with(
    held: tuple[SmallWorld, asyncio.Event], tmp_path: Path
) -> None:
    world, release = held
    source = written(tmp_path / "list", f"{world.target('held')}\n{world.target('healthy')}\n")
    out = tmp_path / "out.ndjson"
    with start(world, source, out) as process:
        world.wait_for_visit("held")
        process.send_signal(signal.SIGINT)
        world.allow(release)
        _, said = process.communicate(timeout=30)
    assert process.returncode == EXIT_INTERRUPTED
    assert "not finished: 1 of 2 targets have a result" in said
    assert set(results(out.read_bytes())) == {world.target("held")}
    assert world.servers["healthy"].visits == []
    with start(world, source, out, "--resume") as process:
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert set(results(out.read_bytes())) == {world.target("held"), world.target("healthy")}
    assert [len(world.servers[name].visits) for name in ("held", "healthy")] == [1, 1]
    assert re.search(r"^2 targets, 2 endpoints, 1 connections in ", said)
    assert "  2 warning\n" in said  # of both runs


@pytest.mark.parametrize("left", [0, 20])
def test_what_the_disk_lost_is_written_anew(held: tuple[SmallWorld, asyncio.Event], tmp_path: Path, left: int) -> None:
    world, release = held
    source = written(tmp_path / "list", f"{world.target('held')}\n{world.target('healthy')}\n")
    out, evidence = tmp_path / "out.ndjson", tmp_path / "evidence.ndjson"
    options = ("--save-evidence", str(evidence))
    with start(world, source, out, *options) as process:
        world.wait_for_visit("held")
        process.send_signal(signal.SIGINT)
        world.allow(release)
        process.communicate(timeout=30)
    for path in (out, evidence):  # as after a power cut
        path.write_bytes(path.read_bytes()[:left])
    with start(world, source, out, "--resume", *options) as process:
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert set(results(out.read_bytes())) == {world.target("held"), world.target("healthy")}
    assert [len(world.servers[name].visits) for name in ("held", "healthy")] == [1, 1]
    kept = [json.loads(line)["target"]["text"] for line in evidence.read_bytes().splitlines()]
    assert sorted(kept) == sorted([world.target("held"), world.target("healthy")])


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_twice_breaks_off(held: tuple[SmallWorld, asyncio.Event], tmp_path: Path, jobs: str) -> None:
    world, release = held
    source = written(tmp_path / "list", f"{world.target('held')}\n")
    out = tmp_path / "out.ndjson"
    with start(world, source, out, "--jobs", jobs) as process:
        world.wait_for_visit("held")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)  # two of the same might be taken for one
        _, said = process.communicate(timeout=30)
    assert process.returncode == EXIT_INTERRUPTED
    assert said.count("\n") == 2, said
    assert out.read_bytes() == b""
    assert Path(f"{out}.journal").exists()
    world.allow(release)
    with start(world, source, out, "--resume", "-q") as process:
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "")
    assert set(results(out.read_bytes())) == {world.target("held")}


def test_a_reader_who_goes_ends_it(lab: Lab, tmp_path: Path) -> None:
    names = "".join(f"d{number}.lab.test\n" for number in range(5000))
    source = written(tmp_path / "list", names)
    command = [sys.executable, "-m", "smtpprobe", "scan", str(source), *lab.options, "--ehlo", "probe.example.org"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())
        process.stdout.close()
        said = process.stderr.read()
        process.wait(60)
    assert process.returncode == EXIT_CLOSED_PIPE
    assert said == b""


# --- help -----------------------------------------------------------------------------------------------------------


def test_help_has_headings_and_imports_nothing_heavy() -> None:
    program = (
        "import sys; from smtpprobe.cli import main; status = main(['scan', '--help']);"
        "print(status, *sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    status, *modules = ended.stderr.split()
    assert status == "0"
    assert (HEAVY | {"sqlite3", "msgspec", "pyarrow", "uvloop"}).isdisjoint(modules)
    for heading in ("Targets and results", "What to ask", "Politeness", "Where to connect", "The run", "Exit status"):
        assert f"\n{heading}:\n" in ended.stdout
    assert re.findall(r"^  (\d+) ", ended.stdout, re.MULTILINE)[-4:] == ["0", "2", "3", "130"]
