"""When to probe again, what is a change, and when a watch is over: values only, and a clock that is a number."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import msgspec
import pytest

from smtpprobe.report import Outcome, Severity
from smtpprobe.watching import (
    MAX_BACK_OFF_S,
    MIN_PAUSE_S,
    Change,
    Pace,
    Problem,
    Sighting,
    Until,
    change,
    final_outcome,
    is_met,
    known,
    put_off_by,
    sighting,
)
from tests.render import reports

NOBODY: frozenset[str] = frozenset()
A, B = "192.0.2.1", "2001:db8::1"


def seen(status: Severity = Severity.OK, *ids: str, outcome: Outcome = Outcome.PASSED) -> Sighting:
    problems = tuple(Problem(id=each, severity=Severity.WARNING) for each in ids)
    at = datetime(2026, 11, 24, tzinfo=UTC)
    return Sighting(target="example.org", at=at, status=status, outcome=outcome, problems=problems)


# --- sightings ------------------------------------------------------------------------------------------------------


def test_a_sighting_is_a_report_in_short() -> None:
    report = reports.mixed()
    found = sighting(report, Severity.ERROR)
    assert (found.target, found.at, found.status) == ("example.org", report.evidence.started_at, Severity.WARNING)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert sighting(report, Severity.WARNING).outcome is Outcome.FINDINGS
    assert (found.endpoints, found.answering) == (15, 2)
    ids = [each.id for each in found.problems]
    assert len(ids) == len(set(ids))
    assert "certificate-expired" in ids
    assert found.stages_s["total"] == pytest.approx(max(c.ended_s - c.started_s for c in report.evidence.conversations))
    assert set(found.stages_s) == {"connect", "greeting", "ehlo", "tls", "total"}


def test_notes_are_no_problems_and_a_problem_stands_once_with_its_gravest_severity() -> None:
    found = sighting(reports.dead(), Severity.ERROR)
    assert all(each.severity not in (Severity.OK, Severity.INFO) for each in found.problems)
    assert max(each.count for each in found.problems) > 1


def test_whoever_answers_4yz_puts_us_off() -> None:
    assert put_off_by(reports.healthy().evidence) == NOBODY
    assert put_off_by(reports.dead().evidence) == NOBODY, "who is silent or refuses for good does not"
    assert put_off_by(reports.mixed().evidence) == {"203.0.113.25"}


# --- changes --------------------------------------------------------------------------------------------------------


def test_the_first_sighting_is_a_change_from_nothing() -> None:
    found = change(None, seen(Severity.WARNING, "a"))
    assert found == Change(before=None, after=Severity.WARNING, appeared=("a",))


def test_the_same_again_is_no_change() -> None:
    assert change(seen(Severity.WARNING, "a", "b"), seen(Severity.WARNING, "b", "a")) is None


def test_a_change_names_what_came_and_what_went() -> None:
    found = change(seen(Severity.WARNING, "a", "b"), seen(Severity.ERROR, "b", "c"))
    assert found == Change(before=Severity.WARNING, after=Severity.ERROR, appeared=("c",), gone=("a",))


def changes(*each: Sighting) -> list[tuple[tuple[str, ...], tuple[str, ...]] | None]:
    """What came and went at each probe but the first; None: nothing."""
    found, before = [], each[0]
    for after in each[1:]:
        new = change(before, after)
        found.append(None if new is None else (new.appeared, new.gone))
        before = known(before, after)
    return found


def answering(seen_: Sighting, answering: int, endpoints: int = 2) -> Sighting:
    return msgspec.structs.replace(seen_, endpoints=endpoints, answering=answering)


def test_what_a_silent_server_does_not_show_is_neither_gone_nor_new_afterwards() -> None:
    well = answering(seen(Severity.WARNING, "expired"), 2)
    put_off = msgspec.structs.replace(
        answering(seen(Severity.INCONCLUSIVE), 1), problems=(Problem(id="greylisted", severity=Severity.INCONCLUSIVE),)
    )
    assert changes(well, put_off, put_off, well) == [(("greylisted",), ()), None, ((), ("greylisted",))]
    nowhere = answering(seen(Severity.INCONCLUSIVE, "mx-lookup-timeout"), 0, endpoints=0)
    assert changes(well, nowhere, well) == [(("mx-lookup-timeout",), ()), ((), ("mx-lookup-timeout",))]


def test_what_is_mended_while_a_server_is_silent_is_gone_when_it_is_back() -> None:
    well, down = answering(seen(Severity.WARNING, "expired"), 2), answering(seen(Severity.ERROR, "refused"), 1)
    assert changes(well, down, answering(seen(), 2)) == [(("refused",), ()), ((), ("refused", "expired"))]


def test_what_a_server_that_was_given_up_had_is_gone() -> None:
    assert changes(answering(seen(Severity.WARNING, "expired"), 2), answering(seen(), 1, endpoints=1)) == [
        ((), ("expired",))
    ]


def test_another_problem_of_the_same_weight_is_a_change() -> None:
    assert change(seen(Severity.WARNING, "a"), seen(Severity.WARNING, "b")) is not None


# --- the end --------------------------------------------------------------------------------------------------------

PASSED, FAILED, UNKNOWN = (seen(outcome=each) for each in (Outcome.PASSED, Outcome.FINDINGS, Outcome.INCONCLUSIVE))


@pytest.mark.parametrize(
    ("until", "latest", "met"),
    [
        (Until.OK, (PASSED, PASSED), True),
        (Until.OK, (PASSED, FAILED), False),
        (Until.OK, (PASSED, UNKNOWN), False),
        (Until.OK, (PASSED, None), False),
        (Until.OK, (), False),
        (Until.FAIL, (PASSED, FAILED), True),
        (Until.FAIL, (None, FAILED), True),
        (Until.FAIL, (PASSED, UNKNOWN), False),
        (None, (PASSED,), False),
    ],
)
def test_what_is_waited_for_comes(until: Until | None, latest: tuple[Sighting | None, ...], met: bool) -> None:
    assert is_met(until, latest) is met


@pytest.mark.parametrize(
    ("until", "latest", "expected"),
    [
        (Until.OK, (PASSED,), Outcome.PASSED),
        (Until.OK, (UNKNOWN,), Outcome.FINDINGS),
        (Until.FAIL, (FAILED,), Outcome.PASSED),
        (Until.FAIL, (PASSED,), Outcome.FINDINGS),
        (None, (PASSED, PASSED), Outcome.PASSED),
        (None, (PASSED, FAILED), Outcome.FINDINGS),
        (None, (PASSED, UNKNOWN), Outcome.INCONCLUSIVE),
        (None, (PASSED, None), Outcome.INCONCLUSIVE),
    ],
)
def test_a_watch_that_is_over_comes_to_something(
    until: Until | None, latest: tuple[Sighting | None, ...], expected: Outcome
) -> None:
    assert final_outcome(until, latest) is expected


# --- the pace -------------------------------------------------------------------------------------------------------


def test_a_target_is_probed_at_intervals_that_count_from_its_beginning() -> None:
    pace = Pace(30)
    assert pace.due_s(0) == 0
    assert pace.begin(0, [A], 100) == 0
    assert pace.end(0, NOBODY, 103) == 27
    assert pace.due_s(0) == 130


def test_a_slow_probe_is_followed_by_the_pause_and_not_at_once() -> None:
    pace = Pace(30)
    pace.begin(0, [A], 0)
    assert pace.end(0, NOBODY, 40) == MIN_PAUSE_S


def test_an_address_is_left_alone_for_the_pause_however_short_the_interval() -> None:
    pace = Pace(0.01)
    pace.begin(0, [A], 0)
    assert pace.end(0, NOBODY, 1) == MIN_PAUSE_S
    assert pace.begin(0, [A], 2) == MIN_PAUSE_S - 1
    assert pace.begin(0, [A], 1 + MIN_PAUSE_S) == 0


def test_targets_that_share_an_address_share_its_pause() -> None:
    pace = Pace(30)
    assert pace.begin(0, [A, B], 0) == 0
    assert pace.begin(1, [B], 0) == math.inf, "it is in use, nobody knows for how long"
    pace.end(0, NOBODY, 1)
    assert pace.begin(1, [B], 2) == MIN_PAUSE_S - 1
    assert pace.due_s(1) == 1 + MIN_PAUSE_S, "its address is known by now"
    assert pace.begin(1, [B], 1 + MIN_PAUSE_S) == 0


def test_other_addresses_are_not_waited_for() -> None:
    pace = Pace(30)
    pace.begin(0, [A], 0)
    assert pace.begin(1, [B], 0) == 0


def test_a_server_on_this_machine_needs_no_pause() -> None:
    pace = Pace(0.01)
    pace.begin(0, ["127.0.0.1"], 0)
    assert pace.end(0, NOBODY, 1) == 0


def test_who_puts_us_off_is_left_alone_twice_as_long_each_time_up_to_a_cap() -> None:
    pace, now_s, pauses = Pace(30), 0.0, []
    for _ in range(40):
        assert pace.begin(0, [A], now_s) == 0
        pauses.append(pace.end(0, frozenset([A]), now_s))
        now_s = pace.due_s(0)
    assert pauses[:5] == [60, 120, 240, 480, MAX_BACK_OFF_S]
    assert pauses[-1] == MAX_BACK_OFF_S
    pace.begin(0, [A], now_s)
    assert pace.end(0, NOBODY, now_s) == 30, "who answers again is probed as before"
    pace.begin(0, [A], now_s + 30)
    assert pace.end(0, frozenset([A]), now_s + 30) == 60, "and counted from the beginning"


def test_an_interval_beyond_the_cap_is_not_shortened_by_backing_off() -> None:
    pace = Pace(3600)
    pace.begin(0, [A], 0)
    assert pace.end(0, frozenset([A]), 0) == 3600


def test_backing_off_counts_for_the_address_and_not_for_the_target() -> None:
    pace = Pace(30)
    pace.begin(0, [A], 0)
    pace.end(0, frozenset([A]), 0)
    assert pace.begin(1, [A], 30) == 30
    assert pace.begin(1, [B], 30) == 0


def test_a_target_without_addresses_keeps_its_interval() -> None:
    pace = Pace(30)
    assert pace.begin(0, [], 0) == 0
    assert pace.end(0, NOBODY, 1) == 29


def test_a_probe_that_ended_before_anything_was_looked_up_keeps_the_interval_too() -> None:
    pace = Pace(30)
    for now_s in (1, 31, 61):
        assert pace.end(0, NOBODY, now_s) == 30
