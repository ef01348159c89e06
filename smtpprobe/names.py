"""Host and domain names: their one ASCII form, what a host name looks like, and the name that we go by ourselves.

Names are kept in lower-case A-labels without a trailing dot, as the DNS carries them; how a person wrote them, in
Unicode or with capitals, is a matter of input and output only. Here is no look-up: what a name stands for is the
business of `resolution`.
"""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from os import PathLike
from typing import Final

from smtpprobe.errors import OptionError, SmtpprobeError

MAX_NAME_OCTETS: Final = 253
"""Without a trailing dot: 255 octets on the wire (RFC 1035 3.1) less the first length and the root."""
MAX_LABEL_OCTETS: Final = 63
"""RFC 1035 2.3.4."""

_HOST_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.ASCII | re.IGNORECASE)
"""A label of RFC 952, as RFC 1123 2.1 widened it."""
_PLAIN_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_DNS_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?", re.ASCII)
"""The same with underscores: no host name, but names in the DNS have them, and such names get asked about."""

MAX_SHOWN: Final = 80
"""Characters of a wrong value that a message repeats."""

HOSTS_FILE: Final = "/etc/hosts"
"""A plain text, since `pathlib` takes longer to import than all of this."""

NOT_FOR_OTHERS: Final = ("localhost", "localdomain", "local", "internal", "home.arpa", "invalid")
"""Domains that mean nothing outside one's own network (RFC 6761, RFC 6762, RFC 8375, and habits): as an EHLO name they
are refused more often than an address literal."""

