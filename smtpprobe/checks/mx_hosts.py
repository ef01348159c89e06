"""What the DNS says about the hosts themselves: whether the names exist, where they point, and whether they may.

RFC 5321 5.1 and RFC 2181 10.3: an MX record names a host that has addresses of its own, no alias and no address.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.checks.reading import at_host, connected, failed_lookups, is_not_public
from smtpprobe.checks.resolution import explain_failure
from smtpprobe.evidence import Evidence, Family, HostOrigin, LookupStatus, MxHost
from smtpprobe.report import Finding, Severity, Where

_LOST = (Severity.ERROR, Severity.WARNING)
"""An error where no other MX host has an address, so that no mail can come in; else senders take the others."""
MX_HOST_NOT_FOUND = kind("mx-host-not-found", Topic.DNS, *_LOST)
MX_HOST_WITHOUT_ADDRESS = kind("mx-host-without-address", Topic.DNS, *_LOST)
HOST_NOT_FOUND = kind("host-not-found", Topic.DNS, Severity.ERROR)
HOST_WITHOUT_ADDRESS = kind("host-without-address", Topic.DNS, Severity.ERROR)
NO_ADDRESS_IN_FAMILY = kind("no-address-in-family", Topic.DNS, Severity.INFO, Severity.INCONCLUSIVE, params=("rrtype",))
HOST_LOOKUP_FAILED = kind(
    "host-lookup-failed",
    Topic.DNS,
    Severity.INCONCLUSIVE,
    Severity.WARNING,
    params=("rrtypes", "status", "detail"),
    worded={"status": "lookup"},
)
MX_IS_ALIAS = kind("mx-is-alias", Topic.DNS, Severity.WARNING, params=("canonical",))
MX_IS_ADDRESS_LITERAL = kind("mx-is-address-literal", Topic.DNS, Severity.ERROR)
MX_IS_LOCALHOST = kind("mx-is-localhost", Topic.DNS, Severity.ERROR)
MX_ADDRESS_PRIVATE = kind(
    "mx-address-private", Topic.DNS, Severity.ERROR, Severity.WARNING, Severity.INFO, params=("network",)
)

NOT_ROUTED: tuple[IPv4Network | IPv6Network, ...] = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",  # RFC 1122 3.2.1.3: this network
        "10.0.0.0/8",  # RFC 1918
        "100.64.0.0/10",  # RFC 6598: shared by carriers
        "127.0.0.0/8",  # RFC 1122 3.2.1.3: loopback
        "169.254.0.0/16",  # RFC 3927: link-local
        "172.16.0.0/12",  # RFC 1918
        "192.168.0.0/16",  # RFC 1918
        "224.0.0.0/4",  # RFC 5771: multicast
        "240.0.0.0/4",  # RFC 1112 4: reserved
        "::/128",  # RFC 4291 2.5.2: unspecified
        "::1/128",  # RFC 4291 2.5.3: loopback
        "fc00::/7",  # RFC 4193: unique local
        "fe80::/10",  # RFC 4291 2.5.6: link-local
        "ff00::/8",  # RFC 4291 2.7: multicast
    )
)
"""Networks where no mail from the Internet can arrive. Those for documentation are left out: they stand in examples."""

OURSELVES = frozenset({"127.0.0.0/8", "::1/128"})
"""The loopback networks: everybody reaches them, and nobody but the machine itself is there."""


def mx_hosts(evidence: Evidence) -> Iterator[Finding]:
    """Judge each host's name and addresses."""
    for host in evidence.resolution.hosts:
        where = at_host(evidence, host)
        if host.origin is HostOrigin.MX and _is_address(host.name):
            yield MX_IS_ADDRESS_LITERAL.found(where)
        elif host.origin is HostOrigin.MX and (host.name == "localhost" or host.name.endswith(".localhost")):
            # RFC 6761 6.3: such names always mean the machine itself.
            yield MX_IS_LOCALHOST.found(where)
        else:
            yield from _names(evidence, host, where)
            yield from _addresses(evidence, host, where)


def _names(evidence: Evidence, host: MxHost, where: Where) -> Iterator[Finding]:
    failed = failed_lookups(host)
    if failed:
        yield HOST_LOOKUP_FAILED.found(
            where,
            as_=Severity.WARNING if host.addresses else Severity.INCONCLUSIVE,
            rrtypes=tuple(each.rrtype for each in failed),
            status=failed[0].status.value,
            detail=explain_failure(failed[0]),
        )
    elif not host.addresses and host.lookups:
        yield from _without_address(evidence, host, where)
    aliased = next((each for each in host.lookups if each.aliases), None)
    if host.origin is HostOrigin.MX and aliased is not None:
        yield MX_IS_ALIAS.found(where, canonical=aliased.canonical_name or aliased.aliases[-1])


def _without_address(evidence: Evidence, host: MxHost, where: Where) -> Iterator[Finding]:
    """The DNS denied that there is any address."""
    is_missing = all(each.status is LookupStatus.NXDOMAIN for each in host.lookups)
    if not is_missing and evidence.options.family is not Family.ANY:
        others = any(each.addresses for each in evidence.resolution.hosts)
        severity = Severity.INFO if others else Severity.INCONCLUSIVE
        yield NO_ADDRESS_IN_FAMILY.found(where, as_=severity, rrtype=host.lookups[0].rrtype)
    elif host.origin is HostOrigin.MX:
        others = any(each.addresses for each in evidence.resolution.hosts)
        missing = MX_HOST_NOT_FOUND if is_missing else MX_HOST_WITHOUT_ADDRESS
        yield missing.found(where, as_=Severity.WARNING if others else Severity.ERROR)
    elif evidence.resolution.mx is None:
        yield (HOST_NOT_FOUND if is_missing else HOST_WITHOUT_ADDRESS).found(where)
    # Without MX and without address is one finding about the domain, which the MX check makes.


def _addresses(evidence: Evidence, host: MxHost, where: Where) -> Iterator[Finding]:
    """Tell of each address to which no mail from the Internet can find."""
    if host.origin is HostOrigin.GIVEN and _is_address(host.name):
        return  # It was typed by hand.
    reachable = [each for each in host.addresses if unrouted_network(each) is None]
    chosen = bool(evidence.options.resolvers or evidence.options.overrides) or host.origin is HostOrigin.GIVEN
    shunned = {each.endpoint.address for each in evidence.conversations if is_not_public(each)}
    is_mail_domain = host.origin is HostOrigin.MX or "@" in evidence.target.text
    for address in host.addresses:
        network = unrouted_network(address)
        if network is None:
            continue
        # With a resolver or an address of one's own, a private world is meant, unless a scan was to keep out of it.
        is_meant = chosen and address not in shunned
        # Whoever reaches it stands in that network, and is likely told what the Internet is not (split DNS).
        is_inside = network not in OURSELVES and any(each.endpoint.address == address for each in connected(evidence))
        if is_meant or (is_inside and not is_mail_domain):
            severity = Severity.INFO
        else:
            severity = Severity.WARNING if reachable or is_inside else Severity.ERROR
        yield MX_ADDRESS_PRIVATE.found(
            Where(domain=where.domain, host=where.host, address=address), as_=severity, network=network
        )


@lru_cache(maxsize=4096)
def unrouted_network(address: str) -> str | None:
    """The network that is not routed in which an address lies; None for all other addresses."""
    ip = ip_address(address)
    return next((str(network) for network in NOT_ROUTED if ip.version == network.version and ip in network), None)


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
