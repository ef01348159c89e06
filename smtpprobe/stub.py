"""One question to the DNS: the one module that imports dnspython.

A stub resolver (RFC 1034 5.3.1) puts a question to recursive resolvers: over UDP, again when nothing comes, over TCP
when the answer was cut, to the next resolver when one fails; and says how it ended. dnspython reads and names what is
in the messages; its own resolver is not used, because it folds silence, refusals and unreachable servers into one
exception, and hides the answers that failed.

Failures are values: a name that does not exist, one without such records and a resolver that does not know are
different facts. Nothing is cached and nothing is judged.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
import sys
import time
from collections.abc import Callable, Iterable
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import dns.edns
import dns.exception
import dns.flags
import dns.inet
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import msgspec

from smtpprobe.evidence import Lookup, LookupStatus, Options
from smtpprobe.targets import NameServer, Transport, parse_name_server

if TYPE_CHECKING:
    from smtpprobe.encrypted_dns import HttpsChannel, TlsChannel

RESOLV_CONF: Final = Path("/etc/resolv.conf")
"""Where every system but Windows lists its resolvers."""
FIRST_WAIT_S: Final = 2.0
"""The longest wait for the first answer to a datagram before asking again; doubled with each round."""
ROUNDS: Final = 2
"""How often each resolver is asked at least within the time for a question: datagrams get lost."""
QUESTIONS_AT_ONCE: Final = 64
"""How many questions may be open, since each holds a socket and resolvers limit their clients."""
UDP_PAYLOAD_BYTES: Final = 1232
"""What we offer to take over UDP: passes every path unfragmented (RFC 9715 3.2)."""
MAX_ALIASES: Final = 16
"""The longest chain of aliases to follow; resolvers themselves give up about there."""

NOT_ANSWERED: Final = (
    LookupStatus.SERVFAIL,
    LookupStatus.REFUSED,
    LookupStatus.OTHER_RCODE,
    LookupStatus.MALFORMED,
    LookupStatus.TIMEOUT,
    LookupStatus.UNREACHABLE,
)
"""How a question ends of which nobody knows the answer: another time, or another resolver, may know it. The most
telling first: where each resolver failed in its way, what one said is worth more than that another is silent."""


def make_stub(options: Options) -> Stub:
    """Make the stub resolver that the options ask for: with their resolvers, else with those of the system.

    Raises:
        OptionError: one of the resolvers is no address.
    """
    if options.resolvers:
        servers = [parse_name_server(text) for text in options.resolvers]
        return Stub(servers, timeout_s=options.timeout_s, ca_file=options.ca_file)
    servers, complaint = system_servers()
    return Stub(servers, timeout_s=options.timeout_s, complaint=complaint)


def make_library_resolver(options: Options, *, ends_in_s: float) -> BoundedResolver:
    """Make a resolver of dnspython that asks the same resolvers, for libraries that know no other.

    Roots of the options stand in place of the system's here.

    Raises:
        OptionError: one of the resolvers is no address.
        dns.resolver.NoResolverConfiguration: none was given, and the system has none.
    """
    import dns.nameserver

    verify: bool | str = options.ca_file or True
    chosen = [parse_name_server(text) for text in options.resolvers]
    resolver = _bounded_resolver()(configure=not chosen)
    resolver.bound(ends_in_s)
    resolver.timeout, resolver.lifetime = min(FIRST_WAIT_S, options.timeout_s), options.timeout_s
    servers: list[dns.nameserver.Nameserver] = []
    for each in chosen:
        if each.transport is Transport.PLAIN:
            servers.append(dns.nameserver.Do53Nameserver(each.address, each.port))
        elif each.transport is Transport.TLS:
            servers.append(dns.nameserver.DoTNameserver(each.address, each.port, each.name or each.address, verify))
        else:
            host = each.name or (f"[{each.address}]" if ":" in each.address else each.address)
            url = f"https://{host}:{each.port}{each.path}"
            servers.append(dns.nameserver.DoHNameserver(url, each.address, verify))
    if servers:
        resolver.nameservers = servers
    return resolver


class BoundedResolver(Protocol):
    """A `dns.resolver.Resolver` that asks nothing any more once its time is up."""

    timeout: float
    lifetime: float
    nameservers: Any

    def bound(self, ends_in_s: float) -> None:
        """Set the time in which all questions must be answered."""

    def stop(self) -> None:
        """Let no more questions be asked, from any thread."""


@cache
def _bounded_resolver() -> Callable[..., BoundedResolver]:
    import dns.resolver  # pulls in all transports of DNS

    class Bounded(dns.resolver.Resolver):
        _ends_at = 0.0

        def bound(self, ends_in_s: float) -> None:
            self._ends_at = time.monotonic() + ends_in_s

        def stop(self) -> None:
            self._ends_at = 0.0

        def resolve(self, *arguments: Any, **more: Any) -> dns.resolver.Answer:
            left_s = self._ends_at - time.monotonic()
            if left_s <= 0:
                raise dns.resolver.LifetimeTimeout(timeout=0.0, errors=[])  # type: ignore[no-untyped-call]
            return super().resolve(*arguments, **{**more, "lifetime": min(self.lifetime, left_s)})

    return Bounded


def system_servers() -> tuple[list[NameServer], str]:
    """The resolvers that this system is configured with, and what is wrong where there are none."""
    try:
        named = _registered() if sys.platform == "win32" else _listed(RESOLV_CONF.read_text("utf-8"))
    except (dns.exception.DNSException, OSError, ValueError) as error:
        return [], f"no resolver is configured: {error}"
    servers = [NameServer(each) for each in named if dns.inet.is_address(each)]
    return servers, "" if servers else "no resolver is configured"


def _listed(text: str) -> list[str]:
    """The resolvers of a resolv.conf(5).

    `dns.resolver` could read it, too. It brings all transports of the DNS along, and importing them takes longer than
    anything else before the first question.
    """
    lines = (line.split() for line in text.splitlines())
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


def _registered() -> list[str]:
    """The resolvers that Windows knows."""
    import dns.resolver

    return [each for each in dns.resolver.Resolver().nameservers if isinstance(each, str)]


class Stub:
    """A stub resolver: puts questions to recursive resolvers in turn. One may serve many probes.

    A resolver that is silent or cannot be reached goes behind those that answer, for all later questions.

    Args:
        servers: the resolvers, in the order of preference.
        timeout_s: the longest time for one question, all attempts together.
        complaint: what to say where there are no servers.
        ca_file: roots to trust beside the system's, for resolvers that are asked over TLS.
    """

    def __init__(
        self, servers: Iterable[NameServer], *, timeout_s: float, complaint: str = "", ca_file: str | None = None
    ) -> None:
        self._servers = list(servers)
        self._timeout_s = timeout_s
        self._complaint = complaint or "no resolver is configured"
        self._ca_file = ca_file
        self._channels: dict[NameServer, TlsChannel | HttpsChannel] = {}
        self._open = asyncio.Semaphore(QUESTIONS_AT_ONCE)

    async def lookup(self, name: str, rrtype: str) -> Lookup:
        """Put one question; raises nothing but CancelledError."""
        if not self._servers:
            return Lookup(name=name, rrtype=rrtype, status=LookupStatus.UNREACHABLE, detail=self._complaint)
        try:
            question = _Question(dns.name.from_text(name), dns.rdatatype.from_text(rrtype))
        except dns.exception.DNSException as error:
            return Lookup(name=name, rrtype=rrtype, status=LookupStatus.MALFORMED, detail=f"cannot be asked: {error}")
        async with self._open:
            outcome = await self._ask_in_turn(question)
        return msgspec.structs.replace(outcome, name=name, rrtype=rrtype)

    async def _ask_in_turn(self, question: _Question) -> Lookup:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._timeout_s
        wait_s = min(FIRST_WAIT_S, self._timeout_s / (ROUNDS * len(self._servers)))
        failures: dict[NameServer, Lookup] = {}
        askable = list(self._servers)
        attempt = 1
        while askable:
            for server in tuple(askable):
                left_s = ends_at - loop.time()
                if left_s <= 0 and failures:
                    return _worst(failures)
                # Nothing gets lost on a connection, so that asking again would only begin anew.
                patience_s = wait_s if server.transport is Transport.PLAIN else self._timeout_s / len(self._servers)
                outcome = await self._ask(server, question, min(patience_s, left_s), attempt)
                if outcome.status not in NOT_ANSWERED:
                    self._prefer(server, failures)
                    return outcome
                failures[server] = outcome
                if outcome.status is not LookupStatus.TIMEOUT:
                    askable.remove(server)  # it would fail in the same way again
            attempt += 1
            wait_s *= 2
        return _worst(failures)

    async def _ask(self, server: NameServer, question: _Question, wait_s: float, attempt: int) -> Lookup:
        """Put the question to one resolver; every error of network and format becomes a value."""
        try:
            async with asyncio.timeout(wait_s):
                if server.transport is Transport.PLAIN:
                    # Some routers drop what has EDNS0 in it; so from the second attempt on it goes without.
                    answer = await _ask_over_udp(server, question, with_edns=attempt == 1)
                    if attempt == 1 and _lacks_edns(answer):
                        answer = await _ask_over_udp(server, question, with_edns=False)
                else:
                    answer = await self._ask_encrypted(server, question)
            return _read(answer, question, server)
        except TimeoutError as error:  # ours, or that of the system, which has words for it
            status, detail = LookupStatus.TIMEOUT, str(error) or f"no answer, attempt {attempt}"
        except _MalformedError as error:
            status, detail = LookupStatus.MALFORMED, str(error)
        except EOFError:
            status, detail = LookupStatus.MALFORMED, "closed the connection instead of answering"
        except OSError as error:
            status, detail = LookupStatus.UNREACHABLE, error.strerror or str(error)
        return Lookup(name="", rrtype="", status=status, detail=detail, resolver=str(server))

    async def _ask_encrypted(self, server: NameServer, question: _Question) -> dns.message.Message:
        from smtpprobe import encrypted_dns

        channel = self._channels.get(server)
        if channel is None:
            channel = self._channels[server] = encrypted_dns.make_channel(server, self._ca_file)
        ident = secrets.randbits(16)
        try:
            reply = await channel.ask(question.wire(ident, with_edns=True))
        except encrypted_dns.NotAnsweredError as error:
            raise _MalformedError(str(error)) from error
        return _parse(reply, question, ident)

    def _prefer(self, server: NameServer, failures: dict[NameServer, Lookup]) -> None:
        """Put a resolver that answered before those that did not."""
        gone = (LookupStatus.TIMEOUT, LookupStatus.UNREACHABLE)
        behind = [each for each in self._servers if each in failures and failures[each].status in gone]
        if behind and server not in behind:
            self._servers = [each for each in self._servers if each not in behind] + behind


def _worst(failures: dict[NameServer, Lookup]) -> Lookup:
    """The failure that tells most, with a word about the others."""
    chosen = min(failures.values(), key=lambda each: NOT_ANSWERED.index(each.status))
    others = [f"{each.resolver}: {each.detail or each.status}" for each in failures.values() if each is not chosen]
    return msgspec.structs.replace(chosen, detail="; ".join(filter(None, (chosen.detail, *others))) or None)


# --- the wire -------------------------------------------------------------------------------------------------------


class _MalformedError(Exception):
    """The answer cannot be read."""


class _Question(NamedTuple):
    name: dns.name.Name
    rrtype: dns.rdatatype.RdataType

    def wire(self, ident: int, *, with_edns: bool) -> bytes:
        """The query message (RFC 1035 4.1), always of this one shape, which is put together ten times faster by hand.

        RD asks to look up what is not known, AD to be told what is authenticated (RFC 6840 5.7), EDNS0 (RFC 6891
        6.1.2) for extended errors and larger answers.
        """
        flags = dns.flags.RD | dns.flags.AD
        wire = struct.pack("!HHHHHH", ident, flags, 1, 0, 0, int(with_edns)) + self.name.to_digestable()
        wire += struct.pack("!HH", self.rrtype, dns.rdataclass.IN)
        return wire + struct.pack("!BHHIH", 0, dns.rdatatype.OPT, UDP_PAYLOAD_BYTES, 0, 0) if with_edns else wire


async def _ask_over_udp(server: NameServer, question: _Question, *, with_edns: bool) -> dns.message.Message:
    """Put a question in a datagram, from a port of its own so that answers are hard to forge (RFC 5452 9.2).

    The socket is connected, so that "port unreachable" comes through instead of silence.
    """
    loop = asyncio.get_running_loop()
    ident = secrets.randbits(16)
    transport, answer = await loop.create_datagram_endpoint(
        lambda: _Datagram(ident, loop.create_future()), remote_addr=server[:2]
    )
    try:
        wire = question.wire(ident, with_edns=with_edns)
        transport.sendto(wire)
        reply = await answer.received
    finally:
        transport.close()
    if _is_truncated(reply):
        reply = await _ask_over_tcp(server, wire)
    return _parse(reply, question, ident)


class _Datagram(asyncio.DatagramProtocol):
    """Waits for the datagram that answers a question."""

    def __init__(self, ident: int, received: asyncio.Future[bytes]) -> None:
        self._ident = ident.to_bytes(2, "big")
        self.received = received

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not self.received.done() and data[:2] == self._ident:  # others are late or forged
            self.received.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.received.done():
            self.received.set_exception(exc)


async def _ask_over_tcp(server: NameServer, wire: bytes) -> bytes:
    """Put a question over a connection: each message stands behind its length (RFC 1035 4.2.2).

    Raises:
        EOFError: the peer closed before its answer was complete.
    """
    reader, writer = await asyncio.open_connection(*server[:2])
    try:
        writer.write(len(wire).to_bytes(2, "big") + wire)
        size = int.from_bytes(await reader.readexactly(2), "big")
        return await reader.readexactly(size)
    finally:
        writer.transport.abort()


def _is_truncated(wire: bytes) -> bool:
    """The TC bit is set; what else is in such an answer may end in the middle (RFC 2181 9)."""
    return len(wire) > 2 and bool(wire[2] & 0x02)


def _parse(wire: bytes, question: _Question, ident: int) -> dns.message.Message:
    # Of TLSA records one that is wrong in itself is the owner's mistake, which senders pass over (RFC 7671 4), and no
    # reason to lose the others.
    is_tlsa = question.rrtype == dns.rdatatype.TLSA
    try:
        answer = dns.message.from_wire(wire, ignore_trailing=True, continue_on_error=is_tlsa)
        if answer.errors and not _are_of_records(answer):
            raise answer.errors[0].exception
    except dns.exception.DNSException as error:
        raise _MalformedError(f"unreadable: {error}") from error
    if not answer.flags & dns.flags.QR or answer.id != ident:
        raise _MalformedError("what came is no answer to the question")
    if _is_truncated(wire):  # a datagram that is was asked for again
        raise _MalformedError("cut short, although it came over a connection")
    asked = answer.question[0] if len(answer.question) == 1 else None
    if asked is not None and (asked.name, asked.rdtype) == question:
        return answer
    if not answer.question and answer.rcode() != dns.rcode.NOERROR:
        return answer  # with an error the question may be missing
    raise _MalformedError("it answers another question")


def _are_of_records(answer: dns.message.Message) -> bool:
    """Tell whether all errors are of TLSA records that were delimited well and read badly."""
    return bool(answer.question) and all(_LENGTH in str(each.exception) for each in answer.errors)


_LENGTH: Final = "certificate association data length"
"""How dnspython says that a digest has not the length of its hash."""


def _lacks_edns(answer: dns.message.Message) -> bool:
    """RFC 6891 7: FORMERR without an OPT record is how a server says that it knows no EDNS."""
    return answer.rcode() == dns.rcode.FORMERR and answer.edns < 0


# --- the answer -----------------------------------------------------------------------------------------------------

_BY_RCODE: Final = {dns.rcode.SERVFAIL: LookupStatus.SERVFAIL, dns.rcode.REFUSED: LookupStatus.REFUSED}


def _read(answer: dns.message.Message, question: _Question, server: NameServer) -> Lookup:
    """Say what an answer means: records, the denial of them, or an error."""
    rcode = answer.rcode()
    found = Lookup(
        name="",
        rrtype="",
        status=_BY_RCODE.get(rcode, LookupStatus.OTHER_RCODE),
        authenticated=bool(answer.flags & dns.flags.AD),
        extended_error=_extended_errors(answer),
        resolver=str(server),
    )
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        code = None if rcode in _BY_RCODE else dns.rcode.to_text(rcode)
        return msgspec.structs.replace(found, detail=code)
    sets = {(each.name, each.rdtype): each for each in answer.answer if each.rdclass == dns.rdataclass.IN}
    name = question.name
    aliases: list[dns.name.Name] = []
    ttls: list[int] = []
    while (name, question.rrtype) not in sets:
        alias = sets.get((name, dns.rdatatype.CNAME))
        if alias is None:
            break
        if len(aliases) == MAX_ALIASES or name in aliases:
            raise _MalformedError(f"the aliases form a loop, or there are more than {MAX_ALIASES}")
        aliases.append(name)
        ttls.append(alias.ttl)
        name = alias[0].target
    wanted = sets.get((name, question.rrtype))
    unread = tuple(f"unreadable: {each.exception}" for each in answer.errors)
    if wanted is None and unread:
        status, records = LookupStatus.ANSWERED, unread
    elif wanted is not None:
        if rcode == dns.rcode.NXDOMAIN:
            raise _MalformedError("it says that the name does not exist, and gives records")
        status, records = LookupStatus.ANSWERED, (*map(_present, wanted), *unread)
        ttls.append(wanted.ttl)
    else:
        soa = next((each for each in answer.authority if each.rdtype == dns.rdatatype.SOA), None)
        if soa is None and rcode == dns.rcode.NOERROR and _is_referral(answer):
            # RFC 2308 2.2: this does not say that there is nothing, but to ask somebody else.
            detail = "does not look names up: it only refers to other servers"
            return msgspec.structs.replace(found, status=LookupStatus.REFUSED, detail=detail)
        status, records = LookupStatus.NO_DATA if rcode == dns.rcode.NOERROR else LookupStatus.NXDOMAIN, ()
        if soa is not None:
            ttls.append(min(soa.ttl, soa[0].minimum))  # RFC 2308 5
        elif aliases:
            ttls.clear()
    return msgspec.structs.replace(
        found,
        status=status,
        records=records,
        canonical_name=_plain(name) if aliases else None,
        aliases=tuple(map(_plain, aliases)),
        ttl_s=min(ttls) if ttls else None,
    )


def _is_referral(answer: dns.message.Message) -> bool:
    """Neither records nor denial, from a server that does no recursion and has no authority here."""
    is_final = answer.flags & dns.flags.AA and not answer.answer
    return not answer.flags & dns.flags.RA and not is_final


def _present(record: dns.rdata.Rdata) -> str:
    """A record in the form of the evidence: names lower case and without a trailing dot, addresses canonical."""
    data: Any = record
    match record.rdtype:
        case dns.rdatatype.A | dns.rdatatype.AAAA:
            return str(ip_address(data.address))
        case dns.rdatatype.MX:
            return f"{data.preference} {_plain(data.exchange)}"
        case dns.rdatatype.CNAME | dns.rdatatype.NS | dns.rdatatype.PTR:
            return _plain(data.target)
        case dns.rdatatype.SRV:
            return f"{data.priority} {data.weight} {data.port} {_plain(data.target)}"
        case dns.rdatatype.SOA:
            numbers = f"{data.serial} {data.refresh} {data.retry} {data.expire} {data.minimum}"
            return f"{_plain(data.mname)} {_plain(data.rname)} {numbers}"
        case _:
            return record.to_text()


def _plain(name: dns.name.Name) -> str:
    """The name in lower case without its trailing dot; the root stays ``.``."""
    return name.to_text(omit_final_dot=True).lower()


_CAPITALS: Final = frozenset({"DNSKEY", "DS", "DNSSEC", "NSEC", "NXDOMAIN"})


def _extended_errors(answer: dns.message.Message) -> str | None:
    """The extended errors (RFC 8914) with their registered names, and what the resolver adds in brackets."""
    errors = []
    for option in answer.options:
        if isinstance(option, dns.edns.EDEOption):
            registered = dns.edns.EDECode.to_text(option.code)
            words = [word if word in _CAPITALS else word.capitalize() for word in registered.split("_")]
            name = "" if registered.isdigit() else " " + " ".join(words)
            text = f" ({option.text.replace(';', ',')})" if option.text else ""
            errors.append(f"{int(option.code)}{name}{text}")
    return "; ".join(errors) or None
