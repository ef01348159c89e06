"""Where a reply ends, what it says, and how it departs from the grammar."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtpprobe.evidence import MAX_REPLY_BYTES, Irregularity, Reply
from smtpprobe.replies import Capability, capabilities, greeting_domain, parse_regular, parse_reply, reply_end

# --- where it ends --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "first"),
    [
        (b"220 ready\r\n", b"220 ready\r\n"),
        (b"220\r\n", b"220\r\n"),
        (b"220 \r\n", b"220 \r\n"),
        (b"220ready\r\n", b"220ready\r\n"),
        (b"220 ready\n", b"220 ready\n"),
        (b"250-a\r\n250-b\r\n250 c\r\n", b"250-a\r\n250-b\r\n250 c\r\n"),
        (b"250-a\r\n250-\r\n250\r\n", b"250-a\r\n250-\r\n250\r\n"),
        (b"250-a\n250 b\n221 c\n", b"250-a\n250 b\n"),
        (b"250 a\r\n250-b\r\n", b"250 a\r\n"),
        (b"250-a\r\n550 b\r\n", b"250-a\r\n550 b\r\n"),
        (b"250-a\r\nwhat\r\n\r\n250 b\r\nmore\r\n", b"250-a\r\nwhat\r\n\r\n250 b\r\n"),
        (b"SSH-2.0-OpenSSH_9.2\r\n220 x\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"),
        (b"2200 four digits\r\n", b"2200 four digits\r\n"),
        (b"22\r\n", b"22\r\n"),
        (b"\r\n220 after an empty line\r\n", b"\r\n220 after an empty line\r\n"),
        (b"999 out of range\r\n", b"999 out of range\r\n"),
        (b"220 bare\rcr\r\n", b"220 bare\rcr\r\n"),
        (b"220-a\r220 b\r\n220 c\r\n", b"220-a\r220 b\r\n220 c\r\n"),
    ],
)
def test_a_reply_ends_with_its_first_line_without_hyphen(stream: bytes, first: bytes) -> None:
    end = reply_end(stream)
    assert end is not None
    assert stream[:end] == first


@pytest.mark.parametrize(
    "stream", [b"", b"2", b"220", b"220 ready", b"220 ready\r", b"220-ready\r\n", b"250-a\r\nwhat\r\n", b"\r\n\n\r\n"]
)
def test_a_reply_without_a_last_line_has_no_end(stream: bytes) -> None:
    assert reply_end(stream) is None


def test_a_reply_may_begin_in_the_middle_of_a_buffer() -> None:
    buffer = bytearray(b"250 one\r\n250-two\r\n250 three\r\n")
    assert reply_end(buffer, 9) == len(buffer)


def frame_piecewise(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    """Frame a stream as it comes, resuming where the last call stopped, as a connection does."""
    buffer, replies, resume = bytearray(), [], 0
    for piece in pieces:
        buffer += piece
        while (end := reply_end(buffer, 0, resume)) is not None:
            replies.append(bytes(buffer[:end]))
            del buffer[:end]
            resume = 0
        resume = buffer.rfind(b"\n") + 1
    return replies, bytes(buffer)


lines = st.one_of(
    st.tuples(
        st.sampled_from([b"250", b"220", b"421", b"2500", b"25", b"", b"999", b"2x0"]),
        st.sampled_from([b"-", b" ", b"", b"x", b"\t", b"\0"]),
        st.sampled_from([b"", b"ok", b"\xff\xfe", b"4.7.0 later", "grüß".encode(), b"\x1b[2J", b"a\rb"]),
        st.sampled_from([b"\r\n", b"\n", b"\r", b"\r\r\n", b""]),
    ).map(b"".join),
    st.binary(max_size=20),
)
streams = st.lists(lines, max_size=8).map(b"".join)


@given(stream=streams, cuts=st.lists(st.integers(min_value=0, max_value=120), max_size=12))
@example(stream=b"\r\nwhat\r\n250 x\r\n", cuts=[1, 2, 3, 4])
def test_the_segmentation_of_a_stream_changes_nothing_and_no_byte_is_lost(stream: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[begin:end] for begin, end in pairwise(places)]
    whole, rest = frame_piecewise([stream])
    assert frame_piecewise(pieces) == (whole, rest)
    assert frame_piecewise([bytes([byte]) for byte in stream]) == (whole, rest)
    assert b"".join(whole) + rest == stream


# --- what it says ---------------------------------------------------------------------------------------------------


@given(raw=st.one_of(streams, st.binary(max_size=300)))
def test_parsing_never_raises_and_loses_no_byte(raw: bytes) -> None:
    reply = parse_reply(raw)
    assert reply.raw == raw
    assert len(reply.lines) == raw.count(b"\n") + (not raw.endswith(b"\n") and bool(raw))
    position = 0
    for text in reply.lines:
        if "\\x" not in text:  # what is not UTF-8 stands there in another form
            position = raw.index(text.encode(), position)
    capabilities(reply)
    greeting_domain(reply)


@given(raw=streams)
def test_a_reply_that_has_no_irregularity_follows_the_grammar(raw: bytes) -> None:
    end = reply_end(raw)
    reply = parse_reply(raw if end is None else raw[:end])
    if reply.irregularities:
        return
    assert reply.raw == raw[:end]
    assert reply.code is not None
    rebuilt = [f"{reply.code}-{text}\r\n" for text in reply.lines[:-1]] + [f"{reply.code} {reply.lines[-1]}\r\n"]
    assert "".join(rebuilt).encode() == reply.raw


@given(raw=streams)
def test_reading_at_once_finds_what_framing_and_reading_finds(raw: bytes) -> None:
    reply = parse_regular(raw)
    if reply is not None:
        assert reply_end(raw) == len(raw)
        assert reply == parse_reply(raw)


def test_two_replies_are_not_read_as_one() -> None:
    assert parse_regular(b"250 one\r\n250 two\r\n") is None
    assert parse_regular(b"250-one\r\n250 two\r\n") is not None
    assert parse_regular(b"250-one\r\n550 two\r\n") is None


def test_a_reply_of_several_lines_is_read() -> None:
    raw = b"250-mail.example.org Hello\r\n250-SIZE 1000\r\n250-\r\n250 DSN\r\n"
    assert parse_reply(raw) == Reply(raw=raw, code=250, lines=("mail.example.org Hello", "SIZE 1000", "", "DSN"))


@pytest.mark.parametrize(
    ("raw", "code", "lines", "irregularities"),
    [
        (b"", None, (), {"no-terminator"}),
        (b"220 ok\n", 220, ("ok",), {"bare-lf"}),
        (b"220 a\rb\r\n", 220, ("a\rb",), {"bare-cr"}),
        (b"220 a\r\r\n", 220, ("a\r",), {"bare-cr"}),
        (b"220 ok", 220, ("ok",), {"no-terminator"}),
        (b"220 ok\r", 220, ("ok",), {"no-terminator"}),
        (b"220-ok\r\n", 220, ("ok",), {"incomplete"}),
        (b"220-ok\r\n22", 220, ("ok", "22"), {"no-terminator", "incomplete", "not-a-reply"}),
        (b"HTTP/1.1 400 Bad\r\n", None, ("HTTP/1.1 400 Bad",), {"not-a-reply"}),
        (b"2200 x\r\n", None, ("2200 x",), {"not-a-reply"}),
        (b"199 x\r\n", 199, ("x",), {"code-out-of-range"}),
        (b"560 x\r\n", 560, ("x",), {"code-out-of-range"}),
        (b"000 x\r\n", 0, ("x",), {"code-out-of-range"}),
        (b"250-a\r\n550 b\r\n", 250, ("a", "b"), {"mixed-codes"}),
        (b"250ok\r\n", 250, ("ok",), {"no-separator"}),
        (b"250\tok\r\n", 250, ("\tok",), {"no-separator"}),
        (b"250\r\n", 250, ("",), {"no-text"}),
        (b"250 \r\n", 250, ("",), set()),
        (b"\r\n250 x\r\n", 250, ("", "x"), {"empty-line"}),
        (b"250 a\0b\r\n", 250, ("a\0b",), {"nul"}),
        (b"250 \x1b[2J\r\n", 250, ("\x1b[2J",), {"control"}),
        (b"250 \x7f\r\n", 250, ("\x7f",), {"control"}),
        ("250 grüß\r\n".encode(), 250, ("grüß",), {"not-ascii"}),
        (b"250 gr\xfc\xdf\r\n", 250, ("gr\\xfc\\xdf",), {"invalid-utf8"}),
        (b"250 " + b"x" * 506 + b"\r\n", 250, ("x" * 506,), set()),
        (b"250 " + b"x" * 507 + b"\r\n", 250, ("x" * 507,), {"long-line"}),
        (b"250ok " + b"x" * 507 + b"\r\n", 250, ("ok " + "x" * 507,), {"no-separator", "long-line"}),
        (b"250-a\r\nwhat\r\n250 b\r\n", 250, ("a", "what", "b"), {"not-a-reply"}),
        (b"what\r\n250 b\r\n", 250, ("what", "b"), {"not-a-reply"}),
    ],
)
def test_what_departs_from_the_grammar_is_named(
    raw: bytes, code: int | None, lines: tuple[str, ...], irregularities: set[str]
) -> None:
    reply = parse_reply(raw)
    assert (reply.raw, reply.code, reply.lines) == (raw, code, lines)
    assert set(reply.irregularities) == irregularities
    assert list(reply.irregularities) == sorted(reply.irregularities, key=list(Irregularity).index)


@pytest.mark.parametrize(
    ("raw", "enhanced"),
    [
        (b"250 2.1.0 ok\r\n", "2.1.0"),
        (b"550 5.7.1\r\n", "5.7.1"),
        (b"421-4.7.0 try\r\n421 4.7.0 later\r\n", "4.7.0"),
        (b"550-see below\r\n550 5.1.1 unknown\r\n", "5.1.1"),
        (b"550 5.7.1: relaying\r\n", "5.7.1"),
        (b"550 5.7.1. Relaying\r\n", "5.7.1"),
        (b"550 #5.1.0 refused\r\n", "5.1.0"),
        (b"550 5.7.133 refused\r\n", "5.7.133"),
        (b"550 5.135.1.2 is an address\r\n", None),
        (b"220 2.3.4-mail.example.org\r\n", None),
        (b"550 3.1.1 no such class\r\n", None),
        (b"550 5.7 short\r\n", None),
        (b"550 refused 5.7.1\r\n", None),
        (b"550 5.7.1x\r\n", None),
        ("550 5.7.١ other digits\r\n".encode(), None),
    ],
)
def test_the_enhanced_code_stands_at_the_beginning_of_a_line(raw: bytes, enhanced: str | None) -> None:
    assert parse_reply(raw).enhanced == enhanced


def test_a_reply_over_the_limit_is_cut_and_says_so() -> None:
    raw = b"250-" + b"x" * 100 + b"\r\n"
    reply = parse_reply(raw * 1000)
    assert reply.raw == (raw * 1000)[:MAX_REPLY_BYTES]
    assert (reply.code, reply.irregularities) == (250, (Irregularity.TOO_LONG,))
    within_a_code = parse_reply(b"250-" + b"x" * (MAX_REPLY_BYTES - 8) + b"\r\n250 x\r\n")
    assert within_a_code.irregularities == (Irregularity.LONG_LINE, Irregularity.TOO_LONG)
    whole = b"250 " + b"x" * (MAX_REPLY_BYTES - 6) + b"\r\n"
    assert parse_reply(whole).irregularities == (Irregularity.LONG_LINE,)


@pytest.mark.parametrize("unit", [b"\n", b"\r", b"\0", b"250-\r\n", b"250-", b"5.7.", b"\xff", b"2", b"250-a\r\n251 "])
def test_time_is_linear_in_hostile_bytes(unit: bytes) -> None:
    raw = unit * (2 * MAX_REPLY_BYTES // len(unit))  # a quadratic step would take minutes
    assert parse_reply(raw[:MAX_REPLY_BYTES]).raw == parse_reply(raw).raw
    frame_piecewise([raw])


def test_a_character_that_the_cut_divides_is_not_called_invalid() -> None:
    raw = b"250-" + b"x" * (MAX_REPLY_BYTES - 5) + "ü".encode()
    assert Irregularity.INVALID_UTF8 not in parse_reply(raw).irregularities
    assert Irregularity.INVALID_UTF8 in parse_reply(raw[:MAX_REPLY_BYTES]).irregularities


# --- what the texts mean --------------------------------------------------------------------------------------------


def test_capabilities_are_the_lines_after_the_first() -> None:
    reply = parse_reply(
        b"250-mail.example.org Hello\r\n250-SIZE 1000\r\n250-Auth  LOGIN\tPLAIN \r\n250-AUTH=LOGIN PLAIN\r\n250-X=\r\n"
        b"250-\r\n250 dsn\r\n"
    )
    assert capabilities(reply) == (
        Capability(keyword="SIZE", parameters=("1000",)),
        Capability(keyword="Auth", parameters=("LOGIN", "PLAIN")),
        Capability(keyword="AUTH=", parameters=("LOGIN", "PLAIN")),
        Capability(keyword="X="),
        Capability(keyword="dsn"),
    )


@pytest.mark.parametrize("raw", [b"250 mail.example.org\r\n", b"502-no\r\n502 STARTTLS\r\n", b"what\r\n"])
def test_a_refusal_or_a_single_line_lists_no_capability(raw: bytes) -> None:
    assert capabilities(parse_reply(raw)) == ()


def test_a_line_without_code_is_no_capability() -> None:
    reply = parse_reply(b"warning: disk full\r\n250-mail.example.org\r\nwarning\r\n250 SIZE\r\n")
    assert capabilities(reply) == (Capability(keyword="SIZE"),)


@pytest.mark.parametrize(
    ("raw", "domain"),
    [
        (b"220 mail.example.org ESMTP Postfix\r\n", "mail.example.org"),
        (b"220-MX_1.Example.org. ready\r\n220 go\r\n", "MX_1.Example.org."),
        (b"220 [192.0.2.1] ready\r\n", "[192.0.2.1]"),
        (b"220 [IPv6:2001:db8::1]\r\n", "[IPv6:2001:db8::1]"),
        (b"220 localhost\r\n", "localhost"),
        (b"220 ***************\r\n", None),
        (b"220 -mail.example.org\r\n", None),
        (b"220\r\n", None),
        (b"220 \r\n", None),
        (b"421 mail.example.org closing\r\n", None),
        (b"what\r\n", None),
    ],
)
def test_the_greeting_begins_with_the_name_of_the_server(raw: bytes, domain: str | None) -> None:
    assert greeting_domain(parse_reply(raw)) == domain
