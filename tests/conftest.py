"""What all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

# pytest parses our modules, as we have a plugin, and two threads of Python 3.11 cannot parse at once: so what a probe
# imports in threads is imported before.
import smtpprobe.certificates
import smtpprobe.stub  # noqa: F401

pytest_plugins = ["pytester"]  # runs the suites that try our own plugin


def pytest_configure() -> None:
    """Hear Ctrl-C where a shell has it ignored, as for a job in the background: tests send it to programs of ours."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-golden",
        action="store_true",
        help="write what was rendered to the golden files instead of comparing; read the difference before you commit",
    )
    parser.addoption(
        "--record-evidence",
        action="store_true",
        help="write the evidence of the real servers to tests/data/evidence, for the tests that have no servers",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare text with the file of that name in ``golden/`` beside the test."""
    folder = Path(request.path).parent / "golden"

    def compare(name: str, text: str) -> None:
        path = folder / name
        if request.config.getoption("--rewrite-golden"):
            folder.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is missing; --rewrite-golden writes it"
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever terminal and language the person has who runs the tests."""
    for variable in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "SMTPPROBE_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(variable, raising=False)
    assert "SMTPPROBE_LANG" not in os.environ
