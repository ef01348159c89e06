"""How single values of an expectation are written, each with a reader that says what it should have been."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple, cast

from smtpprobe.durations import parse_duration
from smtpprobe.errors import OptionError
from smtpprobe.evidence import Phase, Question, Reply, Role
from smtpprobe.names import to_ascii

NULL_MX: Final = "."
"""RFC 7505: the domain takes no mail."""

VERBS: Final = ("noop", "help", "vrfy", "mail", "rcpt")
"""What can be asked: commands that neither deliver nor try a credential."""

_MX: Final = re.compile(r"(?:(\d{1,5})\s+)?(\S+)")
_CODE: Final = re.compile(r"([2-5](?:\d\d|\dx|xx))(?:\s+([245]\.\d{1,3}\.\d{1,3}))?")
_ADDRESS: Final = re.compile(r"[!#-;=?A-Z\[\]^-~]+@[A-Za-z0-9.:\[\]-]+")
"""RFC 5321 4.1.2, without quoted local parts: nothing in it can end the command or its angle brackets."""
_WORD: Final = re.compile(r"[!-~]+(?: [!-~]+)*")


class WantedMx(NamedTuple):
    """One MX record as expected."""

    preference: int | None
    """None: any."""
    host: str


class WantedCode(NamedTuple):
    """One kind of reply that is as expected."""

    code: str
    """Three characters, ``x`` for any digit."""
    enhanced: str | None


class WantedReply(NamedTuple):
    """A question and the replies that are as expected."""

    question: Question
    codes: tuple[WantedCode, ...]
    text: str
    """The question as it was written."""

    @property
    def codes_text(self) -> str:
        """The codes as they are written."""
        return " | ".join(" ".join(filter(None, each)) for each in self.codes)


def seconds(value: float | str) -> float:
    """Read a duration.

    Raises:
        OptionError: it is none.
    """
    return parse_duration(str(value))


def parse_mx(text: str) -> WantedMx:
    """Read ``mx1.example.org`` or ``10 mx1.example.org``.

    Raises:
        OptionError: it is neither.
    """
    found = _MX.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError("a host name is expected")
        host = NULL_MX if found[2] == NULL_MX else to_ascii(found[2])
    except ValueError as error:
        raise OptionError(
            f"{text!r} is no MX host: {error}; write it as mx1.example.org or 10 mx1.example.org"
        ) from error
    return WantedMx(int(found[1]) if found[1] else None, host)


def parse_reply_wanted(text: str, role: Role | None = None) -> WantedReply:
    """Read ``rcpt me@example.org -> 250``.

    Raises:
        OptionError: there is no arrow, the command is none that is asked, or a code is none.
    """
    hint = "write it as 'rcpt me@example.org -> 250', 'vrfy postmaster -> 252' or 'noop -> 2xx'"
    asked, arrow, codes = text.partition("->")
    if not arrow:
        raise OptionError(f"{text!r}: the arrow before the code is missing; {hint}")
    verb, _, argument = asked.strip().partition(" ")
    verb, argument = verb.lower(), argument.strip()
    if verb not in VERBS:
        raise OptionError(f"{text!r}: {verb!r} is not asked; {', '.join(VERBS)} are; {hint}")
    return WantedReply(
        Question(
            verb=cast('Literal["noop", "help", "vrfy", "mail", "rcpt"]', verb),
            argument=_argument(verb, argument),
            role=role,
        ),
        tuple(_code(each, text, hint) for each in codes.split("|")),
        f"{verb} {argument}".strip(),
    )


def parse_address(text: str) -> str:
    """Read a mail address for MAIL or RCPT; ``<>`` or nothing is the null sender.

    Raises:
        OptionError: it is none that can be sent without extensions.
    """
    bare = text.removeprefix("<").removesuffix(">").strip()
    if bare and not (_ADDRESS.fullmatch(bare) and bare.isascii()):
        raise OptionError(f"{text!r} is no mail address in ASCII, such as me@example.org")
    return bare


def _argument(verb: str, argument: str) -> str:
    if verb in ("mail", "rcpt"):
        address = parse_address(argument)
        if not address and verb == "rcpt":
            raise OptionError(f"{verb}: a mail address is missing")
        return address
    if argument and not _WORD.fullmatch(argument):
        raise OptionError(f"{argument!r} cannot be asked: it has characters outside ASCII")
    if verb == "vrfy" and not argument:
        raise OptionError("vrfy: whom to verify is missing, as in 'vrfy postmaster -> 252'")
    return argument


def _code(text: str, whole: str, hint: str) -> WantedCode:
    found = _CODE.fullmatch(text.strip())
    if found is None:
        raise OptionError(f"{whole!r}: {text.strip()!r} is no reply code; {hint}")
    return WantedCode(found[1], found[2])


def fits(reply: Reply, codes: tuple[WantedCode, ...]) -> bool:
    """Tell whether a reply is one of those that are expected."""
    code = f"{reply.code or '---'}"
    return any(
        all(wanted in ("x", digit) for wanted, digit in zip(each.code, code, strict=True))
        and each.enhanced in (None, reply.enhanced)
        for each in codes
    )


def reply_text(reply: Reply, phase: Phase, asked: str) -> str:
    """Write code and enhanced code, with the step where it is another than the one that was asked about."""
    text = " ".join(filter(None, (str(reply.code or "-"), reply.enhanced)))
    return text if asked.startswith(phase.value) else f"{text} ({phase.value})"


def is_keyword(text: str) -> bool:
    """Tell whether a text can be the keyword of an extension (RFC 5321 4.1.1.1: ehlo-keyword)."""
    return re.fullmatch("[A-Za-z0-9][A-Za-z0-9-]*", text) is not None


def is_mechanism(text: str) -> bool:
    """Tell whether a text can be the name of an AUTH mechanism (RFC 4422 3.1), in capitals or not."""
    return re.fullmatch("[A-Za-z0-9_-]{1,20}", text) is not None
