"""``smtpprobe check``: what is typed, what is printed where, and how it ends."""

from __future__ import annotations

import asyncio
import io
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

from smtpprobe.cli import expected, main
from smtpprobe.cli.background import TURN_S, Probes, stopping
from smtpprobe.evidence import Family, Options, PortSpec, Role, TlsMode
from smtpprobe.lab.scripted import Hold, Stall, greeting, serve
from smtpprobe.loading import decode
from tests.cli.small_world import BUSY, HEALTHY, REFUSING, SmallWorld, small_world
from tests.cli.test_main import HEAVY


@pytest.fixture(scope="module")
def world() -> Iterator[SmallWorld]:
    with small_world(healthy=HEALTHY, refusing=REFUSING, busy=BUSY) as servers:
        yield servers


def check(world: SmallWorld, *arguments: str) -> int:
    return main(["check", *world.options, *arguments])


# --- help -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["check", "judge", "schema", "init", "diff"])
def test_help_imports_nothing_heavy(command: str) -> None:
    program = (
        "import sys; from smtpprobe.cli import main; status = main([sys.argv[1], '--help']);"
        "print(status, *sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program, command], capture_output=True, text=True, timeout=60)
    status, *modules = ended.stderr.split()
    assert status == "0"
    assert HEAVY.isdisjoint(modules)
    assert "Examples:" in ended.stdout


def test_a_report_in_text_needs_no_library_of_another_format(world: SmallWorld) -> None:
    program = (
        "import sys; from smtpprobe.cli import main; status = main(sys.argv[1:]);"
        "print(status, *sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    command = ["check", *world.options, world.target("healthy")]
    ended = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True, timeout=60)
    status, *modules = ended.stderr.split()
    assert status == "0"
    others = {"jinja2", "junitparser", "prometheus_client", "tomlkit", "jsonschema", "sqlite3", "httpx"}
    assert others.isdisjoint(modules)


UNNEEDED = {
    "smtpprobe.expectations.reading",
    "smtpprobe.reference.lasting",
    "smtpprobe.reference.reading",
    "smtpprobe.reference.wording",
    "smtpprobe.render.json",
    "tomllib",
}
"""What only some reports need: how refusals are worded, other formats, a file of expectations."""


def test_a_server_that_refuses_nothing_needs_no_more_than_is_usual(world: SmallWorld, tmp_path: Path) -> None:
    program = (
        "import sys; from smtpprobe.cli import main; status = main(sys.argv[1:]);"
        "print(status, *sys.modules, file=sys.stderr)"
    )
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["smtpprobe"]\n')
    command = ["check", *world.options, world.target("healthy")]
    ended = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    status, *modules = ended.stderr.split()
    assert status == "0"
    assert UNNEEDED.isdisjoint(modules)


JUDGING = {"OpenSSL", "cryptography", "smtpprobe.checks", "smtpprobe.reference.matching", "smtpprobe.render.view"}


def loaded_before(moment: str, target: str) -> set[str]:
    """What is imported until a moment, at which the program ends."""
    program = (
        "import os, sys; from smtpprobe.cli import main\n"
        "def end(): print(*sys.modules, flush=True); os._exit(0)\n"
        f"{moment}; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", program, "check", "--ehlo", "client.example.org", target]
    return set(subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.split())


@pytest.mark.skipif(sys.platform != "linux", reason="nothing sets out early elsewhere")
def test_the_first_packet_to_an_address_leaves_before_what_a_conversation_takes_is_loaded() -> None:
    modules = loaded_before("sys.addaudithook(lambda event, _: event == 'socket.connect' and end())", "192.0.2.1")
    assert "smtpprobe.endpoints" in modules
    assert modules.isdisjoint(
        {"aiosmtplib", "asyncio", "dns", "encodings.idna", "smtpprobe.cli.files", "ssl"} | JUDGING
    )


def test_a_name_is_asked_for_before_what_judges_and_prints_is_loaded() -> None:
    begin = "from smtpprobe.cli.background import Probes; Probes.__enter__ = lambda _: end()"
    modules = loaded_before(begin, "mx.example.org")
    assert "smtpprobe.stub" in modules, "the first packet is a question"
    assert modules.isdisjoint(JUDGING)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--ehlo", "under_score"],
        ["--port", "smtps"],
        ["--resolver", "dns.example.org"],
        ["--resolve", "mx.example.org"],
        ["-4", "-6"],
        ["-q", "-v"],
        ["-w", "5"],
        ["--exit-code"],
        ["--format", "morse"],
        ["--baseline", "no/such/file"],
        ["--ca", "no/such/file"],
        ["--config", "no/such/file"],
        ["--save", "no/such/file"],
        ["--output", "json=no/such/file"],
        ["192.0.2.1:port"],
    ],
    ids=" ".join,
)
def test_nothing_is_sent_where_what_was_typed_is_wrong(
    wrong: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: list[object] = []
    monkeypatch.setattr("smtpprobe.opening.Opening", lambda endpoint, _: sent.append(endpoint))
    monkeypatch.setattr("smtpprobe.wire.Wire.connect", lambda wire, _: sent.append(wire))
    assert main(["check", "192.0.2.1", *wrong]) == 2
    assert capsys.readouterr().err
    assert not sent


def test_loading_makes_way_for_the_network_as_long_as_it_is_spoken_to() -> None:
    usual_s = sys.getswitchinterval()
    with Probes([], Options()):
        assert sys.getswitchinterval() == pytest.approx(TURN_S)
        assert usual_s > TURN_S
    assert sys.getswitchinterval() == usual_s


def test_garbage_is_collected_while_targets_are_probed(world: SmallWorld) -> None:
    program = (
        "import gc, sys; from smtpprobe import __main__, cli; main = cli.main;"
        "cli.main = lambda: [main(), print(gc.isenabled(), file=sys.stderr)][0]; __main__.program()"
    )
    command = ["check", *world.options, world.target("healthy")]
    ended = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "True\n")


