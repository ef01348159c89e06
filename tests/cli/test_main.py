"""What all commands share: lazy start-up, help, and how the program ends."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from smtpprobe import __version__, cli
from smtpprobe.__main__ import program
from smtpprobe.cli import COMMANDS, main, settle
from smtpprobe.errors import OptionError

MORE_FILES = "raise the limit, as by: ulimit -n 1024"
HEAVY = {"asyncio", "dns", "aiosmtplib", "cryptography", "OpenSSL", "rich", "ssl"}


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "smtpprobe", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(option: str) -> None:
    program = (
        "import sys; from smtpprobe.cli import main; status = main([sys.argv[1]]);"
        "print(status, *sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program, option], capture_output=True, text=True, timeout=60)
    status, *modules = ended.stderr.split()
    assert status == "0"
    assert "click" in modules
    assert HEAVY.isdisjoint(modules)


def test_the_help_names_every_command_and_imports_none() -> None:
    program = (
        "import sys; from smtpprobe.cli import main; main(['--help']);"
        "print(*[name for name in sys.modules if name.startswith('smtpprobe.')], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert [line.split()[0] for line in ended.stdout.split("Commands:\n")[1].splitlines()] == list(COMMANDS)
    assert set(ended.stderr.split()) == {"smtpprobe.cli", "smtpprobe.errors"}


def test_python_dash_m_is_the_program() -> None:
    ended = run("--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"smtpprobe {__version__}\n", "")


def test_without_a_command_the_help_comes_on_stderr_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Usage: smtpprobe")


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("chekc", "Did you mean 'check'"),
        ("example.org", "smtpprobe check example.org"),
        ("421", "smtpprobe explain '421'"),
        ("frobnicate", "no such command: 'frobnicate'."),
    ],
)
def test_an_unknown_command_is_answered_with_what_was_meant(
    typed: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([typed]) == 2
    printed = capsys.readouterr()
    assert hint in printed.err.splitlines()[0]
    assert printed.err.splitlines()[1:] == ["Try 'smtpprobe --help'."]


def test_an_unknown_option_ends_with_status_2_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--frobnicate"]) == 2
    assert capsys.readouterr().err.endswith("Try 'smtpprobe --help'.\n")


@pytest.mark.parametrize("arguments", [("explain", "421"), ("compare", "421", "450"), ("codes",), ("--help",)])
def test_streams_that_are_closed_from_the_start_are_no_fault(arguments: tuple[str, ...]) -> None:
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "smtpprobe", *arguments]
    ended = subprocess.run(shell, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_closed_pipe_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        command = [sys.executable, "-m", "smtpprobe", "--help"]
        ended = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_full_disk_is_said_and_is_no_success() -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "smtpprobe", "--help"]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr == "smtpprobe: the output: No space left on device\n"


class _Ending:
    """A command that ends as it is told."""

    def __init__(self, error: BaseException) -> None:
        @click.command()
        def command() -> None:
            raise error

        self.command = command


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (OptionError("no such file: 'x.pem'"), 2, "smtpprobe: no such file: 'x.pem'\n"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), 2, f"smtpprobe: the output: {os.strerror(errno.EIO)}\n"),
        (OSError("a process of the scan ended"), 2, "smtpprobe: a process of the scan ended\n"),
        (OSError(errno.EMFILE, "No more files", "words.py"), 2, f"smtpprobe: No more files; {MORE_FILES}\n"),
        (MemoryError(), 2, "smtpprobe: not enough memory\n"),
        (ImportError("cannot map x.so", name="x", path="x.so"), 2, "smtpprobe: cannot map x.so\n"),
        (KeyboardInterrupt(), 130, "\n"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_every_ending_has_its_status_and_at_most_one_line(
    error: BaseException, status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(COMMANDS, "end", ("ending", "End."))
    monkeypatch.setitem(sys.modules, "ending", _Ending(error))
    assert main(["end"]) == status
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", said)


# --- garbage --------------------------------------------------------------------------------------------------------


@pytest.fixture
def collector() -> Iterator[None]:
    """Leave the collector as it was."""
    yield
    gc.enable()
    gc.unfreeze()


def test_too_few_descriptors_for_an_event_loop_are_an_error_and_nothing_else_is_said() -> None:
    program = (
        "import resource; from smtpprobe.cli.beside import new_event_loop as begin;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5)); begin()"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ended.stderr.splitlines()[-1] == f"OSError: [Errno {errno.EMFILE}] {os.strerror(errno.EMFILE)}"
    assert "Exception ignored" not in ended.stderr


@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize(("arguments", "is_collected"), [(["codes", "--help"], True), (["check", "--help"], False)])
def test_what_a_program_loads_is_not_gone_through_for_garbage(
    arguments: list[str], is_collected: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[bool] = []

    def run() -> int:
        status = main(arguments)
        seen.append(gc.isenabled())
        return status

    monkeypatch.setattr(cli, "main", run)
    with pytest.raises(SystemExit) as ended:
        program()
    assert ended.value.code == 0
    assert seen == [is_collected], "a command that may last collects what it leaves"
    assert gc.get_freeze_count() > 0


@pytest.mark.usefixtures("collector")
def test_when_all_is_loaded_garbage_is_collected_again() -> None:
    gc.disable()
    settle()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_in_a_process_of_somebody_else_nothing_is_kept_from_the_collector() -> None:
    before = gc.get_freeze_count()
    settle()
    assert gc.isenabled()
    assert gc.get_freeze_count() == before


@pytest.mark.usefixtures("collector")
def test_who_interrupts_while_the_program_is_still_being_loaded_sees_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Loading(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt if name == "main" else AttributeError(name)

    monkeypatch.setitem(sys.modules, "smtpprobe.cli", Loading("smtpprobe.cli"))
    with pytest.raises(SystemExit) as ended:
        program()
    assert ended.value.code == cli.EXIT_INTERRUPTED


def test_the_script_is_the_program() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["scripts"]["smtpprobe"] == "smtpprobe.__main__:program"
