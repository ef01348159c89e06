"""A world of very many mail domains on this machine, and what a scan of it must come to.

Everything about a domain is computed from its number: some thousand domains share the hosts of few providers, others
have a host of their own, or one address with other domains. Servers are healthy, dead, slow, hostile or put one off.
They watch the scan's manners: never two connections to one address, and the most at once into a network and to a
provider. The world runs in a process of its own.

    python tests/scan/simulated.py --domains 50000 --kills 20

scans it whole, then again with a process that is killed again and again, and compares.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import random
import resource
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, NamedTuple, cast
from zlib import crc32

PROVIDERS: Final = 40
ADDRESSES_OF_PROVIDER: Final = 4
SHARERS: Final = 5
"""Domains with one address between them, each with a name of its own for it."""
PER_NETWORK: Final = 7
PER_PROVIDER: Final = 3
"""Lower than the defaults, so that they are reached."""
FIRST: Final = int(ipaddress.IPv4Address("127.100.0.0"))
HOSTS_IN_NETWORK: Final = 200
SLOW_S: Final = 0.3

ENDLESS_BYTES: Final = 1 << 20
ESTABLISHED: Final = 1
"""In TCP_INFO: the client has not closed yet."""


# --- the world, computed --------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """A mail host."""

    name: str
    addresses: tuple[str, ...]


class Domain(NamedTuple):
    """A domain as the DNS has it."""

    name: str
    mx: tuple[Place, ...]
    dns: str = ""
    """``nxdomain``, ``servfail``, ``null-mx`` or ``no-mx``; empty: it has MX records."""


def chance(*of: object) -> float:
    """A number from 0 to 1 that is always the same for the same things."""
    return crc32(repr(of).encode()) / 2**32


@cache
def address(number: int) -> str:
    net, host = divmod(number, HOSTS_IN_NETWORK)
    return str(ipaddress.IPv4Address(FIRST + net * 256 + host + 1))


@cache
def domain(number: int) -> Domain:
    """Tell how a domain is made."""
    name, luck = f"d{number}.test", chance("dns", number)
    special = next((kind for kind, part in SPECIAL.items() if part[0] <= luck < part[1]), "")
    if special in ("nxdomain", "servfail", "null-mx"):
        return Domain(name, (), special)
    own = PROVIDERS * ADDRESSES_OF_PROVIDER
    share = chance("share", number)
    if special == "no-mx":
        return Domain(name, (Place(name, (address(own + number),)),), special)
    if share < 0.7:
        provider = min(PROVIDERS - 1, int(chance("provider", number) ** -0.7) - 1)
        first = provider * ADDRESSES_OF_PROVIDER
        return Domain(
            name,
            (
                Place(f"mx1.provider{provider}.test", (address(first), address(first + 1))),
                Place(f"mx2.provider{provider}.test", (address(first + 2), address(first + 3))),
            ),
        )
    if share < 0.85:
        return Domain(name, (Place(f"mx.{name}", (address(own + number - number % SHARERS),)),))
    return Domain(name, (Place(f"mx.{name}", (address(own + number),)),))


SPECIAL: Final = {
    "nxdomain": (0.0, 0.02),
    "servfail": (0.02, 0.025),
    "null-mx": (0.03, 0.04),
    "no-mx": (0.04, 0.06),
}

KINDS: Final = {
    "dead": 0.10,
    "slow": 0.15,
    "garbage": 0.165,
    "endless": 0.18,
    "reset": 0.19,
    "ansi": 0.20,
    "busy": 0.215,
    "greylisting": 0.23,
    "starttls": 0.25,
}
"""Up to which chance an address is of that kind; else it is healthy."""


@cache
def kind(of: str) -> str:
    """Tell what kind of server an address has."""
    luck = chance("kind", of)
    return next((each for each, limit in KINDS.items() if luck < limit), "healthy")


def provider(of: str) -> int | None:
    """Tell whose an address is, if a provider's."""
    number = int(ipaddress.IPv4Address(of)) - FIRST
    place = number // 256 * HOSTS_IN_NETWORK + number % 256 - 1
    return place // ADDRESSES_OF_PROVIDER if place < PROVIDERS * ADDRESSES_OF_PROVIDER else None


def addresses(domains: int) -> list[str]:
    return sorted({each for number in range(domains) for host in domain(number).mx for each in host.addresses})


