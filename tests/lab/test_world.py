"""The world of the lab: one set of ports for all its hosts, a DNS that knows them, and nothing left behind."""

from __future__ import annotations

import asyncio
import errno
import shlex
import socket
import ssl
import stat
from ipaddress import ip_address

import pytest

from smtpprobe.evidence import LookupStatus, Role, TlsMode
from smtpprobe.lab.ports import NETWORK, NoLoopbackAddressError, address, bind, kept_silent
from smtpprobe.lab.scenarios import Scenario, choose
from smtpprobe.lab.world import ALL_ROLES, USUAL_PORTS, World
from smtpprobe.probing import collect


async def test_everything_is_checked_with_one_set_of_ports() -> None:
    async with World(choose(["healthy", "greeting-554"])) as world:
        options = world.options()
        assert [(each.role, each.port) for each in options.ports] == list(world.ports.items())
        assert [each.tls for each in options.ports] == [TlsMode.STARTTLS, TlsMode.STARTTLS, TlsMode.IMPLICIT]
        assert not options.explicit_ports
        evidence = await collect("healthy.lab.test", options)
    assert len(evidence.conversations) == 2 * len(ALL_ROLES)
    assert all(each.session is not None and each.session.trust for each in evidence.conversations)
    assert all(each.session.trust.is_trusted for each in evidence.conversations if each.session and each.session.trust)


async def test_roles_that_are_named_must_answer() -> None:
    async with World(choose(["healthy"])) as world:
        options = world.options(Role.SUBMISSION, timeout_s=1.0)
    assert [each.role for each in options.ports] == [Role.SUBMISSION]
    assert (options.explicit_ports, options.timeout_s) == (True, 1.0)


async def test_a_host_misbehaves_on_the_port_of_its_scenario_only() -> None:
    async with World(choose(["greeting-554", "plain-text-on-465"])) as world:
        refusing = world.places["greeting-554"]
        plain = world.places["plain-text-on-465"]
    assert [type(refusing.servers[refusing.hosts[0].name, role]).__name__ for role in ALL_ROLES] == [
        "ScriptedServer",
        "MailServer",
        "MailServer",
    ]
    assert type(plain.servers[plain.hosts[0].name, Role.SUBMISSIONS]).__name__ == "ScriptedServer"


async def test_the_command_line_asks_for_what_the_options_ask() -> None:
    from smtpprobe.cli.check import command

    async with World(choose(["healthy"])) as world:
        words = shlex.split(world.command_line("healthy.lab.test"))
        assert words[:2] == ["smtpprobe", "check"]
        parsed = command.make_context("check", words[2:]).params
        assert parsed["targets"] == ("healthy.lab.test",)
        assert parsed["resolvers"] == (world.dns.resolver,)
        assert parsed["ca"] == str(world.ca_path)
        assert parsed["ports"] == tuple(f"{role}:{port}" for role, port in world.ports.items())


async def test_the_folder_with_the_keys_is_private_and_goes_with_the_world() -> None:
    async with World(choose(["certificate-expired"])) as world:
        folder = world.ca_path.parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert ssl.create_default_context(cafile=str(world.ca_path)).get_ca_certs()
    assert not folder.exists()


async def test_the_dns_knows_the_zone_and_the_reverse_names() -> None:
    async with World(choose(["healthy", "null-mx"])) as world:
        evidence = await collect("healthy.lab.test", world.options(Role.SMTP))
        nowhere = await collect("nowhere.lab.test", world.options(Role.SMTP))
        null = await collect("null-mx.lab.test", world.options(Role.SMTP))
    assert [each.name for each in evidence.resolution.hosts] == ["mx1.healthy.lab.test", "mx2.healthy.lab.test"]
    assert [each.ptr.records for each in evidence.resolution.reverse] == [
        ("mx1.healthy.lab.test",),
        ("mx2.healthy.lab.test",),
    ]
    assert nowhere.resolution.mx is not None
    assert nowhere.resolution.mx.status is LookupStatus.NXDOMAIN
    assert null.resolution.is_null_mx


async def test_two_worlds_stand_side_by_side() -> None:
    async with World(choose(["healthy"])) as one, World(choose(["healthy"])) as other:
        assert set(one.ports.values()).isdisjoint(other.ports.values())
        assert one.dns.resolver != other.dns.resolver
        assert one.ca_path != other.ca_path


async def test_the_usual_ports_are_taken_where_they_are_free_and_others_where_not() -> None:
    one, other = (World(choose(["closed"]), prefer_usual_ports=True) for _ in range(2))
    async with one, other:
        assert set(one.ports.values()).isdisjoint(other.ports.values())
        assert other.ports != USUAL_PORTS


async def test_a_world_with_no_mail_host_stands_too() -> None:
    async with World(choose(["null-mx"])) as world:
        assert world.places["null-mx"].hosts == ()


async def test_nobody_listens_any_more_when_the_world_is_gone() -> None:
    async with World(choose(["healthy"])) as world:
        place = world.places["healthy"].hosts[0]
    for port in world.ports.values():
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(place.address, port)


async def test_a_scenario_that_the_local_openssl_cannot_play_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smtpprobe.lab.world.can_serve", lambda version, folder: False)
    async with World(choose(["tls10-only", "healthy"])) as world:
        assert [each.name for each in world.left_out] == ["tls10-only"]
        assert list(world.places) == ["healthy"]


async def test_a_scenario_that_breaks_while_the_world_is_made_leaves_nothing_behind() -> None:
    def breaks(stage: object) -> tuple[()]:
        raise RuntimeError("no such luck")

    broken = Scenario(name="broken", description="Breaks", hosts=(breaks,))
    world = World([*choose(["healthy"]), broken])
    with pytest.raises(RuntimeError, match="no such luck"):
        await world.__aenter__()
    assert not world.ca_path.exists()
    with socket.socket() as again:  # all ports are free again
        again.bind((address(0), world.ports[Role.SMTP]))


# --- addresses and ports --------------------------------------------------------------------------------------------


def test_each_host_has_an_address_of_its_own() -> None:
    many = [address(number) for number in range(600)]
    assert len(set(many)) == len(many)
    assert all(ip_address(each).is_loopback and each.startswith(NETWORK) for each in many)


def test_the_same_ports_are_bound_everywhere() -> None:
    bound = bind(["127.0.0.1", address(0)], 2)
    try:
        assert len({port for _, port in bound}) == 2
        assert len(bound) == 4
        for place, port in bound:
            with socket.socket() as client:
                assert client.connect_ex((place, port)) == errno.ECONNREFUSED
    finally:
        for each in bound.values():
            each.close()


def test_ports_that_are_taken_on_one_address_are_not_used() -> None:
    with socket.socket() as taken:
        taken.bind((address(0), 0))
        port = taken.getsockname()[1]
        bound = bind(["127.0.0.1", address(0)], 1, [port])
        for each in bound.values():
            each.close()
    assert {each for _, each in bound}.isdisjoint({port})


def test_a_system_without_more_loopback_addresses_is_told_what_to_do() -> None:
    with pytest.raises(NoLoopbackAddressError, match=r"sudo ifconfig lo0 alias 192\.0\.2\.1"):
        bind(["192.0.2.1"], 1)


async def test_a_silent_port_leaves_connects_unanswered() -> None:
    [bound] = bind(["127.0.0.1"], 1).values()
    with kept_silent(bound), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await asyncio.open_connection(*bound.getsockname())
