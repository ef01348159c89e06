"""Replies as people and programs hand them on: pasted from a log, a bounce or a terminal, not off the wire.

Line ends may be gone or written as ``\\n``, the lines of one reply may stand behind each other with their codes, and a
mail program may have put ``smtp;`` or "said:" before, a line of a log, or the prose of a bounce. `read_reply`
finds code, enhanced code and text all the same. Pure, linear, never raises.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from smtpprobe.reference.plain import ENHANCED, LEADING

MAX_CHARACTERS: Final = 16 * 1024
"""Characters. The rest of a longer text is left off; real replies have a few hundred."""


class ReadReply(NamedTuple):
    """A reply, taken apart."""

    code: int | None
    enhanced: str | None
    lines: tuple[str, ...]
    """The texts of the lines without code and separator, as in `evidence.Reply`."""
    has_mixed_codes: bool
    """Lines have different basic codes."""
    phase: str | None
    """Where the reply was met, where the program that quotes it says so: a value of `evidence.Phase`."""


_CODE_LINE: Final = re.compile(r"\s*(?P<code>[0-9]{3})(?:[ \t-]+|$)(?P<text>.*)", re.DOTALL)
_PREFIX: Final = re.compile(
    r"""
      \s*(?:(?:remote-)?(?:diagnostic-code|status):\s*)?(?:x-\w{1,20}|smtp)\s*;\s*(?=[0-9]{3}[ -])
    | [^\n]{0,200}?\bsaid:\s*(?=[2-5][0-9]{2}[ -])
    | (?!\s*[0-9]{3}(?:[ \t-]|$)) [^\n]{0,300}? (?:
          \brefused\ to\ talk\ to\ me:\s* (?=[2-5][0-9]{2}[ -])
        | \berror\ from\ remote\ mail(?:er|\ server)\b [^\n]{0,200}? :\s* (?=[2-5][0-9]{2}[ -])
        | (?<![\w.@+-]) (?=(?P<class>[245])[0-9]{2}[ -]\#?(?P=class)\.[0-9]{1,3}\.[0-9]{1,3}(?![\w.]))
      )
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""What programs put before a reply in logs and bounces (RFC 3464 2.3.6). Whatever it is, a basic and an enhanced code
of one class that follow each other begin a reply."""
_AFTER: Final = re.compile(
    r"\bafter (?:pipelined |sending )?"
    r"(initial connection|mail from|rcpt to|data block|end of data|data|ehlo|helo|starttls|auth|quit)\b",
    re.IGNORECASE,
)
"""How Exim says where it met the reply that it quotes."""
_IN_REPLY_TO: Final = re.compile(r"\s*\(in\s+reply\s+to\s+([a-z\s]{3,40}?)(?:\s+command)?\)\s*$", re.IGNORECASE)
"""What Postfix puts behind a reply that it quotes."""
_REJECT: Final = r"\breject: (CONNECT|EHLO|HELO|MAIL|RCPT|DATA|END-OF-MESSAGE) from "
"""How Postfix says where it sent the reply itself."""
_REFUSED_TO_TALK: Final = r"(?i)refused to talk to me:\s*$"
"""How Postfix says that the reply was the greeting."""

# As text: `re` compiles an expression when it is first used, and most replies begin with their code.
_LOG: Final = (
    rf"(?s)\bdsn=(?P<enhanced>{ENHANCED}), (?:stat=(?P<sendmail>.+)|status=[a-z-]{{4,20}} \((?P<postfix>.+)\)\s*$)"
)
"""Where in their logs Sendmail and Postfix say what became of a message."""
_LOG_LINE: Final = (
    r"(?:[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}"  # RFC 3164 4.1.2
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}\S{0,16}) "  # RFC 5424 6.2.3, and Exim
)
"""How the line of a log begins."""
_EXIM_FAILS: Final = r"\S{8,40} (?:==|\*\*) "
"""What follows in Exim's log where mail has to wait or is returned, be it without a reply."""
_PYTHON: Final = r"""(?s)\((?P<code>[2-5][0-9]{2}), b?(?P<quote>['"])(?P<text>.*?)(?P=quote)"""
"""How a Python program shows what `smtplib` raised."""
_RAISED: Final = r"\bSMTP(Authentication|Connect|Data|Helo|Recipients|Sender)"
_PHASES_OF_PYTHON: Final = {
    "Authentication": "auth",
    "Connect": "greeting",
    "Data": "message",
    "Helo": "ehlo",
    "Recipients": "rcpt",
    "Sender": "mail",
}
_BEGINS: Final = re.compile(r"\s*[2-5][0-9]{2}[ \t-]")
_FIELD: Final = r"(?i)\s*(?:remote-)?diagnostic-code:"
_PHASES: Final = {
    "mail from": "mail",
    "rcpt to": "rcpt",
    "data": "data",
    "end of data": "message",
    "data block": "message",
    "mail": "mail",
    "rcpt": "rcpt",
    "end-of-message": "message",
    "initial connection": "greeting",
    "connect": "greeting",
    "ehlo": "ehlo",
    "helo": "helo",
    "starttls": "starttls",
    "auth": "auth",
    "quit": "quit",
}
_BETWEEN: Final = re.compile(rf"[ \t](?P<code>[2-5][0-9]{{2}})[- ]#?(?={ENHANCED}\s)")
"""Where another line of the reply began before the line ends got lost."""
_BARE_BETWEEN: Final = re.compile(r"[ \t](?P<code>[2-5][0-9]{2})-(?=[\w<\[(])")
_BRACKETED: Final = re.compile(rf"\(#(?P<enhanced>{ENHANCED})\)")
"""How qmail and its kin write enhanced codes."""
_INSIDE: Final = re.compile(rf"(?<![\w.])#?(?P<enhanced>{ENHANCED})(?![.\w])")


def read_reply(text: str) -> ReadReply:
    """Take a pasted reply apart.

    Args:
        text: one reply; line ends as they are or written ``\\\\n``. Beyond `MAX_CHARACTERS` it is cut.
    """
    text = text[:MAX_CHARACTERS]
    if "\\n" in text and "\n" not in text:
        text = text.replace("\\r\\n", "\n").replace("\\n", "\n")
    text, logged, phase = _unwrapped(text)
    prefix = _PREFIX.match(text)
    if prefix is not None:
        said_where = _AFTER.search(prefix[0]) or re.search(_REJECT, prefix[0])
        phase = _phase(said_where) or ("greeting" if re.search(_REFUSED_TO_TALK, prefix[0]) else phase)
        text = text[prefix.end() :]
    behind = _IN_REPLY_TO.search(text[-80:])
    if behind is not None:
        phase = _phase(behind)
        text = text[: len(text) - len(behind[0])]
    codes: list[int] = []
    lines: list[str] = []
    for line in text.splitlines() or [""]:
        begins = _CODE_LINE.match(line)
        if begins is None:
            lines.append(line.strip())
            continue
        codes.append(int(begins["code"]))
        for part in _split_joined(line.lstrip(), begins["code"]).split("\n"):
            found = _CODE_LINE.match(part)
            lines.append((found["text"] if found is not None else part).strip())
    enhanced = next((found["enhanced"] for line in lines if (found := LEADING.match(line))), None)
    if enhanced is None:
        enhanced = _enhanced_inside(" ".join(lines), codes[0] if codes else None) or logged
    return ReadReply(codes[0] if codes else None, enhanced, tuple(lines), len(set(codes)) > 1, phase)


def is_log_without_reply(text: str) -> bool:
    """Tell of the line of a log whether it says nothing of how a server answered, as most of them do."""
    begins = re.match(_LOG_LINE, text)
    if begins is None or re.match(_EXIM_FAILS, text[begins.end() :]):
        return False
    read = read_reply(text)
    return read.code is None and read.enhanced is None


def _phase(said_where: re.Match[str] | None) -> str | None:
    return _PHASES.get(" ".join(said_where[1].lower().split())) if said_where is not None else None


def _unwrapped(text: str) -> tuple[str, str | None, str | None]:
    """Take a reply out of a log, an exception or a bounce: it, its enhanced code and its phase. Of several lines of a
    log, the first that has one counts."""
    if not _BEGINS.match(text):
        for record in re.split(rf"\n(?={_LOG_LINE})", text):
            if found := _unwrapped_record(record):
                return found
    return text, None, None


def _unwrapped_record(text: str) -> tuple[str, str | None, str | None] | None:
    """The same for no more than one line of a log, be it wrapped; None where nothing says that it has a reply."""
    if log := re.search(_LOG, text):
        return log["sendmail"] or log["postfix"], log["enhanced"], None
    if raised := re.search(_PYTHON, text):
        kind = re.search(_RAISED, text[: raised.start()])
        said = raised["text"].replace("\\n", "\n")
        return f"{raised['code']} {said}", None, _PHASES_OF_PYTHON[kind[1]] if kind else None
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if not (_BEGINS.match(line) or _PREFIX.match(line)):
            continue
        if re.match(_FIELD, line):  # RFC 3464 2.1.1: what continues a field begins with a blank
            end = next((at for at in range(number + 1, len(lines)) if lines[at][:1] not in (" ", "\t")), len(lines))
            return "\n".join(lines[number:end]), None, None
        end = next((at for at in range(number + 1, len(lines)) if not lines[at].strip()), len(lines))
        return "\n".join(lines[number:end]), None, None
    return None


def _split_joined(line: str, code: str) -> str:
    """Put line ends back before the same code, where a reply of several lines was joined with blanks."""

    def separate(found: re.Match[str]) -> str:
        return "\n" + found[0].lstrip() if found["code"] == code else found[0]

    line = _BETWEEN.sub(separate, line)
    return _BARE_BETWEEN.sub(separate, line) if line.lstrip()[3:4] == "-" else line


def _enhanced_inside(text: str, code: int | None) -> str | None:
    """Find an enhanced code that does not stand at the beginning, if its class is that of the code."""
    found = _BRACKETED.search(text) or _INSIDE.search(text)
    if found is None or (code is not None and found["enhanced"][0] != str(code)[0]):
        return None
    return found["enhanced"]
