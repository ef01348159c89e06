"""Servers and a DNS for a command that runs in this very process: they live in a thread beside."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

from smtpprobe.lab.dns import DnsServer
from smtpprobe.lab.scripted import Script, ScriptedServer, greeting, serve

HEALTHY: Script = (greeting("mx.example.org"), serve("mx.example.org", "PIPELINING", "SIZE 10240000"))
REFUSING: Script = (b"554 5.7.1 No service for you\r\n", serve("mx.example.org"))
BUSY: Script = (b"421 4.3.2 Too busy, come back later\r\n",)


class SmallWorld:
    """Named servers, each at an address and port of its own."""

    def __init__(self, servers: dict[str, ScriptedServer], dns: DnsServer, loop: asyncio.AbstractEventLoop) -> None:
        self.servers = servers
        self.dns = dns
        self._loop = loop

    def target(self, name: str) -> str:
        """What to type to have a server checked."""
        return f"{self.servers[name].host}:{self.servers[name].port}"

    @property
    def options(self) -> tuple[str, ...]:
        """What to type so that nothing outside is asked."""
        return ("--resolver", self.dns.resolver, "--timeout", "5s")

    def allow(self, event: asyncio.Event) -> None:
        """Set an event that a script waits for."""
        self._loop.call_soon_threadsafe(event.set)

    def wait_for_visit(self, name: str) -> None:
        """Return once somebody has come to a server."""
        arrived = threading.Event()

        def look() -> None:
            if self.servers[name].visits:
                arrived.set()
            else:
                self._loop.call_soon(look)

        self._loop.call_soon_threadsafe(look)
        assert arrived.wait(20), f"nobody came to {name}"


@contextmanager
def small_world(records: str = "", **scripts: Script) -> Iterator[SmallWorld]:
    """Run a server for each script, and a DNS that knows the records; ``{name}`` in them is a server's address."""
    ready: list[SmallWorld] = []
    is_ready, is_over = threading.Event(), asyncio.Event()

    async def live() -> None:
        async with AsyncExitStack() as stack:
            servers = {
                name: await stack.enter_async_context(ScriptedServer(script)) for name, script in scripts.items()
            }
            dns = await stack.enter_async_context(
                DnsServer(records.format_map({name: server.host for name, server in servers.items()}))
            )
            ready.append(SmallWorld(servers, dns, asyncio.get_running_loop()))
            is_ready.set()
            await is_over.wait()

    thread = threading.Thread(target=asyncio.run, args=(live(),), daemon=True)
    thread.start()
    assert is_ready.wait(20)
    try:
        yield ready[0]
    finally:
        ready[0].allow(is_over)
        thread.join(20)
