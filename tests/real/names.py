"""Knot with signed zones and Unbound, once validating and once not.

The root, ``example.test`` and its child zones are served by one Knot; what a child's delegation promises may be wrong
on purpose. Unbound trusts the root's key, as in the world.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.real.jail import Jail
from tests.real.network import Network

DOMAIN = "example.test"

REVERSE_ZONES = ("127.in-addr.arpa", f"1.{'0.' * 31}ip6.arpa")
"""The reverse zones of the loopback addresses; unsigned, and not the answers that Unbound has built in."""

LAME = f"lame.{DOMAIN}"
"""A zone whose only server refuses to answer for it: SERVFAIL without DNSSEC."""


class Delegation(StrEnum):
    """What `DOMAIN` says about a child zone."""

    INSECURE = "insecure"
    """No DS: the child is unsigned (RFC 4035 4.3)."""
    BOGUS = "bogus"
    """Signed, but the DS fits no key of the child."""
    EXPIRED = "expired"
    """Signed, but the signatures ended two months ago."""


@dataclass(frozen=True, slots=True)
class Child:
    """A child zone of `DOMAIN`."""

    label: str
    """Its name relative to `DOMAIN`."""
    delegation: Delegation
    records: str
    """Without SOA and NS, in master-file form, names relative to the child."""

    @property
    def zone(self) -> str:
        return f"{self.label}.{DOMAIN}"


_SOA = f"@ 300 SOA ns.{DOMAIN}. hostmaster.{DOMAIN}. 1 3600 600 86400 60\n@ 300 NS ns.{DOMAIN}.\n"
"""With a negative TTL (RFC 2308) of a minute."""

_KNOT = """\
server:
    listen: {address}@{port}
    rundir: /run/knot
    user: knot:knot
    udp-workers: 1
    tcp-workers: 2
    background-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: /var/lib/knot
policy:
  - id: tests
    algorithm: ecdsap256sha256
    single-type-signing: on
    cds-cdnskey-publish: none
template:
  - id: default
    storage: /etc/knot/zones
    zonefile-sync: -1
    journal-content: none
zone:
{zones}"""

_UNBOUND = """\
server:
    interface: {address}
    port: {port}
    do-ip6: no
    do-daemonize: no
    chroot: ""
    username: "unbound"
    directory: "/etc/unbound"
    pidfile: ""
    use-syslog: no
    logfile: ""
    verbosity: 1
    access-control: 127.0.0.0/8 allow
    do-not-query-localhost: no
    module-config: "{modules}"
    {anchor}
    local-zone: "test." nodefault
    ede: yes
    cache-max-ttl: 5
    cache-max-negative-ttl: 5
    infra-host-ttl: 1
    edns-buffer-size: 1232
    max-udp-size: 1232
    num-threads: 1
{reverse}remote-control:
    control-enable: no
