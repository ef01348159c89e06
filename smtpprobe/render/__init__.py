"""Reports in the forms that people and machines read.

A format is one module with a function ``render(reports, style) -> Iterator[str]``, named in `FORMATS` and imported
when it is asked for. It takes the reports one by one as they become ready, so that a format that can print the first
before the last is known does so, and gives back text to be written as it is. Formats for people walk a `view.View`,
in which every word is resolved and every foreign text escaped; formats for machines take the report itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

if TYPE_CHECKING:
    from smtpprobe.render.style import Style as Style
    from smtpprobe.report import Report

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


def __getattr__(name: str) -> Any:
    """Give `Style` when it is asked for (PEP 562): the code book needs the layout alone, and must start at once."""
    if name == "Style":
        from smtpprobe.render.style import Style

        return Style
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
