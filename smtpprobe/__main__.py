"""``python -m smtpprobe`` is ``smtpprobe``."""

from smtpprobe.cli import program

if __name__ == "__main__":
    program()
