"""``smtpprobe check`` against real servers: right on each of them, on all ports, by name, and on what is wrong."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

import smtpprobe
from smtpprobe.checks.kinds import Topic
from smtpprobe.evidence import (
    Conversation,
    HostOrigin,
    LookupStatus,
    Options,
    Phase,
    Reply,
    Role,
    Runtime,
    encode,
)
from smtpprobe.report import Report
from tests.real import policyhost
from tests.real.cases import CASES
from tests.real.expected import DANE, EVIDENCE, EXPECTED, MTA_STS, RECORDED, TLS_RPT, domains, found, found_of
from tests.real.world import World

pytestmark = pytest.mark.real

EHLO_NAME = "probe.example.org"
AT_ONCE = 16
"""Targets; so many that waiting ones overlap, so few that two processors keep every server within its time."""
TIMEOUT_S = 5.0
"""For each step: some servers are silent on purpose."""


def check(world: World, targets: Sequence[str]) -> dict[str, Report]:
    """Probe on standard ports, several targets at once."""
    options = Options(resolvers=(world.resolver,), ca_file=str(world.ca_file), ehlo_name=EHLO_NAME, timeout_s=TIMEOUT_S)
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(target: str) -> Report:
        async with turns:
            return await smtpprobe.probe(target, options)

    async def all_of_them() -> list[Report]:
        return await asyncio.gather(*map(one, targets))

    return dict(zip(targets, world.call(lambda: asyncio.run(all_of_them())), strict=True))


def command(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line where the servers are."""
    fixed = ["--resolver", world.resolver, "--ca", str(world.ca_file), "--ehlo", EHLO_NAME, *world.port_options]
    return subprocess.run(
        world.network.command(sys.executable, "-m", "smtpprobe", "check", *fixed, *words),
        capture_output=True, text=True, timeout=60, env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1"},
    )  # fmt: skip


# --- one host on all its ports --------------------------------------------------------------------------------------

PRODUCTS = {"mx1": "Postfix", "mx2": "Exim", "mx3": "OpenSMTPD"}


