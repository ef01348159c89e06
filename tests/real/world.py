"""The whole real world on loopback: three mail servers, signed zones, two resolvers, a policy host.

Each run takes a free block of addresses ``127.A.B.0/24`` and free ports, so that runs do not meet; in a network of its
own (`network.sealed`) it takes the standard ports. `records` says what stands where.
"""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode

from tests.real import debian, exim, names, opensmtpd, policyhost, postfix, records
from tests.real.cases import CASES
from tests.real.certificates import Authority, Issued, Make
from tests.real.jail import Jail, stop
from tests.real.names import DOMAIN
from tests.real.network import HOST, Network
from tests.real.policyhost import PolicyHost, Shown, Site
from tests.real.records import HOSTS, SERVICES, Places

Result = TypeVar("Result")

READY_WITHIN_S = 60.0

STANDARD_PORTS = {"smtp": 25, "submission": 587, "submissions": 465, "dns": 53, "https": 443}
STANDARD_BLOCK = "127.25.25"
"""Any would do in a network of one's own."""


@dataclass(frozen=True)
class World:
    """Where everything is while it runs."""

    network: Network
    places: Places
    authority: Authority
    policies: PolicyHost
    versions: dict[str, str]
    folder: Path

    @property
    def ca_file(self) -> Path:
        return self.authority.file

    @property
    def ports(self) -> Mapping[str, int]:
        """By ``smtp``, ``submission``, ``submissions``, ``dns``, ``https``."""
        return self.places.ports

    def address(self, host: str) -> str:
        """The IPv4 address of one of `records.HOSTS`."""
        return self.places.address(host)

    def name(self, host: str) -> str:
        """The full name of one of `records.HOSTS`."""
        return f"{host}.{DOMAIN}"

    @property
    def resolver(self) -> str:
        """The validating resolver, as ``ADDR:PORT``."""
        return f"{self.address('validating')}:{self.ports['dns']}"

    @property
    def trusting_resolver(self) -> str:
        """The resolver that does not validate."""
        return f"{self.address('trusting')}:{self.ports['dns']}"

    @property
    def silent_resolver(self) -> str:
        """A place that takes questions and never answers."""
        return f"{self.address('mx-silent')}:{self.ports['dns']}"

    @property
    def port_options(self) -> list[str]:
        """What tells the command line which port has which role; nothing on standard ports."""
        if self.ports == STANDARD_PORTS:
            return []
        return [f"--port={role}:{self.ports[role]}" for role in SERVICES]

    def call(self, function: Callable[[], Result]) -> Result:
        """Call a function where the servers can be reached."""
        return self.network.call(function)


@contextlib.contextmanager
def run(folder: Path, network: Network = HOST) -> Iterator[World]:
    """Start everything, wait until it answers, stop it at the end.

    Raises:
        debian.UnavailableError: real servers cannot be had here.
        RuntimeError: one of them did not start; the message has its log.
    """
    debian.require_rights()
    if not debian.installed():
        raise debian.UnavailableError("not unpacked yet: run python tests/real/debian.py first")
    folder.chmod(0o755)
    places = _free_places() if network is HOST else Places(STANDARD_BLOCK, STANDARD_PORTS)
    authority = Authority(folder / "certificates")
    with contextlib.ExitStack() as ending:
        sites = policyhost.sites({"plain": "mx-plain", "expired": "mx-expired", "deep": "mx.deep"})
        place = (places.address("policy"), places.ports["https"])
        listener = network.call(lambda: socket.create_server(place))
        policies = PolicyHost(listener, DOMAIN, sites, _policy_certificates(authority, sites))
        ending.callback(policies.close)
        world = World(network, places, authority, policies, debian.versions(), folder)
        ending.enter_context(_silent(world))
        processes: list[tuple[Jail, subprocess.Popen[bytes]]] = []
        for prepared, start in _jails(world, sites):
            process = prepared.start(*start)
            ending.callback(stop, process)
            processes.append((prepared, process))
        network.call(lambda: _wait_until_ready(world, processes))
        yield world


def _policy_certificates(authority: Authority, sites: Mapping[str, Site]) -> dict[Shown, Path]:
    first, *others = [policyhost.host_name(label, DOMAIN) for label in sites]
    makes = {Shown.GOOD: Make.GOOD, Shown.EXPIRED: Make.EXPIRED, Shown.SELF_SIGNED: Make.SELF_SIGNED}
    files = {shown: authority.issue(first, make, also=others).file for shown, make in makes.items()}
    return files | {Shown.WRONG_NAME: authority.issue(first, Make.WRONG_NAME).file}


