"""From a target to hosts and addresses, by asking the DNS.

Here stands which questions mail asks and in which order (RFC 5321 5.1), and the DNS as one probe sees it: addresses
given by hand come first, and no question is asked twice. How a question is put, and all the ways in which it may end,
is the business of `stub`, or of whatever else is put in as source.

Nothing is judged here, and nothing is cached beyond the probe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Final, Protocol

import msgspec

from smtpprobe.endpoints import MAX_MX_HOSTS as MAX_MX_HOSTS
from smtpprobe.endpoints import host_of_address
from smtpprobe.errors import OptionError
from smtpprobe.evidence import (
    Family,
    HostOrigin,
    Lookup,
    LookupStatus,
    MxHost,
    Options,
    Resolution,
    Reverse,
    Target,
    TargetKind,
)
from smtpprobe.names import is_localhost, is_no_address, quoted
from smtpprobe.targets import parse_name_server

MAX_PTR_NAMES: Final = 8
"""The most names of one address that are looked up in turn; shared hosts have been seen with hundreds."""


class LookupSource(Protocol):
    """Where a `Resolver` gets its answers from."""

    async def lookup(self, name: str, rrtype: str) -> Lookup:
        """Find the records of a name; raises nothing but CancelledError. The times are filled in by the caller."""
        ...


class Resolver:
    """The DNS as one probe sees it.

    Args:
        options: resolvers, overrides, family, and the time for a question.
        clock: seconds since the probe began.
        source: where answers come from; None: a `Stub` made from the options, when there is something to ask.

    Raises:
        OptionError: a resolver or the address of an override is no address.
    """

    def __init__(self, options: Options, clock: Callable[[], float], *, source: LookupSource | None = None) -> None:
        self._clock = clock
        self._family = options.family
        self._options = options
        self._source = source
        for resolver in options.resolvers:
            parse_name_server(resolver)
        self._overrides: dict[str, list[str]] = {}
        for override in options.overrides:
            try:
                address = str(ip_address(override.address))
            except ValueError as error:
                raise OptionError(f"override {quoted(override.name)}: {error}") from error
            addresses = self._overrides.setdefault(_normal(override.name), [])
            if address not in addresses:
                addresses.append(address)
        self._asked: dict[tuple[str, str], _Shared] = {}

    async def lookup(self, name: str, rrtype: str) -> Lookup:
        """Look up the records of a name; a question is asked once, and all who ask it share the answer.

        Never raises but CancelledError. When all who wait for an answer are cancelled, so is the question.

        Args:
            name: in A-labels; case and a trailing dot do not matter.
            rrtype: ``MX``, ``A``, ``TXT`` ...
        """
        name = _normal(name)
        key = (name, rrtype)
        shared = self._asked.get(key)
        if shared is None:
            shared = self._asked[key] = _Shared(asyncio.ensure_future(self._look_up(name, rrtype)))
        shared.waiting += 1
        try:
            return await asyncio.shield(shared.task)
        finally:
            shared.waiting -= 1
            if not shared.waiting and not shared.task.done():
                shared.task.cancel()
                self._asked.pop(key, None)

    async def resolve(self, target: Target) -> Resolution:
        """Find the hosts of a target and their addresses: MX first, then all A and AAAA at once.

        The addresses of the name itself are asked for only where it has no MX: for the few names without one this
        costs a round trip, for all others it saves two questions.
        """
        started_s = self._clock()
        mx: Lookup | None = None
        if target.name is None:
            hosts: tuple[MxHost, ...] = (host_of_address(target.address or ""),)
        elif target.kind is TargetKind.ENDPOINT or is_localhost(target.name):
            hosts = (await self._host(target.name, HostOrigin.GIVEN),)
        else:
            mx = await self.lookup(target.name, "MX")
            hosts = await self._mail_hosts(target.name, mx)
        return Resolution(
            name=target.name,
            mx=mx,
            hosts=hosts,
            is_null_mx=mx is not None and mx.records == ("0 .",),  # RFC 7505 3
            elapsed_s=self._clock() - started_s,
        )

    async def reverse(self, addresses: Iterable[str]) -> tuple[Reverse, ...]:
        """Find the names of addresses, and whether the names lead back; each address once, in the order given."""
        return tuple(await asyncio.gather(*map(self._reverse, dict.fromkeys(addresses))))

    async def _mail_hosts(self, name: str, mx: Lookup) -> tuple[MxHost, ...]:
        if mx.status is LookupStatus.NO_DATA:
            return (await self._host(name, HostOrigin.IMPLICIT_MX),)  # RFC 5321 5.1
        if mx.records:
            exchanges = mail_exchanges(mx.records)
            return tuple(
                await asyncio.gather(
                    *(
                        self._mx_host(host, preference, is_followed=rank < MAX_MX_HOSTS)
                        for rank, (preference, host) in enumerate(exchanges)
                    )
                )
            )
        # The name does not exist, or nobody knows (then falling back to its address would be wrong: RFC 5321 5.1).
        # Only an address given by hand leads on.
        if name in self._overrides:
            return (await self._host(name, HostOrigin.GIVEN),)
        return ()

    async def _mx_host(self, name: str, preference: int, *, is_followed: bool) -> MxHost:
        if name not in self._overrides and (not is_followed or is_localhost(name) or is_address(name)):
            # An address in place of a name is none that the DNS knows, and localhost is whoever asks (RFC 6761 6.3).
            return MxHost(name=name, origin=HostOrigin.MX, preference=preference)
        return await self._host(name, HostOrigin.MX, preference)

    async def _host(self, name: str, origin: HostOrigin, preference: int | None = None) -> MxHost:
        lookups = await asyncio.gather(*(self.lookup(name, rrtype) for rrtype in _ADDRESS_TYPES[self._family]))
        return MxHost(
            name=name,
            origin=origin,
            preference=preference,
            addresses=tuple(dict.fromkeys(record for found in lookups for record in found.records)),
            lookups=tuple(lookups),
        )

    async def _reverse(self, address: str) -> Reverse:
        ip = ip_address(address)
        ptr = await self.lookup(ip.reverse_pointer, "PTR")
        rrtype = "A" if ip.version == 4 else "AAAA"
        names = dict.fromkeys(ptr.records[:MAX_PTR_NAMES])
        forward = await asyncio.gather(*(self.lookup(name, rrtype) for name in names))
        return Reverse(address=address, ptr=ptr, forward=tuple(forward))

    async def _look_up(self, name: str, rrtype: str) -> Lookup:
        known = self._known(name, rrtype)
        if known is not None:
            return msgspec.structs.replace(known, started_s=self._clock())
        source = self._source or await self._make_source()
        started_s = self._clock()
        found = await source.lookup(name, rrtype)
        return msgspec.structs.replace(found, started_s=started_s, elapsed_s=self._clock() - started_s)

    async def _make_source(self) -> LookupSource:
        """Make the stub, whose library takes longer to import than many a conversation: nothing else waits for that."""
        make_stub = await asyncio.to_thread(_import_stub)
        if self._source is None:
            self._source = make_stub(self._options)
        return self._source

    def _known(self, name: str, rrtype: str) -> Lookup | None:
        """What is answered without the DNS; None for everything else."""
        version = {"A": 4, "AAAA": 6}.get(rrtype)
        if version is not None and name in self._overrides:
            records = (each for each in self._overrides[name] if ip_address(each).version == version)
            return Lookup(name=name, rrtype=rrtype, status=LookupStatus.OVERRIDDEN, records=tuple(records))
        if is_localhost(name):
            # RFC 6761 6.3: the loopback address, and a denial of everything else, without asking.
            address = {4: ("127.0.0.1",), 6: ("::1",)}.get(version or 0, ())
            status = LookupStatus.ANSWERED if address else LookupStatus.NO_DATA
            return Lookup(name=name, rrtype=rrtype, status=status, records=address, detail="RFC 6761 6.3")
        return None


def _import_stub() -> Callable[[Options], LookupSource]:
    from smtpprobe.stub import make_stub

    return make_stub


class _Shared:
    """A question that is on its way, and how many wait for it."""

    __slots__ = ("task", "waiting")

    def __init__(self, task: asyncio.Future[Lookup]) -> None:
        self.task = task
        self.waiting = 0


_ADDRESS_TYPES: Final = {Family.ANY: ("A", "AAAA"), Family.IPV4: ("A",), Family.IPV6: ("AAAA",)}


def _normal(name: str) -> str:
    return name.lower().removesuffix(".") or "."


def mail_exchanges(records: Iterable[str]) -> list[tuple[int, str]]:
    """Read MX records: the hosts in the order in which senders try them, each once; a null MX names no host."""
    lowest: dict[str, int] = {}
    for record in records:
        preference, _, host = record.partition(" ")
        if host != ".":
            lowest[host] = min(int(preference), lowest.get(host, int(preference)))
    return sorted((preference, host) for host, preference in lowest.items())


def is_address(name: str) -> bool:
    """An address literal, or an address, where a name belongs."""
    if is_no_address(name):
        return False
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
