"""Politeness, held to its rules by every order of events that hypothesis can think of."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from smtpprobe.scan.pace import MAX_BACK_OFF_S, Job, Limits, Pace, network_of

ADDRESSES = tuple(f"192.0.{net}.{host}" for net in range(3) for host in range(1, 5))
PROVIDERS = (None, "one.example", "two.example")

LIMITS = st.builds(
    Limits,
    concurrency=st.integers(1, 6),
    rate=st.none() | st.sampled_from([0.5, 2.0, 100.0]),
    per_host_interval_s=st.sampled_from([0.0, 1.0, 2.5]),
    per_network=st.integers(1, 3),
    per_provider=st.integers(1, 3),
    back_off_s=st.sampled_from([0.0, 4.0, 30.0]),
)


class PaceMachine(RuleBasedStateMachine):
    """Jobs come, begin and end at any time; a model that knows nothing but the rules watches."""

    @initialize(limits=LIMITS)
    def begin(self, limits: Limits) -> None:
        self.limits = limits
        self.pace = Pace(limits)
        self.now_s = 1000.0
        self.offered: dict[str, Job] = {}
        self.running: dict[str, Job] = {}
        self.waiting: dict[str, Job] = {}
        self.ran: Counter[str] = Counter()
        self.free_at: dict[str, float] = {}
        self.in_a_row: Counter[str] = Counter()
        self.starts: list[float] = []

    @rule(address=st.sampled_from(ADDRESSES), provider=st.sampled_from(PROVIDERS))
    def offer(self, address: str, provider: str | None) -> None:
        job = Job(str(len(self.offered)), address, network_of(address), provider)
        self.offered[job.id] = self.waiting[job.id] = job
        self.pace.offer(job)

    @rule(seconds=st.sampled_from([0.01, 0.5, 1.0, 5.0, 40.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def take(self) -> None:
        self.take_one()

    @rule()
    def take_all(self) -> None:
        while self.take_one() is not None:
            pass

    @rule(data=st.data(), is_put_off=st.booleans())
    def end(self, data: st.DataObject, is_put_off: bool) -> None:
        if self.running:
            self.end_one(data.draw(st.sampled_from(sorted(self.running))), is_put_off)

    def end_one(self, number: str, is_put_off: bool = False) -> None:
        job = self.running.pop(number)
        self.pace.done(job, self.now_s, is_put_off=is_put_off)
        pause_s = self.limits.per_host_interval_s
        if is_put_off:
            self.in_a_row[job.address] += 1
            back_off_s = self.limits.back_off_s * 2 ** (self.in_a_row[job.address] - 1)
            pause_s = max(pause_s, min(MAX_BACK_OFF_S, back_off_s))
        else:
            self.in_a_row[job.address] = 0
        self.free_at[job.address] = self.now_s + pause_s

    def take_one(self) -> Job | None:
        job = self.pace.take(self.now_s)
        if job is None:
            assert not [each for each in self.waiting.values() if self.may_begin(each)], "nobody is kept for nothing"
            return None
        assert job == self.waiting.pop(job.id), "each job runs once"
        assert self.may_begin(job, with_rate=False)
        self.ran[job.id] += 1
        self.running[job.id] = job
        self.starts.append(self.now_s)
        return job

    def may_begin(self, job: Job, *, with_rate: bool = True) -> bool:
        limits, runs = self.limits, list(self.running.values())
        if with_rate and limits.rate is not None and self.starts and self.now_s < self.starts[-1] + 1 / limits.rate:
            return False
        return (
            len(runs) < limits.concurrency
            and job.address not in {each.address for each in runs}
            and self.now_s >= self.free_at.get(job.address, 0.0)
            and sum(each.network == job.network for each in runs) < limits.per_network
            and (job.provider is None or sum(each.provider == job.provider for each in runs) < limits.per_provider)
        )

    @invariant()
    def counts_fit(self) -> None:
        if hasattr(self, "pace"):
            assert self.pace.running == len(self.running)
            assert self.pace.waiting == len(self.waiting)

    @invariant()
    def the_rate_is_kept(self) -> None:
        rate = getattr(self, "limits", Limits()).rate
        if rate is None:
            return
        for number, began_s in enumerate(self.starts):
            within = sum(1 for each in self.starts[number:] if each < began_s + 1)
            assert within <= max(1, rate) + 1

    def teardown(self) -> None:
        """Whatever came before, all jobs come to their turn, if only `next_s` is heeded."""
        if not hasattr(self, "pace"):
            return
        for _ in range(20 * len(self.offered) + 20):
            while self.take_one() is not None:
                pass
            if not self.waiting and not self.running:
                break
            next_s = self.pace.next_s()
            if self.running:
                self.end_one(min(self.running))
            else:
                assert next_s is not None, "somebody waits, and nobody will ever look"
                self.now_s = max(self.now_s, next_s)
        assert set(self.ran) == set(self.offered)
        assert set(self.ran.values()) <= {1}


PaceMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestPace: Any = PaceMachine.TestCase


# --- one by one -----------------------------------------------------------------------------------------------------


def jobs(*addresses: str, provider: str | None = None) -> list[Job]:
    return [Job(str(number), each, network_of(each), provider) for number, each in enumerate(addresses)]


def test_an_address_rests_after_each_connection() -> None:
    pace = Pace(Limits(per_host_interval_s=2.0))
    first, second = jobs("192.0.2.1", "192.0.2.1")
    pace.offer(first)
    pace.offer(second)
    assert pace.take(0.0) == first
    assert pace.take(0.0) is None
    pace.done(first, 5.0)
    assert pace.take(6.9) is None
    assert pace.next_s() == 7.0
    assert pace.take(7.0) == second


def test_who_puts_us_off_is_left_alone_longer_and_longer_until_it_is_friendly() -> None:
    pace = Pace(Limits(back_off_s=30.0, per_host_interval_s=1.0))
    ends = [True] * 7 + [False, True]
    for job in jobs(*["192.0.2.1"] * (len(ends) + 1)):
        pace.offer(job)
    now_s, waits = 0.0, []
    for is_put_off in ends:
        taken = pace.take(now_s)
        assert taken is not None
        pace.done(taken, now_s, is_put_off=is_put_off)
        next_s = pace.next_s()
        assert next_s is not None
        assert pace.take(next_s - 0.1) is None
        waits.append(next_s - now_s)
        now_s = next_s
    assert waits == [30, 60, 120, 240, 480, MAX_BACK_OFF_S, MAX_BACK_OFF_S, 1, 30]


def test_a_network_that_is_full_keeps_nobody_else_waiting() -> None:
    pace = Pace(Limits(per_network=2))
    for job in jobs(*[f"192.0.2.{number}" for number in range(1, 6)], "198.51.100.1"):
        pace.offer(job)
    taken = [pace.take(0.0) for _ in range(4)]
    assert [each and each.address for each in taken] == ["192.0.2.1", "192.0.2.2", "198.51.100.1", None]


@pytest.mark.parametrize("rate", [0.5, 10.0, 1000.0])
def test_what_the_rate_left_unused_is_not_saved_up(rate: float) -> None:
    pace = Pace(Limits(rate=rate, concurrency=10_000, per_network=10_000))
    for job in jobs(*[f"192.0.{number // 250}.{number % 250}" for number in range(3000)]):
        pace.offer(job)
    starts = []
    for now_s in (0.0, 100.0, *(100 + step / (rate * 4) for step in range(1, 400))):
        while pace.take(now_s) is not None:
            starts.append(now_s)
    late = [each for each in starts if each >= 100]
    assert len(late) <= 100 + 2
    assert len(late) >= 99


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.254", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("2001:db8:1::1", "2001:db8:1:ffff::2", True),
        ("2001:db8:1::1", "2001:db8:2::1", False),
        ("2001:0db8:0001::", "2001:db8:1:0:0:0:0:9", True),
        ("::1", "0:0:0:1::", True),
    ],
)
def test_a_network_is_a_24_or_a_48(one: str, other: str, is_same: bool) -> None:
    assert (network_of(one) == network_of(other)) is is_same


@given(st.ip_addresses())
def test_every_address_has_a_network(address: object) -> None:
    assert str(network_of(str(address)))
