"""The whole real world on loopback: three mail servers, signed zones, two resolvers, on one block of addresses.

Each run takes a free block ``127.A.B.0/24`` and free ports, so that runs do not meet.
"""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.real import debian, exim, names, opensmtpd, postfix
from tests.real.certificates import Authority
from tests.real.jail import Jail

DOMAIN = names.DOMAIN
READY_WITHIN_S = 60.0

HOSTS = {
    "mx1": 25, "mx2": 26, "mx3": 27, "expired": 31, "wrongname": 32, "selfsigned": 33, "plain": 34, "postscreen": 35,
    "tls12": 36, "daneta": 37, "rollover": 38, "danebad": 39, "needtls": 40, "reject": 41, "busy": 42, "broken": 44,
    "daneexpired": 45, "authority": 54, "validating": 53, "trusting": 55, "policy": 80, "dead": 99,
}  # fmt: skip
"""The last byte of each host's address."""

MAIL_DOMAINS = {
    "multi": ("10 mx1", "20 mx2", "20 mx3"),
    "exim": ("10 mx2",),
    "opensmtpd": ("10 mx3",),
    "oldcert": ("10 expired",),
    "wrongname": ("10 wrongname",),
    "selfsigned": ("10 selfsigned",),
    "plain": ("10 plain",),
    "postscreen": ("10 postscreen",),
    "tls12": ("10 tls12",),
    "daneta": ("10 daneta",),
    "rollover": ("10 rollover",),
    "danebad": ("10 danebad",),
    "daneexpired": ("10 daneexpired",),
    "needtls": ("10 needtls",),
    "reject": ("10 reject",),
    "busy": ("10 busy",),
    "broken": ("10 broken",),
    "halfdead": ("10 dead", "20 mx1"),
    "alldead": ("10 dead",),
}
"""Domains below ``example.test`` by their MX records."""

OTHER_RECORDS = """\
nullmx MX 0 .
nullplus MX 0 .
nullplus MX 10 mx1
mxalias MX 10 alias
alias CNAME mx1
mxmissing MX 10 nosuch
mxempty MX 10 empty
empty TXT "no address here"
mxliteral MX 10 127.0.0.1.
nothing TXT "neither mail nor address"
viaalias CNAME example.test.
loop CNAME loop2
loop2 CNAME loop
"""


@dataclass(frozen=True)
class World:
    """Where everything is while it runs."""

    block: str
    """``127.A.B``."""
    ports: dict[str, int]
    """By ``smtp``, ``submission``, ``submissions``, ``dns``, ``https``."""
    ca_file: Path
    authority: Authority
    versions: dict[str, str]
    folder: Path

    def address(self, host: str) -> str:
        return f"{self.block}.{HOSTS[host]}"

    def name(self, host: str) -> str:
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
    def port_options(self) -> list[str]:
        """What tells the command line which port has which role."""
        return [f"--port={role}:{self.ports[role]}" for role in ("smtp", "submission", "submissions")]


@contextlib.contextmanager
def run(folder: Path) -> Iterator[World]:
    """Start everything, wait until it answers, stop it at the end.

    Raises:
        debian.UnavailableError: real servers cannot be had here.
        RuntimeError: one of them did not start; the message has its log.
    """
    debian.require_rights()
    if not debian.installed():
        raise debian.UnavailableError("not unpacked yet: run python tests/real/debian.py first")
    folder.chmod(0o755)
    block, ports = _free_block()
    authority = Authority(folder / "certificates")
    world = World(block, ports, authority.file, authority, debian.versions(), folder)
    processes: list[tuple[Jail, subprocess.Popen[bytes]]] = []
    try:
        for prepared, start in _jails(world):
            processes.append((prepared, prepared.start(*start)))
        _wait_until_ready(world, processes)
        yield world
    finally:
        for _, process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait(timeout=15)


