"""Which hosts there are, and what the zones say about them and about the domains that they serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.real import policyhost
from tests.real.cases import ALIAS, CASES
from tests.real.certificates import Authority, Issued, tlsa_data
from tests.real.names import DOMAIN, Child, Delegation
from tests.real.policyhost import Site

SERVICES = ("smtp", "submission", "submissions")

INFRASTRUCTURE = {
    "mx1": 25, "mx2": 26, "mx3": 27, "mx-broken": 28, "validating": 53, "ns": 54, "trusting": 55, "policy": 80,
    "mx-silent": 98, "mx-dead": 99,
}  # fmt: skip
"""The last byte of each address: Postfix (also on ``::1``), Exim, OpenSMTPD, the OpenSMTPD whose handshakes fail; the
validating resolver, the name server, the resolver that does not validate; the policy host; one that never answers and
one where nothing listens."""
FIRST_CASE = 101
HOSTS = INFRASTRUCTURE | {f"mx-{name}": FIRST_CASE + number for number, name in enumerate(CASES)}
"""Every host by the last byte of its address."""
WITHOUT_PTR = ("mx-plain", "mx-dead")
OTHER_NAMES_OF_MX1 = ("*.many", "cname", "implicit", "mx.bogus", "mx.deep", "mx.expired-signatures", "mx.insecure")
"""They have the address of ``mx1``, and its certificate covers them."""

DOMAINS = {
    "multi": ("10 mx1", "20 mx2", "20 mx3"),
    "exim": ("10 mx2",),
    "opensmtpd": ("10 mx3",),
    "broken": ("10 mx-broken",),
    "silent": ("10 mx-silent",),
    "halfdead": ("10 mx-dead", "20 mx1"),
    "alldead": ("10 mx-dead",),
    "partlydane": ("10 mx-dane311", "20 mx-expired"),
    "alias": (f"10 {ALIAS}",),
    "alias2": (f"10 {ALIAS}2",),
    "alias3": (f"10 {ALIAS}3",),
    "deepmx": ("10 mx.deep",),
    **{name: (f"10 mx-{name}",) for name in CASES},
}
"""Domains below `DOMAIN` by their MX records."""

_OTHERS = f"""\
@ TXT "v=spf1 mx -all"
mx1 AAAA ::1
nullmx MX 0 .
nullplus MX 0 .
nullplus MX 10 mx1
mxalias MX 10 cname
cname CNAME mx1
mxmissing MX 10 nosuch
mxempty MX 10 empty
empty TXT "no address here"
mxliteral MX 10 127.0.0.1.
nothing TXT "neither mail nor address"
viaalias CNAME {DOMAIN}.
loop CNAME loop2
loop2 CNAME loop
lame NS nosuch
{ALIAS} CNAME mx-danealias
{ALIAS}2 CNAME mx-rsa
{ALIAS}3 CNAME mx.insecure
_submission._tcp.nosubmission SRV 0 0 0 .
_submissions._tcp.nosubmission SRV 0 0 0 .
nosubmission MX 10 mx1
"""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the hosts stand in one run."""

    block: str
    """``127.A.B``."""
    ports: Mapping[str, int]
    """By ``smtp``, ``submission``, ``submissions``, ``dns``, ``https``."""

    def address(self, host: str) -> str:
        """The IPv4 address of one of `HOSTS`."""
        return f"{self.block}.{HOSTS[host]}"


def mail_domains(sites: Mapping[str, Site]) -> list[str]:
    """Every domain that a Postfix may be the MX of."""
    labels = dict.fromkeys((*DOMAINS, *sites, *policyhost.TLS_REPORTING))
    return [f"{label}.{DOMAIN}".lstrip(".") for label in labels]


