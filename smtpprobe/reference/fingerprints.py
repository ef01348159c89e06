"""Which software answers, told by its greeting and by what it offers after EHLO.

The greeting is read first, since it often names the product and its version; many administrators change it, and then
the private keywords and the first line of the EHLO reply still give the product away. A host name tells the provider
behind both. Expressions are compiled when they are first needed, and run over `MAX_TEXT` characters at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

from smtpprobe.reference.recognition import expression, required_literals
from smtpprobe.reference.wordtables import BannerRow, banners

MAX_TEXT: Final = 1024
"""Characters. Greetings that name their maker do so at once."""
MAX_LINES: Final = 64
"""Lines of an EHLO reply; servers offer some twenty."""


class Fingerprint(NamedTuple):
    """The row that a server's words fulfil, and the version that they give."""

    row: BannerRow
    version: str | None


def of_greeting(lines: Sequence[str]) -> Fingerprint | None:
    """Tell the software from the lines of a greeting, codes removed."""
    return _first("greeting", "\n".join(lines)[:MAX_TEXT])


def of_ehlo(lines: Sequence[str]) -> Fingerprint | None:
    """Tell the software from the lines of an EHLO reply, codes removed."""
    found = [_first("ehlo", line[:MAX_TEXT]) for line in lines[:MAX_LINES]]
    order = list(banners())
    return min((each for each in found if each is not None), key=lambda each: order.index(each.row.id), default=None)


def of_host(name: str) -> Fingerprint | None:
    """Tell the service from a host name."""
    labels = name.lower().strip(".").split(".")[-12:]
    domains = _domains()
    found = [domains[each] for start in range(len(labels) - 1) if (each := ".".join(labels[start:])) in domains]
    return Fingerprint(min(found, key=lambda each: each[0])[1], None) if found else None


@cache
def _domains() -> dict[str, tuple[int, BannerRow]]:
    """The domains whose hosts tell the service, with the place of their row: an earlier one goes before."""
    rows = [row for row in banners().values() if row.where == "host"]
    return {domain: (place, row) for place, row in reversed([*enumerate(rows)]) for domain in row.marker.split(",")}


def _first(where: str, text: str) -> Fingerprint | None:
    lower = text.lower()
    for row, literals in _rows(where):
        if literals and not any(literal in lower for literal in literals):
            continue
        if found := expression(row.marker).search(text):
            return Fingerprint(row, next((group for group in found.groups() if group), None))
    return None


@cache
def _rows(where: str) -> tuple[tuple[BannerRow, tuple[str, ...]], ...]:
    return tuple((row, required_literals(row.marker)) for row in banners().values() if row.where == where)