def _jails(world: World) -> Iterator[tuple[Jail, tuple[str, ...]]]:
    folder, mint, ports = world.folder, world.authority.mint, world.ports
    own = {role: ports[role] for role in ("smtp", "submission", "submissions")}
    good = mint("mx1", [world.name("mx1")])
    successor = mint("mx1-successor", [world.name("mx1")])
    expired = mint("expired", [world.name("expired"), world.name("daneexpired")], first_day=-90, last_day=-30)
    other = mint("wrongname", ["elsewhere.example.org"])
    alone = mint("selfsigned", [world.name("selfsigned")], is_self_signed=True)
    wildcard = mint("wildcard", [f"*.{DOMAIN}"])
    tlsa = world.authority.tlsa
    tlsa_at = [
        *(("mx1", role, f"3 1 1 {tlsa(good)}") for role in own),
        ("mx2", "smtp", f"1 1 1 {tlsa(good)}"),  # PKIX-EE, which RFC 7672 3.1.3 does not let SMTP use
        ("daneta", "smtp", f"2 1 1 {tlsa(world.authority.file)}"),
        ("rollover", "smtp", f"3 1 1 {tlsa(successor)}"),
        ("rollover", "smtp", f"3 1 1 {tlsa(wildcard)}"),
        ("danebad", "smtp", f"3 1 1 {'00' * 31}01"),
        ("selfsigned", "smtp", f"3 1 1 {tlsa(alone)}"),
        ("wrongname", "smtp", f"3 0 2 {tlsa(other, selector=0, matching=2)}"),
        ("daneexpired", "smtp", f"3 1 1 {tlsa(expired)}"),
    ]
    zone = [f"@ MX 10 mx1.{DOMAIN}.", OTHER_RECORDS]
    zone += [f"{host} A {world.address(host)}" for host in HOSTS] + ["mx1 AAAA ::1"]
    zone += [f"{domain} MX {record}" for domain, records in MAIL_DOMAINS.items() for record in records]
    zone += [f"_{ports[role]}._tcp.{host} TLSA {record}" for host, role, record in tlsa_at]
    zone += [f"many MX {10 + n} a-host-with-quite-a-long-name-number-{n:02}" for n in range(40)]
    zone += [f"a-host-with-quite-a-long-name-number-{n:02} A {world.address('mx1')}" for n in range(40)]
    reverse = [
        f"{'.'.join(reversed(world.address(host).split('.')[1:]))} PTR {world.name(host)}."
        for host in HOSTS
        if host not in ("plain", "dead")
    ]
    children = f"@ MX 10 mx\nmx A {world.address('mx1')}\n_{ports['smtp']}._tcp.mx TLSA 3 1 1 {'00' * 32}\n"
    yield (
        names.prepare(
            folder,
            "\n".join(zone) + "\n",
            "\n".join(reverse) + "\n",
            children,
            authority=(world.address("authority"), ports["dns"]),
            validating=(world.address("validating"), ports["dns"]),
            trusting=(world.address("trusting"), ports["dns"]),
        ),
        names.START,
    )
    listeners = [_listener(world, "mx1", good)]
    listeners.append(_listener(world, "mx1", good, "submission", postfix.SUBMISSION | {
        "smtpd_tls_security_level": "encrypt", "smtpd_tls_auth_only": "yes",
    }))  # fmt: skip
    implicit = postfix.SUBMISSION | {"smtpd_tls_wrappermode": "yes"}
    listeners.append(_listener(world, "mx1", good, "submissions", implicit))
    if socket.has_ipv6:
        listeners.append(postfix.Listener(world.name("mx1"), "::1", ports["smtp"], good))
    listeners += [
        _listener(world, "expired", expired),
        _listener(world, "daneexpired", expired),
        _listener(world, "wrongname", other),
        _listener(world, "selfsigned", alone),
        _listener(world, "plain", None),
        _listener(world, "tls12", wildcard, settings={"smtpd_tls_protocols": "TLSv1.2"}),
        _listener(world, "daneta", wildcard),
        _listener(world, "rollover", wildcard),
        _listener(world, "danebad", wildcard),
        _listener(world, "needtls", wildcard, settings={"smtpd_tls_security_level": "encrypt"}),
        _listener(world, "busy", wildcard, settings={"smtpd_client_connection_count_limit": "1"}),
        _listener(world, "reject", wildcard, settings={
            "smtpd_delay_reject": "no", "smtpd_client_restrictions": "reject",
        }),
    ]  # fmt: skip
    postscreen = _listener(world, "postscreen", wildcard)
    postscreen.is_postscreen = True
    yield postfix.prepare(folder, DOMAIN, [*listeners, postscreen]), postfix.START
    certificate = mint("mx2", [world.name("mx2")])
    yield exim.prepare(folder, world.name("mx2"), f"exim.{DOMAIN}", world.address("mx2"), own, certificate), exim.START
    for base, host in (("opensmtpd", "mx3"), ("opensmtpd-broken", "broken")):
        certificate = mint(host, [world.name(host)])
        yield (
            opensmtpd.prepare(
                folder, base, world.name(host), f"opensmtpd.{DOMAIN}", world.address(host), own, certificate
            ),
            opensmtpd.START,
        )


