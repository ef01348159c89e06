"""Programs that read our formats; without them their tests are skipped, and the summary says so in capitals.

With ``SMTPPROBE_READERS=required`` in the environment they fail instead; the CI sets it once the packages are unpacked.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence

import pytest

from tests.real import debian

Run = Callable[..., subprocess.CompletedProcess[str]]

_REASON = pytest.StashKey[str]()


def _program(name: str, config: pytest.Config) -> Run:
    """How to call a reader: with its arguments, and what it reads from its standard input."""
    try:
        program, environ = debian.reader(name)
    except debian.UnavailableError as reason:
        if os.environ.get("SMTPPROBE_READERS") == "required":
            raise
        config.stash[_REASON] = str(reason)
        pytest.skip(f"no reader: {reason}")

    def run(arguments: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *arguments], input=text, capture_output=True, text=True, timeout=60, env={**os.environ, **environ}
        )

    return run


@pytest.fixture
def promtool(request: pytest.FixtureRequest) -> Run:
    """Prometheus's own checker."""
    return _program("promtool", request.config)


@pytest.fixture
def chromium(request: pytest.FixtureRequest) -> Run:
    """A browser without a window."""
    return _program("chromium", request.config)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say loudly that readers were missing."""
    reason = config.stash.get(_REASON, None)
    if reason is not None:
        terminalreporter.section("READERS OF OUR FORMATS NOT TESTED", sep="!", red=True, bold=True)
        terminalreporter.line(f"Tests with promtool or Chromium were SKIPPED: {reason}")