def _jails(world: World, sites: Mapping[str, Site]) -> Iterator[tuple[Jail, tuple[str, ...]]]:
    folder, network, places, issue = world.folder, world.network, world.places, world.authority.issue
    issued = {f"mx-{name}": issue(world.name(f"mx-{name}"), case.make) for name, case in CASES.items() if case.make}
    issued["mx1"] = issue(world.name("mx1"), also=[f"{name}.{DOMAIN}" for name in records.OTHER_NAMES_OF_MX1])
    issued |= {host: issue(world.name(host)) for host in ("mx2", "mx3", "mx-broken")}
    dns_jail = names.prepare(
        folder,
        records.zone(places, world.authority, issued, sites),
        records.reverse(places),
        records.children(places, issued),
        port=places.ports["dns"],
        authority=places.address("ns"),
        validating=places.address("validating"),
        trusting=places.address("trusting"),
        network=network,
    )
    yield dns_jail, names.START
    listeners = list(_listeners(world, issued))
    yield postfix.prepare(folder, records.mail_domains(sites), listeners, network), postfix.START
    own = {role: places.ports[role] for role in SERVICES}
    exim_jail = exim.prepare(
        folder, world.name("mx2"), f"exim.{DOMAIN}", world.address("mx2"), own, issued["mx2"].file, network
    )
    yield exim_jail, exim.START
    for base, host in (("opensmtpd", "mx3"), ("opensmtpd-broken", "mx-broken")):
        jail = opensmtpd.prepare(
            folder, base, world.name(host), f"opensmtpd.{DOMAIN}", world.address(host), own, issued[host].file, network
        )
        yield jail, opensmtpd.START


def _listeners(world: World, issued: Mapping[str, Issued]) -> Iterator[postfix.Listener]:
    forced = postfix.SUBMISSION | {"smtpd_tls_security_level": "encrypt", "smtpd_tls_auth_only": "yes"}
    implicit = postfix.SUBMISSION | {"smtpd_tls_wrappermode": "yes"}
    for address in (world.address("mx1"), *(("::1",) if socket.has_ipv6 else ())):
        for role, settings in (("smtp", {}), ("submission", forced), ("submissions", implicit)):
            yield postfix.Listener(world.name("mx1"), address, world.ports[role], issued["mx1"].file, settings)
    for name, case in CASES.items():
        host = f"mx-{name}"
        shown = issued[host].file if host in issued else None
        yield postfix.Listener(
            world.name(host), world.address(host), world.ports["smtp"], shown, case.settings, case.is_postscreen
        )


def _free_places() -> Places:
    """Find addresses and ports that nobody uses: the ports are free on the block's first host and on ``::1``."""
    for _ in range(50):
        block = f"127.{random.randint(100, 199)}.{random.randint(1, 254)}"  # noqa: S311 - only to avoid other runs
        ports: dict[str, int] = {}
        with contextlib.ExitStack() as held:
            try:
                for role in STANDARD_PORTS:
                    first = held.enter_context(socket.create_server((f"{block}.{HOSTS['mx1']}", 0)))
                    ports[role] = first.getsockname()[1]
                for address in (f"{block}.{HOSTS['mx2']}", f"{block}.{HOSTS['ns']}"):
                    for port in ports.values():
                        held.enter_context(socket.create_server((address, port)))
                for role in SERVICES if socket.has_ipv6 else ():
                    held.enter_context(socket.create_server(("::1", ports[role]), family=socket.AF_INET6))
            except OSError:
                continue
            return Places(block, ports)
    raise RuntimeError("no free block of loopback addresses")


@contextlib.contextmanager
def _silent(world: World) -> Iterator[None]:
    """Hold ports that never answer: a full queue of connections for each service, and a deaf DNS."""
    address = world.address("mx-silent")

    def fill() -> None:
        deaf = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        deaf.bind((address, world.ports["dns"]))
        for role in SERVICES:
            held.enter_context(socket.create_server((address, world.ports[role]), backlog=0))
            for _ in range(5):
                waiting = held.enter_context(socket.socket())
                waiting.settimeout(0.1)
                try:
                    waiting.connect((address, world.ports[role]))
                except TimeoutError:
                    break

    with contextlib.ExitStack() as held:
        world.network.call(fill)
        yield


def _wait_until_ready(world: World, processes: Sequence[tuple[Jail, subprocess.Popen[bytes]]]) -> None:
    def answers(server: str, name: str, rcode: dns.rcode.Rcode, *, ad: bool = False) -> bool:
        question = dns.message.make_query(name, "SOA", want_dnssec=ad)
        try:
            answer = dns.query.udp(question, world.address(server), port=world.ports["dns"], timeout=1)
        except (OSError, dns.exception.DNSException):
            return False
        return answer.rcode() == rcode and (not ad or bool(answer.flags & dns.flags.AD))

    def accepts(host: str, role: str) -> bool:
        try:
            socket.create_connection((world.address(host), world.ports[role]), timeout=1).close()
        except OSError:
            return False
        return True

    zones = [DOMAIN, *names.REVERSE_ZONES, "insecure.example.test", "_tcp.mx-danefail.example.test"]
    waiting = [partial(answers, "ns", zone, dns.rcode.NOERROR) for zone in zones]
    waiting += [
        partial(answers, "validating", DOMAIN, dns.rcode.NOERROR, ad=True),
        partial(answers, "validating", f"bogus.{DOMAIN}", dns.rcode.SERVFAIL),
        partial(answers, "trusting", f"bogus.{DOMAIN}", dns.rcode.NOERROR),
        partial(accepts, "mx-broken", "smtp"),
        *(partial(accepts, host, role) for host in ("mx1", "mx2", "mx3") for role in SERVICES),
    ]
    end = time.monotonic() + READY_WITHIN_S
    while waiting:
        for jail, process in processes:
            if process.poll() is not None:
                raise RuntimeError(f"{jail.name} ended with {process.returncode}: {jail.said()}")
        if waiting[0]():
            waiting.pop(0)
            continue
        if time.monotonic() > end:
            raise RuntimeError(f"not ready in time: {' '.join(jail.said() for jail, _ in processes)}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            processes[0][1].wait(0.05)  # a pause that ends early when a server dies