def _listener(
    world: World, host: str, certificate: Path | None, role: str = "smtp", settings: dict[str, str] | None = None
) -> postfix.Listener:
    return postfix.Listener(world.name(host), world.address(host), world.ports[role], certificate, settings or {})


def _free_block() -> tuple[str, dict[str, int]]:
    """Find addresses and ports that nobody uses: the ports are free on the block's first host and on ``::1``."""
    for _ in range(50):
        block = f"127.{random.randint(100, 199)}.{random.randint(1, 254)}"  # noqa: S311 - only to avoid other runs
        ports: dict[str, int] = {}
        with contextlib.ExitStack() as held:
            try:
                for role in ("smtp", "submission", "submissions", "dns", "https"):
                    first = held.enter_context(socket.create_server((f"{block}.{HOSTS['mx1']}", 0)))
                    ports[role] = first.getsockname()[1]
                for address in (f"{block}.{HOSTS['mx2']}", f"{block}.{HOSTS['authority']}"):
                    for port in ports.values():
                        held.enter_context(socket.create_server((address, port)))
                if socket.has_ipv6:
                    held.enter_context(socket.create_server(("::1", ports["smtp"]), family=socket.AF_INET6))
            except OSError:
                continue
            return block, ports
    raise RuntimeError("no free block of loopback addresses")


def _wait_until_ready(world: World, processes: list[tuple[Jail, subprocess.Popen[bytes]]]) -> None:
    waiting = [(world.address(host), world.ports["dns"]) for host in ("authority", "validating", "trusting")]
    waiting += [(world.address(h), world.ports["smtp"]) for h in ("mx1", "mx2", "mx3", "broken", "postscreen")]
    waiting += [(world.address(h), world.ports["submissions"]) for h in ("mx1", "mx2", "mx3")]
    end = time.monotonic() + READY_WITHIN_S
    while waiting:
        for jail, process in processes:
            if process.poll() is not None:
                raise RuntimeError(f"{jail.name} ended with {process.returncode}: {_tail(jail)}")
        with contextlib.suppress(OSError):
            socket.create_connection(waiting[0], timeout=1).close()
            waiting.pop(0)
            continue
        if time.monotonic() > end:
            raise RuntimeError(f"no answer from {waiting}: {' '.join(_tail(jail) for jail, _ in processes)}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            processes[0][1].wait(0.1)  # a pause that ends early when a server dies


def _tail(jail: Jail) -> str:
    return f"[{jail.name}] {jail.log.read_text(errors='replace')[-1500:] if jail.log.exists() else ''}"
