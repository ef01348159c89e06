"""From resolved hosts and wanted ports to the endpoints to talk to."""

from __future__ import annotations

from typing import Any

import pytest

from smtpprobe.endpoints import MAX_ENDPOINTS, left_out, parse_port, plan_endpoints
from smtpprobe.errors import OptionError
from smtpprobe.evidence import (
    DEFAULT_PORTS,
    Endpoint,
    Family,
    HostOrigin,
    MxHost,
    Options,
    Override,
    PortSpec,
    Resolution,
    Role,
    TlsMode,
)
from smtpprobe.targets import parse_target

PORT_25 = PortSpec(port=25, role=Role.SMTP, tls=TlsMode.STARTTLS)
V4, V6 = "192.0.2.1", "2001:db8::1"


def mx(name: str, preference: int, *addresses: str) -> MxHost:
    return MxHost(name=name, origin=HostOrigin.MX, preference=preference, addresses=addresses)


def given(name: str, *addresses: str) -> MxHost:
    return MxHost(name=name, origin=HostOrigin.GIVEN, addresses=addresses)


def plan(typed: str, *hosts: MxHost, **options: Any) -> tuple[Endpoint, ...]:
    return plan_endpoints(parse_target(typed), Resolution(hosts=hosts), Options(**options))


@pytest.mark.parametrize(
    ("typed", "port", "role", "tls"),
    [
        ("25", 25, Role.SMTP, TlsMode.STARTTLS),
        ("465", 465, Role.SUBMISSIONS, TlsMode.IMPLICIT),
        ("587", 587, Role.SUBMISSION, TlsMode.STARTTLS),
        ("2525", 2525, Role.SMTP, TlsMode.STARTTLS),
        (" smtp:2525 ", 2525, Role.SMTP, TlsMode.STARTTLS),
        ("submission:2587", 2587, Role.SUBMISSION, TlsMode.STARTTLS),
        ("submissions:2465", 2465, Role.SUBMISSIONS, TlsMode.IMPLICIT),
        ("SMTPS:2465", 2465, Role.SUBMISSIONS, TlsMode.IMPLICIT),
        ("smtp:465", 465, Role.SMTP, TlsMode.STARTTLS),
        ("submission:25", 25, Role.SUBMISSION, TlsMode.STARTTLS),
    ],
)
def test_a_port_has_its_usual_role_or_the_one_named(typed: str, port: int, role: Role, tls: TlsMode) -> None:
    assert parse_port(typed) == PortSpec(port=port, role=role, tls=tls)


@pytest.mark.parametrize(
    "typed", ["", "x", "0", "65536", "-1", "2.5", "٢٥", "imap:143", ":25", "smtp:", "smtp:x", "\x1b"]
)
def test_another_port_is_refused_on_one_line(typed: str) -> None:
    with pytest.raises(OptionError, match=r"^port ") as refused:
        parse_port(typed)
    assert str(refused.value).isprintable()


def test_hosts_come_as_resolved_addresses_ipv4_first_ports_as_given() -> None:
    hosts = (mx("mx1.example.org", 10, V6, V4), mx("mx2.example.org", 20, "192.0.2.2"))
    planned = plan("example.org", *hosts, ports=(parse_port("587"), parse_port("25")))
    assert [(each.host, each.preference, each.address, each.port) for each in planned] == [
        ("mx1.example.org", 10, V4, 587),
        ("mx1.example.org", 10, V4, 25),
        ("mx1.example.org", 10, V6, 587),
        ("mx1.example.org", 10, V6, 25),
        ("mx2.example.org", 20, "192.0.2.2", 587),
        ("mx2.example.org", 20, "192.0.2.2", 25),
    ]


def test_role_tls_origin_and_name_go_with_the_endpoint() -> None:
    (endpoint,) = plan("example.org", mx("mx1.example.org", 10, V4), ports=(parse_port("smtps:2465"),))
    assert endpoint == Endpoint(
        host="mx1.example.org",
        address=V4,
        port=2465,
        role=Role.SUBMISSIONS,
        tls=TlsMode.IMPLICIT,
        origin=HostOrigin.MX,
        preference=10,
        name="mx1.example.org",
    )


def test_only_ports_that_were_asked_for_must_answer() -> None:
    host = given("mx1.example.org", V4)
    assert [each.is_required for each in plan("mx1.example.org", host)] == [False, False, False]
    assert [each.is_required for each in plan("mx1.example.org", host, ports=(PORT_25,), explicit_ports=True)] == [True]
    assert [each.is_required for each in plan("mx1.example.org:25", host)] == [True]


