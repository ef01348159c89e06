"""Watching targets: when each may be probed again, what counts as a change, and when the watch is over. Pure.

A probe comes to a short `Sighting`; two of them in a row make a `Change` or none. The pace keeps a pause between two
probes of one address, whichever targets share it, and longer and longer ones where a server puts us off. The time
comes in as an argument (seconds on one monotonic clock), so nothing here waits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from enum import StrEnum
from ipaddress import ip_address
from typing import Final, Literal

import msgspec

from smtpprobe.evidence import Evidence, Fact, Moment, Reply, Seconds
from smtpprobe.report import GRAVITY, Outcome, Report, Severity, outcome, worst

WATCH_SCHEMA: Final = "smtpprobe/watch/1"
"""Name and version of the JSON form; the number changes when a reader must change."""

MIN_PAUSE_S: Final = 5.0
"""Seconds. So long an address is left alone after a probe, however often its targets are to be probed; a server on this
machine is ours, and needs no such care."""
MAX_BACK_OFF_S: Final = 600.0
"""Seconds. The longest pause after a server has put us off again and again, unless a longer one was asked for."""
MAX_DOUBLINGS: Final = 32
"""Beyond this every pause has reached its cap."""

STAGES: Final = ("connect", "greeting", "ehlo", "tls", "total")
"""What has a time of its own in a conversation."""

_PROBLEMS: Final = frozenset({Severity.ERROR, Severity.WARNING, Severity.INCONCLUSIVE})


# --- what was seen --------------------------------------------------------------------------------------------------


class Problem(Fact, frozen=True, kw_only=True):
    """One kind of finding that is more than a note."""

    id: str
    severity: Severity
    """The gravest that it had."""
    count: int = 1
    """In how many places of the target."""


class Sighting(Fact, frozen=True, kw_only=True):
    """One probe of a target, in short."""

    target: str
    """As it was typed."""
    at: Moment
    """When the probe began; aware, UTC."""
    status: Severity
    outcome: Outcome
    """How the report stands against the threshold."""
    problems: tuple[Problem, ...] = ()
    """In report order."""
    endpoints: int = 0
    answering: int = 0
    """So many of the endpoints did their work."""
    stages_s: dict[str, Seconds] = msgspec.field(default_factory=dict)
    """Seconds of each of `STAGES`, of the endpoint where it took longest; a stage that none reached is not there."""
    elapsed_s: Seconds = 0.0
    """The whole probe with its DNS questions."""


def sighting(report: Report, threshold: Severity) -> Sighting:
    """Make a sighting of a report.

    Args:
        threshold: of `SCALE`; what reaches it fails the target.
    """
    from smtpprobe.render.measures import measures

    numbers = tuple(measures(report.evidence))
    stages_s = {}
    for stage in STAGES:
        taken = [seconds for each in numbers if (seconds := getattr(each, f"{stage}_s")) is not None]
        if taken:
            stages_s[stage] = round(max(taken), 6)
    return Sighting(
        target=report.evidence.target.text,
        at=report.evidence.started_at,
        status=report.status,
        outcome=outcome(report, threshold),
        problems=tuple(_problems(report)),
        endpoints=len(numbers),
        answering=sum(each.is_serving for each in numbers),
        stages_s=stages_s,
        elapsed_s=round(report.evidence.elapsed_s, 6),
    )


def _problems(report: Report) -> Iterable[Problem]:
    severities: dict[str, list[Severity]] = {}
    for finding in report.findings:
        if finding.severity in _PROBLEMS:
            severities.setdefault(finding.id, []).append(finding.severity)
    for id_, all_ in severities.items():
        yield Problem(id=id_, severity=min(all_, key=GRAVITY.index), count=len(all_))


# --- changes --------------------------------------------------------------------------------------------------------


class Change(Fact, frozen=True, kw_only=True):
    """What is new since the probe before."""

    before: Severity | None
    """None: there was no probe before."""
    after: Severity
    appeared: tuple[str, ...] = ()
    """Ids of problems, in report order."""
    gone: tuple[str, ...] = ()
    """Ids of problems."""


class Line(Sighting, frozen=True, kw_only=True):
    """A line of ``watch --format ndjson``: a probe, and what is new about it."""

    schema: Literal["smtpprobe/watch/1"] = WATCH_SCHEMA
    number: int
    """Of the probe of this target in this watch, from 1."""
    change: Change | None
    """None: as it was before."""
    next_s: float
    """Seconds from the end of this probe to the next one of the target, if there is one."""


def change(before: Sighting | None, after: Sighting) -> Change | None:
    """Compare a probe with what was `known` before; None where neither the status nor the kinds of problems differ."""
    old = () if before is None else tuple(each.id for each in before.problems)
    new = tuple(each.id for each in after.problems)
    still = {each.id for each in known(before, after).problems}
    found = Change(
        before=None if before is None else before.status,
        after=after.status,
        appeared=tuple(each for each in new if each not in old),
        gone=tuple(each for each in old if each not in still),
    )
    is_news = found.before is not found.after or found.appeared or found.gone
    return found if is_news else None


def known(before: Sighting | None, after: Sighting) -> Sighting:
    """What is known once a probe is over: what it saw, and where more endpoints are silent than before, what there was
    before; what they would have shown is neither gone now nor new when they are back.

    Args:
        before: what was known until then.
    """
    if before is None or (_silent(after) <= _silent(before) and (after.endpoints > 0 or before.endpoints == 0)):
        return after
    seen = {each.id for each in after.problems}
    unseen = (each for each in before.problems if each.id not in seen and each.severity is not Severity.INCONCLUSIVE)
    return msgspec.structs.replace(
        after, problems=(*after.problems, *unseen), endpoints=before.endpoints, answering=before.answering
    )


def _silent(seen: Sighting) -> int:
    return seen.endpoints - seen.answering


# --- the end --------------------------------------------------------------------------------------------------------


class Until(StrEnum):
    """What is waited for."""

    OK = "ok"
    """Every target passes."""
    FAIL = "fail"
    """Some target fails."""


def is_met(until: Until | None, latest: Sequence[Sighting | None]) -> bool:
    """Tell whether what is waited for has come.

    Args:
        until: None: nothing is waited for.
        latest: the last sighting of each target; None where there is none yet.
    """
    outcomes = [None if each is None else each.outcome for each in latest]
    match until:
        case None:
            return False
        case Until.OK:
            return bool(outcomes) and all(each is Outcome.PASSED for each in outcomes)
        case Until.FAIL:
            return Outcome.FINDINGS in outcomes


def final_outcome(until: Until | None, latest: Sequence[Sighting | None]) -> Outcome:
    """Say what a watch that is over comes to: whether what was waited for has come, else how the targets stood last."""
    if until is not None:
        return Outcome.PASSED if is_met(until, latest) else Outcome.FINDINGS
    return worst(Outcome.INCONCLUSIVE if each is None else each.outcome for each in latest)


# --- the pace -------------------------------------------------------------------------------------------------------


def put_off_by(evidence: Evidence) -> frozenset[str]:
    """The addresses that asked us to come later: 421 or another 4yz reply (RFC 5321 4.2.1), whatever the step."""
    return frozenset(
        conversation.endpoint.address
        for conversation in evidence.conversations
        for exchange in conversation.exchanges
        if isinstance(exchange.outcome, Reply) and exchange.outcome.code in range(400, 500)
    )


class Pace:
    """When which target may be probed.

    A target is named by its number. Its addresses are known from its last probe on; before, and where they change,
    `begin` decides once they have been looked up.
    """

    def __init__(self, every_s: float, *, min_pause_s: float = MIN_PAUSE_S) -> None:
        """Begin without knowing anybody.

        Args:
            every_s: from the beginning of one probe of a target to that of the next.
            min_pause_s: from the end of one probe of an address to the beginning of the next.
        """
        self._every_s = every_s
        self._min_pause_s = min_pause_s
        self._addresses: dict[int, tuple[str, ...]] = {}
        self._due_s: dict[int, float] = {}
        self._begun: set[int] = set()
        self._busy: dict[str, int] = {}
        """Address -> the target that is probed there."""
        self._rests_until_s: dict[str, float] = {}
        self._put_off: dict[str, int] = {}
        """How often in a row an address has put us off."""

    def due_s(self, number: int) -> float:
        """When a target may be probed at the earliest; a busy address is not known to delay it."""
        rests = (self._rests_until_s.get(each, 0.0) for each in self._addresses.get(number, ()))
        return max((self._due_s.get(number, 0.0), *rests))

    def begin(self, number: int, addresses: Iterable[str], now_s: float) -> float:
        """Ask to talk to addresses now.

        Returns 0 where that is granted: they are busy until `end`. Else so many seconds are to be waited before asking
        again; infinity: until the probe of another target has ended.
        """
        wanted = self._addresses[number] = tuple(dict.fromkeys(addresses))
        wait_s = max((self._rests_until_s.get(each, 0.0) - now_s for each in wanted), default=0.0)
        if any(each in self._busy for each in wanted):
            return math.inf
        if wait_s > 0:
            return wait_s
        self._busy.update(dict.fromkeys(wanted, number))
        self._due_s[number] = now_s + self._every_s
        self._begun.add(number)
        return 0.0

    def end(self, number: int, put_off: frozenset[str], now_s: float) -> float:
        """Note that a probe is over, and tell in how many seconds the next one of the target may begin.

        Args:
            put_off: the addresses that asked us to come later.
        """
        for address in self._addresses.get(number, ()):
            if self._busy.get(address) == number:
                del self._busy[address]
            pause_s = self._pause_s(address)
            if address in put_off:
                times = self._put_off[address] = min(self._put_off.get(address, 0) + 1, MAX_DOUBLINGS)
                usual_s = max(pause_s, self._every_s)
                pause_s = max(usual_s, min(MAX_BACK_OFF_S, usual_s * 2.0**times))
            else:
                self._put_off.pop(address, None)
            self._rests_until_s[address] = now_s + pause_s
        if number not in self._begun:  # nothing was looked up, so it never asked to begin
            self._due_s[number] = now_s + self._every_s
        self._begun.discard(number)
        return max(0.0, self.due_s(number) - now_s)

    def _pause_s(self, address: str) -> float:
        return 0.0 if ip_address(address).is_loopback else self._min_pause_s
