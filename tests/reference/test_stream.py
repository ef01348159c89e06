"""One line in, one line out, whatever a line holds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpprobe.evidence import Phase
from smtpprobe.reference.stream import answer

PHASES = frozenset(Phase)


def answered(asked: Any, number: int = 7) -> dict[str, Any]:
    line = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    read: dict[str, Any] = json.loads(answer(line, number, PHASES))
    return read


def test_a_reply_is_answered_with_the_facts_and_its_id() -> None:
    assert answered({"id": 5, "reply": "550 5.1.1 <anna@icloud.com>: User unknown", "phase": "rcpt"}) == {
        "id": 5,
        "code": 550,
        "enhanced": "5.1.1",
        "phase": "rcpt",
        "diagnosis": "mailbox-unknown",
        "category": "user_unknown",
        "confidence": "certain",
        "provider": "Apple iCloud",
        "rule": "wording:unknown-rcpt",
        "retry": "no",
        "retry_after_s": None,
        "actor": "sender",
        "pattern": None,
        "contradictions": [],
    }


@pytest.mark.parametrize("id", ["a", 1, 1.5, None, True, [1, {"x": "\u2028"}], {"deep": [None]}])
def test_an_id_is_given_back_as_it_is(id: Any) -> None:
    assert answered({"id": id, "reply": "250 OK"})["id"] == id


@pytest.mark.parametrize("extra", [{}, {"phase": None}, {"other": 1}])
def test_the_phase_may_be_missing(extra: dict[str, Any]) -> None:
    assert answered({"id": 1, "reply": "421 no", **extra})["phase"] is None


def test_the_default_phase_stands_in_for_a_missing_one() -> None:
    line = json.dumps({"reply": "421"}).encode()
    assert json.loads(answer(line, 1, PHASES, "greeting"))["rule"] == "code:421.greeting"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b'"550 no"', "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"id": 3}', "'reply' must be a text"),
        (b'{"id": 3, "reply": 550}', "'reply' must be a text"),
        (b'{"id": 3, "reply": null}', "'reply' must be a text"),
        (b'{"id": 3, "reply": "x", "phase": "lunch"}', "no such phase: 'lunch'"),
        (b'{"id": 3, "reply": "x", "phase": 4}', "no such phase: '4'"),
    ],
)
def test_a_line_that_cannot_be_read_is_answered_with_an_error(line: bytes, error: str) -> None:
    found = answered(line)
    assert found["error"].startswith(error)
    assert found["line"] == 7
    assert found["id"] == (3 if b'"id"' in line else None)


def test_a_line_that_was_too_long_is_answered_with_an_error() -> None:
    assert json.loads(answer(None, 9, PHASES)) == {"id": None, "line": 9, "error": "the line is too long"}


@pytest.mark.parametrize("reply", ["", "\x00", "\ud800", "550 \ud800 \u202e", "550\n" * 100, "\\", "\u2028550 x"])
def test_strange_text_is_answered_on_one_line_of_ascii(reply: str) -> None:
    text = answer(json.dumps({"id": reply, "reply": reply}).encode(), 1, PHASES)
    assert text.isascii()
    assert "\n" not in text
    assert json.loads(text)["id"] == reply


@given(st.binary(max_size=200))
def test_any_bytes_are_answered(line: bytes) -> None:
    assert json.loads(answer(line, 1, PHASES))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["id", "reply", "phase", "x"]), inner),
        max_leaves=8,
    )
)
def test_any_value_is_answered(value: Any) -> None:
    assert answered(value)