@pytest.mark.parametrize(
    ("typed", "port", "role", "tls"),
    [
        ("mx1.example.org:465", 465, Role.SUBMISSIONS, TlsMode.IMPLICIT),
        ("mx1.example.org:2525", 2525, Role.SMTP, TlsMode.STARTTLS),
        ("smtp://mx1.example.org:465", 465, Role.SMTP, TlsMode.STARTTLS),
        ("smtps://mx1.example.org:25", 25, Role.SUBMISSIONS, TlsMode.IMPLICIT),
        ("submission://mx1.example.org", 587, Role.SUBMISSION, TlsMode.STARTTLS),
    ],
)
def test_a_target_with_a_port_has_no_other(typed: str, port: int, role: Role, tls: TlsMode) -> None:
    (endpoint,) = plan(typed, given("mx1.example.org", V4), ports=DEFAULT_PORTS, explicit_ports=True)
    assert (endpoint.port, endpoint.role, endpoint.tls) == (port, role, tls)


def test_an_option_may_say_what_the_targets_own_port_is() -> None:
    spec = parse_port("submissions:2465")
    (endpoint,) = plan("mx1.example.org:2465", given("mx1.example.org", V4), ports=(spec,), explicit_ports=True)
    assert endpoint.tls is TlsMode.IMPLICIT


def test_an_address_has_the_usual_ports_and_no_name_to_verify() -> None:
    planned = plan(V6, given(V6, V6))
    assert [each.port for each in planned] == [25, 465, 587]
    assert {(each.host, each.address, each.name) for each in planned} == {(V6, V6, None)}


def test_the_same_address_and_port_is_met_once_for_each_name() -> None:
    hosts = (mx("mx1.example.org", 10, V4, V4), mx("mx1.example.org", 20, V4), mx("mx2.example.org", 20, V4))
    planned = plan("example.org", *hosts, ports=(PORT_25, PORT_25, parse_port("submission:25")))
    assert [(each.name, each.preference, each.role) for each in planned] == [
        ("mx1.example.org", 10, Role.SMTP),
        ("mx2.example.org", 20, Role.SMTP),
    ]


@pytest.mark.parametrize(("family", "addresses"), [(Family.ANY, [V4, V6]), (Family.IPV4, [V4]), (Family.IPV6, [V6])])
def test_the_family_is_kept(family: Family, addresses: list[str]) -> None:
    planned = plan("example.org", mx("mx1.example.org", 10, V6, V4), family=family, ports=(PORT_25,))
    assert [each.address for each in planned] == addresses


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_an_mx_that_points_at_ourselves_is_not_taken_for_the_domains(address: str) -> None:
    host = mx("mx1.example.org", 10, address, V4)
    assert [each.address for each in plan("example.org", host, ports=(PORT_25,))] == [V4]


@pytest.mark.parametrize(
    "world",
    [{"resolvers": ("127.0.0.1:5353",)}, {"overrides": (Override(name="mx1.example.org", address="127.0.0.1"),)}],
)
def test_in_a_world_of_ones_own_it_is(world: dict[str, Any]) -> None:
    planned = plan("example.org", mx("mx1.example.org", 10, "127.0.0.1"), ports=(PORT_25,), **world)
    assert [each.address for each in planned] == ["127.0.0.1"]


def test_our_own_machine_can_be_asked_for_by_hand() -> None:
    assert len(plan("127.0.0.1:2525", given("127.0.0.1", "127.0.0.1"))) == 1
    assert len(plan("localhost:2525", given("localhost", "127.0.0.1", "::1"))) == 2


def test_nobody_connects_to_a_multicast_address_for_an_mx() -> None:
    assert plan("example.org", mx("mx1.example.org", 10, "224.0.0.1"), resolvers=("127.0.0.1",)) == ()


def test_no_host_and_no_address_means_no_endpoint() -> None:
    assert plan("example.org") == ()
    assert plan("example.org", mx("192.0.2.1", 10)) == ()


def test_there_is_an_end_to_what_a_domain_can_have_us_connect_to() -> None:
    hosts = [mx(f"mx{number}.example.org", number, f"192.0.2.{number}") for number in range(200)]
    target, resolution = parse_target("example.org"), Resolution(hosts=tuple(hosts))
    planned = plan_endpoints(target, resolution, Options())
    assert len(planned) == MAX_ENDPOINTS
    assert planned[0].host == "mx0.example.org"
    assert left_out(target, resolution, Options()) == 600 - MAX_ENDPOINTS
    assert left_out(target, Resolution(hosts=tuple(hosts[:3])), Options()) == 0
