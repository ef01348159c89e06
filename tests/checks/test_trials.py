"""Further connections: what they prove of a server, and what proves nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from smtpprobe.checks import judge
from smtpprobe.evidence import Endpoint, Evidence, Phase
from smtpprobe.report import Severity
from tests.checks.evidence_builder import EHLO, GREETING, endpoint, given, said
from tests.checks.policy_scenarios import spoken, tried


def found(made: Evidence) -> dict[str, object]:
    return {each.id: each.params for each in judge(made).findings if each.id.startswith("tls-version")}


@pytest.mark.parametrize("missing", ["TLSv1.2", "TLSv1.3"])
def test_only_old_versions_are_spoken_only_where_the_server_refused_the_new_ones(missing: str) -> None:
    assert "tls-versions-old-only" in found(spoken("TLSv1.1"))
    assert "tls-versions-old-only" not in found(spoken("TLSv1.1", local=(missing,)))
    limited = found(spoken("TLSv1.1", unfinished=(missing,)))
    assert "tls-versions-old-only" not in limited
    assert limited["tls-versions-unfinished"] == {"versions": (missing,), "detail": "the server said 421"}


@pytest.mark.parametrize(
    ("at", "severity"),
    [(endpoint(), Severity.INFO), (given(587), Severity.WARNING), (endpoint(port=587), Severity.INFO)],
    ids=["relay", "submission", "submission on an MX host"],
)
def test_old_versions_beside_new_ones_matter_to_mail_programs(at: Endpoint, severity: Severity) -> None:
    """RFC 8997 3 forbids them there; between servers they are better than clear text."""
    made = spoken("TLSv1.1", "TLSv1.2")
    talk = replace(made.conversations[0], endpoint=at)
    report = judge(replace(made, conversations=(talk,), endpoints=(at,)))
    assert {each.severity for each in report.findings if each.id == "tls-versions-old-too"} == {severity}


def test_what_could_not_be_tried_is_not_said_to_be_refused() -> None:
    assert found(spoken("TLSv1.2", unfinished=("TLSv1.1", "TLSv1.3")))["tls-versions"] == {
        "spoken": ("TLSv1.2",),
        "refused": ("TLSv1",),
    }


@pytest.mark.parametrize(
    ("line", "is_refused"),
    [
        ("530 5.7.0 Must issue a STARTTLS command first", True),
        ("550 5.7.10 Encryption needed: use TLS", True),
        ("553 5.1.8 Sender address rejected: domain not found", False),
        ("503 5.5.1 not now", False),
    ],
)
def test_mail_in_clear_is_refused_for_want_of_tls_and_for_nothing_else(line: str, is_refused: bool) -> None:
    made = tried("mail-without-tls", GREETING, EHLO, said(Phase.MAIL, line))
    assert ("mail-without-tls-refused" in {each.id for each in judge(made).findings}) is is_refused
