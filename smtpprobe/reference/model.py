"""What an explanation is. The facts behind it are data beside this module; the words are in `smtpprobe.texts`."""

from __future__ import annotations

from enum import StrEnum

from smtpprobe.evidence import Fact, Phase


class Actor(StrEnum):
    """Who must do something before the next try succeeds."""

    SENDER = "sender"
    RECEIVER = "receiver"
    NETWORK = "network"
    EITHER = "either"
    NONE = "none"


class Retry(StrEnum):
    """Whether the same thing may succeed later although nobody changes anything."""

    YES = "yes"
    NO = "no"
    NOT_APPLICABLE = "n.a."
    """It succeeded."""


class Confidence(StrEnum):
    """How sure an explanation or a finding is, from observed beyond doubt to merely the general rule."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"
    GENERIC = "generic"


class Explanation(Fact, frozen=True, kw_only=True):
    """What a reply means where it stands: language-neutral, most specific knowledge first."""

    code: int | None
    enhanced: str | None = None
    phase: Phase | None = None
    rule: str
    """Which row decided: ``pattern:ID``, ``wording:ID``, ``enhanced:4.7.1``, ``code:421.greeting`` or ``class:4``."""
    diagnosis: str | None = None
    """A diagnosis id, as ``greylisted``; None for success and where nothing but the class is known."""
    category: str = "unknown"
    """The reason's kind, as ``rate_limited``; ``unknown`` where the reply tells no reason; ``none`` for success."""
    confidence: Confidence
    provider: str | None = None
    """The provider or software that the reply itself, the banner or the host name proves."""
    actor: Actor
    retry: Retry
    retry_after_s: int | None = None
    """A sensible wait before the next try; None where waiting does not help or nothing is known."""
    code_key: str | None = None
    """The entry of the ``replies`` texts: ``421.greeting`` or ``421``; a class, as ``4xx``, for an unknown code."""
    enhanced_key: str | None = None
    """The entry of the ``enhanced`` texts: ``x.7.1``, or ``x.7.x`` for an unknown detail; None without a code."""
    pattern: str | None = None
    """The pattern row that matched, for its own words; None where none did."""
    references: tuple[str, ...] = ()
    """``RFC 5321 4.2.3`` ..., of the code and the enhanced code."""
    links: tuple[str, ...] = ()
    """Pages of the provider or of the source."""
    contradictions: tuple[str, ...] = ()
    """Ids of what does not fit together, as ``class-mismatch``: entries of the ``contradictions`` texts."""


class Software(Fact, frozen=True, kw_only=True):
    """What answers on the other side, as far as it tells."""

    product: str
    """``Postfix``, ``Microsoft Exchange Online`` ..."""
    version: str | None = None
    """As the server writes it; None where it does not."""
    vendor: str | None = None
    """Who makes or runs it."""
    provider: str | None = None
    """The name under which its wordings stand in the patterns; None where there are none."""
    confidence: Confidence
    rule: str
    """Which row decided: ``banner:ID``."""
