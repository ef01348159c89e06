"""The embedded mail world: a DNS and a mail host for each scenario, on loopback, ready to be checked.

Each scenario is a domain of its own, ``NAME.lab.test`` (RFC 6761 6.2 keeps .test for this), whose mail hosts have
addresses of their own in 127.86.0.0/16. All listen on the same three ports, so that one command line fits them all:

    async with World(choose(["healthy", "certificate-expired"])) as world:
        report = await probe("certificate-expired.lab.test", world.options())

It needs no network and no privileges, touches no file outside a private folder that it removes, and runs on the event
loop of the caller.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from smtpprobe.evidence import Options, PortSpec, Role, TlsMode
from smtpprobe.lab import ports
from smtpprobe.lab.certificates import can_serve, trusted_root
from smtpprobe.lab.dns import DnsServer, Fault
from smtpprobe.lab.scenarios import SCENARIOS, Conduct, Scenario, Stage
from smtpprobe.lab.scripted import ScriptedServer, Visit
from smtpprobe.lab.servers import MailServer, relay, submission, submissions

ZONE: Final = "lab.test"
ZONE_RECORDS: Final = f"""
{ZONE} 300 SOA ns.{ZONE} hostmaster.{ZONE} 1 3600 600 86400 60
{ZONE} NS ns.{ZONE}
ns.{ZONE} A 127.0.0.1
"""

USUAL_PORTS: Final = {Role.SMTP: 2525, Role.SUBMISSION: 2587, Role.SUBMISSIONS: 2465}
"""Easy to remember beside 25, 587 and 465; where they are taken, others are found."""
USUAL_DNS_PORT: Final = 5300

ALL_ROLES: Final = (Role.SMTP, Role.SUBMISSION, Role.SUBMISSIONS)
PREFERENCE_STEP: Final = 10
"""Between the MX records of a domain."""

Server = ScriptedServer | MailServer


@dataclass(frozen=True, slots=True)
class Host:
    """A mail host of the world."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Place:
    """A scenario where it stands in the world."""

    scenario: Scenario
    domain: str
    hosts: tuple[Host, ...]
    servers: Mapping[tuple[str, Role], Server]
    """By host name and role; a port where nobody listens has none."""

    @property
    def visits(self) -> tuple[Visit, ...]:
        """Everybody who came, on whatever port."""
        return tuple(visit for server in self.servers.values() for visit in server.visits)


