"""Which bucket an endpoint is in, files of sections, and shares of the limits."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpprobe.scan.pace import Limits, network_of
from smtpprobe.scan.shuffling import (
    Share,
    Shares,
    bucket_of,
    count_buckets,
    pack,
    read_span,
    span_at,
    squeeze,
    unsqueeze,
)

ADDRESSES = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda number: str(IPv4Address(number))),
    st.integers(0, 2**128 - 1).map(lambda number: str(IPv6Address(number))),
)


@given(ADDRESSES, st.integers(0, 255), st.integers(1, 1000))
def test_a_whole_network_is_in_one_bucket(address: str, other: int, buckets: int) -> None:
    neighbour = (
        f"{address.rpartition('.')[0]}.{other}"
        if ":" not in address
        else str(IPv6Address((int(IPv6Address(address)) >> 80 << 80) + other))
    )
    assert network_of(neighbour) == network_of(address)
    assert bucket_of(neighbour, buckets) == bucket_of(address, buckets) < buckets


def test_the_bucket_of_an_address_never_changes() -> None:
    # Machines of different kinds, and runs on different days, must agree.
    assert [bucket_of(each, 64) for each in ("192.0.2.1", "198.51.100.7", "2001:db8::1")] == [42, 45, 14]


def test_networks_are_spread_over_the_buckets() -> None:
    found = {bucket_of(f"10.{number // 256}.{number % 256}.1", 16) for number in range(500)}
    assert found == set(range(16))


@pytest.mark.parametrize(
    ("targets", "slots", "buckets"), [(1, 1, 2), (1000, 50, 100), (10_000_000, 50, 500), (0, 0, 1)]
)
def test_there_are_buckets_for_every_worker_and_for_all_targets(targets: int, slots: int, buckets: int) -> None:
    assert count_buckets(targets, slots) == buckets


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=20))
def test_each_section_is_read_by_its_own_bytes_alone(sections: list[bytes]) -> None:
    file = pack(sections)
    for number, section in enumerate(sections):
        begin, end = span_at(number)
        first, last = read_span(file[begin:end])
        assert file[first:last] == section
    assert len(file) == 8 * (len(sections) + 1) + sum(map(len, sections))


def test_a_section_of_nothing_takes_no_bytes() -> None:
    assert squeeze([]) == b""
    assert unsqueeze(b"", list[int], list) == []
    assert unsqueeze(squeeze([1, 2]), list[int], list) == [1, 2]


@given(
    st.integers(1, 600),
    st.integers(1, 64),
    st.floats(0.5, 1000),
    st.lists(st.tuples(st.booleans(), st.integers(0, 100)), max_size=60),
)
def test_shares_never_come_to_more_than_the_whole_however_workers_come_and_go(
    concurrency: int, per_provider: int, rate: float, steps: list[tuple[bool, int]]
) -> None:
    whole = Limits(concurrency=concurrency, per_provider=per_provider, rate=rate)
    shares, out, chance = Shares(whole), list[Share](), random.Random(7)  # noqa: S311 - no secret
    for gives_back, workers in steps:
        if gives_back and out:
            shares.give_back(out.pop(chance.randrange(len(out))))
        elif (share := shares.take(workers)) is not None:
            assert share.limits.concurrency >= 1
            assert share.limits.per_provider >= 1
            assert share.limits.per_host_interval_s == whole.per_host_interval_s
            out.append(share)
        assert sum(each.limits.concurrency for each in out) <= concurrency
        assert sum(each.limits.per_provider for each in out) <= per_provider
        assert sum(each.limits.rate or 0 for each in out) <= rate * 1.000001
    while out:
        shares.give_back(out.pop())
    assert (last := shares.take(1)) is not None
    assert last.limits == whole


def test_as_many_shares_as_workers_and_no_more() -> None:
    shares = Shares(Limits(concurrency=10, rate=9.0))
    three = [shares.take(3) for _ in range(3)]
    assert [each.limits.concurrency for each in three if each is not None] == [3, 3, 3]
    assert [each.limits.rate for each in three if each is not None] == [3.0, 3.0, 3.0]
    assert shares.take(3) is None


def test_more_workers_than_connections_to_a_provider_do_not_make_more_connections() -> None:
    shares = Shares(Limits(per_provider=2))
    assert shares.most == 2
    first, second = shares.take(100), shares.take(100)
    assert first is not None
    assert second is not None
    assert first.limits.per_provider + second.limits.per_provider == 2
    assert shares.take(100) is None


def test_a_share_is_smaller_once_there_are_more_workers_and_waits_for_room() -> None:
    shares = Shares(Limits(concurrency=100))
    whole = shares.take(1)
    assert whole is not None
    assert shares.take(4) is None
    shares.give_back(whole)
    quarter = shares.take(4)
    assert quarter is not None
    assert quarter.limits.concurrency == 25
