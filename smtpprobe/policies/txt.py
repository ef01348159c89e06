"""TXT records in presentation form, and the ``tag=value;`` lists that mail policies write into them."""

from __future__ import annotations

import re
from typing import Final

_STRING: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(\d{3}|.)", re.DOTALL)


def text_of(record: str) -> str:
    """Join the strings of a TXT record without anything between them (RFC 7208 3.3, RFC 8461 3.1).

    Bytes outside ASCII come out as the characters of the same numbers.
    """
    return "".join(_plain(found[1] if found[2] is None else found[2]) for found in _STRING.finditer(record))


def _plain(text: str) -> str:
    return _ESCAPE.sub(
        lambda found: chr(int(found[1])) if found[1].isdigit() and len(found[1]) == 3 else found[1], text
    )


def versioned(records: tuple[str, ...], version: str) -> tuple[str, ...]:
    """The texts that begin with ``version`` and a semicolon, blanks allowed before it; all others are about else."""
    begins = re.compile(rf"{re.escape(version)}[ \t]*;")
    return tuple(text for text in map(text_of, records) if begins.match(text))


def misspelt(records: tuple[str, ...], version: str) -> bool:
    """Tell whether one of the texts is meant to be of a version but does not begin with it as it must."""
    tag, _, value = version.partition("=")
    meant = re.compile(rf"\s*{re.escape(tag)}\s*=\s*{re.escape(value)}\b", re.IGNORECASE)
    return not versioned(records, version) and any(meant.match(text) for text in map(text_of, records))


def fields(text: str) -> tuple[tuple[str, str], ...]:
    """Cut ``a=1; b=2;`` into pairs, in order; a part without ``=`` has an empty value."""
    parts = (part.strip(" \t") for part in text.split(";"))
    pairs = (part.partition("=") for part in parts if part)
    return tuple((name.strip(" \t"), value.strip(" \t")) for name, _, value in pairs)
