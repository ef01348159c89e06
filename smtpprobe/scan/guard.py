"""What a scan must keep away from: what somebody asked to be left alone, and addresses that are nobody's in public.

Pure. An exclude file has a name, an address or a network a line; ``#`` begins a comment. A name excludes itself and all
below it, as target and as mail host.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from smtpprobe.errors import OptionError
from smtpprobe.evidence import EXCLUDED, NOT_PUBLIC, Endpoint, Fact
from smtpprobe.names import quoted, to_ascii


class Guard(Fact, frozen=True, kw_only=True):
    """What may not be talked to."""

    names: frozenset[str] = frozenset()
    """In A-labels; each stands for all below it too."""
    networks: tuple[str, ...] = ()
    is_private_allowed: bool = False

    def objection_to(self, endpoint: Endpoint) -> str | None:
        """Say why an endpoint is left alone; None where nothing speaks against it."""
        return self.objection_to_name(endpoint.name) or self.objection_to_address(endpoint.address)

    def objection_to_name(self, name: str | None) -> str | None:
        """Say why a name is left alone; None where nothing speaks against it."""
        if name is None or not self.names:
            return None
        labels = name.split(".")
        return EXCLUDED if any(".".join(labels[start:]) in self.names for start in range(len(labels))) else None

    def objection_to_address(self, address: str) -> str | None:
        """Say why an address is left alone; None where nothing speaks against it."""
        if self.is_private_allowed and not self.networks:
            return None
        for form in _forms(address):
            if any(form in network for network in _networks(self.networks)):
                return EXCLUDED
            is_site_local = isinstance(form, IPv6Address) and form.is_site_local  # RFC 3879 4
            if not self.is_private_allowed and (not form.is_global or form.is_multicast or is_site_local):
                return NOT_PUBLIC  # RFC 6890 and the registries that it founded
        return None


def read_exclusions(lines: Iterable[str], *, is_private_allowed: bool = False) -> Guard:
    """Read an exclude file.

    Raises:
        OptionError: a line is neither a name, an address nor a network. What somebody wants to be left alone must not
            be lost in a typing error.
    """
    names, networks = set(), []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            networks.append(str(ip_network(text.removeprefix("[").removesuffix("]"), strict=False)))
            continue
        except ValueError:
            pass
        try:
            names.add(to_ascii(text.removeprefix("*").removeprefix(".")))
        except ValueError as error:
            raise OptionError(
                f"exclude file, line {number}: {quoted(text)} is no name, address or network: {error}"
            ) from error
    return Guard(names=frozenset(names), networks=tuple(networks), is_private_allowed=is_private_allowed)


_NAT64: Final = ip_network("64:ff9b::/96")
"""RFC 6052 2.1."""


def _forms(address: str) -> Iterator[IPv4Address | IPv6Address]:
    """An address, and the IPv4 address that is in it: what is sent to the one arrives at the other."""
    ip = ip_address(address)
    yield ip
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:  # RFC 4291 2.5.5.2
            yield ip.ipv4_mapped
        if ip.sixtofour is not None:  # RFC 3056 2
            yield ip.sixtofour
        if ip in _NAT64:
            yield IPv4Address(int(ip) & 0xFFFFFFFF)


_known: dict[tuple[str, ...], tuple[IPv4Network | IPv6Network, ...]] = {}


def _networks(texts: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    found = _known.get(texts)
    if found is None:
        found = _known[texts] = tuple(ip_network(text) for text in texts)
    return found
