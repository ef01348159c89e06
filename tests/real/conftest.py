"""Real servers for the tests marked ``real``; without them these are skipped, and the summary says so in capitals.

With ``SMTPPROBE_REAL=required`` in the environment they fail instead; the CI sets it once the packages are unpacked.
A world starts when the first test asks for it and serves the whole session.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

from tests.real import debian, network, world

_REASON = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[world.World]:
    """Real Postfix, Exim, OpenSMTPD, Knot and Unbound on loopback, on free ports."""
    with _or_skip(request.config), world.run(tmp_path_factory.mktemp("real")) as running:
        yield running


@pytest.fixture(scope="session")
def sealed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[world.World]:
    """The same in a network of its own, on the standard ports: reach it with `world.World.call`."""
    folder = tmp_path_factory.mktemp("sealed")
    with _or_skip(request.config), network.sealed() as inside, world.run(folder, inside) as running:
        yield running


@contextlib.contextmanager
def _or_skip(config: pytest.Config) -> Iterator[None]:
    try:
        yield
    except debian.UnavailableError as reason:
        if os.environ.get("SMTPPROBE_REAL") == "required":
            raise
        config.stash[_REASON] = str(reason)
        pytest.skip(f"no real servers: {reason}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say loudly that the real servers were missing."""
    reason = config.stash.get(_REASON, None)
    if reason is not None:
        terminalreporter.section("REAL SERVERS NOT TESTED", sep="!", red=True, bold=True)
        terminalreporter.line(f"The tests against real mail servers were SKIPPED: {reason}")
