"""The lab's DNS server, asked by dnspython's own client."""

from __future__ import annotations

import asyncio
import socket

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import pytest

from smtpprobe.lab.dns import (
    BOGUS,
    MALFORMED,
    NOT_IMPLEMENTED,
    REFUSED,
    SERVFAIL,
    SILENT,
    TRUNCATED,
    DnsServer,
    Fault,
    Question,
)

RECORDS = f"""
    example.org               600 SOA ns.example.org. hostmaster.example.org. 1 3600 600 86400 30
    example.org               300 MX  20 mx2.example.org
    example.org.                  MX  10 mx1.example.org.
    mx1.example.org               A   192.0.2.1
    mx1.example.org               AAAA 2001:db8::1
    www.example.org               CNAME web.example.org
    web.example.org               CNAME mx1.example.org
    gone.example.org              CNAME nowhere.example.org
    round.example.org             CNAME round.example.org
    _25._tcp.mx1.example.org      TLSA 3 1 1 {"ab" * 32}
    big.example.org               TXT {" ".join(["x" * 200] * 10)}
    1.2.0.192.in-addr.arpa        PTR mx1.example.org
"""
PATIENCE_S = 5.0


async def ask(
    server: DnsServer, name: str, rrtype: str, *, edns: bool = True, ad: bool = True, over_tcp: bool = False
) -> dns.message.Message:
    query = dns.message.make_query(name, rrtype, use_edns=0 if edns else False, payload=1232 if edns else None)
    if ad:
        query.flags |= dns.flags.AD
    method = dns.asyncquery.tcp if over_tcp else dns.asyncquery.udp
    return await method(query, server.address, port=server.port, timeout=PATIENCE_S, one_rr_per_rrset=True)


def texts(answer: dns.message.Message) -> list[str]:
    return [f"{each.name} {record}".lower() for each in answer.answer for record in each]


async def test_records_are_served_in_their_order_over_udp_and_tcp() -> None:
    async with DnsServer(RECORDS) as server:
        for over_tcp in (False, True):
            answer = await ask(server, "Example.org", "MX", over_tcp=over_tcp)
            assert texts(answer) == ["example.org. 20 mx2.example.org.", "example.org. 10 mx1.example.org."]
            assert answer.answer[0].ttl == 300
        assert server.questions == [Question("example.org", "MX"), Question("example.org", "MX", over_tcp=True)]


async def test_records_can_be_given_as_a_mapping_and_added_later() -> None:
    async with DnsServer({"example.org": {"MX": ["10 mx1.example.org"], "TXT": '"v=spf1 -all"'}}) as server:
        server.add({"mx1.example.org": {"A": "192.0.2.1"}})
        server.add("mx1.example.org A 192.0.2.2")
        assert texts(await ask(server, "example.org", "TXT")) == ['example.org. "v=spf1 -all"']
        assert texts(await ask(server, "mx1.example.org", "A")) == [
            "mx1.example.org. 192.0.2.1",
            "mx1.example.org. 192.0.2.2",
        ]


@pytest.mark.parametrize(
    "line", ["example.org", "example.org 300", "example.org NO 1", "example.org MX mx1.example.org"]
)
def test_a_line_that_is_no_record_is_refused(line: str) -> None:
    with pytest.raises(dns.exception.DNSException):
        DnsServer(line)


async def test_a_record_may_have_a_ttl_and_a_class_and_lines_may_be_comments() -> None:
    async with DnsServer('; a comment\n\n  example.org. 60 IN TXT "a ; b" ; a comment') as server:
        answer = await ask(server, "example.org", "TXT")
    assert (texts(answer), answer.answer[0].ttl) == (['example.org. "a ; b"'], 60)


async def test_aliases_are_followed_to_their_end() -> None:
    async with DnsServer(RECORDS) as server:
        assert texts(await ask(server, "www.example.org", "A")) == [
            "www.example.org. web.example.org.",
            "web.example.org. mx1.example.org.",
            "mx1.example.org. 192.0.2.1",
        ]
        assert texts(await ask(server, "www.example.org", "CNAME")) == ["www.example.org. web.example.org."]
        assert texts(await ask(server, "round.example.org", "A")) == ["round.example.org. round.example.org."]


@pytest.mark.parametrize(
    ("name", "rrtype", "rcode", "zone"),
    [
        ("mx1.example.org", "MX", dns.rcode.NOERROR, "example.org."),
        ("_tcp.mx1.example.org", "A", dns.rcode.NOERROR, "example.org."),
        ("org", "A", dns.rcode.NOERROR, "."),
        ("mx9.example.org", "A", dns.rcode.NXDOMAIN, "example.org."),
        ("gone.example.org", "A", dns.rcode.NXDOMAIN, "example.org."),
        ("example.net", "A", dns.rcode.NXDOMAIN, "."),
    ],
)
async def test_what_is_not_there_is_denied_with_the_soa(name: str, rrtype: str, rcode: int, zone: str) -> None:
    async with DnsServer(RECORDS) as server:
        answer = await ask(server, name, rrtype)
    assert answer.rcode() == rcode
    assert [each.name.to_text() for each in answer.authority] == [zone]


