"""Evidence of real Postfix, Exim and OpenSMTPD, recorded once, and judged and shown here without any server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from smtpprobe.checks import judge
from smtpprobe.checks.kinds import Topic
from smtpprobe.evidence import Evidence, Phase, encode
from smtpprobe.loading import decode
from smtpprobe.reference import identify
from smtpprobe.render import renderer
from smtpprobe.render.style import Style
from tests.real.expected import DANE, EVIDENCE, EXPECTED, RECORDED, found, found_of

SOFTWARE = {"": "Postfix", "exim": "Exim", "opensmtpd": "OpenSMTPD", "postscreen": "Postfix postscreen"}


def recorded(label: str) -> Evidence:
    return decode((EVIDENCE / f"{label or 'example'}.json").read_bytes())


@pytest.mark.parametrize("label", RECORDED)
def test_recorded_evidence_is_judged_as_it_was_live(label: str) -> None:
    report = judge(recorded(label))
    if label in EXPECTED:
        assert found(report) == EXPECTED[label]
    if label in DANE:
        assert found_of(report, Topic.DANE) == DANE[label]


@pytest.mark.parametrize("label", RECORDED)
def test_recorded_evidence_is_written_back_without_a_loss(label: str) -> None:
    raw = (EVIDENCE / f"{label or 'example'}.json").read_bytes()
    written = json.loads(encode(decode(raw)))
    assert known_before(written, json.loads(raw)) == json.loads(raw)


def known_before(value: Any, before: Any) -> Any:
    """A value without the fields that it got since."""
    if isinstance(value, dict) and isinstance(before, dict):
        return {key: known_before(each, before[key]) for key, each in value.items() if key in before}
    if isinstance(value, list) and isinstance(before, list) and len(value) == len(before):
        return [known_before(*pair) for pair in zip(value, before, strict=True)]
    return value


@pytest.mark.parametrize("label", RECORDED)
@pytest.mark.parametrize("verbosity", [0, 2])
def test_recorded_evidence_can_be_shown(label: str, verbosity: int) -> None:
    text = "".join(renderer("text").render([judge(recorded(label))], Style(verbosity=verbosity)))
    assert text.splitlines()[0].split(" – ")[0].endswith(f"{label}.example.test".lstrip("."))


@pytest.mark.parametrize("label", SOFTWARE)
def test_real_software_is_known_by_its_greeting(label: str) -> None:
    greetings = [each.reply(Phase.GREETING) for each in recorded(label).conversations]
    known = {identify(each).product for each in greetings if each is not None}  # type: ignore[union-attr]
    assert known == {SOFTWARE[label]}
