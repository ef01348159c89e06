"""Servers that are odd from their first word on."""

from __future__ import annotations

from typing import Final

from smtpprobe.lab.scenarios.model import ERROR, INFO, LOST, OPEN, WARNING, Part, Scenario, Stage, collect_plays
from smtpprobe.lab.scripted import Close, Dribble, Flood, HalfClose, Hold, Reset, Serve, Stall

GREET_PAUSE_S: Final = 0.2
"""Between the lines of a greeting that tests its client; real servers wait some six seconds."""
DRIBBLE_PAUSE_S: Final = 0.1
"""Between two bytes."""
DRIBBLE_BYTES: Final = 1000
"""At this pace longer than anybody waits by default."""

BAD_SEQUENCE: Final = Serve({"QUIT": b"221 2.0.0 Bye\r\n"}, otherwise=b"503 5.5.1 Bad sequence of commands\r\n")
"""RFC 5321 3.1: after a refusal in the greeting, everything but QUIT is answered so."""

_SCENARIOS, scenario = collect_plays()


# --- refusals -------------------------------------------------------------------------------------------------------


@scenario(finds={"temporarily-refused": OPEN})
def greeting_421(stage: Stage) -> Part:
    """Greets with 421 and hangs up: no service just now."""
    return (f"421 4.3.2 {stage.host} Service not available, closing transmission channel\r\n".encode(), Close())


@scenario(finds={"rate-limited": OPEN})
def too_many_connections(stage: Stage) -> Part:
    """Greets with 421: too many connections from this client."""
    return (f"421 4.7.0 {stage.host} Error: too many connections from your address\r\n".encode(), Close())


@scenario(finds={"rate-limited": OPEN})
def rate_limited(stage: Stage) -> Part:
    """Greets with 421: the client is to slow down."""
    return (f"421 4.7.0 {stage.host} Rate limit exceeded, try again later\r\n".encode(), Close())


@scenario(finds={"greylisted": OPEN})
def greylisted(stage: Stage) -> Part:
    """Greets with 450: unknown client, welcome in five minutes."""
    return (b"450 4.7.1 Greylisted, please try again in 300 seconds\r\n", BAD_SEQUENCE)


@scenario(finds={"host-accepts-no-mail": ERROR} | LOST)
def greeting_521(stage: Stage) -> Part:
    """Greets with 521: the host takes no mail at all."""
    return (f"521 {stage.host} does not accept mail\r\n".encode(), Close())


@scenario(finds={"greeting-refused": ERROR} | LOST)
def greeting_554(stage: Stage) -> Part:
    """Greets with 554 and answers everything but QUIT with 503."""
    return (b"554 5.3.0 Transaction failed\r\n", BAD_SEQUENCE)


@scenario(finds={"client-refused": OPEN})
def blocklisted(stage: Stage) -> Part:
    """Greets with 554: the client's address stands on a blocklist."""
    return (b"554 5.7.1 Service unavailable; client host [127.0.0.1] blocked using bl.lab.test\r\n", BAD_SEQUENCE)


# --- no greeting ----------------------------------------------------------------------------------------------------


@scenario(finds={"greeting-timeout": OPEN}, is_stalling=True)
def greeting_silent(stage: Stage) -> Part:
    """Takes the connection and never says a word."""
    return (Stall(),)


@scenario(finds={"greeting-closed": ERROR} | LOST)
def greeting_closed(stage: Stage) -> Part:
    """Takes the connection and closes it at once."""
    return (Close(),)


@scenario(finds={"greeting-closed": ERROR} | LOST)
def greeting_reset(stage: Stage) -> Part:
    """Takes the connection and cuts it with RST at once."""
    return (Reset(),)


@scenario(finds={"greeting-closed": ERROR, "reply-no-terminator": INFO} | LOST)
def greeting_cut(stage: Stage) -> Part:
    """Closes in the middle of the greeting's line."""
    return (f"220 {stage.host} ESM".encode(), Close())


@scenario(finds={"greeting-closed": ERROR, "reply-incomplete": INFO} | LOST)
def greeting_incomplete(stage: Stage) -> Part:
    """Announces another line of the greeting and closes."""
    return (f"220-{stage.host} ESMTP\r\n".encode(), Close())


