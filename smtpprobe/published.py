"""Asking for what a domain publishes about transport security, beside the conversations and never before them.

The policies of the domain (MTA-STS, TLS-RPT, the SRV records of its submission service) are asked for as soon as its
name is known, the TLSA records as soon as its hosts are. Nothing is judged: a question that fails is a fact like an
answer, and one that fails touches no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from smtpprobe.evidence import (
    Endpoint,
    Failure,
    FailureKind,
    HostOrigin,
    Lookup,
    LookupStatus,
    MxHost,
    Options,
    Phase,
    Policies,
    PolicyFetch,
    Resolution,
    Role,
    TlsaLookup,
)
from smtpprobe.policies.mta_sts import POLICY_PATH, read_record
from smtpprobe.resolution import LookupSource

SERVICES: Final = ("_submissions._tcp", "_submission._tcp")
"""RFC 8314 5.1, RFC 6186 3.1."""

MAX_SERVICE_HOSTS: Final = 8
"""How many of the hosts that SRV records name are looked up; more than a few are a mistake."""

_NO_TIME: Final = "not waited for any longer: the time for the whole probe ran out"


class Published:
    """What one domain and its hosts publish, while it is being asked for."""

    def __init__(self, domain: str | None, options: Options, source: LookupSource, clock: Callable[[], float]) -> None:
        """Ask for nothing yet; `domain` is None where the target is a host, an address or an endpoint."""
        self._domain = domain if options.policies else None
        self._options = options
        self._source = source
        self._clock = clock
        self._mta_sts: Lookup | None = None
        self._tls_rpt: Lookup | None = None
        self._fetch: PolicyFetch | None = None
        self._services: tuple[Lookup, ...] = ()
        self._service_hosts: tuple[Lookup, ...] = ()
        self._wanted: tuple[tuple[str, int], ...] = ()
        self._tlsa: dict[tuple[str, int], TlsaLookup] = {}
        self._root: Lookup | None = None
        self.certificates: tuple[bytes, ...] = ()
        """Of the policy host, in DER, leaf first."""

    def so_far(self) -> Policies:
        """What is known by now."""
        return Policies(
            tlsa=tuple(self._tlsa.values()),
            mta_sts=self._mta_sts,
            policy=self._fetch,
            tls_rpt=self._tls_rpt,
            services=self._services,
            service_hosts=self._service_hosts,
            root=self._root,
        )

    def give_up(self) -> None:
        """Write down what was asked and not answered in the time for the whole probe."""
        if self._domain is not None:
            self._mta_sts = self._mta_sts or _given_up(f"_mta-sts.{self._domain}", "TXT")
            self._tls_rpt = self._tls_rpt or _given_up(f"_smtp._tls.{self._domain}", "TXT")
            if self._fetch is None and read_record(self._mta_sts.records).is_valid:
                failure = Failure(phase=Phase.CONNECT, kind=FailureKind.DEADLINE, detail=_NO_TIME)
                now = self._clock()
                url = f"https://mta-sts.{self._domain}{POLICY_PATH}"
                self._fetch = PolicyFetch(url=url, failure=failure, started_s=now, ended_s=now)
        for name, port in self._wanted:
            if (name, port) not in self._tlsa:
                lookup = _given_up(f"_{port}._tcp.{name}", "TLSA")
                self._tlsa[name, port] = TlsaLookup(host=name, port=port, base=name, lookup=lookup)

    async def ask_domain(self) -> None:
        """Ask for what is published under the domain's own name."""
        if self._domain is None:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ask_mta_sts(self._domain))
            group.create_task(self._ask_tls_rpt(self._domain))
            if self._options.submission_discovery:
                group.create_task(self._ask_services(self._domain))

    async def ask_hosts(self, resolution: Resolution, endpoints: tuple[Endpoint, ...]) -> None:
        """Ask for the TLSA records of each host and port that is to be talked to.

        RFC 7672 concerns port 25; another port is asked about where the caller chose it.
        """
        if not self._options.policies:
            return
        hosts = {host.name: host for host in resolution.hosts}
        self._wanted = tuple(
            dict.fromkeys(
                (each.host, each.port)
                for each in endpoints
                if each.name is not None and (each.role is Role.SMTP or each.is_required)
            )
        )
        async with asyncio.TaskGroup() as group:
            for name, port in self._wanted:
                group.create_task(self._ask_tlsa(name, port, hosts.get(name)))
        answers = [each.lookup for each in self._tlsa.values()]
        others = [each for host in resolution.hosts for each in host.lookups]
        others += [resolution.mx] if resolution.mx is not None else []
        if any(each.records for each in answers) and not any(each.authenticated for each in (*answers, *others)):
            self._root = await self._source.lookup(".", "SOA")

    async def _ask_tls_rpt(self, domain: str) -> None:
        self._tls_rpt = await self._source.lookup(f"_smtp._tls.{domain}", "TXT")

    async def _ask_services(self, domain: str) -> None:
        questions = [self._source.lookup(f"{service}.{domain}", "SRV") for service in SERVICES]
        self._services = tuple(await asyncio.gather(*questions))
        named = dict.fromkeys(record.split()[-1] for found in self._services for record in found.records)
        hosts = [host for host in named if host != "."][:MAX_SERVICE_HOSTS]
        addresses = [self._source.lookup(host, rrtype) for host in hosts for rrtype in ("A", "AAAA")]
        self._service_hosts = tuple(await asyncio.gather(*addresses))

    async def _ask_mta_sts(self, domain: str) -> None:
        found = await self._source.lookup(f"_mta-sts.{domain}", "TXT")
        self._mta_sts = found
        if found.status is not LookupStatus.ANSWERED or not read_record(found.records).is_valid:
            return
        host = f"mta-sts.{domain}"
        lookups = tuple(await asyncio.gather(self._source.lookup(host, "A"), self._source.lookup(host, "AAAA")))
        from smtpprobe.policy_host import fetch_policy

        self._fetch, self.certificates = await fetch_policy(
            domain,
            lookups,
            port=self._options.policy_port,
            timeout_s=self._options.timeout_s,
            clock=self._clock,
        )

    async def _ask_tlsa(self, name: str, port: int, host: MxHost | None) -> None:
        """RFC 7672 2.2.2: where the host is an alias, the name that it leads to comes first, then its own."""
        found: TlsaLookup | None = None
        for base in dict.fromkeys((*_ends(host), name)):
            lookup = await self._source.lookup(f"_{port}._tcp.{base}", "TLSA")
            if found is None or not found.lookup.records or _decides(lookup):
                found = TlsaLookup(host=name, port=port, base=base, lookup=lookup)
            if _decides(lookup):
                break
        if found is None:
            return
        if found.base == name and _decides(found.lookup) and _leads_out_of_dnssec(host):
            found = msgspec.structs.replace(found, alias=await self._source.lookup(name, "CNAME"))
        self._tlsa[name, port] = found


def _given_up(name: str, rrtype: str) -> Lookup:
    return Lookup(name=name, rrtype=rrtype, status=LookupStatus.TIMEOUT, detail=_NO_TIME)


def _decides(lookup: Lookup) -> bool:
    """Tell whether no further base domain is asked: records that are secure, or a failure (RFC 7672 2.2.3, 2.1.2)."""
    if lookup.status in (LookupStatus.NO_DATA, LookupStatus.NXDOMAIN):
        return False
    return lookup.authenticated or lookup.status is not LookupStatus.ANSWERED


def _leads_out_of_dnssec(host: MxHost | None) -> bool:
    """Tell whether a host is an alias at whose end DNSSEC vouches for nothing."""
    return host is not None and any(each.aliases and each.records and not each.authenticated for each in host.lookups)


def _ends(host: MxHost | None) -> tuple[str, ...]:
    """Where the alias of a host leads, as far as DNSSEC vouches for it."""
    if host is None or (host.origin is HostOrigin.GIVEN and not host.lookups):
        return ()
    return tuple(
        each.canonical_name
        for each in host.lookups
        if each.aliases and each.authenticated and each.canonical_name is not None
    )
