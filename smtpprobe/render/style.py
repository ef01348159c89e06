"""How a caller wants to see reports."""

from __future__ import annotations

from typing import NamedTuple

from smtpprobe.render.layout import Terminal
from smtpprobe.render.thresholds import Thresholds
from smtpprobe.report import Severity


class Style(NamedTuple):
    """How the caller wants to see reports."""

    language: str = "en"
    """One of `texts.languages`."""
    terminal: Terminal = Terminal()
    verbosity: int = 0
    """0: what matters; 1: the annotated conversations too; 2: raw bytes and times too."""
    fail_on: Severity = Severity.ERROR
    """The threshold by which the exit status is told."""
    thresholds: Thresholds = Thresholds()
    """What monitoring holds times and days against."""