_SOMEWHERE: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses for documentation (RFC 5737, RFC 3849), for asking which way leads out; nothing is sent there."""
_DISCARD_PORT: Final = 9


class NameSyntaxError(SmtpprobeError, ValueError):
    """The text cannot be a domain name; the message gives the reason and leaves the name to the caller."""


def to_ascii(name: str) -> str:
    """Bring a host or domain name into the form that the DNS carries: lower-case A-labels, no trailing dot.

    Unicode names are mapped as UTS 46 says (full-width letters, other full stops, capitals) and encoded as IDNA 2008
    wants (RFC 5891). ASCII names are taken as they are, A-labels included; underscores pass.

    Raises:
        NameSyntaxError: it cannot be a name; the message says why.
    """
    if len(name) <= MAX_NAME_OCTETS and _PLAIN_NAME.fullmatch(name):
        return name  # as most are, of which a scan has very many
    text = name
    if len(name) > MAX_NAME_OCTETS + 1:
        raise NameSyntaxError(f"longer than {MAX_NAME_OCTETS} octets")
    if not name.isascii():
        import idna

        try:
            text = idna.encode(name, uts46=True).decode("ascii")
        except UnicodeError as error:  # idna.IDNAError is one
            raise NameSyntaxError(f"no internationalised name by IDNA 2008: {_printable(str(error))}") from error
    text = text.lower().removesuffix(".")
    if not text:
        raise NameSyntaxError("the name is missing")
    if len(text) > MAX_NAME_OCTETS:
        raise NameSyntaxError(f"longer than {MAX_NAME_OCTETS} octets")
    labels = text.split(".")
    for label in labels:
        if not label:
            raise NameSyntaxError("two dots in a row, or one at the beginning")
        if len(label) > MAX_LABEL_OCTETS:
            raise NameSyntaxError(f"a part between dots is longer than {MAX_LABEL_OCTETS} octets")
        if label.startswith("-") or label.endswith("-"):
            raise NameSyntaxError("a part between dots begins or ends with a hyphen")
        if not _DNS_LABEL.fullmatch(label):
            wrong = next(character for character in label if not _DNS_LABEL.fullmatch(character) and character != "-")
            raise NameSyntaxError(f"{wrong!r} cannot stand in a name")
    if labels[-1].isdigit():
        # RFC 3696 2: no top-level domain is all digits; what is left are mistyped addresses.
        raise NameSyntaxError("no IPv4 address, and no name either, since the last part is a number")
    return text


def is_hostname(text: str) -> bool:
    """Tell whether a text is a host name in ASCII: letters, digits and hyphens (RFC 1123 2.1), no trailing dot."""
    labels = text.split(".")
    return (
        len(text) <= MAX_NAME_OCTETS
        and all(len(label) <= MAX_LABEL_OCTETS and _HOST_LABEL.fullmatch(label) for label in labels)
        and not labels[-1].isdigit()
    )


def is_no_address(text: str) -> bool:
    """Tell by how it ends that a text cannot be an IP address, as of nearly all names; False tells nothing.

    Spares the exception by which `ipaddress` says so, of which a scan would have very many.
    """
    return text[-1:].isalpha() and ":" not in text


def is_localhost(name: str) -> bool:
    """Tell whether a name always means the machine itself (RFC 6761 6.3)."""
    return name == "localhost" or name.endswith(".localhost")


def address_literal(address: str) -> str:
    """Write an IP address as SMTP does in place of a name (RFC 5321 4.1.3).

    Raises:
        ValueError: it is no address.
    """
    ip = ip_address(address)
    return f"[{ip}]" if ip.version == 4 else f"[IPv6:{ip}]"


def own_ehlo_name(chosen: str | None = None, *, host_name: str | None = None, address: str | None = None) -> str:
    """The name to give in EHLO: that of the options, else the host's FQDN, else an address literal (RFC 5321 4.1.4).

    Never empty, never with an underscore, whatever the machine is called.

    Args:
        chosen: the value of the option; None: none was given.
        host_name: what this host calls itself; None: ask the system.
        address: our own address; None: ask the system.

    Raises:
        OptionError: `chosen` is neither a host name nor an address literal.
    """
    if chosen is not None:
        return _checked(chosen)
    name = find_fqdn(host_name if host_name is not None else socket.gethostname())
    if name is not None:
        return name
    return address_literal(address if address is not None else find_own_address())


def find_fqdn(host_name: str, hosts_file: str | PathLike[str] = HOSTS_FILE) -> str | None:
    """The full name of this host, from what it calls itself and the hosts file, where systems note it.

    The DNS is not asked, as `socket.getfqdn` would: that takes seconds where no resolver answers.

    Returns:
        A host name with a dot, of a domain that others know; None where there is none.
    """
    if _is_public(host_name):
        return host_name.removesuffix(".").lower()
    if not host_name or is_localhost(host_name.lower()):
        return None  # It was never named; what the file says of localhost is no name of ours.
    try:
        with open(hosts_file, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    for line in lines:
        _, *names = line.partition("#")[0].lower().split() or ("",)
        if host_name.lower() in names:
            # hosts(5): the canonical name stands first; some have it the other way round.
            full = next(filter(_is_public, names), None)
            if full is not None:
                return full
    return None


def find_own_address() -> str:
    """The address from which this host speaks to the world, IPv4 first; 127.0.0.1 where there is no way out.

    Connecting a datagram socket sends nothing: the kernel only chooses a route.
    """
    for family, destination in _SOMEWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as route:
                route.connect((destination, _DISCARD_PORT))
                ip = ip_address(str(route.getsockname()[0]).partition("%")[0])
        except OSError:
            continue
        if not ip.is_unspecified:
            return str(ip)
    return "127.0.0.1"


def _checked(chosen: str) -> str:
    """An EHLO name that somebody chose, in the form in which it goes over the wire."""
    hint = "give a host name, such as mail.example.org, or an address literal, such as [192.0.2.1]"
    text = chosen.strip()
    if text.startswith("[") and text.endswith("]"):
        inner = text[1:-1]
        is_v6 = inner[:5].lower() == "ipv6:"
        ip = _parse_address(inner[5:] if is_v6 else inner)
        if ip is not None and (ip.version == 6) == is_v6:
            return address_literal(str(ip))
    elif (ip := _parse_address(text)) is not None:
        raise OptionError(f"EHLO name {quoted(chosen)}: an address goes in brackets: {address_literal(str(ip))}")
    else:
        try:
            name = to_ascii(text)
        except NameSyntaxError as error:
            raise OptionError(f"EHLO name {quoted(chosen)}: {error}; {hint}") from error
        if is_hostname(name):
            return name
        raise OptionError(f"EHLO name {quoted(chosen)}: an underscore cannot stand in a host name; {hint}")
    raise OptionError(f"EHLO name {quoted(chosen)}: no address literal of RFC 5321 4.1.3; {hint}")


def _is_public(name: str) -> bool:
    """A full host name that may mean something to others."""
    name = name.removesuffix(".").lower()
    return (
        "." in name
        and is_hostname(name)
        and not any(name == domain or name.endswith("." + domain) for domain in NOT_FOR_OTHERS)
    )


def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    return None if "%" in text else ip


def quoted(text: str) -> str:
    """What somebody typed, in quotes and on one line, for a message: cut, with nothing that a terminal would act on."""
    return repr(text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…")


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
