"""Regular expressions that are held against what a server says, and so must come to an end whatever it says.

Python's engine tries one way after the other to lay a pattern over a text, and of some patterns there are more ways
than anybody can wait for: `(a+)+b` over 40 times an a. It cannot be stopped meanwhile, and a server chooses its text.
So the ways are counted before, from the pattern alone.
"""

from __future__ import annotations

import math
import re
import warnings
from importlib import import_module
from typing import Any, Final

MAX_TEXT: Final = 1024
"""Characters of a text that are looked at."""

MAX_WAYS: Final = 1.1e9
"""So many ways are bearable: those of two repetitions, from anywhere in a text. There are fewer than are counted, and
a text costs a second or two at worst."""

COMPARING: Final = 32
"""What a reference to a group counts, which is compared character by character."""


def check_pattern(pattern: str) -> None:
    """See to it that a text of `MAX_TEXT` characters can be searched for a pattern in bearable time.

    Raises:
        ValueError: it is no regular expression, or there might be a text for which it takes far too long.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what later versions of Python will read in another way
            re.compile(pattern)
            parsed = import_module("re._parser").parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
    is_anchored = bool(parsed.data) and str(parsed.data[0]) in ("(AT, AT_BEGINNING)", "(AT, AT_BEGINNING_STRING)")
    if _ways(parsed) * (1 if is_anchored else MAX_TEXT) > MAX_WAYS:
        raise ValueError(
            f"{pattern!r} could take for ever on what a server may say; write it without a repetition within another,"
            " and with two of them at most, such as [a-z0-9.-]+ for ([a-z0-9-]+\\.)+"
        )


def _ways(pattern: Any) -> float:
    """In how many ways a parsed pattern can be laid over a text from one place on, at most."""
    return math.prod(_ways_of(str(operation), argument) for operation, argument in pattern)


def _ways_of(operation: str, argument: Any) -> float:
    match operation:
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, body = argument
            return _ways_of_repeat(int(least), min(int(most), MAX_TEXT), _ways(body))
        case "BRANCH":
            return 1 + sum(map(_ways, argument[1]))
        case "GROUPREF_EXISTS":
            return 1 + sum(_ways(each) for each in argument[1:] if each is not None)
        case "GROUPREF":
            return COMPARING
        case _:
            # A pattern within, as of a group; other arguments are numbers, or lists of characters.
            inner = argument[-1] if isinstance(argument, tuple) else argument
            return _ways(inner) if hasattr(inner, "data") else 1


def _ways_of_repeat(least: int, most: int, ways: float) -> float:
    if ways == 1:
        return 1 if most <= least else most - least + 2
    if most * math.log2(ways) > math.log2(MAX_WAYS):
        return math.inf
    return sum(ways**times for times in range(least, most + 1))


def find(pattern: str, text: str) -> bool:
    """Tell whether a text has a pattern, by its first `MAX_TEXT` characters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return re.search(pattern, text[:MAX_TEXT]) is not None
