"""One real world for all tests marked ``real``; without it they are skipped, and the summary says so in capitals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.real import debian, world

_REASON = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[world.World]:
    """Real Postfix, Exim, OpenSMTPD, Knot and Unbound on loopback."""
    try:
        with world.run(tmp_path_factory.mktemp("real")) as running:
            yield running
    except debian.UnavailableError as reason:
        request.config.stash[_REASON] = str(reason)
        pytest.skip(f"no real servers: {reason}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say loudly that the real servers were missing."""
    reason = config.stash.get(_REASON, None)
    if reason is not None:
        terminalreporter.section("REAL SERVERS NOT TESTED", sep="!", red=True, bold=True)
        terminalreporter.line(f"The tests against real mail servers were SKIPPED: {reason}")