@pytest.mark.parametrize("host", PRODUCTS)
def test_each_server_is_seen_on_all_its_ports(real: World, host: str) -> None:
    done = command(real, real.name(host), "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = _only_report(done.stdout)
    talks = [_conversation(talk) for talk in report["evidence"]["conversations"]]
    of_ipv4 = [talk for talk in talks if talk.endpoint.address == real.address(host)]
    assert {talk.endpoint.role: talk.endpoint.port for talk in of_ipv4} == {
        role: real.ports[role.value] for role in Role
    }
    assert len(talks) == (6 if host == "mx1" else 3)
    for talk in talks:
        greeting = talk.exchanges[0].outcome
        assert isinstance(greeting, Reply)
        assert PRODUCTS[host] in greeting.text
        assert talk.session is not None
        assert talk.session.version == "TLSv1.3"
        assert talk.session.trust is not None
        assert talk.session.trust.is_trusted
        assert talk.connections == 1
        assert talk.failure is None
        after_tls = talk.reply(Phase.EHLO, over_tls=True)
        assert after_tls is not None
        assert ("AUTH PLAIN" in after_tls.text) is (talk.endpoint.role is not Role.SMTP or host == "mx2")
        goodbye = talk.reply(Phase.QUIT)
        assert goodbye is not None
        assert goodbye.code == 221


@pytest.mark.parametrize("host", PRODUCTS)
def test_the_report_says_what_a_person_wants_to_know(real: World, host: str) -> None:
    done = command(real, real.name(host))
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.startswith(f"✔ OK  {real.name(host)}")
    rows = [line for line in done.stdout.splitlines() if "answers" in line and line.endswith(" ms")]
    assert [port for row in rows for port in real.ports.values() if f" {port} " in row]
    for row in rows:
        assert "TLS 1.3, trusted" in row
        assert PRODUCTS[host] in row
    assert len(rows) == (6 if host == "mx1" else 3)


def _only_report(text: str) -> dict[str, Any]:
    [report] = json.loads(text)["reports"]
    assert isinstance(report, dict)
    return report


def _conversation(value: object) -> Conversation:
    return msgspec.json.decode(msgspec.json.encode(value), type=Conversation)


# --- domains --------------------------------------------------------------------------------------------------------


def test_a_domain_is_followed_to_its_hosts_addresses_and_their_names(sealed: World) -> None:
    [report] = check(sealed, ["multi.example.test"]).values()
    resolution = report.evidence.resolution
    assert resolution.mx is not None
    assert resolution.mx.status is LookupStatus.ANSWERED
    assert resolution.mx.authenticated
    assert [(host.name, host.preference, host.origin, host.addresses) for host in resolution.hosts] == [
        ("mx1.example.test", 10, HostOrigin.MX, (sealed.address("mx1"), "::1")),
        ("mx2.example.test", 20, HostOrigin.MX, (sealed.address("mx2"),)),
        ("mx3.example.test", 20, HostOrigin.MX, (sealed.address("mx3"),)),
    ]
    names = {each.address: each for each in resolution.reverse}
    for host, address in (("mx1", sealed.address("mx1")), ("mx1", "::1"), ("mx2", sealed.address("mx2"))):
        assert names[address].ptr.records == (sealed.name(host),)
        assert any(address in forward.records for forward in names[address].forward)
    assert {talk.endpoint.port for talk in report.evidence.conversations} == {25, 465, 587}
    assert report.evidence.elapsed_s < 10  # nothing waited for a time-out


@pytest.fixture(scope="module")
def reports(sealed: World) -> dict[str, Report]:
    """Of every domain that something is expected of, by label."""
    labels = list(dict.fromkeys((*EXPECTED, *DANE, *MTA_STS, *TLS_RPT)))
    return dict(zip(labels, check(sealed, domains(labels)).values(), strict=True))


@pytest.mark.parametrize("label", RECORDED)
def test_the_evidence_of_a_real_server_is_kept_where_that_is_asked_for(
    reports: dict[str, Report], label: str, request: pytest.FixtureRequest
) -> None:
    evidence = reports[label].evidence
    assert evidence.conversations
    if request.config.getoption("--record-evidence"):
        EVIDENCE.mkdir(parents=True, exist_ok=True)
        # Nothing of the machine that recorded it.
        plain = msgspec.structs.replace(
            evidence,
            options=msgspec.structs.replace(evidence.options, ca_file=None),
            runtime=Runtime(smtpprobe="0.1.0", python="3.11", openssl="OpenSSL 3.0", platform="Linux"),
        )
        (EVIDENCE / f"{label or 'example'}.json").write_bytes(encode(plain) + b"\n")


@pytest.mark.parametrize("label", EXPECTED)
def test_each_domain_shows_what_is_wrong_with_it_and_nothing_else(reports: dict[str, Report], label: str) -> None:
    assert found(reports[label]) == EXPECTED[label]


@pytest.mark.parametrize(
    ("topic", "label"),
    [
        (topic, label)
        for topic, table in ((Topic.DANE, DANE), (Topic.MTA_STS, MTA_STS), (Topic.TLS_RPT, TLS_RPT))
        for label in table
    ],
)
def test_each_policy_is_judged_as_it_was_made(reports: dict[str, Report], topic: Topic, label: str) -> None:
    expected = {Topic.DANE: DANE, Topic.MTA_STS: MTA_STS, Topic.TLS_RPT: TLS_RPT}[topic][label]
    assert found_of(reports[label], topic) == expected


def test_no_case_is_left_out() -> None:
    sites = policyhost.sites({"plain": "mx-plain", "expired": "mx-expired", "deep": "mx.deep"})
    assert {label for label in CASES if label not in EXPECTED} <= DANE.keys()
    assert sites.keys() <= MTA_STS.keys()
    assert policyhost.TLS_REPORTING.keys() <= TLS_RPT.keys()


def test_a_redirect_of_a_policy_host_is_not_followed(sealed: World) -> None:
    before = len(sealed.policies.asked)
    check(sealed, ["sts-redirect.example.test"])
    assert sealed.policies.asked[before:] == [policyhost.Asked("mta-sts.sts-redirect.example.test", policyhost.PATH)]


def test_a_policy_that_was_fetched_leaves_no_trace_in_the_next_handshake(sealed: World) -> None:
    """An HTTP client that shares a TLS context puts its ALPN there; GnuTLS then refuses the mail client."""
    check(sealed, ["sts-enforce.example.test"])
    [report] = check(sealed, ["exim.example.test"]).values()
    assert all(talk.session is not None for talk in report.evidence.conversations)


def test_what_was_saved_is_judged_as_it_was(real: World, tmp_path: Path) -> None:
    saved = tmp_path / "evidence.json"
    live = command(real, "exim.example.test", "--format", "json", "--save", str(saved))
    assert live.returncode == 0
    again = subprocess.run(
        [sys.executable, "-m", "smtpprobe", "judge", "--format", "json", str(saved)], capture_output=True, text=True
    )
    assert again.stdout == live.stdout
