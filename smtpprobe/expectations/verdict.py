"""What comes of one expectation, before it becomes a finding."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from smtpprobe.evidence import Phase, Reply

NOTHING: Final = "-"
"""Stands for what is not there, in every language."""


class Holds(Enum):
    """Whether an expectation holds."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Verdict(NamedTuple):
    """One expectation at one place."""

    key: str
    """As in the file; for a reply, with its question."""
    wanted: str
    holds: Holds
    found: str = NOTHING
    """What is there instead, or why it is not known. In the terms of SMTP and of the file, which are no language's."""
    reply: Reply | None = None
    """What it rests on, where that is a reply."""
    phase: Phase | None = None
    """Of the reply."""


def verdict(key: str, wanted: str, is_met: bool, found: str = NOTHING) -> Verdict:
    """Tell of an expectation about which all is known."""
    return Verdict(key, wanted, Holds.YES if is_met else Holds.NO, found or NOTHING)


def listed(words: object) -> str:
    """Write words in a row; `NOTHING` for none."""
    return ", ".join(map(str, words)) or NOTHING  # type: ignore[call-overload]
