"""``python -m smtpprobe.texts [LANGUAGE ...]``: what translations still lack against English.

Without a language it goes through all that have a folder. The exit status is 1 where something is missing.
"""

from __future__ import annotations

import sys

from smtpprobe import texts
from smtpprobe.texts.gaps import gaps


def main(languages: list[str]) -> int:
    """Print each gap on a line of its own, and for each language how many there are."""
    total = 0
    for language in languages or [each for each in texts.folders() if each != texts.DEFAULT_LANGUAGE]:
        found = list(gaps(language))
        for gap in found:
            print(gap)  # noqa: T201 - a program for translators; its output is its purpose
        print(f"{language}: {'complete' if not found else f'gaps: {len(found)}'}")  # noqa: T201
        total += len(found)
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
