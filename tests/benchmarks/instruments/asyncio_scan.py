"""``smtpprobe scan`` on asyncio's own event loop, though uvloop is there: to measure what those have who lack it."""

from __future__ import annotations

from smtpprobe.cli import main
from smtpprobe.scan import running

if __name__ == "__main__":
    running.loop_factory = lambda: None
    main()
