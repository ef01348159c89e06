"""``python -m smtpprobe`` is ``smtpprobe``."""

import sys

from smtpprobe.cli import main

if __name__ == "__main__":
    sys.exit(main())
