"""What a person may type to say what is to be checked, read into a `Target`.

A bare name is a mail domain, or a host where it has no MX; a mail address stands for its domain. An address,
``host:port`` or a URL is an endpoint as given. Options that hold addresses (``--resolver``, ``--resolve``) are written
alike and are read here too. All of it is text in, value out: nothing is looked up, so that a mistyped target fails
at once.
"""

from __future__ import annotations

import re
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

from smtpprobe.errors import OptionError, TargetError
from smtpprobe.evidence import Override, Role, Target, TargetKind
from smtpprobe.names import is_hostname, is_no_address, quoted, to_ascii

URL_PORTS: Final = {
    "smtp": (Role.SMTP, 25),
    "smtps": (Role.SUBMISSIONS, 465),  # never registered, but what everybody writes for RFC 8314 3.3
    "submission": (Role.SUBMISSION, 587),
    "submissions": (Role.SUBMISSIONS, 465),
}
"""URL scheme -> role and default port."""

EXAMPLES: Final = (
    "example.org, mx1.example.org:25, 192.0.2.1, [2001:db8::1]:587, smtps://mail.example.org or me@example.org"
)

DNS_PORT: Final = 53
ENCRYPTED_DNS_PORTS: Final = {"tls": 853, "https": 443}
"""By scheme: RFC 7858 3.1, RFC 8484."""
DNS_PATH: Final = "/dns-query"
"""What the examples of RFC 8484 4.1 have, and so nearly every resolver."""
MAX_PORT: Final = 65535

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.IGNORECASE | re.DOTALL)
_LOCAL_PART = re.compile(r'[^\s"(),:;<>@\[\\\]]+|"[^"]*"')
"""The part before the @, loosely after RFC 5321 4.1.2 and RFC 6531: it does not matter to what is checked."""


class _SyntaxError(ValueError):
    """A part of the text is wrong; the message says how."""


def parse_target(text: str) -> Target:
    """Read one target.

    Raises:
        TargetError: it is none; the message is one line that says what is wrong and what a target looks like.
    """
    typed = text.strip()
    try:
        return _parse(typed)
    except ValueError as error:  # of the syntax of the whole, of a name, or of an address
        shown = _without_credentials(typed)
        what = f"{quoted(shown)} is no target: {error}" if typed else "a target is missing: the text is empty"
        raise TargetError(f"{what}. A target looks like {EXAMPLES}") from error


def parse_resolver(text: str) -> tuple[str, int]:
    """Read the address of a DNS resolver: ``ADDR``, ``ADDR:PORT`` or ``[ADDR]:PORT``; port 53 where none is given.

    Raises:
        OptionError: it is no address, or the port is none.
    """
    try:
        host, port = _split_port(text.strip())
        ip = _parse_address(host)
        if ip is None:
            raise _SyntaxError("a resolver is given by its address, not by a name")
    except ValueError as error:
        hint = "write it as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:5353"
        raise OptionError(f"resolver {quoted(text)}: {error}; {hint}") from error
    return str(ip), DNS_PORT if port is None else port


class Transport(StrEnum):
    """How a resolver is asked."""

    PLAIN = "plain"
    """Over UDP, and over TCP where that does not suffice (RFC 1035 4.2)."""
    TLS = "tls"
    """RFC 7858."""
    HTTPS = "https"
    """RFC 8484."""


class NameServer(NamedTuple):
    """A recursive resolver, and how it is asked."""

    address: str
    port: int = DNS_PORT
    transport: Transport = Transport.PLAIN
    name: str | None = None
    """What its certificate must cover; None: the address. Of encrypted transports only."""
    path: str = ""
    """Of HTTPS only; with its slash."""

    def __str__(self) -> str:
        place = f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"
        if self.transport is Transport.PLAIN:
            return place
        name = f"#{self.name}" if self.name is not None else ""
        return f"{self.transport}://{place}{self.path}{name}"


