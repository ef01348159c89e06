"""A world of servers in several networks, with a DNS, for scans that other processes make."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from smtpprobe.lab.certificates import CertificateKind, make_identity, server_context, trusted_root
from smtpprobe.lab.dns import DnsServer
from smtpprobe.lab.ports import bind
from smtpprobe.lab.scripted import Hold, Script, ScriptedServer, greeting, serve

NETWORKS = 12
"""Each with a server."""
DOMAINS = 40


class World:
    """What a scan of it is told, and what the servers have seen."""

    def __init__(self, servers: dict[str, ScriptedServer], port: int, resolver: str, folder: Path) -> None:
        self.servers = servers
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

    @property
    def options(self) -> tuple[str, ...]:
        """What to type so that nothing outside is asked."""
        return (
            *("--resolver", self.resolver, "--timeout", "5s", "--port", f"smtp:{self.port}", "-4", "--allow-private"),
            *("--ca", str(self.roots), "--exclude", str(self.exclude), "--per-host-interval", "0", "-q"),
        )


def _script(number: int, tls: ssl.SSLContext, hold_s: float) -> Script:
    name = f"mx{number}.example"
    if number == 1:
        return (b"554 5.7.1 No service for you\r\n", serve(name))
    if number == 2:
        return (b"421 4.3.2 Too busy, come back later\r\n",)
    answers = serve(name, "SIZE 10240000", tls=tls if number % 2 else None)
    return (Hold(at_most_s=hold_s), greeting(name), answers) if hold_s else (greeting(name), answers)


@contextmanager
def world(folder: Path, *, hold_s: float = 0.0) -> Iterator[World]:
    """Run it in a thread beside.

    Args:
        hold_s: how long servers wait before they greet.
    """
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
                server = ScriptedServer(_script(number, tls, hold_s), listener=listener)
                servers[address] = await stack.enter_async_context(server)
            lines = [f"mx{number}.example. A {address}" for number, address in enumerate(addresses)]
            for number in range(DOMAINS):
                hosts = {number % NETWORKS, number * 5 % NETWORKS}
                lines += [f"d{number}.example. MX {10 + host} mx{host}.example." for host in hosts]
            dns = await stack.enter_async_context(DnsServer("\n".join(lines)))
            ready.append(World(servers, port, dns.resolver, folder))
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
