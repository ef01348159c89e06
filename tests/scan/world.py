"""A world of servers in several networks, with a DNS, for scans that other processes make."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from smtpprobe.evidence import Family, Options, PortSpec, Role, TlsMode
from smtpprobe.lab.certificates import CertificateKind, make_identity, server_context, trusted_root
from smtpprobe.lab.dns import DnsServer
from smtpprobe.lab.ports import bind
from smtpprobe.lab.scripted import Hold, Script, ScriptedServer, greeting, serve
from smtpprobe.scan.guard import read_exclusions
from smtpprobe.scan.pace import Limits
from smtpprobe.scan.running import Plan

NETWORKS = 12
"""Each with a server."""
DOMAINS = 40


class World:
    """What a scan of it is told, and what the servers have seen."""

    def __init__(
        self, servers: dict[str, ScriptedServer], port: int, resolver: str, folder: Path, tls: ssl.SSLContext
    ) -> None:
        self.servers = servers
        self._loop = asyncio.get_running_loop()
        self._tls = tls
        self.port = port
        self.resolver = resolver
        self.roots = folder / "roots.pem"
        self.roots.write_bytes(trusted_root())
        self.targets = folder / "domains.txt"
        names = [f"d{number}.example" for number in range(DOMAINS)]
        gone = ["gone.example", "d1.example", "10.9.9.9", "left.alone.example"]
        self.targets.write_text("\n".join([*names, *gone]) + "\n", encoding="ascii")
        self.exclude = folder / "exclude.txt"
        self.exclude.write_text("alone.example\n10.0.0.0/8\n", encoding="ascii")

    def forget(self, *, hold_s: float = 0.0) -> None:
        """Let the servers forget who came, and wait from now on before they greet."""
        for number, server in enumerate(self.servers.values()):
            server.visits.clear()
            server.most_at_once = 0
            server.scripts = (_script(number, self._tls, hold_s),)

    @property
    def visits(self) -> list[int]:
        """How many came to each server."""
        return [len(server.visits) for server in self.servers.values()]

    def wait_until_idle(self) -> None:
        """Return once no connection is open."""
        for server in self.servers.values():
            asyncio.run_coroutine_threadsafe(server.idle(), self._loop).result(20)

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        """Return once something is so of the servers."""
        came = threading.Event()

        def look() -> None:
            if is_so():
                came.set()
            else:
                self._loop.call_soon(look)

        self._loop.call_soon_threadsafe(look)
        assert came.wait(20), "it never came to be so"

    def plan(self, out: str) -> Plan:
        """The same as `options`, for a scan in this process."""
        return Plan(
            source=str(self.targets),
            out=out,
            options=Options(
                ports=(PortSpec(port=self.port, role=Role.SMTP, tls=TlsMode.STARTTLS),),
                explicit_ports=True,
                resolvers=(self.resolver,),
                ca_file=str(self.roots),
                family=Family.IPV4,
                timeout_s=5,
                policies=False,
            ),
            limits=Limits(per_host_interval_s=0),
            guard=read_exclusions(self.exclude.read_text(encoding="ascii").splitlines(), is_private_allowed=True),
        )

    @property
    def options(self) -> tuple[str, ...]:
        """What to type so that nothing outside is asked."""
        return (
            *("--resolver", self.resolver, "--timeout", "5s", "--port", f"smtp:{self.port}", "-4", "--allow-private"),
            *("--ca", str(self.roots), "--exclude", str(self.exclude), "--per-host-interval", "0", "-q"),
        )


def _script(number: int, tls: ssl.SSLContext, hold_s: float = 0.0) -> Script:
    name = f"mx{number}.example"
    script: Script = (greeting(name), serve(name, "SIZE 10240000", tls=tls if number % 2 else None))
    if number == 1:
        script = (b"554 5.7.1 No service for you\r\n", serve(name))
    elif number == 2:
        script = (b"421 4.3.2 Too busy, come back later\r\n", serve(name))
    return (Hold(at_most_s=hold_s), *script) if hold_s else script


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Run it in a thread beside."""
    ready: list[World] = []
    is_ready, is_over = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def live() -> None:
        loops.append(asyncio.get_running_loop())
        tls = server_context(make_identity(CertificateKind.WILDCARD, "mx0.example"), folder)
        addresses = [f"127.0.{number + 1}.1" for number in range(NETWORKS)]
        async with AsyncExitStack() as stack:
            sockets = bind(addresses, 1)
            port = next(iter(sockets))[1]
            servers = {}
            for number, address in enumerate(addresses):
                listener = sockets[(address, port)]
                server = ScriptedServer(_script(number, tls), listener=listener)
                servers[address] = await stack.enter_async_context(server)
            lines = [f"mx{number}.example. A {address}" for number, address in enumerate(addresses)]
            for number in range(DOMAINS):
                hosts = {number % NETWORKS, number * 5 % NETWORKS}
                lines += [f"d{number}.example. MX {10 + host} mx{host}.example." for host in hosts]
            dns = await stack.enter_async_context(DnsServer("\n".join(lines)))
            ready.append(World(servers, port, dns.resolver, folder, tls))
            is_ready.set()
            await is_over.wait()

    thread = threading.Thread(target=asyncio.run, args=(live(),), daemon=True)
    thread.start()
    assert is_ready.wait(20)
    try:
        yield ready[0]
    finally:
        loops[0].call_soon_threadsafe(is_over.set)
        thread.join(20)
