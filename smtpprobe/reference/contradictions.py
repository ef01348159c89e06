"""What does not fit together in one reply: its codes among themselves, and its codes with its words. Pure.

Each is an id, an entry of the ``contradictions`` texts, which tell how to read the reply all the same.
"""

from __future__ import annotations

from typing import Final

RECIPIENT_GONE: Final = frozenset(
    {"user_unknown", "mailbox_disabled", "mailbox_moved", "domain_unknown", "domain_no_mail"}
)
"""Categories that waiting does not change, so that they are odd after a temporary code. After any of them an address
is taken off a list; which it is makes no great difference."""
_ACTED_ON: Final = RECIPIENT_GONE | {"mailbox_full"}
"""Categories that programs read from enhanced codes, and keep or drop an address by."""


def contradictions(
    code: int | None,
    enhanced: str | None,
    text: str,
    *,
    told: str | None,
    named: str | None,
    has_mixed_codes: bool,
) -> tuple[str, ...]:
    """Name what does not fit together.

    Args:
        text: the words of the reply.
        told: the category that the words tell beyond doubt; None where they do not.
        named: the category that the enhanced code names by the registry; None where it names none.
        has_mixed_codes: the lines of the reply have different basic codes.
    """
    found = []
    if code is not None and enhanced is not None and str(code)[0] != enhanced[0]:  # RFC 2034 4
        found.append("class-mismatch")
    if has_mixed_codes:
        found.append("mixed-codes")
    if told is not None and named in _ACTED_ON and told != named and not {told, named} <= RECIPIENT_GONE:
        found.append("enhanced-mismatch")
    if text and code is not None and 400 <= code <= 599:
        from smtpprobe.reference.lasting import sounds_permanent, sounds_temporary

        is_temporary = sounds_temporary(text)
        if code < 500 and ((told in RECIPIENT_GONE and not is_temporary) or sounds_permanent(text)):
            found.append("worded-permanent")
        elif code >= 500 and is_temporary:
            found.append("worded-temporary")
    return tuple(found)
