"""Domains whose point is in the DNS, or in how several hosts stand together; and the healthy one."""

from __future__ import annotations

from typing import Final

from smtpprobe.lab import dns
from smtpprobe.lab.certificates import CertificateKind
from smtpprobe.lab.scenarios.greeting import greeting_421
from smtpprobe.lab.scenarios.model import ERROR, INFO, LOST, OPEN, WARNING, Scenario, closed, silent, well
from smtpprobe.lab.scenarios.tls import showing

SCENARIOS: Final[tuple[Scenario, ...]] = (
    Scenario(
        name="healthy",
        description="Two mail hosts where everything is in order",
        hosts=(well, well),
    ),
    Scenario(
        name="no-mx",
        description="No MX record: the domain itself is the mail host",
        hosts=(well,),
        records="{domain} A {addresses[0]}",
        finds={"implicit-mx": INFO, "certificate-name-mismatch": WARNING},
    ),
    Scenario(
        name="null-mx",
        description="A null MX: the domain says that it takes no mail",
        records="{domain} MX 0 .",
        finds={"null-mx": INFO, "nothing-probed": OPEN},
    ),
    Scenario(
        name="null-mx-beside-others",
        description="A null MX next to a mail host, which contradicts it",
        hosts=(well,),
        records="{domain} MX 0 .\n{domain} MX 10 {hosts[0]}\n{hosts[0]} A {addresses[0]}",
        finds={"null-mx-beside-others": ERROR},
    ),
    Scenario(
        name="domain-not-found",
        description="The domain does not exist",
        records="",
        finds={"domain-not-found": ERROR},
    ),
    Scenario(
        name="no-mail-host",
        description="The domain exists, with neither MX nor address",
        records='{domain} TXT "v=spf1 -all"',
        finds={"no-mail-host": ERROR},
    ),
    Scenario(
        name="mx-alias",
        description="The MX record points to an alias",
        hosts=(well,),
        records="{domain} MX 10 {hosts[0]}\n{hosts[0]} CNAME real.{domain}\nreal.{domain} A {addresses[0]}",
        finds={"mx-is-alias": WARNING},
    ),
    Scenario(
        name="mx-not-found",
        description="The MX record names a host that does not exist",
        records="{domain} MX 10 nowhere.{domain}",
        finds={"mx-host-not-found": ERROR},
    ),
    Scenario(
        name="mx-without-address",
        description="The MX record names a host without an address",
        records='{domain} MX 10 mx.{domain}\nmx.{domain} TXT "no address"',
        finds={"mx-host-without-address": ERROR},
    ),
    Scenario(
        name="mx-address-literal",
        description="The MX record has an address where a name belongs",
        hosts=(well,),
        records="{domain} MX 10 {addresses[0]}",
        finds={"mx-is-address-literal": ERROR},
    ),
    Scenario(
        name="mx-localhost",
        description="The MX record names localhost",
        records="{domain} MX 10 localhost",
        finds={"mx-is-localhost": ERROR},
    ),
    Scenario(
        name="dns-servfail",
        description="The name servers of the domain fail",
        records="",
        faults={("{domain}", dns.ANY_TYPE): dns.SERVFAIL},
        finds={"mx-lookup-servfail": OPEN},
    ),
    Scenario(
        name="dns-bogus",
        description="The DNSSEC signatures of the domain do not fit",
        records="",
        faults={("{domain}", dns.ANY_TYPE): dns.BOGUS},
        finds={"mx-lookup-bogus": ERROR},
    ),
    Scenario(
        name="dns-refused",
        description="The resolver refuses to answer",
        records="",
        faults={("{domain}", dns.ANY_TYPE): dns.REFUSED},
        finds={"resolver-refused": OPEN},
    ),
    Scenario(
        name="dns-malformed",
        description="The answers of the DNS cannot be read",
        records="",
        faults={("{domain}", dns.ANY_TYPE): dns.MALFORMED},
        finds={"mx-lookup-malformed": OPEN},
        is_stalling=True,
    ),
    Scenario(
        name="dns-silent",
        description="The DNS does not answer",
        records="",
        faults={("{domain}", dns.ANY_TYPE): dns.SILENT},
        finds={"mx-lookup-timeout": OPEN},
        is_stalling=True,
    ),
    Scenario(
        name="mx-lookup-fails",
        description="The domain names a mail host whose own name servers fail",
        records="{domain} MX 10 mx.{domain}",
        faults={("mx.{domain}", dns.ANY_TYPE): dns.SERVFAIL},
        finds={"host-lookup-failed": OPEN},
    ),
    Scenario(
        name="closed",
        description="The only mail host refuses connections",
        hosts=(closed,),
        finds={"connection-refused": ERROR} | LOST,
    ),
    Scenario(
        name="silent",
        description="The only mail host does not answer at all",
        hosts=(silent,),
        finds={"connection-timeout": OPEN},
        is_stalling=True,
    ),
    Scenario(
        name="one-mx-dead",
        description="Two mail hosts: one refuses connections, the other takes the mail",
        hosts=(closed, well),
        finds={"connection-refused": WARNING},
    ),
    Scenario(
        name="one-mx-busy",
        description="Two mail hosts: one has no time just now, the other takes the mail",
        hosts=(greeting_421, well),
        finds={"temporarily-refused": OPEN},
    ),
    Scenario(
        name="two-troubles",
        description="Two mail hosts: one has no time just now, the other shows an expired certificate",
        hosts=(greeting_421, showing(CertificateKind.EXPIRED)),
        finds={"temporarily-refused": OPEN, "certificate-expired": WARNING},
    ),
    Scenario(
        name="all-mx-dead",
        description="Two mail hosts, and both refuse connections",
        hosts=(closed, closed),
        finds={"connection-refused": ERROR} | LOST,
    ),
)
