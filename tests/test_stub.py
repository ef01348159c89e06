"""Questions put to a real DNS server on loopback, healthy and not, and how each ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.edns
import dns.message
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpprobe.evidence import Lookup, LookupStatus, Options
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
from smtpprobe.stub import Stub, make_stub, system_servers
from smtpprobe.targets import NameServer

PATIENCE_S = 5.0
"""For questions that are answered."""
IMPATIENCE_S = 0.1
"""For questions that are not."""
PERSEVERANCE_S = 1.0
"""For questions that are answered after a first attempt in vain: that waits for half of it, or a quarter."""

RECORDS = f"""
    example.org              600 SOA ns.example.org. hostmaster.example.org. 1 3600 600 86400 30
    example.org              300 MX   20 MX2.Example.ORG.
    example.org                  MX   10 mx1.example.org
    mx1.example.org          120 A    192.0.2.1
    mx1.example.org          240 AAAA 2001:db8:0:0::1
    mx2.example.org              A    192.0.2.2
    null.example.org             MX   0 .
    www.example.org           90 CNAME web.example.org
    web.example.org          200 CNAME mx1.example.org
    dangling.example.org      90 CNAME nowhere.example.org
    round.example.org            CNAME about.example.org
    about.example.org            CNAME round.example.org
    txt.example.org              TXT  "v=one" "two; three"
    _25._tcp.mx1.example.org     TLSA 3 1 1 {"AB" * 32}
    _submission._tcp.example.org SRV  0 1 587 Mail.example.org
    ns.example.org               NS   NS2.example.org
    big.example.org              TXT  {" ".join(["x" * 200] * 10)}
