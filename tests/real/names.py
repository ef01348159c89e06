"""Knot with signed zones and Unbound, once validating and once not.

Three child zones of ``example.test`` are wrong on purpose: ``bogus`` has a DS that fits no key, ``expired`` has
signatures of two months ago, ``insecure`` has no DS at all.
"""

from __future__ import annotations

from pathlib import Path

from tests.real.jail import Jail

DOMAIN = "example.test"

_SOA = f"@ 300 SOA ns.{DOMAIN}. hostmaster.{DOMAIN}. 1 3600 600 86400 60\n@ 300 NS ns.{DOMAIN}.\n"

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
    domain-insecure: "127.in-addr.arpa"
    local-zone: "test." nodefault
    local-zone: "127.in-addr.arpa." nodefault
    ede: yes
    cache-max-ttl: 5
    cache-max-negative-ttl: 5
    infra-host-ttl: 1
    edns-buffer-size: 1232
    max-udp-size: 1232
    num-threads: 1
remote-control:
    control-enable: no
"""


def prepare(
    folder: Path, records: str, reverse: str, children: str, *, authority: tuple[str, int], validating: tuple[str, int],
    trusting: tuple[str, int],
) -> Jail:  # fmt: skip
    """Lay out a jail with the zones and sign them.

    Args:
        records: the zone ``example.test`` without SOA and NS, in master-file form.
        reverse: the same for ``127.in-addr.arpa``.
        children: the same for each of the three child zones, with names relative to them.
        authority: address and port of Knot.
        validating: of the Unbound that validates.
        trusting: of the Unbound that does not.
    """
    jail = Jail("dns", "dns", folder, f"ns.{DOMAIN}")
    jail.build()
    head = "$TTL 300\n" + _SOA
    files = {
        ".": head,
        DOMAIN: head + records + "$INCLUDE /etc/knot/delegations\n",
        "127.in-addr.arpa": head + reverse,
        **{f"{child}.{DOMAIN}": head + children for child in ("bogus", "expired", "insecure")},
    }
    for zone, text in files.items():
        jail.write(f"/etc/knot/zones/{_file(zone)}", text)
    signed = (".", DOMAIN, f"bogus.{DOMAIN}")
    plain = ("127.in-addr.arpa", f"insecure.{DOMAIN}")
    address, port = authority

    def knot(zones: str) -> str:
        return _KNOT.format(address=address, port=port, zones=zones)

    live = "".join(_zone(name, is_signed=True) for name in signed) + "".join(_zone(name) for name in plain)
    expired = f'  - domain: expired.{DOMAIN}\n    file: "/var/lib/knot/expired.zone"\n'
    jail.write("/etc/knot/knot.conf", knot(live + expired))
    jail.write("/etc/knot/signing.conf", knot(live + _zone(f"expired.{DOMAIN}", is_signed=True)))
    for path in ("/var/lib/knot", "/run/knot", "/etc/knot/zones"):
        jail.folder_for(path, "knot")
    jail.write("/etc/knot/delegations", f"bogus NS ns.{DOMAIN}.\nexpired NS ns.{DOMAIN}.\ninsecure NS ns.{DOMAIN}.\n")
    jail.once(
        f"""
        set -e
        keys="keymgr -c /etc/knot/signing.conf"
        for zone in . {DOMAIN} bogus.{DOMAIN}; do
            $keys $zone generate algorithm=ECDSAP256SHA256 ksk=yes zsk=yes
        done
        $keys expired.{DOMAIN} generate algorithm=ECDSAP256SHA256 ksk=yes zsk=yes \
            created=-90d publish=-90d ready=-90d active=-90d
        $keys expired.{DOMAIN} ds | grep ' 13 2 ' | sed 's/^expired.{DOMAIN}./expired/' >> /etc/knot/delegations
        $keys bogus.{DOMAIN} ds | grep ' 13 2 ' \
            | sed 's/^bogus.{DOMAIN}./bogus/; s/ 13 2 .*/ 13 2 {"5a" * 32}/' >> /etc/knot/delegations
        kzonesign -c /etc/knot/signing.conf -o /var/lib/knot -t $(( $(date +%s) - 60 * 86400 )) expired.{DOMAIN}
        mv /var/lib/knot/{_file(f"expired.{DOMAIN}")} /var/lib/knot/expired.zone
        $keys {DOMAIN} dnskey > /etc/unbound/anchors
        $keys . dnskey >> /etc/unbound/anchors
        chown -R knot:knot /var/lib/knot
        """
    )
    stubs = "".join(
        f'stub-zone:\n    name: "{zone}"\n    stub-addr: {address}@{port}\n'
        for zone in (".", DOMAIN, "127.in-addr.arpa")
    )
    anchor = 'trust-anchor-file: "/etc/unbound/anchors"'
    for name, place, modules in (("validating", validating, "validator iterator"), ("trusting", trusting, "iterator")):
        configuration = _UNBOUND.format(
            address=place[0], port=place[1], modules=modules, anchor=anchor if name == "validating" else ""
        )
        jail.write(f"/etc/unbound/{name}.conf", configuration + stubs)
    return jail


START = (
    "knotd -c /etc/knot/knot.conf",
    "unbound -d -p -c /etc/unbound/validating.conf",
    "unbound -d -p -c /etc/unbound/trusting.conf",
)


def _file(zone: str) -> str:
    return f"{'root' if zone == '.' else zone}.zone"


def _zone(name: str, *, is_signed: bool = False) -> str:
    text = f'  - domain: "{name}"\n    file: "{_file(name)}"\n'
    return text + "    dnssec-signing: on\n    dnssec-policy: tests\n" if is_signed else text
