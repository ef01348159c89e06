"""What is said in a session: summed up once for all the sessions in which the same is said, which are many.

Pure. What differs between two such sessions is where they were held, how long they took, and what TLS showed.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from smtpprobe.checks.ehlo import unknown_to
from smtpprobe.checks.greeting import is_public
from smtpprobe.evidence import Exchange, Failure, Phase, Reply
from smtpprobe.names import is_hostname
from smtpprobe.reference import identify
from smtpprobe.replies import capabilities, greeting_domain
from smtpprobe.scan.results import MAX_TEXT

KEPT: Final = 1_024
"""So many are kept; a transcript with its replies takes some 5 kB."""

MAX_COMMON_BYTES: Final = 8 * 1024
"""What is longer, as somebody who wants to keep us busy may be, nobody else says, and none of it is kept."""

_SUCCESS: Final = frozenset((2, 3))
_HELLOS: Final = (Phase.EHLO, Phase.HELO)
_DIGITS: Final = re.compile(r"\d+")


class Transcript(NamedTuple):
    """What was said."""

    reached: Phase
    """The last step that went well; `Phase.CONNECT` where not even the greeting did."""
    refused: tuple[Phase, Reply] | None
    """The first refusal; None where nothing was refused."""
    is_put_off: bool
    """A reply was 4yz: the server wants to be left alone for now."""
    greeting: str | None
    """Its first line, at most `MAX_TEXT` characters."""
    software: str | None
    provider: str | None
    keywords: tuple[str, ...]
    """Of the last reply to EHLO, in upper case."""
    starttls: bool | None
    """Offered; None where no EHLO was answered without TLS."""
    names: frozenset[str]
    """The public names by which the server introduces itself."""
    shape: bytes | None
    """A digest of all in it that the checks turn on; None where anything is out of the ordinary."""


def transcript_of(exchanges: Sequence[Exchange]) -> Transcript:
    """Sum up what was said."""
    said = tuple([(each.phase, each.outcome, each.over_tls) for each in exchanges])
    length = 0
    for _, outcome, _ in said:
        length += len(outcome.partial if isinstance(outcome, Failure) else outcome.raw)
    return _read(said) if length <= MAX_COMMON_BYTES else _read.__wrapped__(said)


@lru_cache(maxsize=KEPT)
def _read(exchanges: tuple[tuple[Phase, Reply | Failure, bool], ...]) -> Transcript:
    reached, refused, is_put_off = Phase.CONNECT, None, False
    greeting = first_hello = hello = plain_hello = None
    shapes: list[Hashable] | None = []
    for phase, reply, over_tls in exchanges:
        if isinstance(reply, Failure):
            shapes = None
            break
        digit = (reply.code or 0) // 100
        if digit in _SUCCESS:
            reached = phase
        elif refused is None:
            refused = phase, reply
        is_put_off = is_put_off or digit == 4
        if phase is Phase.GREETING:
            greeting = reply
        elif phase in _HELLOS and reply.code == 250:
            hello = reply
            first_hello = first_hello or reply
            plain_hello = plain_hello if over_tls else reply
        if digit != 2 or reply.irregularities:
            shapes = None
        elif shapes is not None:
            shapes.append((phase, *_shape_of_reply(phase, reply), over_tls))
    name = "" if greeting is None else greeting_domain(greeting) or ""
    software, provider = (None, None) if greeting is None else _named(greeting, name, hello)
    names = (_own_name(name), "" if first_hello is None else _own_name(_first_word(first_hello.lines[0])))
    return Transcript(
        reached=reached,
        refused=refused,
        is_put_off=is_put_off,
        greeting=None if greeting is None or not greeting.lines else greeting.lines[0][:MAX_TEXT],
        software=software,
        provider=provider,
        keywords=() if hello is None else _keywords(hello.lines[1:]),
        starttls=None if plain_hello is None else "STARTTLS" in _keywords(plain_hello.lines[1:]),
        names=frozenset(filter(None, names)),
        shape=digest((unknown_to(software), *shapes)) if shapes else None,
    )


def digest(shape: Hashable) -> bytes:
    """A shape in 16 bytes, as it is kept and compared."""
    return blake2b(msgspec.msgpack.encode(shape), digest_size=16).digest()


def _shape_of_reply(phase: Phase, reply: Reply) -> tuple[Hashable, ...]:
    if phase is Phase.GREETING:
        return reply.code, len(reply.lines), _shape_of_name(greeting_domain(reply) or "")
    if phase is Phase.EHLO:
        name = _first_word(reply.lines[0]) or _first_word(reply.text)
        return reply.code, _shape_of_name(name), reply.lines[1:]
    return reply.code, reply.enhanced


def _shape_of_name(name: str) -> tuple[bool, bool, bool]:
    """What is looked at in the name by which a server introduces itself."""
    if not name:
        return False, False, False
    return True, is_public(name), name.replace("-", "").replace(".", "").isalnum()


def _own_name(word: str) -> str:
    """A public name by which a server introduces itself, as `server_names.own_names` takes it; empty for any other."""
    name = word.lower().rstrip(".")
    return name if name and is_hostname(name) and is_public(name) else ""


def _first_word(text: str) -> str:
    words = text.split(maxsplit=1)
    return words[0] if words else ""


# --- what servers say alike but for their names ---------------------------------------------------------------------


def _named(greeting: Reply, name: str, hello: Reply | None) -> tuple[str | None, str | None]:
    # A queue id or the time changes with every session and names no software; what does is the same words.
    words = _DIGITS.sub("0", greeting.lines[0]) if greeting.lines else ""
    if name:
        _, _, words = words.partition(" ")
    more, keywords = greeting.lines[1:3], () if hello is None else hello.lines[1:]
    identified = _identified if _is_short((words, *more, *keywords)) else _identified.__wrapped__
    return identified(words, more, keywords)


@lru_cache(maxsize=4096)
def _identified(first: str, more: tuple[str, ...], keywords: tuple[str, ...]) -> tuple[str | None, str | None]:
    def said(code: int, lines: Sequence[str]) -> Reply:
        return Reply(raw=b"", code=code, lines=tuple(lines))

    found = identify(
        said(220, (f"host.invalid {first}", *more)),
        said(250, ("host.invalid", *keywords)) if keywords else None,
    )
    return (None, None) if found is None else (found.product, found.provider)


def _keywords(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The keywords of a reply to EHLO, whose first line, which is another for each server, is left out."""
    return _read_keywords(lines) if _is_short(lines) else _read_keywords.__wrapped__(lines)


@lru_cache(maxsize=4096)
def _read_keywords(lines: tuple[str, ...]) -> tuple[str, ...]:
    read = capabilities(Reply(raw=b"", code=250, lines=("", *lines)))
    return tuple(dict.fromkeys(each.keyword.upper()[:MAX_TEXT] for each in read))[:64]


def _is_short(lines: Sequence[str]) -> bool:
    return sum(map(len, lines)) <= MAX_COMMON_BYTES