"""


def prepare(
    folder: Path, records: str, reverse: Sequence[str], children: Sequence[Child], *, port: int, authority: str,
    validating: str, trusting: str, network: Network,
) -> Jail:  # fmt: skip
    """Lay out a jail with the zones and sign them.

    Args:
        records: the zone `DOMAIN` without SOA, NS and the children's delegations, in master-file form.
        reverse: the same for each of `REVERSE_ZONES`.
        children: its child zones.
        port: where all three servers listen.
        authority: the address of Knot.
        validating: that of the Unbound that validates.
        trusting: that of the Unbound that does not.
    """
    jail = Jail("dns", "dns", folder, f"ns.{DOMAIN}", network=network)
    jail.build()
    head = "$TTL 300\n" + _SOA
    # Without these delegations the root's NSEC records would deny them, for resolvers that use RFC 8198.
    below_root = "".join(f"{zone}. NS ns.{DOMAIN}.\n" for zone in (DOMAIN, *REVERSE_ZONES))
    files = {
        ".": f"{head}{below_root}ns.{DOMAIN}. A {authority}\n$INCLUDE /etc/knot/root-delegations\n",
        DOMAIN: head + records + "$INCLUDE /etc/knot/delegations\n",
        **{zone: head + text for zone, text in zip(REVERSE_ZONES, reverse, strict=True)},
        **{child.zone: head + child.records for child in children},
    }
    for zone, text in files.items():
        jail.write(f"/etc/knot/zones/{_file(zone)}", text)
    by_delegation = {kind: [child for child in children if child.delegation is kind] for kind in Delegation}
    expired = [child.zone for child in by_delegation[Delegation.EXPIRED]]
    signed = [".", DOMAIN, *(child.zone for child in by_delegation[Delegation.BOGUS])]
    plain = [*REVERSE_ZONES, *(child.zone for child in by_delegation[Delegation.INSECURE])]

    def knot(zones: str) -> str:
        return _KNOT.format(address=authority, port=port, zones=zones)

    live = "".join(_zone(name, is_signed=True) for name in signed) + "".join(_zone(name) for name in plain)
    stale = "".join(f'  - domain: {zone}\n    file: "/var/lib/knot/stale/{_file(zone)}"\n' for zone in expired)
    jail.write("/etc/knot/knot.conf", knot(live + stale))
    jail.write("/etc/knot/signing.conf", knot(live + "".join(_zone(zone, is_signed=True) for zone in expired)))
    for path in ("/var/lib/knot", "/var/lib/knot/stale", "/run/knot", "/etc/knot/zones"):
        jail.folder_for(path, "knot")
    jail.write("/etc/knot/delegations", "".join(f"{child.zone}. NS ns.{DOMAIN}.\n" for child in children))
    steps = ["set -e", 'keys="keymgr -c /etc/knot/signing.conf"']
    steps += [f"$keys {zone} generate algorithm=ECDSAP256SHA256 ksk=yes zsk=yes" for zone in signed]
    steps += [f"$keys {zone} generate algorithm=ECDSAP256SHA256 ksk=yes zsk=yes {_LONG_AGO}" for zone in expired]
    steps += [f"$keys {zone} ds | grep ' 13 2 ' >> /etc/knot/delegations" for zone in expired]
    steps += [
        f"$keys {zone} ds | grep ' 13 2 ' | sed 's/ 13 2 .*/ 13 2 {'5a' * 32}/' >> /etc/knot/delegations"
        for zone in signed[2:]
    ]
    steps += [
        f"kzonesign -c /etc/knot/signing.conf -o /var/lib/knot/stale -t $(( $(date +%s) - 60 * 86400 )) {zone}"
        for zone in expired
    ]
    steps.append(f"$keys {DOMAIN} ds | grep ' 13 2 ' > /etc/knot/root-delegations")
    steps.append("$keys . dnskey > /etc/unbound/anchors")
    steps.append("chown -R knot:knot /var/lib/knot")
    jail.once("\n".join(steps))
    stubs = "".join(
        f'stub-zone:\n    name: "{zone}"\n    stub-addr: {authority}@{port}\n' for zone in (".", DOMAIN, *REVERSE_ZONES)
    )
    unsigned = "".join(
        f'    local-zone: "{zone}." nodefault\n    domain-insecure: "{zone}"\n' for zone in REVERSE_ZONES
    )
    anchor = 'trust-anchor-file: "/etc/unbound/anchors"'
    for name, address, modules in (
        ("validating", validating, "validator iterator"),
        ("trusting", trusting, "iterator"),
    ):
        configuration = _UNBOUND.format(
            address=address, port=port, modules=modules, reverse=unsigned,
            anchor=anchor if name == "validating" else "",
        )  # fmt: skip
        jail.write(f"/etc/unbound/{name}.conf", configuration + stubs)
    return jail


START = (
    "knotd -c /etc/knot/knot.conf",
    "unbound -d -p -c /etc/unbound/validating.conf",
    "unbound -d -p -c /etc/unbound/trusting.conf",
)

_LONG_AGO = "created=-90d publish=-90d ready=-90d active=-90d"
"""Timing of a key that may have signed two months ago."""


def _file(zone: str) -> str:
    return f"{'root' if zone == '.' else zone}.zone"


def _zone(name: str, *, is_signed: bool = False) -> str:
    text = f'  - domain: "{name}"\n    file: "{_file(name)}"\n'
    return text + "    dnssec-signing: on\n    dnssec-policy: tests\n" if is_signed else text