# --- the servers ----------------------------------------------------------------------------------------------------


class Watch:
    """What the servers see of the scan's manners."""

    def __init__(self) -> None:
        self.connections = 0
        self.questions = 0
        self.rudeness: list[str] = []
        self.most_in_network = 0
        self.most_at_provider = 0
        self._open: dict[str, dict[str, set[socket.socket]]] = {"address": {}, "network": {}, "provider": {}}

    def keys(self, of: str) -> Iterator[tuple[str, str]]:
        yield "address", of
        yield "network", of.rpartition(".")[0]
        owner = provider(of)
        if owner is not None:
            yield "provider", str(owner)

    def came(self, of: str, connection: socket.socket) -> None:
        self.connections += 1
        most = {}
        for group, key in self.keys(of):
            found = self._open[group].setdefault(key, set())
            found.add(connection)
            limit = {"address": 1, "network": self.most_in_network, "provider": self.most_at_provider}[group]
            most[group] = len(found) if len(found) <= limit else sum(map(is_open, found))
        if most["address"] > 1:
            self.rudeness.append(f"{most['address']} connections at once to {of}")
        self.most_in_network = max(self.most_in_network, most["network"])
        self.most_at_provider = max(self.most_at_provider, most.get("provider", 0))

    def left(self, of: str, connection: socket.socket) -> None:
        for group, key in self.keys(of):
            self._open[group][key].discard(connection)


def is_open(connection: socket.socket) -> bool:
    """Whether the client holds it still; that it closed may not have been read yet."""
    try:
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED
    except OSError:
        return False


GREETINGS: Final = {
    "garbage": bytes(range(1, 10)) * 20 + b"\xff\xfe no mail here\n" * 3,
    "ansi": b"220 mx.a.test \x1b[31m\x1b]0;owned\x07 ESMTP\r\n",
    "busy": b"421 4.3.2 Too many connections, come back later\r\n",
    "greylisting": b"450 4.7.1 Greylisted, please try again later\r\n",
}