@pytest.mark.parametrize(
    ("fault", "rcode", "options"),
    [
        (SERVFAIL, dns.rcode.SERVFAIL, []),
        (REFUSED, dns.rcode.REFUSED, []),
        (NOT_IMPLEMENTED, dns.rcode.NOTIMP, []),
        (BOGUS, dns.rcode.SERVFAIL, ["EDE 6 (DNSSEC Bogus)"]),
        (Fault(rcode="SERVFAIL", extended_error=22, extra_text="at 192.0.2.5"), dns.rcode.SERVFAIL,
         ["EDE 22 (No Reachable Authority): at 192.0.2.5"]),
    ],
)  # fmt: skip
async def test_a_fault_answers_with_its_code_and_extended_error(fault: Fault, rcode: int, options: list[str]) -> None:
    async with DnsServer(RECORDS, faults={("example.org", "MX"): fault}) as server:
        answer = await ask(server, "example.org", "MX")
        assert (answer.rcode(), answer.answer) == (rcode, [])
        assert [option.to_text() for option in answer.options] == options
        assert not (await ask(server, "example.org", "MX", edns=False)).options
        assert (await ask(server, "example.org", "SOA")).rcode() == dns.rcode.NOERROR


async def test_a_fault_may_concern_all_types_and_end_after_a_while() -> None:
    faults = {("example.org", "ANY"): Fault(rcode="SERVFAIL", times=2)}
    async with DnsServer(RECORDS, faults=faults) as server:
        codes = [(await ask(server, "example.org", rrtype)).rcode() for rrtype in ("MX", "SOA", "MX")]
    assert codes == [dns.rcode.SERVFAIL, dns.rcode.SERVFAIL, dns.rcode.NOERROR]


async def test_an_answer_with_records_may_carry_an_extended_error() -> None:
    async with DnsServer(RECORDS, faults={("mx1.example.org", "A"): Fault(extended_error=3)}) as server:
        answer = await ask(server, "mx1.example.org", "A")
    assert texts(answer) == ["mx1.example.org. 192.0.2.1"]
    assert [option.to_text() for option in answer.options] == ["EDE 3 (Stale Answer)"]


async def test_a_malformed_answer_has_the_right_identifier_and_cannot_be_read() -> None:
    async with DnsServer(RECORDS, faults={("example.org", "MX"): MALFORMED}) as server:
        with pytest.raises(dns.exception.FormError):
            await ask(server, "example.org", "MX")


async def test_a_truncated_answer_is_whole_over_tcp() -> None:
    async with DnsServer(RECORDS, faults={("example.org", "MX"): TRUNCATED}) as server:
        cut = await ask(server, "example.org", "MX")
        whole = await ask(server, "example.org", "MX", over_tcp=True)
    assert cut.flags & dns.flags.TC
    assert (len(texts(cut)), len(texts(whole))) == (0, 2)


async def test_what_does_not_fit_a_datagram_is_truncated() -> None:
    async with DnsServer(RECORDS) as server:
        assert (await ask(server, "big.example.org", "TXT")).flags & dns.flags.TC
        assert (await ask(server, "big.example.org", "TXT", edns=False)).flags & dns.flags.TC
        assert len(texts(await ask(server, "big.example.org", "TXT", over_tcp=True))) == 1


async def test_the_ad_bit_is_set_for_those_who_ask() -> None:
    async with DnsServer(RECORDS, authenticated=["Example.org."]) as server:
        assert (await ask(server, "example.org", "MX")).flags & dns.flags.AD
        assert not (await ask(server, "example.org", "MX", ad=False)).flags & dns.flags.AD
        assert not (await ask(server, "mx1.example.org", "A")).flags & dns.flags.AD


async def test_a_held_answer_comes_when_it_is_let_go() -> None:
    held = asyncio.Event()
    async with DnsServer(RECORDS, faults={("example.org", "MX"): Fault(held=held)}) as server:
        asking = asyncio.create_task(ask(server, "example.org", "MX"))
        await server.hear(1)
        await ask(server, "mx1.example.org", "A")
        assert not asking.done()
        held.set()
        assert len(texts(await asking)) == 2


async def test_a_silent_server_has_heard_the_question() -> None:
    faults = {("example.org", "MX"): SILENT, ("example.org", "SOA"): Fault(held=asyncio.Event())}
    async with DnsServer(RECORDS, faults=faults) as server:
        asking = [asyncio.create_task(ask(server, "example.org", rrtype)) for rrtype in ("MX", "SOA")]
        await server.hear(2)
        await ask(server, "mx1.example.org", "A")
        assert not any(task.done() for task in asking)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def test_what_is_no_question_is_passed_over() -> None:
    async with DnsServer(RECORDS) as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for rubbish in (b"", b"\0", b"\xff" * 40, dns.message.make_response(_query()).to_wire()):
                client.sendto(rubbish, (server.address, server.port))
        assert len(texts(await ask(server, "example.org", "MX"))) == 2
        assert len(server.questions) == 1


async def test_a_stopped_server_leaves_its_port_free() -> None:
    async with DnsServer(RECORDS) as first:
        reader, writer = await asyncio.open_connection(first.address, first.port)
    async with DnsServer(RECORDS, port=first.port) as second:
        assert second.resolver == f"127.0.0.1:{first.port}"
        assert len(texts(await ask(second, "example.org", "MX"))) == 2
    assert await reader.read() == b""
    writer.close()


async def test_a_taken_port_is_an_error_where_it_was_asked_for() -> None:
    async with DnsServer() as first:
        with pytest.raises(OSError, match="in use"):
            await DnsServer(port=first.port).__aenter__()


def _query() -> dns.message.QueryMessage:
    return dns.message.make_query("example.org", "MX")
