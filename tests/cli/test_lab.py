"""``smtpprobe lab``: a world that stays until somebody has enough of it."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smtpprobe.cli import main
from smtpprobe.lab.scenarios import SCENARIOS, TOPICS


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run the lab; gives the process and the lines that it prints until it waits."""
    command = [sys.executable, "-m", "smtpprobe", "lab", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        try:
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                if line.startswith("  labcheck "):
                    break
            yield process, lines
        finally:
            process.kill()


def typed(lines: list[str]) -> list[str]:
    """What somebody types who does as he is told: the alias, and the last line."""
    [alias] = [line for line in lines if line.startswith("  alias labcheck=")]
    [expanded] = shlex.split(alias.removeprefix("  alias labcheck="))
    return [*shlex.split(expanded), *shlex.split(lines[-1])[1:]]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_what_it_says_to_type_works_until_it_is_stopped(
    end: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    with running("--scenario", "certificate-expired") as (process, lines):
        assert lines[0] == "The lab is open: 1 mail domain under lab.test, on this machine only. Ctrl-C closes it."
        program, *arguments = typed(lines)
        folder = Path(arguments[arguments.index("--ca") + 1]).parent
        assert folder.exists()
        assert program == "smtpprobe"
        assert main(arguments) == 0
        assert "certificate-expired" in capsys.readouterr().out
        process.send_signal(end)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == "The lab is closed.\n"
        assert not folder.exists()


def test_the_list_names_every_domain_with_what_is_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["lab", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line and not line.startswith(" ")] == list(TOPICS)
    listed = dict(line.split(maxsplit=1) for line in lines if line.startswith(" "))
    assert listed == {each.name: each.description for each in SCENARIOS.values()}


def test_the_list_can_be_of_some(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "--list", "--scenario", "tarpit", "--scenario", "healthy"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "The domain and its hosts",
        "  healthy  Two mail hosts where everything is in order",
        "",
        "Session",
        "  tarpit   Answers EHLO byte by byte",
    ]


def test_the_list_needs_no_extra() -> None:
    program = (
        "import sys; sys.modules['aiosmtpd'] = sys.modules['aiosmtpd.smtp'] = None;"
        "from smtpprobe.cli import main; sys.exit(main(['lab', '--list']))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_name_that_is_none_ends_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "--scenario", "helthy"]) == 2
    assert capsys.readouterr().err == "smtpprobe: no such scenario: 'helthy'; did you mean 'healthy'?\n"
