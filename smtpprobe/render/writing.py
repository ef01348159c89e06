"""How each language puts phrases together: the colon after a name, the commas of a list, the marks in a number.

French sets a blank before the colon, Chinese and Japanese have marks of full width and no blanks between sentences, and
half of Europe writes a decimal comma. So no renderer joins words that people read by marks of its own; it asks here.
What is joined is taken as it is and must be escaped already. Addresses, ports, codes and other text for machines keep
the marks of their own grammar.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final

from smtpprobe import texts

_ROOM: Final = "labels"
_TABLE: Final = "writing"


def named(name: str, text: str, language: str) -> str:
    """Put a name before what it names: ``Reason: greylisting``. Without a text, what is named follows."""
    return _phrase(language, "name").format(name=name, text=text)


def listed(members: Iterable[str], language: str) -> str:
    """Enumerate things of one kind: ``MAIL, RCPT``; Chinese and Japanese have a mark of their own for that."""
    return _between(language, "list").join(members)


def together(facts: Iterable[str], language: str) -> str:
    """Set facts of different kinds side by side: ``TLS 1.3, trusted``. Empty ones are left out."""
    return _between(language, "facts").join(filter(None, facts))


def clauses(parts: Iterable[str], language: str) -> str:
    """Set parts side by side that may have commas themselves. Empty ones are left out."""
    return _between(language, "clauses").join(filter(None, parts))


def way(phrases: Iterable[str], language: str) -> str:
    """Let what happens, where, and after what make up one statement. Empty ones are left out."""
    return _between(language, "way").join(filter(None, phrases))


def sentences(parts: Iterable[str], language: str) -> str:
    """Let sentences follow one another, each with its own mark at the end. Empty ones are left out."""
    return _between(language, "sentences").join(filter(None, parts))


def closed(phrase: str, language: str) -> str:
    """Make a sentence of a phrase, with the mark at its end."""
    return _phrase(language, "closed").format(text=phrase)


def aside(text: str, more: str, language: str) -> str:
    """Put more in brackets behind a text; an empty one adds nothing."""
    return _phrase(language, "aside").format(text=text, more=more) if more else text


def decimal(digits: str, language: str) -> str:
    """Write a number with a point, as ``1.4``, as the language does."""
    return digits.replace(".", _between(language, "decimal"))


def number(count: int, language: str) -> str:
    """Write a whole number with a mark between each three digits."""
    return f"{count:,}".replace(",", _between(language, "thousands"))


def _phrase(language: str, field: str) -> str:
    return texts.phrase(language, _ROOM, _TABLE, field)


@cache
def _between(language: str, field: str) -> str:
    """The mark that stands between two members."""
    return _phrase(language, field).format(a="", b="")