class Session(asyncio.Protocol):
    """One client."""

    def __init__(self, at: str, connection: socket.socket, watch: Watch, context: ssl.SSLContext) -> None:
        self.at, self.kind = at, kind(at)
        self.connection, self.watch, self.context = connection, watch, context
        self.is_secure = self.is_securing = False
        self.pending = b""
        self.transport = cast("asyncio.Transport", None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self.is_secure:
            return
        loop = asyncio.get_running_loop()
        if self.kind == "slow":
            loop.call_later(SLOW_S, self.say, b"220 mx.slow.test ESMTP\r\n")
        elif self.kind == "endless":
            self.say(b"220-" + b"x" * ENDLESS_BYTES)
        else:
            self.say(GREETINGS.get(self.kind, b"220 mx.host.test ESMTP\r\n"))
            if self.kind in ("garbage", "busy"):
                self.transport.close()

    def say(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self.is_securing:  # the handshake is done, but we were not told yet
            self.pending += data
            return
        *lines, self.pending = (self.pending + data).split(b"\r\n")
        for line in lines:
            verb = line[:4].upper()
            if verb == b"EHLO" and self.kind == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.transport.abort()
            elif verb == b"EHLO":
                offers = b"" if self.kind != "starttls" or self.is_secure else b"250-STARTTLS\r\n"
                self.say(b"250-mx.host.test\r\n250-PIPELINING\r\n" + offers + b"250 SIZE 1000000\r\n")
            elif verb == b"STAR":
                self.say(b"220 2.0.0 Go ahead\r\n")
                self.transport.pause_reading()
                self.watching = asyncio.get_running_loop().create_task(self.secure())
            elif verb == b"QUIT":
                self.say(b"221 2.0.0 Bye\r\n")
                self.transport.close()
            else:
                self.say(b"502 5.5.1 What?\r\n")

    async def secure(self) -> None:
        self.is_secure = self.is_securing = True
        try:
            secured = await asyncio.get_running_loop().start_tls(
                self.transport, self, self.context, server_side=True, ssl_handshake_timeout=10
            )
        except OSError:
            self.connection_lost(None)
            return
        if secured is None:
            self.connection_lost(None)
        else:
            self.transport, self.is_securing = secured, False
            self.data_received(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        self.watch.left(self.at, self.connection)


def answer(question: bytes, domains: int) -> bytes:
    """Answer a DNS message (RFC 1035 4.1)."""
    end, labels = 12, []
    while question[end]:
        labels.append(question[end + 1 : end + 1 + question[end]].decode("ascii", "replace").lower())
        end += question[end] + 1
    (rrtype,) = struct.unpack_from("!H", question, end + 1)
    asked = question[12 : end + 5]
    rcode, records = look_up(labels, rrtype, domains)
    flags = 0x8180 | rcode
    head = question[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
    rows = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", rrtype, 1, 300, len(data)) + data for data in records)
    return head + asked + rows


def look_up(labels: list[str], rrtype: int, domains: int) -> tuple[int, list[bytes]]:
    mx, a, nxdomain, servfail = 15, 1, 3, 2
    if len(labels) == 3 and labels[1].startswith("provider"):
        found = domain_of_provider(int(labels[1].removeprefix("provider")))
        host = next((each for each in found if each.name == ".".join(labels)), None)
        return (nxdomain, []) if host is None else (0, packed(host) if rrtype == a else [])
    number = labels[-2][1:] if len(labels) > 1 else ""
    if not number.isdigit() or int(number) >= domains:
        return nxdomain, []
    one = domain(int(number))
    if one.dns in ("nxdomain", "servfail"):
        return {"nxdomain": nxdomain, "servfail": servfail}[one.dns], []
    if len(labels) == 2 and rrtype == mx:
        if one.dns == "null-mx":
            return 0, [struct.pack("!H", 0) + b"\0"]
        if one.dns == "no-mx":
            return 0, []
        return 0, [struct.pack("!H", 10 * rank) + wire(host.name) for rank, host in enumerate(one.mx, 1)]
    host = next((each for each in one.mx if each.name == ".".join(labels)), None)
    if host is None:
        return (0, []) if len(labels) == 2 else (nxdomain, [])
    return 0, packed(host) if rrtype == a else []


@cache
def domain_of_provider(number: int) -> tuple[Place, ...]:
    first = number * ADDRESSES_OF_PROVIDER
    return (
        Place(f"mx1.provider{number}.test", (address(first), address(first + 1))),
        Place(f"mx2.provider{number}.test", (address(first + 2), address(first + 3))),
    )


def packed(host: Place) -> list[bytes]:
    return [ipaddress.IPv4Address(each).packed for each in host.addresses]


def wire(name: str) -> bytes:
    return b"".join(bytes((len(each),)) + each.encode() for each in name.split(".")) + b"\0"


class Datagrams(asyncio.DatagramProtocol):
    """DNS over UDP."""

    def __init__(self, watch: Watch, domains: int) -> None:
        self.watch, self.domains = watch, domains

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.watch.questions += 1
        self.transport.sendto(answer(data, self.domains), addr)


async def over_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, domains: int) -> None:
    """DNS over TCP."""
    try:
        while True:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            said = answer(await reader.readexactly(length), domains)
            writer.write(struct.pack("!H", len(said)) + said)
    except (OSError, asyncio.IncompleteReadError):
        writer.close()


def listeners(places: list[str]) -> tuple[int, list[socket.socket]]:
    """Listen on the same port of each address."""
    for _ in range(20):
        port, found = 0, []
        try:
            for place in places:
                listener = socket.socket()
                found.append(listener)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((place, port))
                listener.listen(16)
                listener.setblocking(False)
                port = listener.getsockname()[1]
        except OSError:
            for each in found:
                each.close()
        else:
            return port, found
    raise OSError("no port is free on all addresses")


async def live(domains: int) -> None:
    """Be the world until the standard input ends; each line on it asks for what was seen."""
    from smtpprobe.lab.certificates import CertificateKind, make_identity, server_context

    with tempfile.TemporaryDirectory() as folder:
        context = server_context(make_identity(CertificateKind.TRUSTED, "mx.host.test"), Path(folder))
    loop, watch = asyncio.get_running_loop(), Watch()
    udp, _ = await loop.create_datagram_endpoint(lambda: Datagrams(watch, domains), ("127.0.0.1", 0))
    udp.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    dns_port = udp.get_extra_info("sockname")[1]
    tcp = await asyncio.start_server(partial(over_tcp, domains=domains), "127.0.0.1", dns_port)
    port, bound = listeners([each for each in addresses(domains) if kind(each) != "dead"])
    tasks: set[asyncio.Task[Any]] = set()

    def welcome(listener: socket.socket, at: str) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        watch.came(at, connection)
        made = loop.create_task(
            loop.connect_accepted_socket(lambda: Session(at, connection, watch, context), connection)
        )
        tasks.add(made)
        made.add_done_callback(tasks.discard)

    for listener in bound:
        loop.add_reader(listener, welcome, listener, listener.getsockname()[0])
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print(json.dumps({"port": port, "dns": dns_port, "listeners": len(bound)}), flush=True)
    while await lines.readline():
        seen = {
            "connections": watch.connections,
            "questions": watch.questions,
            "rudeness": watch.rudeness[:10],
            "network": watch.most_in_network,
            "provider": watch.most_at_provider,
        }
        print(json.dumps(seen), flush=True)
    tcp.close()
    udp.close()


# --- the scan -------------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What the servers saw."""

    connections: int
    questions: int
    rudeness: list[str]
    network: int
    provider: int


class Simulated:
    """The world from outside, and how it is scanned."""

    def __init__(self, domains: int, process: subprocess.Popen[str]) -> None:
        self.domains = domains
        self._process = process
        told = self._read()
        self.port, self.resolver = told["port"], f"127.0.0.1:{told['dns']}"
        self.names = [domain(number).name for number in range(domains)]

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def seen(self) -> Seen:
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        return Seen(**self._read())

    def command(self, source: Path, out: Path, *more: str) -> list[str]:
        """What to type to scan it."""
        return [
            *(sys.executable, "-m", "smtpprobe", "scan", str(source), "--out", str(out)),
            *("--resolver", self.resolver, "--port", f"smtp:{self.port}", "--allow-private"),
            *("--ehlo", "probe.example.org", "--per-host-interval", "1ms", "--back-off", "20ms", "--timeout", "20s"),
            *("--per-network", str(PER_NETWORK), "--per-provider", str(PER_PROVIDER)),
            *more,
        ]

    def start(
        self, source: Path, out: Path, *more: str, limits: Callable[[], None] | None = None
    ) -> subprocess.Popen[str]:
        """Begin a scan in a process of its own."""
        return subprocess.Popen(
            self.command(source, out, *more),
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limits,  # noqa: PLW1509
        )

    def scan(self, source: Path, out: Path, *more: str, limits: Callable[[], None] | None = None) -> tuple[int, str]:
        """Scan; gives the exit status and what was said on stderr."""
        with self.start(source, out, *more, limits=limits) as process:
            _, said = process.communicate()
        return process.returncode, said

    def scan_with_kills(self, source: Path, out: Path, kills: int, size: int, *more: str, seed: int = 1) -> int:
        """Scan, but have the process killed as the output grows, and go on each time.

        Args:
            size: what the output comes to, in bytes.

        Returns:
            How many processes were killed.
        """
        lots = random.Random(seed)  # noqa: S311 - no secret
        killed, journal = 0, Path(f"{out}.journal")
        marks = sorted(lots.randrange(size) for _ in range(kills))
        for mark in [*marks, None]:
            going_on = ("--resume",) if journal.exists() else ()
            if out.exists() and not journal.exists():
                return killed  # done
            with self.start(source, out, *going_on, *more) as process:
                while mark is not None and process.poll() is None:
                    if out.exists() and out.stat().st_size > mark and lots.random() < 0.5:
                        process.send_signal(signal.SIGKILL)
                        killed += 1
                        break
                    with_timeout(process, 0.01)
                process.communicate()
            if mark is None:
                assert process.returncode == 0
            elif journal.exists():
                with out.open("ab") as stream:  # a line that was torn
                    stream.write(b'{"schema":"smtpprobe/scan/1","line":')
        return killed

    # --- what it must come to ---

    def check(self, out: Path, numbers: range | None = None) -> Counter[str]:
        """Hold the results against the world: each domain once, and each server what it is.

        Returns:
            The kinds of servers that were met, and how often.
        """
        results = load(out)
        wanted = [self.names[number] for number in numbers or range(self.domains)]
        assert sorted(results) == sorted(wanted)
        met: Counter[str] = Counter()
        for name, result in results.items():
            one = domain(int(name[1:].partition(".")[0]))
            expected = {"nxdomain": "nxdomain", "servfail": "servfail", "no-mx": "no-data"}.get(one.dns, "answered")
            assert (name, result["mx"]) == (name, expected)
            assert result["is_null_mx"] is (one.dns == "null-mx")
            met[one.dns or "mx"] += 1
            shown = {(host["name"], each["address"]): each for host in result["hosts"] for each in host["sessions"]}
            assert set(shown) == {(host.name, each) for host in one.mx for each in host.addresses}
            for (_, place), session in shown.items():
                met[kind(place)] += 1
                assert (place, EXPECTED[kind(place)](session)) == (place, True), session
        return met


def with_timeout(process: subprocess.Popen[str], seconds: float) -> None:
    """Wait a moment for the process to end."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def is_well(session: dict[str, Any]) -> bool:
    return bool(session["reached"] == "quit" and session["starttls"] is False and session["failure"] is None)


EXPECTED: Final[dict[str, Callable[[dict[str, Any]], bool]]] = {
    "healthy": is_well,
    "slow": is_well,
    "ansi": is_well,
    "starttls": lambda each: each["reached"] == "quit" and each["tls"] is not None and each["certificate"] is not None,
    "dead": lambda each: (each["failed"], each["failure"]) == ("connect", "refused"),
    "garbage": lambda each: (each["failed"], each["failure"]) == ("greeting", "garbage"),
    "endless": lambda each: each["failed"] == "greeting" or each["refusal"] is not None or each["reached"] != "quit",
    "reset": lambda each: each["failure"] in ("reset", "closed") and each["failed"] == "ehlo",
    "busy": lambda each: each["refusal"]["code"] == 421,
    "greylisting": lambda each: each["refusal"]["code"] == 450,
}


def load(out: Path) -> dict[str, dict[str, Any]]:
    """The results by name; a repeated one, or a line that is none, is an error."""
    results: dict[str, dict[str, Any]] = {}
    for line in out.read_bytes().splitlines():
        result = json.loads(line)
        assert result["name"] not in results, f"{result['name']} has two results"
        results[result["name"]] = result
    return results


def plain(out: Path) -> dict[str, Any]:
    """The results without what differs between two scans of the same."""
    results: dict[str, Any] = load(out)
    for result in results.values():
        del result["at"]
        for host in result["hosts"]:
            for session in host["sessions"]:
                del session["duration_s"]
                if session["failure"] == "reset":  # who closes while we speak resets, but not always in time
                    session["failure"] = "closed"
    return results


@contextmanager
def simulated(domains: int) -> Iterator[Simulated]:
    """Run the world."""
    command = [sys.executable, __file__, "--serve", str(domains)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Simulated(domains, process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(20)


def write_list(path: Path, names: list[str]) -> Path:
    path.write_text("".join(f"{name}\n" for name in names))
    return path


def main() -> None:
    """Scan a large world twice, and tell what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--domains", type=int, default=50_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--serve", type=int)
    parser.add_argument("more", nargs="*", help="options for the scan")
    given = parser.parse_args()
    if given.serve is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        asyncio.run(live(given.serve))
        return
    with tempfile.TemporaryDirectory() as folder, simulated(given.domains) as world:
        source = write_list(Path(folder, "list"), world.names)
        whole, pieces = Path(folder, "whole.ndjson"), Path(folder, "pieces.ndjson")
        began = time.monotonic()
        status, said = world.scan(source, whole, *given.more)
        print(said)
        assert status == 0
        seen = world.seen()
        print(f"whole: {time.monotonic() - began:.1f} s, {seen}")
        print(f"met: {dict(world.check(whole))}")
        began = time.monotonic()
        killed = world.scan_with_kills(source, pieces, given.kills, whole.stat().st_size, *given.more, "-q")
        after = world.seen()
        print(f"killed {killed} times: {time.monotonic() - began:.1f} s, {after.connections - seen.connections} more")
        world.check(pieces)
        assert plain(pieces) == plain(whole)
        assert after.rudeness == []
        assert after.network <= PER_NETWORK
        assert after.provider <= PER_PROVIDER
        print(f"most at once: {after.network} into a network, {after.provider} to a provider, never two to an address")


if __name__ == "__main__":
    main()
