"""Fail a CI job when a mail server stops offering STARTTLS, or when its certificate is about to end.

python examples/fail_ci_job.py example.org

Ids of findings are stable, so a job can name those that it cares about; 'smtpprobe codes --findings' lists them.
"""

from __future__ import annotations

import asyncio
import sys

import smtpprobe

UNWANTED = {"starttls-missing", "certificate-expired", "certificate-expires-soon", "mx-all-unreachable"}


async def main(target: str, options: smtpprobe.Options | None = None) -> int:
    """Give 0 where none of the findings was made, 1 where one was, 3 where too little is known to say."""
    report = await smtpprobe.probe(target, options)
    found = [finding for finding in report.findings if finding.id in UNWANTED]
    for finding in found:
        print(f"{target}: {finding.id} at {finding.where.endpoint or target} {finding.params}")
    if found:
        return 1
    is_unknown = any(finding.severity is smtpprobe.Severity.INCONCLUSIVE for finding in report.findings)
    if is_unknown or not report.evidence.conversations:
        print(f"{target}: not everything could be found out; nothing is passed for good")
        return 3
    print(f"{target}: none of {len(UNWANTED)} unwanted findings")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: fail_ci_job.py TARGET")
    sys.exit(asyncio.run(main(sys.argv[1])))
