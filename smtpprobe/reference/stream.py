"""Replies as a stream: one JSON object a line in, one JSON object a line out, in order, whatever a line holds.

In: ``{"id": ..., "reply": "550 5.1.1 ...", "phase": "rcpt"}``; `id` is given back as it is, `phase` may be missing or
null. Out: ``id``, ``code``, ``enhanced``, ``phase``, ``diagnosis``, ``category``, ``confidence``, ``provider``,
``rule``, ``retry``, ``retry_after_s``, ``actor``, ``pattern``, ``contradictions``; for a line that cannot be read
``id`` (null where it is not known), ``line`` and ``error``.
"""

from __future__ import annotations

import json
from typing import Any, Final

from smtpprobe.reference.matching import match
from smtpprobe.reference.reading import read_reply

_MAX_TOLD: Final = 60
"""Characters of a wrong value that an error quotes."""


def answer(line: bytes | None, number: int, phases: frozenset[str], default_phase: str | None = None) -> str:
    """Answer one line; never raises for what it holds.

    Args:
        line: the line; None where it was too long to be kept.
        number: of the line, for errors.
        phases: the phases that there are.
        default_phase: where replies without a phase were met.
    """
    if line is None:
        return _write({"id": None, "line": number, "error": "the line is too long"})
    try:
        asked = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        return _write({"id": None, "line": number, "error": f"not JSON: {error}"})
    if not isinstance(asked, dict):
        return _write({"id": None, "line": number, "error": "not a JSON object"})
    id_ = asked.get("id")
    reply = asked.get("reply")
    phase = asked.get("phase")
    if not isinstance(reply, str):
        return _write({"id": id_, "line": number, "error": "'reply' must be a text"})
    if phase is not None and (not isinstance(phase, str) or phase not in phases):
        return _write({"id": id_, "line": number, "error": f"no such phase: {str(phase)[:_MAX_TOLD]!r}"})
    return _write({"id": id_, **classify(reply, phase or default_phase)})


def _refuse(constant: str) -> None:
    """Python reads NaN and Infinity, which JSON has not; given back as an id they would be no JSON (RFC 8259 6)."""
    raise ValueError(f"{constant} is no value of JSON")


def classify(reply: str, phase: str | None) -> dict[str, Any]:
    """Judge one pasted reply: the facts of a line of output."""
    read = read_reply(reply)
    phase = phase or read.phase
    found = match(read.code, read.enhanced, phase, read.lines, has_mixed_codes=read.has_mixed_codes)
    return {
        "code": read.code,
        "enhanced": read.enhanced,
        "phase": phase,
        "diagnosis": found.diagnosis,
        "category": found.category,
        "confidence": found.confidence,
        "provider": found.provider,
        "rule": found.rule,
        "retry": found.retry,
        "retry_after_s": found.retry_after_s,
        "actor": found.actor,
        "pattern": found.pattern,
        "contradictions": list(found.contradictions),
    }


def _write(value: dict[str, Any]) -> str:
    """One line of JSON in ASCII, so that no encoding of a pipe can break it (a lone surrogate could)."""
    return json.dumps(value, separators=(",", ":"))
