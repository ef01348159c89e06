"""What two codes have in common and what not, in facts: the ground on which `smtpprobe compare` stands.

Basic codes and enhanced codes are both taken, known or not: what is in no table is judged by its digits, and says so.
A pair that people confuse has words of its own under `pair_key`; any pair has `differences`, each a kind with the
ids and codes that its phrase names. Nothing here is a word of any language.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from smtpprobe.errors import OptionError
from smtpprobe.reference.asked import Kind, code_of
from smtpprobe.reference.matching import code_row
from smtpprobe.reference.tables import class_key, codes, enhanced_codes, enhanced_row

_ENHANCED = re.compile(r"([0-9x])\.([0-9]{1,3}|x)\.([0-9]{1,3}|x)", re.ASCII)

_CONNECTION: Final = {"221": "closes", "421": "closes", "521": "may-close"}
"""What becomes of the connection after a code (RFC 5321 4.2.3, 3.8; RFC 7504 3); it stays open after all others."""

_NAMED_GROUPS: Final = "0125"
"""The second digits to which RFC 5321 4.2.1 gives a meaning."""

_EXAMPLE: Final = {"2": "250", "3": "354", "4": "451 4.3.0", "5": "550 5.7.1"}
"""First digit -> a code of the standard that says hardly more than its class."""


class Side(NamedTuple):
    """One of the codes that are compared."""

    code: str
    """As asked for: ``421``, ``421.greeting``, ``4xx``, ``4.7.1``, ``x.7.1``."""
    is_enhanced: bool
    is_known: bool
    """False where it is in no table and its digits are all that is known."""
    key: str | None
    """The entry of the ``replies`` or ``enhanced`` texts; None where there is none."""
    digit: str
    """The class: the first digit, ``x`` where an enhanced code leaves it open."""
    group: str
    """The second digit or the subject; ``other`` where it has no fixed meaning, ``x`` where it is left open."""
    status: str
    """Of the table, or ``unknown``."""
    phases: tuple[str, ...]
    """Where a basic code is met; empty where nothing is known."""
    basic_codes: tuple[str, ...]
    """The basic codes of the same class that are registered for an enhanced code, also as ``250-253`` and ``5xx``."""
    retry: str | None
    """``yes``, ``no`` or ``n.a.``; None where the class, which is left open, decides."""
    actor: str
    diagnosis: str | None
    """What an enhanced code alone lets one assume; None for basic codes, which have advice of their own."""
    connection: str | None
    """``closes``, ``may-close`` or ``stays``; None for what no server sends and for enhanced codes."""
    reference: str | None

    @property
    def number(self) -> str:
        """The code without its context: ``421`` of ``421.greeting``."""
        return self.code if self.is_enhanced else self.code[:3]


class Difference(NamedTuple):
    """One thing in which two codes agree or differ."""

    kind: str
    """A field of the ``difference`` table of the ``book`` texts."""
    params: dict[str, str]
    """What its phrase names: codes, and ids of groups, phases and actors that have words of their own."""


def side(text: str, phase: str | None = None) -> Side:
    """Find what is known about a code.

    Args:
        text: ``421``, a key such as ``421.greeting``, a class as ``4xx``, ``4.7.1``, or ``x.7.1`` for any class.
        phase: where the code was met; it chooses among the stories of one number.

    Raises:
        OptionError: it is no code.
    """
    kind, wanted = code_of(text) or (None, text.strip().lower())
    if kind is Kind.CODE:
        return _basic_side(wanted, phase)
    if kind is Kind.CLASS:
        return _class_side(wanted[0], wanted[1])
    if parts := _ENHANCED.fullmatch(wanted):
        return _enhanced_side(wanted, parts[1], parts[2], parts[3])
    raise OptionError(
        f"{text!r} is no code to compare; write a code as 421, with its place as 421.greeting, a class as 4xx, or an"
        " enhanced code as 4.7.1"
    )


def _basic_side(wanted: str, phase: str | None) -> Side:
    row = codes()[wanted] if "." in wanted else code_row(int(wanted), phase)
    digit = wanted[0]
    is_sent = digit in "2345" and (row is None or row.status != "client-side")
    return Side(
        code=wanted,
        is_enhanced=False,
        is_known=row is not None,
        key=row.key if row is not None else (f"{digit}xx" if digit in "12345" else "xxx"),
        digit=digit,
        group=wanted[1] if wanted[1] in _NAMED_GROUPS else "other",
        status=row.status if row is not None else "unknown",
        phases=row.phases if row is not None else (),
        basic_codes=(),
        retry=row.retry if row is not None else _retry_of_class(digit),
        actor=row.actor if row is not None else ("either" if digit in "45" else "none"),
        diagnosis=None,
        connection=_CONNECTION.get(wanted[:3], "stays") if is_sent else None,
        reference=row.reference if row is not None else None,
    )


def _class_side(digit: str, group: str) -> Side:
    """All codes with the same first digit, or the first two."""
    return Side(
        code=f"{digit}{group}x",
        is_enhanced=False,
        is_known=digit in "2345",
        key=class_key(int(f"{digit}00")),
        digit=digit,
        group=group if group in (*_NAMED_GROUPS, "x") else "other",
        status="class",
        phases=(),
        basic_codes=(),
        retry=_retry_of_class(digit),
        actor="either" if digit in "45" else "none",
        diagnosis=None,
        connection=None,
        reference="RFC 5321 4.2.1" if digit in "2345" else None,
    )


def _enhanced_side(wanted: str, digit: str, subject: str, detail: str) -> Side:
    if "x" in (subject, detail):
        keys = (wanted, f"x.{subject}.{detail}", f"x.{subject}.x", f"{digit}.x.x")
        row = next((enhanced_codes()[key] for key in keys if key in enhanced_codes()), None)
        is_known = row is not None and row.key in keys[:2]
    else:
        row = enhanced_row(wanted)
        is_known = row is not None and row.kind not in ("class", "subject")
    is_class_valid = digit in "245x"
    return Side(
        code=wanted,
        is_enhanced=True,
        is_known=is_known and is_class_valid,
        key=row.key if row is not None else None,
        digit=digit,
        group=subject if subject == "x" or f"x.{subject}.x" in enhanced_codes() else "other",
        status=row.kind if row is not None and is_known else "unknown",
        phases=(),
        basic_codes=_basic_codes(row.basic_codes, digit) if row is not None and is_known else (),
        retry=_retry_of_class(digit),
        actor="none" if row is None or digit == "2" else row.actor,
        diagnosis=None if row is None or digit == "2" else (row.temporary if digit == "4" else row.permanent),
        connection=None,
        reference=row.reference if row is not None else None,
    )


def _basic_codes(cell: str, digit: str) -> tuple[str, ...]:
    return tuple(each for each in cell.split(",") if each not in ("-", "any") and digit in ("x", each[0]))


def _retry_of_class(digit: str) -> str | None:
    """RFC 5321 4.2.1: the first digit decides whether a client tries again."""
    return {"4": "yes", "5": "no", "x": None}.get(digit, "n.a.")


def pair_key(a: Side, b: Side) -> str | None:
    """The entry that a pair would have in the ``compare`` texts; None for a pair that can have none."""
    if a.is_enhanced != b.is_enhanced or a.number == b.number:
        return None
    first, second = ordered(a, b)
    return f"{first.number}-{second.number}"


def ordered(a: Side, b: Side) -> tuple[Side, Side]:
    """Put the smaller code first, a basic code before an enhanced one."""
    return (a, b) if _order(a) <= _order(b) else (b, a)


def _order(each: Side) -> tuple[bool, tuple[str | int, ...]]:
    parts = each.code.split(".") if each.is_enhanced else each.number
    return each.is_enhanced, (*(-1 if part == "x" else int(part) for part in parts), each.code)


def differences(a: Side, b: Side) -> tuple[Difference, ...]:
    """Say in what two codes agree and differ, the gravest first. `a` and `b` stand for the smaller and greater one."""
    a, b = ordered(a, b)
    both = {"a": a.code, "b": b.code}
    found = [Difference("not-smtp", {"code": each.code}) for each in (a, b) if not _is_smtp(each)]
    if a.is_enhanced != b.is_enhanced:
        found.append(Difference("levels", both))
        if not _fit_together(a, b):
            found.append(Difference("levels-class", {}))
        return tuple(found)
    if a.number == b.number:
        found.append(Difference("same-number", {**both, "code": a.number}))
    elif not found and (kind := class_pair(a, b)) is not None:
        found.append(Difference(kind, both))
    if (a.digit == "x") != (b.digit == "x"):
        found.append(Difference("open", {"code": a.code if a.digit == "x" else b.code}))
    found += (Difference("client-side", {"code": each.code}) for each in (a, b) if each.status == "client-side")
    found += (Difference("unknown", {"code": each.code}) for each in (a, b) if not each.is_known and _is_smtp(each))
    if not any(each.kind == "not-smtp" for each in found):
        found += _details(a, b, both)
    return tuple(found)


def _details(a: Side, b: Side, both: dict[str, str]) -> list[Difference]:
    found = []
    if "x" not in (a.group, b.group) and a.number != b.number:
        if a.group != b.group and "other" not in (a.group, b.group):
            found.append(Difference("category-differs", {**both, "category_a": a.group, "category_b": b.group}))
        elif a.group == b.group != "other":
            found.append(Difference("category-same", {"category": a.group}))
    if a.phases and b.phases and "any" not in (*a.phases, *b.phases) and not set(a.phases) & set(b.phases):
        found.append(Difference("phases", {**both, "phases_a": ",".join(a.phases), "phases_b": ",".join(b.phases)}))
    for one, other in ((a, b), (b, a)):
        if one.connection == "closes" and other.connection == "stays":
            found.append(Difference("closes", {"code": one.code, "other": other.code}))
    if "none" not in (a.actor, b.actor) and a.actor != b.actor:
        found.append(Difference("actor", {**both, "actor_a": a.actor, "actor_b": b.actor}))
    for one, other in ((a, b), (b, a)):
        if one.digit == other.digit and (one.retry, other.retry) == ("yes", "no"):
            found.append(Difference("retry", {"code": one.code}))
        if one.status == "standard" and other.status in ("de-facto", "draft", "historic"):
            found.append(Difference("status", {"code": one.code, "other": other.code}))
    return found


def expectation(a: Side, b: Side) -> Difference | None:
    """Say what to do after each of two codes: a field of the ``expect`` table.

    None where their own texts say it all: two stories of one number, or a class that is left open.
    """
    a, b = ordered(a, b)
    if a.number == b.number:
        return None
    if stray := next((each for each in (a, b) if not _is_smtp(each)), None):
        return Difference("not-smtp", {"code": stray.code})
    both = {"a": a.code, "b": b.code}
    if a.is_enhanced != b.is_enhanced:
        return Difference("levels", both) if _fit_together(a, b) else None
    kind = class_pair(a, b)
    return Difference(kind, both) if kind is not None else None


def sending(a: Side, b: Side) -> tuple[Difference, ...]:
    """Say which of two codes a server should send: fields of the ``send`` table; empty for stories of one number."""
    a, b = ordered(a, b)
    if a.number == b.number or (a.digit == b.digit and "class" in (a.status, b.status)):
        return ()
    both = {"a": a.code, "b": b.code}
    never = [each for each in (a, b) if not _is_smtp(each) or each.status == "client-side"]
    if never:
        return tuple(Difference("never", {"code": each.code}) for each in never)
    if a.is_enhanced != b.is_enhanced:
        return (Difference("levels" if _fit_together(a, b) else "levels-class", both),)
    if a.digit != b.digit:
        kind = class_pair(a, b)
        return (Difference(kind, both),) if kind is not None else ()
    if not a.is_enhanced:
        standard = [each for each in (a, b) if each.status == "standard"]
        if not standard:
            return (Difference("neither", {"example": _EXAMPLE[a.digit]}),)
        if len(standard) == 1:
            other = b if standard[0] is a else a
            return (Difference("standard", {"code": standard[0].code, "other": other.code}),)
    places = tuple(each for each in _details(a, b, both) if each.kind == "phases")
    return places or (Difference("same", {}),)


def class_pair(a: Side, b: Side) -> str | None:
    """``same-4``, ``4-5`` ..., which of the phrases for two classes fits; None where one class is left open."""
    if a.digit == b.digit:
        return f"same-{a.digit}"
    return None if "x" in (a.digit, b.digit) else f"{a.digit}-{b.digit}"


def _fit_together(a: Side, b: Side) -> bool:
    """RFC 2034 4: the class of an enhanced code is that of the basic code before it."""
    return a.digit == b.digit or "x" in (a.digit, b.digit)


def _is_smtp(each: Side) -> bool:
    """RFC 5321 4.2: a code begins with 2 to 5. RFC 3463 2: an enhanced one with 2, 4 or 5."""
    return each.digit in ("245x" if each.is_enhanced else "2345")
