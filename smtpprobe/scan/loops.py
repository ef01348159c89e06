"""What a process that scans runs on: an event loop, and a collector of garbage that keeps out of its way."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Final

GC_THRESHOLD: Final = 200_000
"""Objects between two looks for cycles: a scan makes very many objects, and hardly any cycle."""


def spare_the_collector() -> None:
    """Look for cycles seldom, and never among what is there already."""
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where that is installed; None: asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop  # type: ignore[no-any-return, unused-ignore]