def parse_name_server(text: str) -> NameServer:
    """Read a resolver as `parse_resolver` does, or as a URL: ``tls://ADDR[:PORT]`` (RFC 7858) or
    ``https://ADDR[:PORT][/PATH]`` (RFC 8484). Behind a ``#`` may stand the name that its certificate bears.

    Raises:
        OptionError: it is neither.
    """
    url = _URL.fullmatch(text.strip())
    if url is None:
        return NameServer(*parse_resolver(text))
    try:
        scheme = url[1].lower()
        if scheme not in ENCRYPTED_DNS_PORTS:
            raise _SyntaxError(f"{quoted(scheme)} is no way to ask a resolver")
        rest, sign, name = url[2].partition("#")
        place, slash, path = rest.partition("/")
        host, port = _split_port(place)
        ip = _parse_address(host)
        if ip is None:
            raise _SyntaxError("a resolver is given by its address; its name goes behind a #")
        if scheme == Transport.TLS and slash:
            raise _SyntaxError("a path belongs to https:// only")
        if not f"{path}-".isascii() or any(not "!" <= each <= "~" for each in path):
            raise _SyntaxError("the path has characters that must be written as %XX")
        ascii_name = to_ascii(name) if sign else None
        if ascii_name is not None and not is_hostname(ascii_name):
            raise _SyntaxError(f"{quoted(name)} is no host name")
    except ValueError as error:
        hint = "write it as tls://192.0.2.53, tls://192.0.2.53:853#dns.example or https://192.0.2.53/dns-query"
        raise OptionError(f"resolver {quoted(text)}: {error}; {hint}") from error
    return NameServer(
        address=str(ip),
        port=ENCRYPTED_DNS_PORTS[scheme] if port is None else port,
        transport=Transport(scheme),
        name=ascii_name,
        path=(f"/{path}" if slash and path else DNS_PATH) if scheme == Transport.HTTPS else "",
    )


def parse_override(text: str) -> Override:
    """Read an address to use for a name: ``NAME=IP``, IPv6 with or without brackets.

    Raises:
        OptionError: one side is missing or wrong.
    """
    name, sign, address = text.strip().partition("=")
    try:
        if not sign:
            raise _SyntaxError("the equals sign is missing")
        ip = _parse_address(address.strip())
        if ip is None:
            raise _SyntaxError(f"{quoted(address)} is no IP address")
        return Override(name=to_ascii(name.strip()), address=str(ip))
    except ValueError as error:
        raise OptionError(f"override {quoted(text)}: {error}; write it as mx1.example.org=192.0.2.1") from error


def _parse(text: str) -> Target:
    _check_characters(text)
    url = _URL.fullmatch(text)
    if url is not None:
        return _parse_url(text, url[1].lower(), url[2])
    if "@" in text:
        return _parse_mail_address(text)
    if "/" in text:
        raise _SyntaxError(_explain_slash(text))
    host, port = _split_port(text)
    return _make(text, host, port)


def _parse_url(text: str, scheme: str, rest: str) -> Target:
    if scheme not in URL_PORTS:
        raise _SyntaxError(f"{scheme}:// does not lead to a mail server; {', '.join(URL_PORTS)} do")
    authority = rest.removesuffix("/")
    if "@" in authority:
        raise _SyntaxError("a user name or password has no place in it; only a host and perhaps a port")
    if any(mark in authority for mark in "/?#"):
        raise _SyntaxError("after host and port there is nothing more to say in such a URL")
    host, port = _split_port(authority)
    role, default_port = URL_PORTS[scheme]
    return _make(text, host, default_port if port is None else port, role=role)


def _parse_mail_address(text: str) -> Target:
    inner = text[1:-1] if text.startswith("<") and text.endswith(">") else text
    local_part, _, domain = inner.rpartition("@")
    if not _LOCAL_PART.fullmatch(local_part):
        raise _SyntaxError("it has an @ but is no mail address" if local_part else "nothing stands before the @")
    if not domain:
        raise _SyntaxError("nothing stands after the @")
    if domain.startswith("["):
        host, port = _split_port(domain)
    else:
        host, port = domain, None
        if ":" in domain:
            raise _SyntaxError("a mail address has no port")
        if _parse_address(domain) is not None:
            raise _SyntaxError("in a mail address an IP address stands in brackets")
    if port is not None:
        raise _SyntaxError("a mail address has no port")
    return _make(text, host, None)


