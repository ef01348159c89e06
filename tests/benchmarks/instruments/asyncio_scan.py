"""``smtpprobe scan`` on asyncio's own event loop, though uvloop is there: to measure what those have who lack it."""

from __future__ import annotations

import sys

from smtpprobe.cli import main

if __name__ == "__main__":
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # as if it were not installed
    main()