@scenario(finds={"tarpit-suspected": OPEN}, is_stalling=True)
def dribble(stage: Stage) -> Part:
    """Sends a long greeting byte by byte."""
    text = f"220-{stage.host} ".encode() + b"still there " * (DRIBBLE_BYTES // 12) + b"\r\n" + stage.greeting
    return (Dribble(text, DRIBBLE_PAUSE_S), stage.serve())


@scenario(finds={"reply-too-long": ERROR, "greeting-multiline": INFO} | LOST)
def greeting_endless(stage: Stage) -> Part:
    """Greets with one continuation line after the other, without end."""
    return (Flood(f"220-{stage.host} and more to come\r\n".encode() * 50),)


@scenario(finds={"reply-too-long": ERROR, "reply-long-line": INFO} | LOST)
def greeting_endless_line(stage: Stage) -> Part:
    """Greets with a line that never ends."""
    return (f"220 {stage.host} ".encode(), Flood(b"and on " * 500))


# --- something else -------------------------------------------------------------------------------------------------


@scenario(finds={"not-smtp": ERROR} | LOST)
def greeting_ssh(stage: Stage) -> Part:
    """Speaks SSH."""
    return (b"SSH-2.0-OpenSSH_9.2p1\r\n", Stall())


@scenario(finds={"not-smtp": ERROR} | LOST)
def greeting_http(stage: Stage) -> Part:
    """Speaks HTTP."""
    return (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", Close())


@scenario(finds={"not-smtp": ERROR} | LOST)
def greeting_binary(stage: Stage) -> Part:
    """Sends binary data."""
    return (bytes(range(128, 256)) + b"\x00\x01\x02\n" + bytes(range(32)), Close())


@scenario(finds={"not-smtp": ERROR} | LOST)
def greeting_no_code(stage: Stage) -> Part:
    """Greets without a code."""
    return (f"{stage.host} at your service\r\n".encode(), stage.serve())


@scenario(finds={"greeting-unexpected-code": WARNING})
def greeting_250(stage: Stage) -> Part:
    """Greets with 250 instead of 220."""
    return (f"250 {stage.host} ESMTP\r\n".encode(), stage.serve())


# --- malformed ------------------------------------------------------------------------------------------------------


@scenario(finds={"greeting-multiline": INFO})
def greeting_slow_lines(stage: Stage) -> Part:
    """Sends half a greeting and looks whether the client waits for the rest, as postscreen does."""
    return (f"220-{stage.host} ESMTP\r\n".encode(), Hold(at_most_s=GREET_PAUSE_S), stage.greeting, stage.serve())


@scenario(finds={"reply-mixed-codes": WARNING, "greeting-multiline": INFO})
def greeting_mixed_codes(stage: Stage) -> Part:
    """Greets with two lines of different codes."""
    return (f"220-{stage.host} ESMTP\r\n250 at your service\r\n".encode(), stage.serve())


@scenario(finds={"reply-bare-lf": WARNING})
def greeting_bare_lf(stage: Stage) -> Part:
    """Ends the greeting's line with LF alone."""
    return (f"220 {stage.host} ESMTP\n".encode(), stage.serve())


@scenario(finds={"reply-bare-cr": WARNING})
def greeting_bare_cr(stage: Stage) -> Part:
    """Has a CR in the middle of the greeting."""
    return (f"220 {stage.host} ESMTP\rready\r\n".encode(), stage.serve())


@scenario(finds={"reply-nul": WARNING})
def greeting_nul(stage: Stage) -> Part:
    """Has a NUL in the greeting."""
    return (f"220 {stage.host} ESMTP \0\r\n".encode(), stage.serve())


@scenario(finds={"reply-invalid-utf8": INFO})
def greeting_invalid_utf8(stage: Stage) -> Part:
    """Greets in Latin-1."""
    return (f"220 {stage.host} ESMTP caf\xe9\r\n".encode("latin-1"), stage.serve())


@scenario(finds={"reply-not-ascii": INFO})
def greeting_utf8(stage: Stage) -> Part:
    """Greets in UTF-8."""
    return (f"220 {stage.host} ESMTP caf\xe9\r\n".encode(), stage.serve())


@scenario(finds={"reply-no-text": INFO, "greeting-without-name": INFO})
def greeting_no_text(stage: Stage) -> Part:
    """Greets with the code alone."""
    return (b"220\r\n", stage.serve())


@scenario(finds={"reply-no-separator": WARNING})
def greeting_no_separator(stage: Stage) -> Part:
    """Has no blank between code and text."""
    return (f"220{stage.host} ESMTP\r\n".encode(), stage.serve())


@scenario(finds={"reply-long-line": INFO})
def greeting_long_line(stage: Stage) -> Part:
    """Greets with a line of over 512 bytes."""
    return (f"220 {stage.host} ESMTP {'x' * 600}\r\n".encode(), stage.serve())


@scenario(finds={"reply-control": WARNING, "reply-not-ascii": INFO})
def greeting_escape_sequences(stage: Stage) -> Part:
    """Greets with sequences that would clear a terminal, rename its window and reverse its text."""
    return (f"220 {stage.host} \x1b[2J\x1b]0;owned\x07\u202egnp.exe\u2066\x9b31m\r\n".encode(), stage.serve())


@scenario(finds={"server-name-not-public": INFO})
def greeting_private_name(stage: Stage) -> Part:
    """Greets as localhost.localdomain."""
    return (b"220 localhost.localdomain ESMTP\r\n", stage.serve())


# --- gone after it --------------------------------------------------------------------------------------------------


@scenario(finds={"connection-closed": ERROR} | LOST)
def greeting_then_close(stage: Stage) -> Part:
    """Greets and closes."""
    return (stage.greeting, Close())


@scenario(finds={"connection-closed": ERROR} | LOST)
def half_closed(stage: Stage) -> Part:
    """Greets, closes its half of the connection, and goes on listening."""
    return (stage.greeting, HalfClose(), Stall())


SCENARIOS: Final[tuple[Scenario, ...]] = tuple(_SCENARIOS)
