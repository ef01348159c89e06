"""The overview of a scan as one self-contained HTML file with bar charts in SVG.

No script, no request to anywhere, light and dark as the reader's system wishes, fit for print and for an attachment.
The charts have no scale of their own: their lengths are per cent of the room there is, so that the text in them keeps
its size on a telephone. Each has a title and a description for who does not see it, and the numbers stand beside the
bars. The template escapes everything that is put into it; names have passed `escaping.escape` before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from smtpprobe import __version__, texts
from smtpprobe.render import writing
from smtpprobe.render.layout import cut
from smtpprobe.render.overview import PLAIN, Chart, Table, page
from smtpprobe.render.pages import environment
from smtpprobe.scan.overview import Overview

if TYPE_CHECKING:
    from jinja2 import Template

ROW_HEIGHT: Final = 36
"""Pixels: a line of text and the bar below it."""
MIN_BAR: Final = 0.4
"""Per cent of the width: the thinnest bar that the eye finds."""
MAX_NAME: Final = 34
"""Cells of a name beside its numbers, on the narrowest telephone; the whole name is in the title of its bar."""

MAX_BARS: Final = 14
"""A chart with more has the whole width, so that its neighbours need not be as high."""

SIGNS: Final = {"error": "✖", "warning": "▲", "inconclusive": "?", "info": "•", "ok": "✔", PLAIN: ""}


class DrawnBar(NamedTuple):
    """One row of a chart, in pixels from its top and per cent of its width."""

    name: str
    """As much of it as fits."""
    told: str
    """The whole name and the numbers."""
    number: str
    share: str
    kind: str
    y: int
    width: float


class Drawing(NamedTuple):
    """A chart, ready to be drawn."""

    chart: Chart
    bars: tuple[DrawnBar, ...]
    height: int
    description: str


def render(overview: Overview, language: str) -> str:
    """Give the document.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """
    shown = page(overview, language)
    return template().render(
        language=language,
        direction="rtl" if language.split("-")[0] in texts.RIGHT_TO_LEFT else "ltr",
        version=__version__,
        page=shown,
        drawings=[draw(section, language) for section in shown.sections if isinstance(section, Chart)],
        tables=[section for section in shown.sections if isinstance(section, Table)],
        signs=SIGNS,
        long=MAX_BARS,
    )


def template() -> Template:
    """Load the template.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """
    return environment().get_template("overview.html.jinja")


def draw(chart: Chart, language: str) -> Drawing:
    """Place the bars of a chart."""
    bars = tuple(
        DrawnBar(
            name=cut(bar.name, MAX_NAME),
            told=writing.named(bar.name, writing.together((bar.number, bar.share), language), language),
            number=bar.number,
            share=bar.share,
            kind=bar.kind,
            y=index * ROW_HEIGHT,
            width=round(max(MIN_BAR, 100 * bar.portion), 2) if bar.portion else 0,
        )
        for index, bar in enumerate(chart.bars)
    )
    description = writing.clauses((chart.basis, *(bar.told for bar in bars)), language)
    return Drawing(chart, bars, len(bars) * ROW_HEIGHT, description)
