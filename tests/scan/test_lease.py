"""Who may talk to the servers of a bucket: one at a time, whatever becomes of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from smtpprobe.scan.lease import Lease, LeaseLostError, Terms
from smtpprobe.scan.store import Store

pytest.importorskip("fsspec", reason="the store needs it")

TERMS = Terms(lasts_s=15.0)


class Clock:
    """One that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def test_who_comes_first_has_it_and_the_next_one_waits(store: Store) -> None:
    clock = Clock()
    first, second = (Lease(store, "lease", TERMS, clock) for _ in range(2))
    assert first.acquire()
    assert first.holds()
    assert not second.acquire()
    assert not second.holds()


def test_a_lease_that_is_given_back_is_had_at_once(store: Store) -> None:
    clock = Clock()
    first, second = (Lease(store, "lease", TERMS, clock) for _ in range(2))
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert not first.holds()
    assert second.acquire()
    assert second.holds()


def test_a_lease_that_is_renewed_is_never_taken(store: Store) -> None:
    clock = Clock()
    first, second = (Lease(store, "lease", TERMS, clock) for _ in range(2))
    assert first.acquire()
    for _ in range(20):
        clock.now_s += TERMS.beat_s
        first.renew()
        assert first.holds()
        assert not second.acquire()
        assert not second.holds()


def test_the_lease_of_who_was_lost_is_taken_once_it_has_not_changed_for_its_time(store: Store) -> None:
    clock = Clock()
    lost, heir = (Lease(store, "lease", TERMS, clock) for _ in range(2))
    assert lost.acquire()
    began_s = clock.now_s
    answers = []
    while not heir.acquire():
        answers.append(clock.now_s)
        assert not heir.holds()
        clock.now_s += TERMS.beat_s
        assert len(answers) < 20
    assert heir.holds()
    assert clock.now_s - began_s >= TERMS.lasts_s


def test_who_cannot_renew_stops_long_before_another_begins(store: Store) -> None:
    # Each has a clock of its own, and that of the heir is ahead by years.
    here, there = Clock(), Clock()
    there.now_s += 1e8
    cut_off, heir = Lease(store, "lease", TERMS, here), Lease(store, "lease", TERMS, there)
    assert cut_off.acquire()
    assert not heir.acquire()
    held_s, began_s = 0.0, None
    for tenths in range(1, 300):
        here.now_s += 0.1
        there.now_s += 0.1
        heir.acquire()
        if cut_off.holds():
            held_s = tenths / 10
        if heir.holds() and began_s is None:
            began_s = tenths / 10
    assert held_s == pytest.approx(TERMS.lasts_s * 2 / 3, abs=0.2)
    assert began_s == pytest.approx(TERMS.lasts_s, abs=0.3)


def test_who_wakes_up_late_learns_that_it_is_lost_and_does_not_get_it_back(store: Store) -> None:
    clock = Clock()
    sleeper, heir = (Lease(store, "lease", TERMS, clock) for _ in range(2))
    assert sleeper.acquire()
    while not heir.acquire():
        clock.now_s += TERMS.beat_s
    with pytest.raises(LeaseLostError):
        sleeper.renew()
    assert not sleeper.holds()
    sleeper.release()  # which must not take it from the other
    heir.renew()
    assert heir.holds()


def test_who_was_late_with_renewing_has_lost_it_even_if_nobody_else_came(store: Store) -> None:
    # Else it could go on in the moment in which another one, who has watched for long enough, begins.
    clock = Clock()
    late = Lease(store, "lease", TERMS, clock)
    assert late.acquire()
    clock.now_s += TERMS.lasts_s
    with pytest.raises(LeaseLostError):
        late.renew()


def test_of_two_that_find_it_left_only_one_has_it(store: Store) -> None:
    clock = Clock()
    lost, one, two = (Lease(store, "lease", TERMS, clock) for _ in range(3))
    assert lost.acquire()
    one.acquire()
    two.acquire()
    clock.now_s += TERMS.lasts_s
    assert [one.acquire(), two.acquire()] == [False, False]
    clock.now_s += TERMS.beat_s
    assert [one.acquire(), two.acquire()] == [True, False]


def test_a_lease_that_was_left_is_had_only_once_it_is_seen_that_nobody_wrote_over_it(store: Store) -> None:
    clock = Clock()
    lost, one = (Lease(store, "lease", TERMS, clock) for _ in range(2))
    assert lost.acquire()
    one.acquire()
    clock.now_s += TERMS.lasts_s
    assert not one.acquire()  # it has written its name
    assert not one.holds()
    store.put("lease", b"another one, which saw the same 1")
    clock.now_s += TERMS.beat_s
    assert not one.acquire()
    assert not one.holds()
