"""A check of one's own beside those of smtpprobe: every MX host must take messages of 25 MB.

python examples/custom_check.py example.org

A check is a function from evidence to findings. It needs no network, so it runs on saved evidence as well.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import smtpprobe
from smtpprobe.checks import CHECKS, judge
from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.checks.reading import at, keywords, took_ehlo
from smtpprobe.evidence import Evidence

WANTED_BYTES = 25_000_000

SIZE_TOO_SMALL = kind("size-too-small", Topic.EHLO, smtpprobe.Severity.WARNING, params=("size", "wanted"))


def size(evidence: Evidence) -> Iterator[smtpprobe.Finding]:
    """Find servers that announce a smaller limit (RFC 1870 4: SIZE without a number, or 0, is none)."""
    for conversation in evidence.conversations:
        limits = keywords(took_ehlo(conversation)).get("SIZE", ())
        limit = int(limits[0]) if limits and limits[0].isdecimal() else 0
        if 0 < limit < WANTED_BYTES:
            yield SIZE_TOO_SMALL.found(at(evidence, conversation), size=limit, wanted=WANTED_BYTES)


async def main(target: str, options: smtpprobe.Options | None = None) -> int:
    """Give 1 where a server's limit is too small."""
    evidence = await smtpprobe.collect(target, options)
    report = judge(evidence, checks=(*CHECKS, size))
    found = [finding for finding in report.findings if finding.id == SIZE_TOO_SMALL.id]
    for finding in found:
        print(f"{finding.where.host}: takes {finding.params['size']} bytes, {finding.params['wanted']} are wanted")
    return 1 if found else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: custom_check.py TARGET")
    sys.exit(asyncio.run(main(sys.argv[1])))
