"""Durations as people write them: ``10``, ``10s``, ``1.5s``, ``500ms``, ``2m``."""

from __future__ import annotations

import re
from typing import Final

from smtpprobe.errors import OptionError

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?|\.\d+) *([a-z]*)", re.ASCII)
MAX_DURATION_S: Final = 24 * 3600
"""Seconds. Longer waits are mistakes in the unit."""


def parse_duration(text: str) -> float:
    """Read a duration: ``10``, ``10s``, ``1.5s``, ``500ms``, ``2m``; seconds.

    Raises:
        OptionError: it is none, zero, or longer than `MAX_DURATION_S`.
    """
    found = _DURATION.fullmatch(text.strip().lower())
    unit = _UNITS_S.get(found[2] or "s") if found else None
    if found is None or unit is None:
        raise OptionError(f"{text!r} is no duration; write it as 10, 10s, 500ms or 2m")
    seconds = round(float(found[1]) * unit, 6)
    if not 0 < seconds <= MAX_DURATION_S:
        raise OptionError(f"{text!r} is no time to wait; it must be over 0 and at most 24h")
    return seconds
