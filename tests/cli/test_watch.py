"""``smtpprobe watch`` and ``smtpprobe history`` against servers that come and go."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpprobe.cli import main
from smtpprobe.lab.scripted import Script, Stall
from tests.cli.small_world import BUSY, HEALTHY, REFUSING, SmallWorld, small_world
from tests.cli.test_main import HEAVY

AT_ONCE = ("--every", "1ms")


@pytest.fixture
def world() -> Iterator[SmallWorld]:
    with small_world(healthy=HEALTHY, refusing=REFUSING, busy=BUSY, silent=(Stall(),)) as servers:
        yield servers


def watch(world: SmallWorld, *arguments: str) -> int:
    return main(["watch", *AT_ONCE, *world.options, *arguments])


def play(world: SmallWorld, name: str, *scripts: Script) -> str:
    """Let a server play a script to each visitor, and give what to type for it."""
    world.servers[name].scripts = scripts
    return world.target(name)


# --- help -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["watch", "history"])
def test_help_imports_nothing_heavy(command: str) -> None:
    program = (
        "import sys; from smtpprobe.cli import main; status = main([sys.argv[1], '--help']);"
        "print(status, *sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program, command], capture_output=True, text=True, timeout=60)
    status, *modules = ended.stderr.split()
    assert status == "0"
    assert (HEAVY | {"sqlite3"}).isdisjoint(modules)
    assert "Examples:" in ended.stdout


def test_help_tells_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    main(["watch", "--help"])
    said = capsys.readouterr().out.partition("Exit status:\n")[2]
    assert re.findall(r"^  (\d+) ", said, re.MULTILINE) == ["0", "1", "2", "3", "130"]


# --- what is written ------------------------------------------------------------------------------------------------


def test_programs_get_a_json_line_for_each_probe(world: SmallWorld, capsys: pytest.CaptureFixture[str]) -> None:
    import jsonschema  # type: ignore[import-untyped]

    target = play(world, "healthy", REFUSING, REFUSING, HEALTHY)
    assert watch(world, "--count", "3", target) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["number"], each["status"], each["outcome"]) for each in lines] == [
        (1, "error", "findings"),
        (2, "error", "findings"),
        (3, "warning", "passed"),
    ]
    assert [each["change"] is None for each in lines] == [False, True, False]
    assert lines[0]["change"]["before"] is None
    assert (lines[2]["change"]["before"], lines[2]["change"]["after"]) == ("error", "warning")
    assert lines[2]["change"]["appeared"] == ["starttls-missing"]
    assert lines[2]["change"]["gone"]
    main(["schema", "watch"])
    schema = json.loads(capsys.readouterr().out)
    for each in lines:
        jsonschema.validate(each, schema)


def test_what_a_server_does_not_show_while_it_refuses_is_no_news_when_it_is_back(
    world: SmallWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    target = play(world, "healthy", HEALTHY, REFUSING, HEALTHY)
    assert watch(world, "--count", "3", target) == 0
    changes = [json.loads(line)["change"] for line in capsys.readouterr().out.splitlines()]
    assert "starttls-missing" in changes[0]["appeared"]
    assert changes[1]["gone"] == []
    assert (changes[2]["before"], changes[2]["after"], changes[2]["appeared"]) == ("error", "warning", [])


def test_people_get_a_line_for_each_change(world: SmallWorld, capsys: pytest.CaptureFixture[str]) -> None:
    target = play(world, "healthy", REFUSING, REFUSING, HEALTHY, HEALTHY)
    assert watch(world, "--count", "4", "--format", "text", target) == 0
    first, second, ending = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d [\d:]+ UTC  ✖ {target}  begins with ERROR; new: [a-z, -]+", first)
    assert re.search(rf"UTC  ▲ {target}  ERROR becomes WARNING; new: starttls-missing; gone: ", second)
    assert ending == "exit status 0: every target passed at last"


def test_the_words_are_those_of_the_language(world: SmallWorld, capsys: pytest.CaptureFixture[str]) -> None:
    watch(world, "--count", "1", "--format", "text", "--lang", "zh-Hans", world.target("healthy"))
    assert "起初为" in capsys.readouterr().out


def test_a_file_says_what_is_watched_and_expected(
    world: SmallWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = world.servers["healthy"]
    text = f"""
    [targets.small]
    target = "{world.target("healthy")}"
    expect = {{ size = 99999999 }}

    [targets.any]
    target = "smtp://{world.target("healthy")}"
    """
    (tmp_path / "smtpprobe.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert watch(world, "--count", "1") == 1
    lines = {(found := json.loads(line))["target"]: found for line in capsys.readouterr().out.splitlines()}
    assert len(lines) == len(server.visits) == 2
    outcomes = {target: each["outcome"] for target, each in lines.items()}
    assert outcomes == {world.target("healthy"): "findings", f"smtp://{world.target('healthy')}": "passed"}
    assert watch(world, "--count", "1", "any") == 0


def test_a_target_that_is_named_twice_is_watched_once(world: SmallWorld) -> None:
    assert watch(world, "--count", "2", world.target("healthy"), world.target("healthy")) == 0
    assert len(world.servers["healthy"].visits) == 2


def test_a_target_that_is_to_be_watched_in_two_ways_is_a_mistake(
    world: SmallWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = world.target("healthy")
    text = f"[targets.one]\ntarget = '{target}'\n[targets.two]\ntarget = '{target}'\nexpect.size = 1\n"
    (tmp_path / "smtpprobe.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert watch(world, "--count", "1") == 2
    assert f"{target} is to be watched in two ways" in capsys.readouterr().err
    assert watch(world, "--count", "1", "two", "two") == 0
    assert len(world.servers["healthy"].visits) == 1


# --- how it ends ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "status"), [("healthy", 0), ("refusing", 1), ("busy", 3)])
def test_without_a_condition_the_last_state_decides(world: SmallWorld, name: str, status: int) -> None:
    assert watch(world, "--count", "2", world.target(name)) == status
    assert len(world.servers[name].visits) == 2


def test_the_threshold_is_that_of_fail_on(world: SmallWorld) -> None:
    assert watch(world, "--count", "1", "--fail-on", "warning", world.target("healthy")) == 1


def test_until_ok_ends_when_the_server_is_back(world: SmallWorld) -> None:
    target = play(world, "healthy", REFUSING, BUSY, HEALTHY, REFUSING)
    assert watch(world, "--until", "ok", target) == 0
    assert len(world.servers["healthy"].visits) == 3


def test_until_ok_waits_for_every_target(world: SmallWorld) -> None:
    assert watch(world, "--until", "ok", "--count", "2", world.target("healthy"), world.target("refusing")) == 1


def test_until_fail_ends_when_something_breaks(world: SmallWorld) -> None:
    target = play(world, "healthy", HEALTHY, HEALTHY, REFUSING)
    assert watch(world, "--until", "fail", target) == 0
    assert len(world.servers["healthy"].visits) == 3
    assert watch(world, "--until", "fail", "--count", "1", world.target("busy")) == 1


@pytest.mark.parametrize(("more", "status"), [((), 3), (("--until", "ok"), 1), (("--until", "fail"), 1)])
def test_time_is_up_in_any_case(world: SmallWorld, more: tuple[str, ...], status: int) -> None:
    assert watch(world, *more, "--for", "50ms", world.target("silent")) == status


def test_ctrl_c_ends_it_cleanly(tmp_path: Path) -> None:
    with small_world(silent=(Stall(),)) as world:
        options = [*world.options, "--timeout", "30s"]  # so that nothing ends before Ctrl-C comes
        command = [sys.executable, "-m", "smtpprobe", "watch", *options, world.target("silent")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            world.wait_for_visit("silent")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "")


def test_a_reader_that_goes_ends_it_quietly(world: SmallWorld) -> None:
    command = [sys.executable, "-m", "smtpprobe", "watch", *AT_ONCE, *world.options, world.target("healthy")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--every", "0", "example.org"], "over 0"),
        (["--every", "soon", "example.org"], "duration"),
        (["--until", "often", "example.org"], "often"),
        (["--for", "48h", "example.org"], "24h"),
        (["--count", "0", "example.org"], "--count"),
        (["--format", "xml", "example.org"], "xml"),
        (["--history", "missing/h.db", "127.0.0.1"], "missing/h.db"),
        (["--ca", "missing.pem", "--format", "text", "127.0.0.1"], "missing.pem"),
        (["exa mple.org"], "target"),
        (["--config", "missing.toml"], "missing.toml"),
        ([], "TARGET"),
    ],
)
def test_a_mistake_ends_with_status_2_and_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", "--resolver", "127.0.0.1:1", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err.splitlines()[0]


# --- the pace -------------------------------------------------------------------------------------------------------


def test_two_targets_never_talk_to_one_address_at_once(world: SmallWorld) -> None:
    server = world.servers["healthy"]
    targets = [world.target("healthy"), f"smtp://{world.target('healthy')}"]
    assert watch(world, "--count", "5", *targets) == 0
    assert (len(server.visits), server.most_at_once) == (10, 1)
    assert server.rudeness == []


def test_who_puts_us_off_is_left_alone_longer_and_longer(world: SmallWorld, capsys: pytest.CaptureFixture[str]) -> None:
    target = play(world, "busy", BUSY, BUSY, BUSY, HEALTHY)
    watch(world, "--count", "4", target)
    pauses = [json.loads(line)["next_s"] for line in capsys.readouterr().out.splitlines()]
    assert pauses[:3] == [0.002, 0.004, 0.008]
    assert pauses[3] <= 0.001


# --- on a terminal --------------------------------------------------------------------------------------------------


class Display:
    """As much of a terminal as a redrawn table needs (ECMA-48 CPL, ED, EL)."""

    def __init__(self) -> None:
        self.lines = [""]
        self.row = 0
        self.bells = 0

    def show(self, data: str) -> None:
        for piece in re.findall("\x1b\\[[0-9;]*[A-Za-z]|[^\x1b]", data):
            if piece == "\n":
                self.row += 1
                if self.row == len(self.lines):
                    self.lines.append("")
            elif piece == "\a":
                self.bells += 1
            elif found := re.fullmatch("\x1b\\[(\\d*)F", piece):
                self.row -= int(found[1])
                assert self.row >= 0
            elif piece == "\x1b[J":
                del self.lines[self.row :]
                self.lines.append("")
            elif piece == "\x1b[K":
                self.lines[self.row] = ""
            elif not piece.startswith("\x1b") and piece != "\r":
                self.lines[self.row] += piece


def on_terminal(world: SmallWorld, *arguments: str, columns: int = 100, **environ: str) -> tuple[int, str, Display]:
    ours, theirs = pty.openpty()
    surroundings = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm", **environ}
    command = [sys.executable, "-m", "smtpprobe", "watch", *AT_ONCE, *world.options, *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=surroundings) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 4096):
                shown += data
        except OSError:  # Linux ends a terminal with EIO
            os.close(ours)
        status = process.wait(30)
    display = Display()
    display.show(shown.decode())
    return status, shown.decode(), display


def test_a_terminal_shows_one_table_with_the_changes_above(world: SmallWorld) -> None:
    target = play(world, "healthy", REFUSING, HEALTHY, HEALTHY)
    status, shown, display = on_terminal(world, "--count", "3", target, world.target("busy"))
    assert status == 3
    change, heading, first, second, footer, ending, rest = display.lines
    assert f"{target}  ERROR becomes WARNING" in change
    assert heading.split() == ["State", "Target", "Latest", "Time", "Pause", "Problems"]
    assert re.match(rf"▲ WARNING +{target} +✖▲▲ ", first)
    assert re.match(rf"\? INCONCLUSIVE +{world.target('busy')} +\?\?\? ", second)
    assert footer == "probes: 6 · every 1 ms · Ctrl-C ends"
    assert ending == "exit status 3: something that matters was not known at last"
    assert rest == ""
    assert "\x1b[33m" in shown
    assert display.bells == 0


@pytest.mark.parametrize("columns", [20, 40, 60])
def test_a_narrow_terminal_gets_a_narrow_table(world: SmallWorld, columns: int) -> None:
    _, _, display = on_terminal(world, "--count", "2", world.target("refusing"), columns=columns)
    assert len(display.lines) == 5
    assert max(map(len, display.lines[:3])) <= columns


def test_no_color_takes_the_colours_and_leaves_the_table(world: SmallWorld) -> None:
    _, shown, display = on_terminal(world, "--count", "2", world.target("refusing"), NO_COLOR="1")
    assert not re.search("\x1b\\[[0-9;]*m", shown)
    assert len(display.lines) == 5


def test_a_dumb_terminal_gets_lines(world: SmallWorld) -> None:
    _, shown, _ = on_terminal(world, "--count", "2", world.target("refusing"), TERM="dumb")
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 2


def test_the_bell_rings_at_changes_only(world: SmallWorld) -> None:
    target = play(world, "healthy", REFUSING, REFUSING, HEALTHY)
    _, _, display = on_terminal(world, "--count", "3", "--bell", target)
    assert display.bells == 1


# --- history --------------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(world: SmallWorld, tmp_path: Path) -> str:
    """The history of a server that refused three of twenty probes."""
    file = str(tmp_path / "history.db")
    turns = [REFUSING if turn in (4, 5, 11) else HEALTHY for turn in range(20)]
    watch(world, "--history", file, "--count", "20", play(world, "healthy", *turns))
    watch(world, "--history", file, "--count", "2", world.target("busy"))
    return file


def test_what_comes_and_goes_shows_in_the_history(
    world: SmallWorld, kept: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    capsys.readouterr()
    assert main(["history", kept, world.target("healthy")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"▲ {world.target('healthy')}"
    assert re.fullmatch(r"  probes: 20 · .* UTC · ERROR: 3 · WARNING: 17 · changes: 4", lines[1])
    assert lines[2] == "  ▲▲▲▲✖✖▲▲▲▲▲✖▲▲▲▲▲▲▲▲"
    assert any(re.match(r"  ✖ \S+ +3 of 20 +[\d-]+ [\d:]+  [\d-]+ [\d:]+$", line) for line in lines)
    assert any(re.match(r"  ▲ starttls-missing +17 of 20  .*still there$", line) for line in lines)
    assert any(re.match(r"  conversation +\d", line) for line in lines)


def test_the_history_has_all_targets_and_can_be_cut(kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["history", "--last", "10", "--format", "json", kept]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "smtpprobe/history/1"
    assert sorted((each["kept"], len(each["sightings"])) for each in document["targets"]) == [(2, 2), (20, 10)]
    main(["history", "--last", "0", "--format", "json", kept])
    document = json.loads(capsys.readouterr().out)
    assert {each["kept"] == len(each["sightings"]) for each in document["targets"]} == {True}


def test_the_history_is_as_its_schema_says(kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    import jsonschema

    capsys.readouterr()
    main(["schema", "history"])
    schema = json.loads(capsys.readouterr().out)
    main(["history", "--format", "json", kept])
    jsonschema.Draft202012Validator(schema).validate(json.loads(capsys.readouterr().out))


def test_a_history_that_cannot_be_read_ends_with_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", str(tmp_path / "missing.db")]) == 2
    assert "there is no such file" in capsys.readouterr().err
    assert main(["history"]) == 2
    assert "FILE" in capsys.readouterr().err
