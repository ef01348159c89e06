"""What a result says of policies, from the facts of its target."""

from __future__ import annotations

import msgspec
import pytest

from smtpprobe.checks import judge
from smtpprobe.evidence import Evidence, FailureKind, Policies
from smtpprobe.scan.joining import dane_of_target, mta_sts_of_target
from tests.checks.evidence_builder import A2, MX2, dead, endpoint
from tests.checks.scenarios import SCENARIOS

DANE = [each for each in SCENARIOS if each.startswith("dane-")]


def beside(evidence: Evidence, other: Evidence | None = None) -> Evidence:
    """The same domain with a second host that is silent, with the TLSA records of another or none asked for."""
    more = endpoint(MX2, A2)
    records = tuple(msgspec.structs.replace(each, host=MX2) for each in other.policies.tlsa) if other else ()
    resolution = evidence.resolution
    hosts = (*resolution.hosts, msgspec.structs.replace(resolution.hosts[0], name=MX2, addresses=(A2,)))
    return msgspec.structs.replace(
        evidence,
        endpoints=(*evidence.endpoints, more),
        conversations=(*evidence.conversations, dead(more, FailureKind.TIMEOUT)),
        resolution=msgspec.structs.replace(resolution, hosts=hosts),
        policies=msgspec.structs.replace(evidence.policies, tlsa=(*evidence.policies.tlsa, *records)),
    )


@pytest.mark.parametrize("id", DANE)
def test_a_target_stands_to_dane_as_its_finding_says(id: str) -> None:
    fits = {"without-rollover": "match", "mx-insecure": "match"}
    word = id.removeprefix("dane-")
    assert dane_of_target(judge(SCENARIOS[id])) == fits.get(word, word)
    assert dane_of_target(judge(beside(SCENARIOS[id]))) == fits.get(word, word)


def test_a_server_that_shows_no_certificate_was_asked_all_the_same() -> None:
    """Else those without TLS were missing from those without DANE."""
    silent = [dead(each.endpoint) for each in SCENARIOS["dane-not-published"].conversations]
    without = msgspec.structs.replace(SCENARIOS["dane-not-published"], conversations=tuple(silent))
    assert dane_of_target(judge(without)) == "not-published"
    signed = msgspec.structs.replace(SCENARIOS["dane-match"], conversations=tuple(silent))
    assert dane_of_target(judge(signed)) == "untested"


def test_dane_on_some_hosts_only_is_told() -> None:
    assert dane_of_target(judge(beside(SCENARIOS["dane-match"], SCENARIOS["dane-not-published"]))) == "partial"
    assert dane_of_target(judge(beside(SCENARIOS["dane-match"], SCENARIOS["dane-lookup-failed"]))) == "lookup-failed"


@pytest.mark.parametrize(
    ("id", "word"),
    [
        ("mta-sts-enforced", "enforce"),
        ("mta-sts-testing", "testing"),
        ("mta-sts-none", "none"),
        ("mta-sts-policy-status", "invalid"),
        ("mta-sts-record-invalid", "invalid"),
        ("mta-sts-not-published", "not-published"),
        ("mta-sts-lookup-failed", "lookup-failed"),
        ("dane-match", None),
    ],
)
def test_a_target_stands_to_mta_sts_as_its_finding_says(id: str, word: str | None) -> None:
    assert mta_sts_of_target(judge(SCENARIOS[id])) == word


def test_where_nothing_was_asked_nothing_is_said() -> None:
    assert dane_of_target(judge(msgspec.structs.replace(SCENARIOS["dane-match"], policies=Policies()))) is None
