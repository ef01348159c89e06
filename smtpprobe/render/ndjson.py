"""One report a line (https://jsonlines.org), each printed as soon as it is known: for pipelines and log collectors.

A line is what stands in the ``reports`` of the JSON form, so one schema serves both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from smtpprobe.evidence import encode
from smtpprobe.render import Style
from smtpprobe.render.json import ascii_json, worded
from smtpprobe.report import Report


def render(reports: Iterable[Report], style: Style) -> Iterator[str]:
    """Give a line for each report."""
    for report in reports:
        yield ascii_json(encode(worded(report, style.language))) + "\n"