def test_help_groups_the_options_and_tells_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--help"]) == 0
    text = capsys.readouterr().out
    headings = re.findall(r"^(\w[\w ]*):$", text, re.MULTILINE)
    assert headings == [
        "Where to connect",
        "Names and trust",
        "Further connections and questions",
        "Time",
        "Report",
        "Expectations",
        "Help",
        "Exit status",
    ]
    for status in ("0 ", "1 ", "2 ", "3 ", "130 "):
        assert f"\n  {status}" in text
    assert "One of text, json" in text


# --- how it ends ----------------------------------------------------------------------------------------------------


def test_a_server_without_errors_ends_with_status_0(world: SmallWorld, capsys: pytest.CaptureFixture[str]) -> None:
    target = world.target("healthy")
    assert check(world, target) == 0
    printed = capsys.readouterr()
    assert target in printed.out.splitlines()[0]
    assert "exit status 0: nothing at or above 'error'" in printed.out.splitlines()[-1]
    assert printed.err == ""


def test_findings_at_the_threshold_end_with_status_1(world: SmallWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(world, world.target("refusing")) == 1
    assert "554 5.7.1 No service for you" in capsys.readouterr().out
    assert check(world, "--fail-on", "warning", world.target("healthy")) == 1, "it offers no STARTTLS"


def test_what_could_not_be_found_out_ends_with_status_3(world: SmallWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(world, world.target("busy")) == 3
    assert "INCONCLUSIVE" in capsys.readouterr().out.splitlines()[0]


def test_the_worst_target_decides(world: SmallWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(world, "-q", world.target("healthy"), world.target("busy")) == 3
    assert check(world, "-q", world.target("refusing"), world.target("busy")) == 1
    assert len(capsys.readouterr().out.splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["http://example.org"], "http"),
        (["example.org", "exa mple.org"], "target"),
        (["--port", "ftp:21", "example.org"], "port"),
        (["--port", "0", "example.org"], "port"),
        (["--resolver", "dns.example", "example.org"], "resolver"),
        (["--resolve", "mx.example.org", "example.org"], "="),
        (["--timeout", "5 parsecs", "example.org"], "duration"),
        (["--deadline", "0", "example.org"], "over 0"),
        (["-4", "-6", "example.org"], "-4 and -6"),
        (["-q", "-v", "example.org"], "-q and -v"),
        (["--format", "xml", "example.org"], "xml"),
        (["--fail-on", "often", "example.org"], "often"),
        (["--ca", "missing.pem", "127.0.0.1"], "missing.pem"),
        (["--certificate-days", "soon", "example.org"], "days"),
        (["--certificate-days", "7,21", "example.org"], "before the warning"),
        (["--ehlo", "my_host", "127.0.0.1"], "EHLO"),
        (["--save", "missing/evidence.json", "127.0.0.1"], "missing"),
        ([], "TARGET"),
    ],
)
def test_a_mistake_ends_with_status_2_and_one_line_before_anything_is_tried(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--resolver", "127.0.0.1:1", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    first, *rest = printed.err.splitlines()
    assert first.startswith("smtpprobe")
    assert said in first
    assert rest in ([], ["Try 'smtpprobe check --help'."])


# --- targets --------------------------------------------------------------------------------------------------------


def test_targets_come_from_stdin_one_a_line(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = f"# ours\n\n  {world.target('healthy')}  # the first\n{world.target('busy')}\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    assert check(world, "-q", "-") == 3
    first, second = capsys.readouterr().out.splitlines()
    assert world.target("healthy") in first
    assert world.target("busy") in second


@pytest.mark.parametrize(
    ("file", "said"), [("/dev/zero", "line 1: '\\x00\\x00"), ("yes", "it has more than 1000 lines; 'smtpprobe scan'")]
)
def test_a_stdin_without_end_is_not_read_to_its_end(
    file: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(expected, "MAX_TARGETS", 1000)
    with io.StringIO("example.org\n" * 1001) if file == "yes" else open(file) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert main(["check", "-"]) == 2
    assert f"smtpprobe: standard input{':' if file == 'yes' else ','} {said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lines", "said"),
    [("127.0.0.1\nexample.org:smtp\n", "standard input, line 2: "), ("# nothing\n", "no target on the standard input")],
)
def test_a_mistake_on_stdin_is_named_by_its_line(
    lines: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    assert main(["check", "--resolver", "127.0.0.1:1", "-"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.count("\n") == 1


def test_reports_come_in_the_order_of_the_targets(capsys: pytest.CaptureFixture[str]) -> None:
    slow = (Hold(at_most_s=0.2), *HEALTHY)
    with small_world(slow=slow, fast=HEALTHY) as world:
        assert check(world, "-q", world.target("slow"), world.target("fast")) == 0
        first, second = capsys.readouterr().out.splitlines()
        assert world.target("slow") in first
        assert world.target("fast") in second


def test_a_domain_is_checked_through_the_resolver_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    records = "example.org MX 10 mx.example.org\nmx.example.org A {mx}\n"
    with small_world(records, mx=HEALTHY) as world:
        port = f"smtp:{world.servers['mx'].port}"
        assert check(world, "--port", port, "example.org") == 0
        printed = capsys.readouterr().out
        assert "MX 10  mx.example.org" in printed
        assert world.servers["mx"].rudeness == []


# --- options --------------------------------------------------------------------------------------------------------


def test_the_options_reach_the_probe(world: SmallWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "evidence.json"
    server = world.servers["healthy"]
    typed = f"--resolver {world.dns.resolver} --resolve MX.example.org={server.host} --ehlo me.example -4"
    typed += f" --port submission:{server.port} --timeout 1500ms --deadline 1m --certificate-days 30,3"
    typed += f" --save {saved} mx.example.org"
    main(["check", *typed.split()])
    evidence = decode(saved.read_text())
    options = evidence.options
    assert options.ports == (PortSpec(port=server.port, role=Role.SUBMISSION, tls=TlsMode.STARTTLS),)
    assert options.explicit_ports
    assert options.resolvers == (world.dns.resolver,)
    assert [(each.name, each.address) for each in options.overrides] == [("mx.example.org", server.host)]
    assert options.family is Family.IPV4
    assert (options.timeout_s, options.greeting_timeout_s, options.deadline_s) == (1.5, 1.5, 60.0)
    assert (options.expiry_warning_days, options.expiry_alarm_days) == (30, 3)
    assert evidence.ehlo_name == options.ehlo_name == "me.example"


def test_without_timeout_the_greeting_keeps_its_own(
    world: SmallWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "evidence.json"
    main(["check", "--resolver", world.dns.resolver, "--save", str(saved), world.target("healthy")])
    options = decode(saved.read_text()).options
    assert (options.timeout_s, options.greeting_timeout_s, options.deadline_s) == (10.0, 30.0, 60.0)
    assert (options.expiry_warning_days, options.expiry_alarm_days) == (21, 7)
    assert not options.explicit_ports


# --- saving ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["json", "text"])
def test_saved_evidence_gives_the_same_report_again(
    format: str, world: SmallWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "evidence.json"
    targets = [world.target(name) for name in ("healthy", "refusing", "busy")]
    status = check(world, "--format", format, "--save", str(saved), *targets)
    printed = capsys.readouterr().out
    assert main(["judge", "--format", format, str(saved)]) == status == 1
    assert capsys.readouterr().out == printed
    assert [decode(line).target.text for line in saved.read_text().splitlines()] == targets
    assert [path.name for path in tmp_path.iterdir()] == ["evidence.json"], "nothing is left beside it"


def test_json_is_one_document_for_one_target_and_for_many(
    world: SmallWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    for names in (["healthy"], ["healthy", "busy"]):
        check(world, "--format", "json", *map(world.target, names))
        document = json.loads(capsys.readouterr().out)
        assert [each["target"] for each in document["reports"]] == list(map(world.target, names))


def test_a_file_that_cannot_be_written_whole_is_an_error(world: SmallWorld, tmp_path: Path) -> None:
    saved = tmp_path / "evidence.json"
    program = (
        "import resource, sys; from smtpprobe.cli import main;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); sys.exit(main(sys.argv[1:]))"
    )
    command = ["check", *world.options, "-q", "--save", str(saved), world.target("healthy")]
    ended = subprocess.run([sys.executable, "-B", "-c", program, *command], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert world.target("healthy") in ended.stdout
    assert ended.stderr.startswith(f"smtpprobe: {saved}: File too large")
    assert list(tmp_path.iterdir()) == []


# --- Ctrl-C ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_ends_it_sees_what_is_known_and_status_130(end: signal.Signals, tmp_path: Path) -> None:
    saved = tmp_path / "evidence.json"
    with small_world(silent=(Stall(),)) as world:
        command = [sys.executable, "-m", "smtpprobe", "check", "--resolver", world.dns.resolver]
        command += ["--save", str(saved), world.target("silent")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            world.wait_for_visit("silent")
            process.send_signal(end)
            out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == [saved]
    assert world.target("silent") in out.splitlines()[0]
    assert "interrupted, 0 of 1 endpoints finished" in out
    assert "Traceback" not in err
    assert decode(saved.read_text()).is_interrupted


def test_a_second_ctrl_c_stops_at_once() -> None:
    stopped = []
    with stopping(lambda: stopped.append(True)) as received:
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped == [True]
        assert received == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# --- at a terminal --------------------------------------------------------------------------------------------------


class AtTerminal:
    """The program with a terminal on both outputs."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        environ = {**os.environ, "COLUMNS": "100", "TERM": "xterm"}
        command = [sys.executable, "-m", "smtpprobe", *arguments]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ)
        os.close(theirs)
        self.shown = ""

    def read_until(self, text: str) -> None:
        while text not in self.shown:
            self._read()

    def finish(self) -> int:
        try:
            while True:
                self._read()
        except (OSError, EOFError):  # Linux ends a terminal with EIO
            os.close(self._ours)
        return self.process.wait(30)

    def _read(self) -> None:
        data = os.read(self._ours, 4096)
        if not data:
            raise EOFError
        self.shown += data.decode()


def test_the_answer_is_on_the_screen_before_the_server_says_goodbye() -> None:
    goodbye = asyncio.Event()
    late = (greeting("mx"), serve("mx", changes={"QUIT": (Hold(until=goodbye), b"421 4.4.2 too late\r\n")}))
    with small_world(late=late) as world:
        terminal = AtTerminal("check", *world.options, world.target("late"))
        terminal.read_until("answers")
        assert not world.servers["late"].visits[0].is_over
        world.allow(goodbye)
        status = terminal.finish()
    assert status == 0
    assert terminal.shown.count("answers") == 1, "nothing is said twice"
    assert "exit status 0" in terminal.shown


def test_progress_is_shown_on_a_terminal_and_leaves_no_trace() -> None:
    begin = asyncio.Event()
    with small_world(slow=(Hold(until=begin), *HEALTHY)) as world:
        terminal = AtTerminal("check", *world.options, "-q", world.target("slow"))
        terminal.read_until("0 of 1 endpoints, waiting for")
        world.allow(begin)
        assert terminal.finish() == 0
    *_, left = terminal.shown.split("\r\x1b[2K")
    assert re.fullmatch(r"\x1b\[33m▲ WARNING  \x1b\[0m\x1b\[1m127[^\r\n]*\r\n", left), "only the report remains"
