"""Threshold ranges of the Monitoring Plugins guidelines (2.5): when a number is worth a warning or an alarm.

``10`` means outside 0 to 10, ``10:`` below 10, ``~:10`` above 10, ``10:20`` outside, ``@10:20`` inside.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from smtpprobe.errors import OptionError

_NUMBER = r"-?(?:\d+(?:\.\d*)?|\.\d+)"
_RANGE = re.compile(rf"(@)?(?:(~|{_NUMBER})?:)?({_NUMBER})?", re.ASCII)


class Range(NamedTuple):
    """Numbers that raise no alert."""

    start: float = 0.0
    end: float = math.inf
    is_inverted: bool = False
    """True: the numbers inside raise it."""
    text: str = ""
    """As it was written, for performance data."""

    def alerts(self, value: float) -> bool:
        """Tell whether a value raises the alert."""
        return (self.start <= value <= self.end) is self.is_inverted


class Thresholds(NamedTuple):
    """What to hold the numbers of a report against; None: nothing."""

    time_warning: Range | None = None
    """Seconds, of the slowest endpoint that serves."""
    time_critical: Range | None = None
    days_warning: Range | None = None
    """Days until the first certificate ends."""
    days_critical: Range | None = None


def parse_range(text: str) -> Range:
    """Read a range.

    Raises:
        OptionError: it is none.
    """
    found = _RANGE.fullmatch(text)
    if found is None or text in ("", "@", ":", "@:"):
        raise OptionError(f"{text!r} is no threshold range: try 5 (above 5), 7: (below 7) or 1:9 (outside)")
    start = -math.inf if found[2] == "~" else float(found[2] or 0)
    end = math.inf if found[3] is None else float(found[3])
    if start > end:
        raise OptionError(f"{text!r} is no threshold range: {found[2]} is above {found[3]}")
    return Range(start, end, found[1] is not None, text)


def parse_thresholds(warning: tuple[str, ...], critical: tuple[str, ...]) -> Thresholds:
    """Read ``-w`` and ``-c``: ranges of seconds, or of days behind ``days=`` (``time=`` may stand before seconds).

    Raises:
        OptionError: a range or a name is none.
    """
    found: dict[str, Range] = {}
    for level, texts in (("warning", warning), ("critical", critical)):
        for text in texts:
            name, separator, range_text = text.rpartition("=")
            name = name if separator else "time"
            if name not in ("time", "days"):
                raise OptionError(f"{text!r}: there are thresholds for time and for days, as in days=14:")
            found[f"{name}_{level}"] = parse_range(range_text)
    return Thresholds(**found)
