"""Programs that read our formats; without them their tests are skipped, and the summary says so in capitals.

With ``SMTPPROBE_READERS=required`` in the environment they fail instead; the CI sets it once the packages are unpacked.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest
import xmlschema

from tests.real import debian
from tests.render import jenkins

T = TypeVar("T")
Run = Callable[..., subprocess.CompletedProcess[str]]

_REASON = pytest.StashKey[str]()


def _needed(find: Callable[[], T], config: pytest.Config) -> T:
    try:
        return find()
    except debian.UnavailableError as reason:
        if os.environ.get("SMTPPROBE_READERS") == "required":
            raise
        config.stash[_REASON] = str(reason)
        pytest.skip(f"no reader: {reason}")


def _program(name: str, config: pytest.Config) -> Run:
    """How to call a reader: with its arguments, and what it reads from its standard input."""
    program, environ = _needed(lambda: debian.reader(name), config)

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


@pytest.fixture(scope="session")
def jenkins_schema(request: pytest.FixtureRequest) -> xmlschema.XMLSchema:
    """What Jenkins allows in a JUnit report."""
    return xmlschema.XMLSchema(str(_needed(jenkins.schema, request.config)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say loudly that readers were missing."""
    reason = config.stash.get(_REASON, None)
    if reason is not None:
        terminalreporter.section("READERS OF OUR FORMATS NOT TESTED", sep="!", red=True, bold=True)
        terminalreporter.line(f"Tests with promtool, Chromium or the schema of Jenkins were SKIPPED: {reason}")
