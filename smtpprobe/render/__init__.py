"""Reports in the forms that people and machines read.

A format is one module with a function ``render(reports, style) -> Iterator[str]``, named in `FORMATS` and imported
when it is asked for. It takes the reports one by one as they become ready, so that a format that can print the first
before the last is known does so, and gives back text to be written as it is. Formats for people walk a `view.View`,
in which every word is resolved and every foreign text escaped; formats for machines take the report itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Final, NamedTuple, Protocol, cast

from smtpprobe.render.layout import Terminal
from smtpprobe.render.thresholds import Thresholds
from smtpprobe.report import Report, Severity

FORMATS: Final = {
    "text": "smtpprobe.render.text",
    "json": "smtpprobe.render.json",
    "ndjson": "smtpprobe.render.ndjson",
    "markdown": "smtpprobe.render.markdown",
    "html": "smtpprobe.render.html",
    "csv": "smtpprobe.render.csv",
    "junit": "smtpprobe.render.junit",
    "sarif": "smtpprobe.render.sarif",
    "github": "smtpprobe.render.github",
    "gitlab": "smtpprobe.render.gitlab",
    "nagios": "smtpprobe.render.nagios",
    "prometheus": "smtpprobe.render.prometheus",
}
"""Name -> module."""


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


class Renderer(Protocol):
    """A module of `FORMATS`."""

    def render(self, reports: Iterable[Report], style: Style) -> Iterator[str]:
        """Give the text of the reports, in pieces, in the order of the reports."""


def renderer(name: str) -> Renderer:
    """Import a format.

    Raises:
        KeyError: there is no such format.
    """
    return cast("Renderer", import_module(FORMATS[name]))