def _make(text: str, host: str, port: int | None, *, role: Role | None = None) -> Target:
    """Make the target; a bare name alone leads on to its MX."""
    ip = _parse_address(host)
    if ip is not None:
        return Target(text=text, kind=TargetKind.ENDPOINT, address=str(ip), port=port, role=role)
    is_bare = port is None and role is None
    kind = TargetKind.NAME if is_bare else TargetKind.ENDPOINT
    return Target(text=text, kind=kind, name=to_ascii(host), port=port, role=role)


def _split_port(text: str) -> tuple[str, int | None]:
    """Split host and port; an address in brackets keeps them, IPv6 without brackets has no port."""
    if text.startswith("["):
        inner, bracket, rest = text.partition("]")
        if not bracket:
            raise _SyntaxError("the bracket is not closed")
        if rest and not rest.startswith(":"):
            raise _SyntaxError("after the bracket comes nothing, or a colon and a port")
        return inner + bracket, _parse_port(rest[1:]) if rest else None
    if text.count(":") > 1:
        if _parse_address(text) is None:
            raise _SyntaxError("it has several colons but is no IPv6 address")
        return text, None
    host, colon, port = text.partition(":")
    if colon and not host:
        raise _SyntaxError("nothing stands before the colon")
    return host, _parse_port(port) if colon else None


def _parse_port(text: str) -> int:
    if not text:
        raise _SyntaxError("the port after the colon is missing")
    if not (text.isascii() and text.isdigit()):
        raise _SyntaxError(f"{quoted(text)} is no port number")
    if len(text) > len(str(MAX_PORT)) or not 1 <= int(text) <= MAX_PORT:
        raise _SyntaxError(f"ports go from 1 to {MAX_PORT}")
    return int(text)


def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an IP address; None where it is a name. In brackets it must be one, also with the ``IPv6:`` of mail
    addresses (RFC 5321 4.1.3)."""
    if text.startswith("["):
        inner = text.removeprefix("[").removesuffix("]")
        inner = inner[5:] if inner[:5].lower() == "ipv6:" else inner
    else:
        inner = text
        if is_no_address(text) and "%" not in text:
            return None
    if "%" in inner:
        raise _SyntaxError("a zone such as %eth0 belongs to link-local addresses, where no mail goes")
    try:
        return ip_address(inner)
    except ValueError:
        if inner is text:
            return None
        raise _SyntaxError(f"{quoted(inner)} in brackets is no IP address") from None


def _check_characters(text: str) -> None:
    if not text:
        raise _SyntaxError("it is empty")
    quotes = "@" in text and text.startswith(('"', '<"'))
    if any(character.isspace() for character in text) and not quotes:
        raise _SyntaxError("there is a blank in it; one target at a time")
    if not text.isprintable():
        raise _SyntaxError("it has characters that cannot be printed")
    if "," in text and "@" not in text:
        raise _SyntaxError("there is a comma in it; one target at a time")


def _explain_slash(text: str) -> str:
    address, _, bits = text.partition("/")
    try:
        is_network = ip_address(address) is not None and bits.isdigit()
    except ValueError:
        is_network = False
    if is_network:
        return "that is a whole network; name the addresses that you mean"
    return "a slash has no place in it outside smtp:// and its like"


def _without_credentials(text: str) -> str:
    """A message must not repeat a password that was pasted together with its server."""
    scheme, mark, rest = text.partition("://")
    head, at, tail = (rest if mark else text).rpartition("@")
    if not at or (":" not in head and not mark):
        return text
    return f"{scheme}{mark}…@{tail}" if mark else f"…@{tail}"
