"""Check one mail domain from Python and print what matters.

python examples/probe_domain.py example.org
"""

from __future__ import annotations

import asyncio
import sys

import smtpprobe


async def main(target: str, options: smtpprobe.Options | None = None) -> int:
    """Probe the target; 0 where nothing is wrong."""
    report = await smtpprobe.probe(target, options)
    print(f"{target}: {report.status}")
    for conversation in report.evidence.conversations:
        greeting = conversation.reply(smtpprobe.Phase.GREETING)
        print(f"  {conversation.endpoint.id}: {greeting.code if greeting else conversation.failure}")
    for finding in report.findings:
        if finding.severity is smtpprobe.Severity.ERROR:
            print(f"  {finding.id} at {finding.where.host or target}")
    for delivery in report.deliveries:
        print(f"  a sender of the kind '{delivery.sender}': {delivery.fate} ({delivery.reason})")
    return 0 if report.ok else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: probe_domain.py TARGET")
    sys.exit(asyncio.run(main(sys.argv[1])))
