"""The program: ``smtpprobe``, which is also ``python -m smtpprobe``."""

from __future__ import annotations

import gc
import sys
from typing import Final, NoReturn

_INTERRUPTED: Final = 130
"""`cli.EXIT_INTERRUPTED`, which may not be there yet."""


def program() -> NoReturn:
    """Do what this process was called for, and end it with the exit status.

    Modules and tables stay as long as the process does, so to go through them for garbage finds nothing, again and
    again while they are loaded and once more in the end: a sixth of the CPU of a check.
    """
    gc.disable()
    try:
        from smtpprobe.cli import main

        status = main()
    except KeyboardInterrupt:  # while that is being loaded, or once more while it ends
        status = _INTERRUPTED
    gc.freeze()
    sys.exit(status)


if __name__ == "__main__":
    program()
