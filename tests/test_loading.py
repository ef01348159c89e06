"""What is read as evidence can be relied on: a file that was edited by hand is refused where it makes no sense."""

from __future__ import annotations

import json
from typing import Any

import pytest

from smtpprobe.errors import EvidenceError
from smtpprobe.evidence import encode
from smtpprobe.loading import decode
from tests.render import reports
from tests.test_recorded_evidence import recorded


def edited(place: str, value: object) -> bytes:
    """Recorded evidence with another value at a place."""
    whole: Any = json.loads(encode(recorded("")))
    *path, last = [int(each) if each.isdigit() else each for each in place.split(".")]
    inner = whole
    for each in path:
        inner = inner[each]
    assert inner[last] != value
    inner[last] = value
    return json.dumps(whole).encode()


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("elapsed_s", 1e308, "at `$.elapsed_s`"),
        ("conversations.0.started_s", -1e308, "at `$.conversations[0].started_s`"),
        ("options.expiry_warning_days", 2**62, "at `$.options.expiry_warning_days`"),
        ("endpoints.0.port", 10**18, "at `$.endpoints[0].port`"),
        ("conversations.0.exchanges.0.outcome.code", -1, "at `$.conversations[0].exchanges[0].outcome.code`"),
        ("conversations.0.exchanges.1.outcome.enhanced", "4.7", "outcome.enhanced`"),
        ("started_at", "2026-01-01T00:00:00", "at `$.started_at`"),
        ("started_at", "9999-12-31T23:59:59-14:00", "out of range - at `$.started_at`"),
        ("certificates.0.not_after", "9999-12-31T23:59:59-14:00", "out of range - at `$.certificates[0].not_after`"),
        ("endpoints.0.address", "mx\x1b", "'mx\\x1b' is no IP address - at `$.endpoints[0].address`"),
        ("conversations.0.endpoint.address", "", "at `$.conversations[0].endpoint.address`"),
        ("resolution.hosts.0.addresses.0", "x", "at `$.resolution.hosts[0].addresses[0]`"),
        ("resolution.reverse.0.address", "x", "at `$.resolution.reverse[0].address`"),
        ("certificates.0.sha256", "x", "is not in it - at `$.conversations[0].handshake.outcome.chain`"),
    ],
)
def test_a_value_that_cannot_be_is_refused_and_its_place_is_named(place: str, value: object, said: str) -> None:
    with pytest.raises(EvidenceError, match="not evidence of the form") as refused:
        decode(edited(place, value))
    assert said in str(refused.value)


@pytest.mark.parametrize("number", [-1, 99])
def test_an_answer_has_its_exchange(number: int) -> None:
    whole = json.loads(edited("ehlo_name", "probe.example"))
    question = {"question": {"verb": "noop"}, "exchange": number}
    whole["conversations"][0]["asked"] = {"exchanges": [], "answers": [question]}
    with pytest.raises(EvidenceError, match=r"no such exchange - at `\$\.conversations\[0\]\.asked\.answers\[0\]`"):
        decode(json.dumps(whole))


@pytest.mark.parametrize("name", reports.ALL)
def test_evidence_that_was_made_is_taken(name: str) -> None:
    evidence = reports.ALL[name]().evidence
    assert decode(encode(evidence)) == evidence