def zone(places: Places, authority: Authority, issued: Mapping[str, Issued], sites: Mapping[str, Site]) -> str:
    """Write the records of `DOMAIN` but its SOA, NS and delegations.

    Args:
        issued: what each host shows.
        sites: the domains with MTA-STS.
    """
    port = places.ports["smtp"]
    mx1 = places.address("mx1")
    later = authority.issue(f"later.{DOMAIN}")

    def tlsa(owner: str, text: str, host: str) -> str:
        usage, selector, matching, source = text.split()
        sources = {"next": later.leaf, "intermediate": authority.intermediate, "root": authority.root}
        if host in issued:
            sources["leaf"] = issued[host].leaf
        if source in sources:
            source = tlsa_data(sources[source], selector=int(selector), matching=int(matching))
        elif source == "nothing":
            source = f"{1:064x}"
        return f"{owner} TLSA {usage} {selector} {matching} {source}"

    lines = [_OTHERS]
    lines += [f"{host} A {places.address(host)}" for host in HOSTS]
    lines += [f"{name} A {mx1}" for name in ("mx.deep", "implicit")]
    lines += [f"{domain} MX {record}" for domain, records in DOMAINS.items() for record in records]
    # more than fits into a UDP answer of 1232 bytes
    many = [f"a-host-with-quite-a-long-name-number-{number:02}.many" for number in range(40)]
    lines += [f"many MX 10 {name}" for name in many]
    lines += [f"{name} A {mx1}" for name in many]
    for host in ("mx1", "mx2"):
        lines += [tlsa(f"_{places.ports[role]}._tcp.{host}", "3 1 1 leaf", host) for role in SERVICES]
    for name, case in CASES.items():
        lines += [tlsa(f"_{port}._tcp.mx-{name}", text, f"mx-{name}") for text in case.tlsa]
    lines.append(tlsa(f"_{port}._tcp.mx-danealias", "3 1 1 leaf", "mx-danealias"))
    lines.append(tlsa(f"_{port}._tcp.{ALIAS}2", "3 1 1 leaf", "mx-rsa"))
    lines.append(tlsa(f"_{port}._tcp.{ALIAS}3", "3 1 1 leaf", "mx1"))
    lines.append(f"_{port}._tcp.mx-danecname CNAME tlsa-danecname")
    lines.append(tlsa("tlsa-danecname", "3 1 1 leaf", "mx-danecname"))
    for label, site in sites.items():
        owner = f"{label}.{DOMAIN}.".lstrip(".")
        lines.append(f"{owner} MX 10 {site.mx}")
        lines += [f"_mta-sts.{owner} TXT {text}" for text in site.txt]
        if site.has_host:
            lines.append(f"mta-sts.{owner} A {places.address('policy')}")
    for label, texts in policyhost.TLS_REPORTING.items():
        owner = f"{label}.{DOMAIN}.".lstrip(".")
        lines.append(f"{owner} MX 10 mx1")
        lines += [f"_smtp._tls.{owner} TXT {text}" for text in texts]
    lines += [f"_{role}._tcp SRV 0 1 {places.ports[role]} mx1" for role in ("submission", "submissions")]
    return "\n".join(lines) + "\n"


def children(places: Places, issued: Mapping[str, Issued]) -> list[Child]:
    """The child zones of `DOMAIN`."""
    port = places.ports["smtp"]

    def record(host: str) -> str:
        return f"TLSA 3 1 1 {tlsa_data(issued[host].leaf, selector=1, matching=1)}"

    mail = f"@ MX 10 mx\nmx A {places.address('mx1')}\n_{port}._tcp.mx {record('mx1')}\n"
    return [
        Child("bogus", Delegation.BOGUS, mail),
        Child("expired-signatures", Delegation.EXPIRED, mail),
        Child("insecure", Delegation.INSECURE, mail),
        # RFC 7672 2.2.1: a domain without DNSSEC whose MX host has it
        Child("insecure-to-secure", Delegation.INSECURE, f"@ MX 10 mx1.{DOMAIN}.\n"),
        Child("insecure-to-bad", Delegation.INSECURE, f"@ MX 10 mx-danebad.{DOMAIN}.\n"),
        Child("_tcp.mx-danefail", Delegation.BOGUS, f"_{port} {record('mx-danefail')}\n"),
    ]


def reverse(places: Places) -> tuple[str, str]:
    """Write the records of the reverse zones of the loopback addresses."""
    pointers = [
        f"{'.'.join(reversed(places.address(host).split('.')[1:]))} PTR {host}.{DOMAIN}."
        for host in HOSTS
        if host not in WITHOUT_PTR
    ]
    return "\n".join(["1.0.0 PTR localhost.", *pointers]) + "\n", f"@ PTR mx1.{DOMAIN}.\n"
