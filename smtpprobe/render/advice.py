"""The steps of an advice as they are for the server that is there.

Where all findings that share an advice are about one host, domain or target, its commands name it. The texts tell a
step for each of the common mail servers, since it is mostly not known which one answers. Where it is known, the steps
that begin with another are left out, and commands for a service name the one that runs. What to look for are names of
products and units, which are the same in every language.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from smtpprobe.evidence import Conversation, Evidence, Phase
from smtpprobe.reference.model import Confidence, Software
from smtpprobe.report import Finding, Where


class _Server(msgspec.Struct, frozen=True):
    """A mail server that the texts know."""

    unit: str | None = None
    """Its systemd unit in Debian; None where it is not told."""
    can_reload: bool = True
    """Whether that unit can be reloaded."""
    log: str = "/var/log/mail.log"
    """Where Debian has it write."""


_SERVERS: Final = {
    "postfix": _Server("postfix"),
    "exim": _Server("exim4", log="/var/log/exim4/mainlog"),
    "opensmtpd": _Server("opensmtpd", can_reload=False),
    "sendmail": _Server("sendmail"),
    "exchange": _Server(),
}
"""By the word that stands for it, in small letters, in products and in steps."""

_NAMED: Final = re.compile(rf"(?<![A-Za-z])({'|'.join(_SERVERS)})(?![A-Za-z])", re.IGNORECASE)
_BEGINNING: Final = 12
"""Characters within which a step that is for one server names it: ``In Exim: ...``, ``Exim では ...``."""

_UNIT: Final = re.compile(
    r"(systemctl )(status|reload) postfix(?: ?[(（][^()（）\n]{0,60}exim4[^()（）\n]{0,60}[)）])?"
    r"|(journalctl -u )postfix"
)
"""A command for the service, with the other names that it may have."""


_ALERT: Final = re.compile("handshake failure|internal error|protocol version|unrecognized name")
"""The alerts that steps are told for; their names are the same in every language."""

_HOST: Final = re.compile(r"\bHOST\b", re.ASCII)
"""What stands for the server in the commands of the texts."""
_DOMAIN: Final = re.compile(r"\bDOMAIN\b", re.ASCII)
"""The same for the domain that was asked for."""
_TARGET: Final = re.compile(r"\bTARGET\b", re.ASCII)
"""The same for what was typed."""
_HOST_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
"""Letters, digits and hyphens (RFC 1123 2.1), or an IPv4 address."""


def steps(fix: str, found: Sequence[tuple[Evidence, Finding]]) -> tuple[str, ...]:
    """Give what is to be done, step by step.

    Args:
        fix: the words of the advice, a step a line.
        found: the findings that share it, at least one, each with the evidence that it comes from.
    """
    every = _filled(
        fix,
        {each.where.host or each.where.address for _, each in found},
        {each.where.domain for _, each in found},
        {evidence.target.text for evidence, _ in found},
    )
    if isinstance(alert := found[0][1].params.get("alert"), str):
        every = about_alert(every, alert)
    return (
        fitting(every, server_at((evidence, each.where) for evidence, each in found))
        if is_about_servers(every)
        else every
    )


def _filled(fix: str, hosts: set[str | None], domains: set[str | None], targets: set[str]) -> tuple[str, ...]:
    """The steps; where they are about one host, domain or target, it stands in place of the word for it.

    People paste commands into a shell, so only what can be nothing but a host name is put in: names come from the DNS.
    """
    for placeholder, names in ((_HOST, hosts), (_DOMAIN, domains), (_TARGET, targets)):
        name = next(iter(names)) if len(names) == 1 else None
        if name is not None and _HOST_NAME.fullmatch(name):
            fix = placeholder.sub(name, fix)
    return tuple(line.strip() for line in fix.splitlines() if line.strip())


def identified(conversation: Conversation) -> Software | None:
    """Tell what answers by what it said and by its name; None where that gives nothing away."""
    from smtpprobe.reference import identify

    greeting = conversation.reply(Phase.GREETING)
    if greeting is None:
        return None
    ehlo = conversation.reply(Phase.EHLO, over_tls=True) or conversation.reply(Phase.EHLO)
    return identify(greeting, ehlo, host=conversation.endpoint.name)


def server_at(places: Iterable[tuple[Evidence, Where]]) -> str | None:
    """The one server, a key of `_SERVERS`, that is surely meant by all the places; None where there is none.

    An endpoint that said nothing is that of its host, as far as its other endpoints agree.
    """
    found: set[str | None] = set()
    for evidence, where in places:
        if where.host is None:
            return None
        at_host = [each for each in evidence.conversations if each.endpoint.host == where.host]
        there = [each for each in at_host if (each.endpoint.address, each.endpoint.port) == (where.address, where.port)]
        servers = {_server(each) for each in there} - {None} or {_server(each) for each in at_host} - {None}
        found |= servers or {None}
    return next(iter(found)) if len(found) == 1 else None


def _server(conversation: Conversation) -> str | None:
    software = identified(conversation)
    if software is None or software.confidence not in (Confidence.CERTAIN, Confidence.LIKELY):
        return None
    named = _NAMED.search(software.product)
    return None if named is None else named.group(1).lower()


def is_about_servers(steps: tuple[str, ...]) -> bool:
    """Tell whether any step names a server or its log, so that it matters which one is there."""
    return any(_NAMED.search(each) or "/var/log/mail.log" in each for each in steps)


def fitting(steps: tuple[str, ...], server: str | None) -> tuple[str, ...]:
    """The steps for a server; all as they are where it is not known, or where nothing would be left.

    Args:
        server: what `server_at` told.
    """
    if server is None:
        return steps
    return tuple(_as_there(each, _SERVERS[server]) for each in steps if not _is_for_another(each, server)) or steps


def about_alert(steps: tuple[str, ...], alert: str) -> tuple[str, ...]:
    """The steps without those that begin with other alerts of TLS than the one that was seen.

    Args:
        alert: its name (RFC 8446 6), as ``internal_error``.
    """
    words = alert.replace("_", " ")
    return tuple(each for each in steps if not _ALERT.match(each) or words in each)


def _is_for_another(step: str, server: str) -> bool:
    named = [(each.start(), each.group(1).lower()) for each in _NAMED.finditer(_UNIT.sub("", step))]
    return bool(named) and named[0][0] < _BEGINNING and all(name != server for _, name in named)


def _as_there(step: str, server: _Server) -> str:
    """The step with the names that the service and its log have."""
    step, unit = step.replace("/var/log/mail.log", server.log), server.unit
    if unit is None:
        return step

    def named(command: re.Match[str]) -> str:
        if command.group(3):
            return f"{command.group(3)}{unit}"
        verb = command.group(2)
        return f"{command.group(1)}{verb if verb != 'reload' or server.can_reload else 'restart'} {unit}"

    return _UNIT.sub(named, step)