class World:
    """The world; an asynchronous context manager that runs it.

    Args:
        scenarios: what is in it; None: all there is.
        prefer_usual_ports: try `USUAL_PORTS` first, for people who type them; for tests others are as good.

    Raises:
        NoLoopbackAddressError: on entering, where the system has no loopback addresses but 127.0.0.1.
    """

    def __init__(self, scenarios: Iterable[Scenario] | None = None, *, prefer_usual_ports: bool = False) -> None:
        self._scenarios = tuple(SCENARIOS.values() if scenarios is None else scenarios)
        self._prefer_usual_ports = prefer_usual_ports
        self._stack = AsyncExitStack()
        self._folder = Path()
        self.dns = DnsServer(ZONE_RECORDS)
        self.ports: Mapping[Role, int] = USUAL_PORTS
        self.places: dict[str, Place] = {}
        """By the scenario's name."""
        self.left_out: tuple[Scenario, ...] = ()
        """Scenarios that the local OpenSSL cannot play."""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._folder = Path(stack.enter_context(TemporaryDirectory(prefix="smtpprobe-lab-")))  # mode 0700
            self.ca_path.write_bytes(trusted_root())
            self.left_out = tuple(each for each in self._scenarios if not self._can_play(each))
            await self._open_dns(stack)
            cast = self._cast([each for each in self._scenarios if each not in self.left_out])
            bound = self._bind([host for _, hosts in cast for host in hosts])
            for sockets in bound.values():
                for each in sockets.values():
                    stack.callback(each.close)
            for scenario, hosts in cast:
                await self._open(stack, scenario, hosts, bound)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    # --- what to ask of it ---

    @property
    def ca_path(self) -> Path:
        """The PEM file of the root that the good certificates come from."""
        return self._folder / "ca.pem"

    def options(self, *roles: Role, **changes: Any) -> Options:
        """The options to check this world with.

        Args:
            roles: which ports to try, and which then must answer; without any: all three, as the usual ones are tried.
            changes: other fields of `Options`.
        """
        chosen = Options(
            ports=tuple(self._port(role) for role in roles or ALL_ROLES),
            explicit_ports=bool(roles),
            resolvers=(self.dns.resolver,),
            ca_file=str(self.ca_path),
        )
        return msgspec.structs.replace(chosen, **changes)

    def command_line(self, *targets: str, roles: Iterable[Role] = ALL_ROLES) -> str:
        """What to type to check targets of this world."""
        words = ["smtpprobe", "check", "--resolver", self.dns.resolver, "--ca", str(self.ca_path)]
        for role in roles:
            words += ["--port", f"{role}:{self.ports[role]}"]
        return shlex.join([*words, *targets])

    def domain(self, name: str) -> str:
        """The domain of a scenario."""
        return f"{name}.{ZONE}"

    def _port(self, role: Role) -> PortSpec:
        mode = TlsMode.IMPLICIT if role is Role.SUBMISSIONS else TlsMode.STARTTLS
        return PortSpec(port=self.ports[role], role=role, tls=mode)

    # --- how it is made ---

    def _can_play(self, scenario: Scenario) -> bool:
        return scenario.needs is None or can_serve(scenario.needs, self._folder)

    def _cast(self, scenarios: list[Scenario]) -> list[tuple[Scenario, tuple[Host, ...]]]:
        """Give each host of each scenario a name and an address."""
        cast, number = [], 0
        for scenario in scenarios:
            count, hosts = len(scenario.hosts), []
            for place in range(count):
                name = f"mx{place + 1 if count > 1 else ''}.{self.domain(scenario.name)}"
                hosts.append(Host(name, ports.address(number)))
                number += 1
            cast.append((scenario, tuple(hosts)))
        return cast

    def _bind(self, hosts: list[Host]) -> dict[str, dict[Role, Any]]:
        """Bind the three ports on each address, by address and role."""
        # Who has the usual port of the DNS has the others: two worlds never reach for them at once.
        is_usual = self._prefer_usual_ports and self.dns.port == USUAL_DNS_PORT
        usual = [USUAL_PORTS[role] for role in ALL_ROLES] if is_usual else []
        addresses = [each.address for each in hosts] or [ports.address(0)]
        bound = ports.bind(addresses, len(ALL_ROLES), usual)
        found = [port for place, port in bound if place == addresses[0]]
        self.ports = dict(zip(ALL_ROLES, found, strict=True))
        return {each: {role: bound[each, self.ports[role]] for role in ALL_ROLES} for each in addresses}

    async def _open(
        self, stack: AsyncExitStack, scenario: Scenario, hosts: tuple[Host, ...], bound: dict[str, dict[Role, Any]]
    ) -> None:
        """Start the servers of a scenario, and tell the DNS about it."""
        domain = self.domain(scenario.name)
        servers: dict[tuple[str, Role], Server] = {}
        for host, play in zip(hosts, scenario.hosts, strict=True):
            stage = Stage(domain, host.name, self._folder)
            well = cache(stage.tls)  # for all ports of the host
            for role in ALL_ROLES:
                listener = bound[host.address][role]
                part = play(stage) if role is scenario.role else Conduct.WELL
                server: Server
                match part:
                    case Conduct.CLOSED:
                        continue  # it stays bound, and refuses
                    case Conduct.SILENT:
                        stack.enter_context(ports.kept_silent(listener))
                        continue
                    case Conduct.WELL if role is Role.SMTP:
                        server = relay(host.name, well, domain=domain, listener=listener)
                    case Conduct.WELL if role is Role.SUBMISSION:
                        server = submission(host.name, well, listener=listener)
                    case Conduct.WELL:
                        server = submissions(host.name, well, listener=listener)
                    case _:
                        server = ScriptedServer(part, listener=listener)
                servers[host.name, role] = await stack.enter_async_context(server)
        self.places[scenario.name] = Place(scenario, domain, hosts, servers)
        self._publish(scenario, domain, hosts)

    def _publish(self, scenario: Scenario, domain: str, hosts: tuple[Host, ...]) -> None:
        """Put the records of a scenario into the DNS, with what goes wrong there."""
        names = {
            "domain": domain,
            "hosts": [each.name for each in hosts],
            "addresses": [each.address for each in hosts],
        }
        if scenario.records is not None:
            records = scenario.records.format_map(names)
        else:
            records = "\n".join(
                f"{domain} MX {PREFERENCE_STEP * number} {each.name}\n{each.name} A {each.address}"
                for number, each in enumerate(hosts, start=1)
            )
        reverse = (f"{_reverse_name(each.address)} PTR {each.name}" for each in hosts)
        self.dns.add("\n".join((records, *reverse)))
        faults: dict[tuple[str, str], Fault] = {
            (name.format_map(names), rrtype): fault for (name, rrtype), fault in scenario.faults.items()
        }
        self.dns.faults.update(faults)

    async def _open_dns(self, stack: AsyncExitStack) -> None:
        if self._prefer_usual_ports:
            self.dns.port = USUAL_DNS_PORT
            try:
                await stack.enter_async_context(self.dns)
            except OSError:
                self.dns.port = 0
            else:
                return
        await stack.enter_async_context(self.dns)


def _reverse_name(address: str) -> str:
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"
