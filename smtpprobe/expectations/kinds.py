"""The kinds of findings that a file of expectations leads to."""

from __future__ import annotations

from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.report import Severity

EXPECTATION_MET = kind("expectation-met", Topic.EXPECTATIONS, Severity.OK, params=("expectation", "wanted"))
EXPECTATION_NOT_MET = kind(
    "expectation-not-met",
    Topic.EXPECTATIONS,
    Severity.ERROR,
    Severity.WARNING,
    Severity.INFO,
    params=("expectation", "wanted", "found"),
)
EXPECTATION_UNKNOWN = kind(
    "expectation-unknown",
    Topic.EXPECTATIONS,
    Severity.INCONCLUSIVE,
    Severity.INFO,
    params=("expectation", "wanted", "reason"),
)
FINDING_ALLOWED = kind("finding-allowed", Topic.EXPECTATIONS, Severity.INFO, params=("finding", "reason", "until"))
ALLOWANCE_EXPIRED = kind(
    "allowance-expired", Topic.EXPECTATIONS, Severity.WARNING, params=("finding", "reason", "until")
)
ALLOWANCE_UNUSED = kind("allowance-unused", Topic.EXPECTATIONS, Severity.INFO, params=("finding", "reason"))
BASELINE_CHANGED = kind(
    "baseline-changed",
    Topic.EXPECTATIONS,
    Severity.INFO,
    Severity.WARNING,
    Severity.ERROR,
    params=("what", "since", "old", "new"),
)