"""


def stub(*servers: DnsServer, timeout_s: float = PATIENCE_S) -> Stub:
    return make_stub(Options(resolvers=tuple(server.resolver for server in servers), timeout_s=timeout_s))


def asked(server: DnsServer) -> list[tuple[str, str]]:
    return [(question.name, question.rrtype) for question in server.questions]


# --- how a question ends --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "status", "detail", "extended_error"),
    [
        (SERVFAIL, LookupStatus.SERVFAIL, None, None),
        (BOGUS, LookupStatus.SERVFAIL, None, "6 DNSSEC Bogus"),
        (REFUSED, LookupStatus.REFUSED, None, None),
        (Fault(rcode="REFUSED", extended_error=18), LookupStatus.REFUSED, None, "18 Prohibited"),
        (NOT_IMPLEMENTED, LookupStatus.OTHER_RCODE, "NOTIMP", None),
        (Fault(rcode="YXDOMAIN"), LookupStatus.OTHER_RCODE, "YXDOMAIN", None),
        (MALFORMED, LookupStatus.MALFORMED, "unreadable: DNS message is malformed.", None),
        (Fault(raw=b"\x81\x80" + bytes(8)), LookupStatus.MALFORMED, "it answers another question", None),
        (Fault(raw=b"\x01\x00" + bytes(8)), LookupStatus.MALFORMED, "what came is no answer to the question", None),
        (Fault(rcode="SERVFAIL", extended_error=22, extra_text="a; b"), LookupStatus.SERVFAIL, None,
         "22 No Reachable Authority (a, b)"),
        (Fault(rcode="SERVFAIL", extended_error=4711), LookupStatus.SERVFAIL, None, "4711"),
    ],
)  # fmt: skip
async def test_each_failure_is_a_fact_of_its_own(
    fault: Fault, status: LookupStatus, detail: str | None, extended_error: str | None
) -> None:
    async with DnsServer(RECORDS, faults={("example.org", "MX"): fault}) as server:
        found = await stub(server).lookup("example.org", "MX")
        assert server.questions == [Question("example.org", "MX")]
    assert (found.name, found.rrtype, found.records, found.ttl_s) == ("example.org", "MX", (), None)
    assert (found.status, found.detail, found.extended_error) == (status, detail, extended_error)
    assert found.resolver == server.resolver


async def test_silence_is_a_timeout_after_asking_again() -> None:
    async with DnsServer(RECORDS, faults={("example.org", "MX"): SILENT}) as server:
        found = await stub(server, timeout_s=IMPATIENCE_S).lookup("example.org", "MX")
        assert len(server.questions) >= 2
    assert found.status is LookupStatus.TIMEOUT
    assert found.resolver == server.resolver


async def test_a_lost_datagram_is_sent_again() -> None:
    async with DnsServer(RECORDS, faults={("example.org", "MX"): Fault(is_silent=True, times=1)}) as server:
        found = await stub(server, timeout_s=PERSEVERANCE_S).lookup("example.org", "MX")
        assert len(server.questions) == 2
    assert found.status is LookupStatus.ANSWERED


async def test_a_resolver_that_is_not_there_is_unreachable() -> None:
    async with DnsServer() as server:
        pass
    found = await stub(server).lookup("example.org", "MX")
    assert (found.status, found.detail) == (LookupStatus.UNREACHABLE, "Connection refused")
    assert found.resolver == server.resolver


async def test_no_resolver_at_all_is_unreachable_too() -> None:
    found = await Stub([], timeout_s=PATIENCE_S, complaint="nothing there").lookup("example.org", "MX")
    assert (found.status, found.detail, found.resolver) == (LookupStatus.UNREACHABLE, "nothing there", None)


@pytest.mark.parametrize(("name", "rrtype"), [("a" * 64 + ".example.org", "A"), ("a..b", "A"), ("example.org", "NO")])
async def test_what_cannot_be_asked_is_not_asked(name: str, rrtype: str) -> None:
    async with DnsServer(RECORDS) as server:
        found = await stub(server).lookup(name, rrtype)
        assert server.questions == []
    assert found.status is LookupStatus.MALFORMED
    assert found.detail is not None
    assert found.detail.startswith("cannot be asked: ")


@pytest.mark.parametrize(
    ("name", "status", "ttl_s"),
    [
        ("mx1.example.org", LookupStatus.NO_DATA, 30),
        ("nowhere.example.org", LookupStatus.NXDOMAIN, 30),
        ("www.example.org", LookupStatus.NO_DATA, 30),
        ("dangling.example.org", LookupStatus.NXDOMAIN, 30),
        ("example.net", LookupStatus.NXDOMAIN, 60),
    ],
)
async def test_a_denial_lives_as_long_as_its_soa_says(name: str, status: LookupStatus, ttl_s: int) -> None:
    async with DnsServer(RECORDS) as server:
        found = await stub(server).lookup(name, "MX")
    assert (found.status, found.ttl_s, found.records) == (status, ttl_s, ())


async def test_an_alias_that_leads_nowhere_is_noted() -> None:
    async with DnsServer(RECORDS) as server:
        found = await stub(server).lookup("dangling.example.org", "A")
    assert (found.aliases, found.canonical_name) == (("dangling.example.org",), "nowhere.example.org")


async def test_aliases_that_form_a_loop_end() -> None:
    async with DnsServer(RECORDS) as server:
        found = await stub(server).lookup("round.example.org", "A")
    assert found.status is LookupStatus.MALFORMED
    assert "loop" in (found.detail or "")


@pytest.mark.parametrize(
    ("name", "rrtype", "record"),
    [
        ("txt.example.org", "TXT", '"v=one" "two; three"'),
        ("_25._tcp.mx1.example.org", "TLSA", f"3 1 1 {'ab' * 32}"),
        ("_submission._tcp.example.org", "SRV", "0 1 587 mail.example.org"),
        ("www.example.org", "CNAME", "web.example.org"),
        ("ns.example.org", "NS", "ns2.example.org"),
        ("example.org", "SOA", "ns.example.org hostmaster.example.org 1 3600 600 86400 30"),
        ("null.example.org", "MX", "0 ."),
        ("mx1.example.org", "AAAA", "2001:db8::1"),
    ],
)
async def test_records_have_one_form(name: str, rrtype: str, record: str) -> None:
    async with DnsServer(RECORDS) as server:
        assert (await stub(server).lookup(name, rrtype)).records == (record,)


async def test_what_the_resolver_authenticated_is_said() -> None:
    async with DnsServer(RECORDS, authenticated=["example.org"]) as server:
        asking = stub(server)
        assert (await asking.lookup("example.org", "MX")).authenticated
        assert not (await asking.lookup("mx1.example.org", "A")).authenticated


async def test_a_remark_of_the_resolver_is_kept_with_the_answer() -> None:
    async with DnsServer(RECORDS, faults={("mx2.example.org", "A"): Fault(extended_error=3)}) as server:
        found = await stub(server).lookup("mx2.example.org", "A")
    assert (found.records, found.extended_error) == (("192.0.2.2",), "3 Stale Answer")


@pytest.mark.parametrize("name", ["big.example.org", "txt.example.org"])
async def test_a_truncated_answer_is_fetched_over_tcp(name: str) -> None:
    async with DnsServer(RECORDS, faults={("txt.example.org", "TXT"): TRUNCATED}) as server:
        found = await stub(server).lookup(name, "TXT")
        assert server.questions == [Question(name, "TXT"), Question(name, "TXT", over_tcp=True)]
    assert (found.status, len(found.records)) == (LookupStatus.ANSWERED, 1)


async def test_silence_over_tcp_is_a_timeout() -> None:
    async with DnsServer(RECORDS) as server:
        server.faults["big.example.org", "TXT"] = Fault(is_silent=True)
        server.faults["txt.example.org", "TXT"] = Fault(is_truncated=True)
        asking = stub(server, timeout_s=IMPATIENCE_S)
        assert (await asking.lookup("big.example.org", "TXT")).status is LookupStatus.TIMEOUT


@pytest.fixture
async def datagrams() -> Any:
    """Answers every datagram with what a function makes of it; nobody listens over TCP."""
    loop = asyncio.get_running_loop()

    class Answering(asyncio.DatagramProtocol):
        answer: Callable[[bytes], bytes] = staticmethod(lambda data: data)
        queries: list[bytes]

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport
            self.queries = []

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.queries.append(data)
            self.transport.sendto(self.answer(data), addr)  # type: ignore[attr-defined]

    transport, protocol = await loop.create_datagram_endpoint(Answering, local_addr=("127.0.0.1", 0))
    protocol.server = NameServer(*transport.get_extra_info("sockname")[:2])  # type: ignore[attr-defined]
    yield protocol
    transport.close()


def answer(query: bytes, flags: int, *, counts: tuple[int, int, int] = (0, 0, 0), records: bytes = b"") -> bytes:
    """Answer a query without its OPT record, which is the last eleven bytes."""
    header = query[:2] + flags.to_bytes(2, "big") + b"\0\1" + b"".join(count.to_bytes(2, "big") for count in counts)
    question = query[12:-11] if query[10:12] == b"\0\1" else query[12:]
    return header + question + records


async def test_a_question_says_what_it_wants(datagrams: Any) -> None:
    datagrams.answer = lambda query: answer(query, 0x8183)
    found = await Stub([datagrams.server], timeout_s=PATIENCE_S).lookup("mx1.example.org", "AAAA")
    assert (found.status, found.ttl_s) == (LookupStatus.NXDOMAIN, None)
    (query,) = datagrams.queries
    assert query[2:12] == bytes.fromhex("0120 0001 0000 0000 0001")  # RD and AD; one question, one OPT
    assert query[12:] == b"\3mx1\7example\3org\0" + bytes.fromhex("001c 0001 00 0029 04d0 00000000 0000")


async def test_every_question_has_an_identifier_of_its_own(datagrams: Any) -> None:
    datagrams.answer = lambda query: answer(query, 0x8183)
    stub = Stub([datagrams.server], timeout_s=PATIENCE_S)
    for number in range(20):
        await stub.lookup(f"mx{number}.example.org", "A")
    assert len({query[:2] for query in datagrams.queries}) > 1


async def test_a_server_that_only_refers_to_others_does_not_deny_anything(datagrams: Any) -> None:
    ns = b"\xc0\x0c" + bytes.fromhex("0002 0001 0000003c 0002 c00c")
    datagrams.answer = lambda query: answer(query, 0x8100, counts=(0, 1, 0), records=ns)
    found = await Stub([datagrams.server], timeout_s=PATIENCE_S).lookup("example.org", "MX")
    assert found.status is LookupStatus.REFUSED
    assert "refers" in (found.detail or "")


async def test_an_authority_may_deny_without_a_soa(datagrams: Any) -> None:
    datagrams.answer = lambda query: answer(query, 0x8500)
    found = await Stub([datagrams.server], timeout_s=PATIENCE_S).lookup("example.org", "MX")
    assert (found.status, found.ttl_s) == (LookupStatus.NO_DATA, None)


async def test_an_answer_that_contradicts_itself_is_malformed(datagrams: Any) -> None:
    record = b"\xc0\x0c" + bytes.fromhex("0001 0001 0000003c 0004 c0000201")
    datagrams.answer = lambda query: answer(query, 0x8183, counts=(1, 0, 0), records=record)
    found = await Stub([datagrams.server], timeout_s=PATIENCE_S).lookup("example.org", "A")
    assert found.status is LookupStatus.MALFORMED


async def test_a_tlsa_record_that_is_wrong_in_itself_does_not_take_the_others_with_it(datagrams: Any) -> None:
    short = b"\xc0\x0c" + bytes.fromhex("0034 0001 0000003c 0005 03010100ff")
    good = b"\xc0\x0c" + bytes.fromhex("0034 0001 0000003c 0023 030101" + "ab" * 32)
    datagrams.answer = lambda query: answer(query, 0x81A0, counts=(2, 0, 0), records=short + good)
    found = await Stub([datagrams.server], timeout_s=PATIENCE_S).lookup("_25._tcp.example.org", "TLSA")
    assert found.status is LookupStatus.ANSWERED
    assert [record.partition(":")[0] for record in found.records] == ["3 1 1 " + "ab" * 32, "unreadable"]
    datagrams.answer = lambda query: answer(query, 0x81A0, counts=(1, 0, 0), records=short)
    alone = await Stub([datagrams.server], timeout_s=PATIENCE_S).lookup("_25._tcp.example.net", "TLSA")
    assert (alone.status, len(alone.records)) == (LookupStatus.ANSWERED, 1)


async def test_a_server_that_does_not_know_edns_is_asked_without(datagrams: Any) -> None:
    record = b"\xc0\x0c" + bytes.fromhex("0001 0001 0000003c 0004 c0000201")

    def old(query: bytes) -> bytes:
        has_opt = query[10:12] == b"\0\1"
        return (
            query[:2] + b"\x81\x81" + bytes(8) if has_opt else answer(query, 0x8180, counts=(1, 0, 0), records=record)
        )

    datagrams.answer = old
    found = await Stub([datagrams.server], timeout_s=PATIENCE_S).lookup("example.org", "A")
    assert (found.status, found.records) == (LookupStatus.ANSWERED, ("192.0.2.1",))
    assert len(datagrams.queries) == 2


async def test_where_edns_is_swallowed_the_second_attempt_goes_without(datagrams: Any) -> None:
    datagrams.answer = lambda query: b"" if query[10:12] == b"\0\1" else answer(query, 0x8183)
    found = await Stub([datagrams.server], timeout_s=PERSEVERANCE_S).lookup("example.org", "A")
    assert found.status is LookupStatus.NXDOMAIN


async def test_an_answer_with_another_identifier_is_not_listened_to(datagrams: Any) -> None:
    datagrams.answer = lambda query: bytes([query[0] ^ 1]) + answer(query, 0x8183)[1:]
    found = await Stub([datagrams.server], timeout_s=IMPATIENCE_S).lookup("example.org", "A")
    assert found.status is LookupStatus.TIMEOUT


async def test_truncated_and_no_tcp_is_unreachable(datagrams: Any) -> None:
    datagrams.answer = lambda query: answer(query, 0x8380)
    found = await Stub([datagrams.server], timeout_s=PATIENCE_S).lookup("example.org", "A")
    assert found.status is LookupStatus.UNREACHABLE


async def test_a_connection_closed_before_the_answer_is_malformed(datagrams: Any) -> None:
    datagrams.answer = lambda query: answer(query, 0x8380)

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"\0\x20half")
        writer.close()

    async with await asyncio.start_server(hang_up, *datagrams.server[:2]):
        found = await Stub([datagrams.server], timeout_s=PATIENCE_S).lookup("example.org", "A")
    assert (found.status, "closed" in (found.detail or "")) == (LookupStatus.MALFORMED, True)


async def test_an_answer_cut_short_even_over_a_connection_says_nothing(datagrams: Any) -> None:
    datagrams.answer = lambda query: answer(query, 0x8380)

    async def answer_in_part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        reply = answer(await reader.readexactly(size), 0x8380)
        writer.write(len(reply).to_bytes(2, "big") + reply)
        writer.close()

    async with await asyncio.start_server(answer_in_part, *datagrams.server[:2]):
        found = await Stub([datagrams.server], timeout_s=PATIENCE_S).lookup("example.org", "A")
    assert found.status is LookupStatus.MALFORMED, "no record is not none there"
    assert "cut short" in (found.detail or "")


VALID = dns.message.make_response(dns.message.make_query("example.org", "MX", use_edns=0))
VALID.answer.append(dns.rrset.from_text("example.org.", 60, "IN", "CNAME", "www.example.org."))
VALID.answer.append(
    dns.rrset.from_text("www.example.org.", 60, "IN", "MX", "10 mx1.example.org.", "20 mx2.example.org.")
)
VALID.authority.append(dns.rrset.from_text("org.", 60, "IN", "SOA", "ns.org. me.org. 1 2 3 4 5"))
VALID.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode.OTHER, "text")])
BODY = VALID.to_wire()[2:]
CHANGES = st.lists(st.tuples(st.integers(0, len(BODY) - 1), st.integers(0, 255)), max_size=8)


def changed(changes: list[tuple[int, int]], length: int) -> bytes:
    body = bytearray(BODY)
    for index, value in changes:
        body[index] = value
    return bytes(body[:length])


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.builds(changed, CHANGES, st.integers(len(BODY) - 20, len(BODY)))))
def test_whatever_bytes_answer_the_question_ends_as_a_value(raw: bytes) -> None:
    async def ask() -> Lookup:
        async with DnsServer(faults={("example.org", "MX"): Fault(raw=raw)}) as server:
            return await stub(server).lookup("example.org", "MX")

    found = asyncio.run(ask())
    assert found.status is not LookupStatus.TIMEOUT
    assert (found.status is LookupStatus.ANSWERED) is bool(found.records)


# --- several resolvers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [SERVFAIL, REFUSED, NOT_IMPLEMENTED, MALFORMED])
async def test_where_one_resolver_fails_the_next_is_asked(fault: Fault) -> None:
    async with DnsServer(RECORDS, faults={("example.org", "MX"): fault}) as bad, DnsServer(RECORDS) as good:
        found = await stub(bad, good).lookup("example.org", "MX")
        assert (found.status, found.resolver) == (LookupStatus.ANSWERED, good.resolver)
        assert (len(bad.questions), len(good.questions)) == (1, 1)


async def test_a_denial_is_an_answer() -> None:
    async with DnsServer() as first, DnsServer(RECORDS) as second:
        assert (await stub(first, second).lookup("example.org", "MX")).status is LookupStatus.NXDOMAIN
        assert second.questions == []


async def test_a_silent_resolver_costs_one_wait_and_then_comes_last() -> None:
    async with DnsServer(faults={("example.org", "MX"): SILENT}) as silent, DnsServer(RECORDS) as good:
        asking = stub(silent, good, timeout_s=PERSEVERANCE_S)
        assert (await asking.lookup("example.org", "MX")).resolver == good.resolver
        assert (await asking.lookup("mx1.example.org", "A")).resolver == good.resolver
        assert asked(silent) == [("example.org", "MX")]


async def test_of_different_failures_the_most_telling_is_reported_and_the_others_named() -> None:
    async with DnsServer() as gone:
        pass
    async with DnsServer(faults={("example.org", "MX"): BOGUS}) as failing:
        found = await stub(gone, failing).lookup("example.org", "MX")
    assert (found.status, found.resolver) == (LookupStatus.SERVFAIL, failing.resolver)
    assert found.extended_error == "6 DNSSEC Bogus"
    assert found.detail == f"{gone.resolver}: Connection refused"


# --- the resolvers of the system ------------------------------------------------------------------------------------


@pytest.fixture
def resolv_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "resolv.conf"
    monkeypatch.setattr("smtpprobe.stub.RESOLV_CONF", path)
    return path


def test_the_resolvers_of_the_system_are_read(resolv_conf: Path) -> None:
    resolv_conf.write_text(
        "# nameserver 192.0.2.1\nsearch example.org\nnameserver 192.0.2.53\n  nameserver\t2001:db8::53 # ours\n"
        "nameserver\nnameserver fe80::53%eth0\noptions edns0\n"
    )
    named = [NameServer("192.0.2.53"), NameServer("2001:db8::53"), NameServer("fe80::53%eth0")]
    assert system_servers() == (named, "")


@pytest.mark.skipif(sys.platform == "win32", reason="they are in the registry there, which is left to dnspython")
def test_reading_the_resolvers_of_the_system_imports_no_transport_of_theirs() -> None:
    program = "import sys; from smtpprobe import stub; stub.system_servers(); sys.exit('dns.resolver' in sys.modules)"
    subprocess.run((sys.executable, "-c", program), check=True, timeout=60)


@pytest.mark.parametrize("text", [None, "", "search example.org\n", "nameserver dns.example.org\n", "\xff"])
def test_a_system_without_resolvers_is_a_fact_not_a_crash(resolv_conf: Path, text: str | None) -> None:
    if text is not None:
        resolv_conf.write_text(text, "latin-1")
    found = asyncio.run(make_stub(Options()).lookup("example.org", "MX"))
    assert found.status is LookupStatus.UNREACHABLE
    assert (found.detail or "").startswith("no resolver is configured")
