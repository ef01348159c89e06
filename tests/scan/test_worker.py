"""Asking and talking for a scan: what goes wrong in it, by whosever fault, is the affair of one target or endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from smtpprobe.evidence import FailureKind, LookupStatus, Options
from smtpprobe.lab.dns import MALFORMED, SERVFAIL, SILENT, DnsServer
from smtpprobe.lab.scripted import Expect, ScriptedServer, Stall, greeting, serve
from smtpprobe.scan import worker as module
from smtpprobe.scan.worker import Depth, Probed, Worker
from smtpprobe.targets import parse_target
from tests.loopback import endpoint, until

RECORDS = """
example.org MX 10 mx1.example.org
example.org MX 5 mx2.example.org
mx1.example.org A 192.0.2.1
mx1.example.org AAAA 2001:db8::1
mx2.example.org A 192.0.2.2
nomx.example.org A 192.0.2.3
same.example.org MX 10 mx1.example.org
"""


@pytest_asyncio.fixture
async def dns() -> AsyncIterator[DnsServer]:
    async with DnsServer(RECORDS) as server:
        yield server


def options(dns: DnsServer) -> Options:
    return Options(resolvers=(dns.resolver,), timeout_s=1.5)


async def probed(worker: Worker, at: ScriptedServer) -> Probed:
    told: asyncio.Future[Probed] = asyncio.get_running_loop().create_future()
    worker.probe(endpoint(at), told.set_result)
    return await told


NAMES = ("example.org", "nomx.example.org")


@pytest.mark.parametrize(
    ("fault", "status"),
    [(SERVFAIL, LookupStatus.SERVFAIL), (SILENT, LookupStatus.TIMEOUT), (MALFORMED, LookupStatus.MALFORMED)],
)
async def test_a_question_that_fails_is_told_as_what_it_is_and_touches_no_other(
    dns: DnsServer, fault: object, status: LookupStatus
) -> None:
    dns.faults["bad.test", "MX"] = fault  # type: ignore[assignment]
    worker = Worker(options(dns), Depth.LIGHT, "me.test")
    bad, *good = await asyncio.gather(*(worker.resolve(parse_target(each)) for each in ("bad.test", *NAMES)))
    await worker.close()
    assert bad.facts.resolution.mx is not None
    assert bad.facts.resolution.mx.status is status
    assert [len(each.facts.resolution.hosts) for each in good] == [2, 1]


async def test_a_host_that_many_domains_share_is_asked_for_once(dns: DnsServer) -> None:
    worker = Worker(options(dns), Depth.LIGHT, "me.test")
    await asyncio.gather(*(worker.resolve(parse_target(each)) for each in ("example.org", "same.example.org")))
    await worker.close()
    assert [each.rrtype for each in dns.questions if each.name == "mx1.example.org"].count("A") == 1


async def test_a_defect_of_ours_is_the_failure_of_one_target(dns: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def defective(records: object) -> None:
        raise RuntimeError("cannot happen")

    monkeypatch.setattr(module, "mail_exchanges", defective)
    worker = Worker(options(dns), Depth.LIGHT, "me.test")
    found = await worker.resolve(parse_target("example.org"))
    await worker.close()
    assert found.facts.resolution.mx is not None
    assert found.facts.resolution.mx.detail == "RuntimeError: cannot happen"


@pytest.mark.parametrize("depth", list(Depth))
async def test_a_defect_of_ours_is_the_failure_of_one_endpoint(
    dns: DnsServer, monkeypatch: pytest.MonkeyPatch, depth: Depth
) -> None:
    def defective(*given: object) -> None:
        raise RuntimeError("cannot happen")

    monkeypatch.setattr(module, "session_of", defective)
    async with ScriptedServer((greeting("mx.example.org"), serve("mx.example.org"))) as server:
        worker = Worker(options(dns), depth, "me.test")
        found = await asyncio.wait_for(probed(worker, server), 20)
        await worker.close()
    assert found.failure is FailureKind.INTERNAL
    assert b'"failure":"internal"' in found.session
    assert found.conversation.failure is not None
    assert found.conversation.failure.detail == "RuntimeError: cannot happen"


async def test_closing_breaks_off_what_runs(dns: DnsServer) -> None:
    async with ScriptedServer((greeting("mx.example.org"), Expect("EHLO"), Stall())) as server:
        worker = Worker(Options(resolvers=(dns.resolver,)), Depth.LIGHT, "me.test")
        told: asyncio.Future[Probed] = asyncio.get_running_loop().create_future()
        worker.probe(endpoint(server), told.set_result)
        await until(lambda: bool(server.visits) and bool(server.visits[0].lines))
        await worker.close()
        await server.idle()
        assert server.visits[0].is_over
        assert (await told).failure is FailureKind.INTERRUPTED
