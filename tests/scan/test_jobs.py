"""Processes that talk for a scan: they say what came of each order, and end without a word when nobody listens."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import msgspec
import pytest

from smtpprobe.evidence import Conversation, Endpoint, Failure, FailureKind, Options, Phase, Target
from smtpprobe.lab.dns import DnsServer
from smtpprobe.lab.scripted import Expect, ScriptedServer, Stall, greeting, serve
from smtpprobe.scan.jobs import JobEndedError, Jobs, Order, _Job
from smtpprobe.scan.results import Session
from smtpprobe.scan.summing import session_of
from smtpprobe.scan.worker import Depth, Facts, Probed, Resolved, probed
from smtpprobe.targets import parse_target
from tests.loopback import endpoint, until


class Refusing:
    """A worker to whom nothing happens."""

    async def resolve(self, target: Target) -> Resolved:
        raise AssertionError(target)

    def probe(self, endpoint: Endpoint, then: Callable[[Probed], None]) -> None:
        failure = Failure(phase=Phase.CONNECT, kind=FailureKind.REFUSED)
        conversation = Conversation(endpoint=endpoint, started_s=0.0, failure=failure, ended_s=0.1)
        then(probed(conversation, session_of(conversation, None)))


@pytest.mark.parametrize("is_closed", [False, True])
async def test_what_is_gathered_is_told_unless_nobody_listens_any_more(is_closed: bool) -> None:
    told: list[bytes] = []
    job = _Job(Refusing(), told.append)  # type: ignore[arg-type]
    job.take(Order(7, endpoint=endpoint(("127.0.0.1", 25))))
    job.take(Order(8, endpoint=endpoint(("127.0.0.1", 25))))
    if is_closed:
        job.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    numbers = [[row[0] for row in msgspec.msgpack.decode(batch[4:])] for batch in told]
    assert numbers == ([] if is_closed else [[7, 8]])


async def test_jobs_ask_and_talk_as_one_process_does() -> None:
    async with (
        DnsServer("example.org MX 10 mx.example.org\nmx.example.org A 127.0.0.1\n") as dns,
        ScriptedServer((greeting("mx.example.org"), serve("mx.example.org"))) as server,
    ):
        jobs = await Jobs.start(2, Options(resolvers=(dns.resolver,)), Depth.LIGHT, "me.test")
        found = await jobs.resolve(parse_target("example.org"))
        told: asyncio.Future[Probed] = asyncio.get_running_loop().create_future()
        jobs.probe(endpoint(server), told.set_result)
        session = msgspec.json.decode((await told).session, type=Session)
        await jobs.close()
        await server.idle()
    assert isinstance(found.facts, Facts)
    assert [each.name for each in found.facts.resolution.hosts] == ["mx.example.org"]
    assert (session.reached, session.failure) == (Phase.QUIT, None)
    assert server.visits[0].lines == [b"EHLO me.test", b"QUIT"]


async def test_a_process_that_ends_before_its_time_is_told() -> None:
    async with ScriptedServer((greeting("mx.example.org"), Expect("EHLO"), Stall())) as server:
        jobs = await Jobs.start(1, Options(), Depth.LIGHT, "me.test")
        failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        jobs.on_failure(failed.set_result)
        jobs.probe(endpoint(server), lambda probed: None)
        await until(lambda: bool(server.visits) and bool(server.visits[0].lines))
        os.kill(jobs._processes[0].pid, signal.SIGKILL)
        error = await failed
        await jobs.close()
        await server.idle()
    assert isinstance(error, JobEndedError)
    assert "status -9" in str(error)
