"""How lasting the words of a reply sound, to be held against its code: 4yz passes, 5yz stays (RFC 5321 4.2.1)."""

from __future__ import annotations

import re
from typing import Final

_PERMANENT: Final = re.compile(
    r"\bpermanent(?:ly)?\b|\bdo not (?:retry|try again)\b|\bwill not be retried\b|\bnever\b|\bfinal(?:ly)? rejected\b"
    r"|\bdauerhaft\b|\bendgültig\b|\bdéfinitive?(?:ment)?\b|\bpermanente(?:mente)?\b|\bkalıcı\b|永久|恒久的|영구",
    re.IGNORECASE,
)
_TEMPORARY: Final = re.compile(
    r"\btemporar(?:y|ily)\b|(?<!not )\b(?:try|retry|trying|come back) (?:again|later|back)\b|\bdeferred\b"
    r"|\b(?:in|for) (?:a few|some|[0-9]{1,4}) (?:seconds|minutes|hours)\b|\bvorübergehend|\bspäter\b|\btemporaire"
    r"|\bplus tard\b|\bmás tarde\b|\btemporalmente\b|\bpiù tardi\b|\bmais tarde\b|\bgeçici\b|\bdaha sonra\b"
    r"|稍后|稍後|暂时|临时|しばらく|後ほど|一時的|나중에|잠시 후|일시적",
    re.IGNORECASE,
)


def sounds_permanent(text: str) -> bool:
    """Tell whether the words say that trying again is useless."""
    return _PERMANENT.search(text) is not None and _TEMPORARY.search(text) is None


def sounds_temporary(text: str) -> bool:
    """Tell whether the words say to try again."""
    return _TEMPORARY.search(text) is not None and _PERMANENT.search(text) is None
