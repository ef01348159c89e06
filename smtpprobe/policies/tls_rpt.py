"""TLS-RPT (RFC 8460 3): where senders report how TLS went."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from smtpprobe.policies.txt import fields, misspelt, versioned

_MAILBOX: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

_RESERVED: Final = "!"
"""RFC 8460 3: to be written as ``%21``; ``,`` and ``;`` are delimiters already. DMARC puts a size behind it."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What the TXT records at ``_smtp._tls`` say."""

    addresses: tuple[str, ...] = ()
    """``mailto:`` and ``https:`` addresses, in order."""
    count: int = 0
    """How many records begin with ``v=TLSRPTv1;``. A sender takes any other number than one as none."""
    problem: str | None = None
    """``several-records``, ``version-invalid``, ``rua-missing`` or ``rua-invalid``; None where nothing is wrong or no
    record is there."""

    @property
    def is_valid(self) -> bool:
        """There is exactly one record, and a sender can report to all of its addresses."""
        return self.count == 1 and self.problem is None


def read_record(records: tuple[str, ...]) -> Record:
    """Read the TXT records at ``_smtp._tls.<domain>``; those about something else are passed over."""
    found = versioned(records, "v=TLSRPTv1")
    if not found:
        return Record(problem="version-invalid" if misspelt(records, "v=TLSRPTv1") else None)
    if len(found) > 1:
        return Record(count=len(found), problem="several-records")
    given = ",".join(value for name, value in fields(found[0]) if name == "rua")  # the grammar allows several
    addresses = tuple(each.strip() for each in given.split(",") if each.strip())
    if not addresses:
        return Record(count=1, problem="rua-missing")
    problem = None if all(map(_is_usable, addresses)) else "rua-invalid"
    return Record(addresses=addresses, count=1, problem=problem)


def _is_usable(address: str) -> bool:
    """RFC 8460 3: ``mailto:`` with an address, or ``https:`` with a host."""
    if _RESERVED in address:
        return False
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    if parts.scheme == "mailto":
        return _MAILBOX.fullmatch(unquote(parts.path)) is not None
    return parts.scheme == "https" and bool(parts.hostname)
