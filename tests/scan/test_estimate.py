"""What a scan is said to cost."""

from __future__ import annotations

import pytest

from smtpprobe.scan.estimate import ASSUMED_SESSION_S, estimate
from smtpprobe.scan.pace import Limits


def test_nothing_costs_nothing() -> None:
    found = estimate(0, 0, Limits())
    assert (found.endpoints, found.questions, found.seconds) == (0, 0, 0.0)


def test_addresses_need_no_questions_and_names_need_some() -> None:
    assert estimate(0, 10, Limits()).questions == 0
    found = estimate(1000, 0, Limits())
    assert 2000 < found.questions < 10_000
    assert found.endpoints > 1000


def test_time_goes_down_with_concurrency_and_is_bounded_by_the_rate() -> None:
    slow, fast = (estimate(0, 100_000, Limits(concurrency=count)).seconds for count in (100, 1000))
    assert slow == pytest.approx(10 * fast)
    assert slow == pytest.approx(1000 * ASSUMED_SESSION_S)
    assert estimate(0, 100_000, Limits(concurrency=1000, rate=10)).seconds == pytest.approx(10_000)


def test_the_ports_of_an_address_wait_for_one_another() -> None:
    limits = Limits(per_host_interval_s=4.0)
    assert estimate(0, 1, limits, ports=3).endpoints == 3
    assert estimate(0, 1, limits, ports=3).seconds >= 2 * 4.0 + 3 * ASSUMED_SESSION_S
    assert estimate(0, 1, limits).seconds == ASSUMED_SESSION_S
