"""How a scan goes, with somebody else in place of the network and of the disk."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from smtpprobe.evidence import (
    Conversation,
    Endpoint,
    Failure,
    FailureKind,
    HostOrigin,
    MxHost,
    Options,
    Phase,
    PortSpec,
    Resolution,
    Role,
    Target,
    TlsMode,
)
from smtpprobe.probing import runtime
from smtpprobe.scan.engine import Engine, Progress
from smtpprobe.scan.guard import Guard
from smtpprobe.scan.joining import Joiner
from smtpprobe.scan.journal import Journal
from smtpprobe.scan.pace import Limits
from smtpprobe.scan.results import Standing, decode_result
from smtpprobe.scan.summing import session_of
from smtpprobe.scan.worker import Depth, Facts, Probed, Resolved, probed
from smtpprobe.targets import parse_target

ADDRESSES = [f"192.0.{net}.{host}" for net in range(2) for host in range(1, 21)]
ANYBODY = Guard(is_private_allowed=True)
OPTIONS = Options(ports=(PortSpec(port=25, role=Role.SMTP, tls=TlsMode.STARTTLS),), policies=False)


class Work:
    """Refuses every connection, at once or when it is closed."""

    def __init__(self, *, is_held: bool = False) -> None:
        self.begun: list[str] = []
        self._is_held = is_held
        self._open: list[tuple[Endpoint, Callable[[Probed], None]]] = []

    async def resolve(self, target: Target) -> Resolved:
        raise AssertionError("nobody need be asked about an address")

    def probe(self, endpoint: Endpoint, then: Callable[[Probed], None]) -> None:
        self.begun.append(endpoint.address)
        if self._is_held and len(self.begun) > 1:
            self._open.append((endpoint, then))
        else:
            asyncio.get_running_loop().call_soon(then, refused(endpoint))

    async def close(self) -> None:
        for endpoint, then in self._open:
            then(refused(endpoint))


def refused(endpoint: Endpoint) -> Probed:
    failure = Failure(phase=Phase.CONNECT, kind=FailureKind.REFUSED)
    conversation = Conversation(endpoint=endpoint, started_s=0.0, failure=failure, ended_s=0.1)
    return probed(conversation, session_of(conversation, None))


class Sink:
    """Keeps lines, up to a number."""

    def __init__(self, room: int = 1000) -> None:
        self.lines: list[bytes] = []
        self._room = room

    def write(self, lines: Sequence[bytes]) -> None:
        if len(self.lines) + len(lines) > self._room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.lines += lines

    def length(self) -> int:
        return sum(map(len, self.lines))

    def close(self) -> None:
        """Nothing to do."""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal(str(tmp_path / "journal"))) as opened:
        yield opened


def engine(journal: Journal, work: Work, sink: Sink, guard: Guard = ANYBODY) -> Engine:
    encode = msgspec.msgpack.encode
    journal.add_targets([(n, each, True, encode(parse_target(each))) for n, each in enumerate(ADDRESSES, 1)])
    joiner = Joiner(journal, OPTIONS, Depth.LIGHT, ehlo_name="me.test", started_at=datetime.now(UTC), runtime=runtime())
    limits = Limits(concurrency=4, per_host_interval_s=0.0)
    return Engine(journal, work, joiner, sink, limits=limits, guard=guard, progress=Progress(), targets_at_once=10)


async def test_each_target_has_one_result(journal: Journal) -> None:
    work, sink = Work(), Sink()
    assert await engine(journal, work, sink).run()
    assert sorted(work.begun) == sorted(ADDRESSES)
    assert sorted(decode_result(line).target for line in sink.lines) == sorted(ADDRESSES)


async def test_who_asks_to_be_left_alone_while_a_scan_is_broken_off_is(journal: Journal) -> None:
    work, sink = Work(), Sink()
    guard = Guard(names=frozenset(("example.org",)), is_private_allowed=True)
    scan = engine(journal, work, sink, guard)
    encode = msgspec.msgpack.encode
    journal.add_targets([(99, "d example.org", False, encode(parse_target("example.org")))])
    host = MxHost(name="mx.example.net", origin=HostOrigin.MX, addresses=("198.51.100.1",))
    facts = Facts(resolution=Resolution(name="example.org", hosts=(host,)))
    journal.resolved([(len(ADDRESSES) + 1, encode(facts))])
    assert await scan.run()
    assert "198.51.100.1" not in work.begun
    [result] = [each for each in map(decode_result, sink.lines) if each.target == "example.org"]
    assert (result.outcome, result.skipped, result.hosts) == (Standing.LEFT_ALONE, "excluded", ())


async def test_who_is_stopped_begins_nothing_more(journal: Journal) -> None:
    work, sink = Work(), Sink()
    scan = engine(journal, work, sink)
    scan.stop()
    assert not await scan.run()
    assert work.begun == []


async def test_a_scan_that_fails_begins_nothing_more_while_it_is_broken_off(journal: Journal) -> None:
    work, sink = Work(is_held=True), Sink(room=0)
    with pytest.raises(OSError, match="No space"):
        await engine(journal, work, sink).run()
    begun = len(work.begun)
    await work.close()
    assert len(work.begun) == begun
    assert begun < len(ADDRESSES)


async def test_who_others_depend_on_may_end_it(journal: Journal) -> None:
    work, sink = Work(is_held=True), Sink()
    scan = engine(journal, work, sink)
    scan.fail(OSError("a process ended"))
    with pytest.raises(OSError, match="a process ended"):
        await scan.run()
