"""What a worker does: again, in place of another, and beside one that nobody hears of any more."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("fsspec", reason="the store needs it")

from smtpprobe.scan import parts, staging
from smtpprobe.scan.lease import Lease, LeaseLostError, Terms
from smtpprobe.scan.loading import read_results
from smtpprobe.scan.pace import Limits
from smtpprobe.scan.results import Result
from smtpprobe.scan.running import Taken
from smtpprobe.scan.shuffling import squeeze, unsqueeze
from smtpprobe.scan.store import Store
from smtpprobe.scan.worker import Depth
from smtpprobe.targets import parse_target
from tests.scan.world import World, world

RUN = "run"
LEASE = "_scan/leases/00000"
NAMES = ("d3.example", "d4.example", "d5.example")
LIMITS = Limits(per_host_interval_s=0)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as made:
        yield made


class Begun:
    """A scan of a few targets, all of whose endpoints are in one bucket, resolved."""

    def __init__(self, small: World, folder: Path, terms: Terms) -> None:
        small.forget()
        self.where = str(folder / "out")
        self.store = Store(self.where)
        plan = small.plan(self.where)
        self.staged = staging.Staged(
            run=RUN,
            what=b"",
            options=plan.options,
            roots=small.roots.read_bytes(),
            depth=Depth.LIGHT,
            guard=plan.guard,
            fields=None,
            ehlo_name="probe.example.org",
            started_at=datetime.now(UTC),
            partitions=1,
            buckets=1,
            taken=Taken(),
            evidence=None,
            terms=terms,
        )
        self.store.put(staging.STAGED, msgspec.msgpack.encode(self.staged))
        self.store.put(
            staging.targets_file(0), squeeze([(line, parse_target(name)) for line, name in enumerate(NAMES, 1)])
        )
        self.resolved = parts.resolve(self.where, RUN, 0, 10).file

    def probe(self) -> staging.Part:
        return parts.probe(self.where, RUN, 0, [self.resolved], LIMITS, LIMITS.concurrency)

    def join(self, probed: staging.Part) -> staging.Part:
        return parts.join(self.where, RUN, 0, self.resolved, [probed.file])


@pytest.fixture
def begun(small: World, tmp_path: Path) -> Begun:
    return Begun(small, tmp_path, Terms(lasts_s=1.5))


def test_the_three_stages_make_the_results_of_a_partition(begun: Begun, small: World) -> None:
    probed = begun.probe()
    assert (probed.endpoints, probed.left_alone) == (sum(small.visits), 0)
    joined = begun.join(probed)
    assert joined.file == "part-00000.parquet"
    results = [each for each in read_results(begun.where) if isinstance(each, Result)]
    assert [each.target for each in results] == list(NAMES)
    assert all(each.is_reachable for each in results)
    # The roots of the person's machine came along, and so did the certificates.
    seen = [session.certificate for host in results[0].hosts for session in host.sessions]
    assert seen[0] is not None
    assert seen[0].is_chain_trusted


def test_what_is_done_is_not_done_again(begun: Begun, small: World) -> None:
    probed = begun.probe()
    visits = small.visits
    assert begun.probe() == probed
    assert small.visits == visits
    assert parts.resolve(begun.where, RUN, 0, 10).file == begun.resolved
    assert begun.join(probed) == begun.join(probed)


def test_of_two_attempts_that_end_both_the_first_counts(begun: Begun) -> None:
    first = staging.note_done(begun.store, "probe", 7, staging.Part(file="first"))
    second = staging.note_done(begun.store, "probe", 7, staging.Part(file="second"))
    assert first.file == second.file == "first"


def test_a_part_that_is_written_again_takes_the_place_of_the_first(begun: Begun) -> None:
    probed = begun.probe()
    begun.join(probed)
    begun.store.remove(staging.done_file("join", 0))  # the worker was lost before it could say so
    begun.join(probed)
    assert [each.name for each in sorted(Path(begun.where).glob("part-*"))] == ["part-00000.parquet"]
    assert len(list(read_results(begun.where))) == len(NAMES)


def test_nobody_is_talked_to_while_another_has_the_bucket(begun: Begun, small: World) -> None:
    assert Lease(begun.store, LEASE, begun.staged.terms).acquire()
    begun.store.put(staging.stop_file(RUN), b"")  # else it would wait until it may be its turn
    assert not begun.probe().is_complete
    assert sum(small.visits) == 0


def test_who_loses_the_bucket_breaks_off_what_is_open(begun: Begun, small: World) -> None:
    small.forget(hold_s=30)
    with ThreadPoolExecutor() as pool:
        work = pool.submit(begun.probe)
        small.wait_for(lambda: sum(small.visits) > 0)
        begun.store.put(LEASE, b"another 1")
        with pytest.raises(LeaseLostError):
            work.result(20)
    small.wait_until_idle()
    assert staging.find_done(begun.store, "probe", 0) is None
    assert begun.store.get(LEASE) == b"another 1"


def test_who_cannot_reach_the_folder_stops_in_time(begun: Begun, small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    small.forget(hold_s=30)

    def unreachable(*_: object) -> None:
        raise OSError("gone")

    with ThreadPoolExecutor() as pool:
        work = pool.submit(begun.probe)
        small.wait_for(lambda: sum(small.visits) > 0)
        monkeypatch.setattr(Lease, "renew", unreachable)
        with pytest.raises(LeaseLostError, match="could not be renewed"):
            work.result(20)
    small.wait_until_idle()


def test_whoever_does_a_bucket_again_need_not_ask_again_what_was_written_down(begun: Begun, small: World) -> None:
    first = begun.probe()
    (raw,) = begun.store.sections([first.file], 0)
    section = unsqueeze(raw, staging.Section, staging.Section)
    lost = section.rows.pop()
    begun.store.remove(staging.done_file("probe", 0))
    begun.store.put("_scan/kept/00000/some", squeeze(section))
    small.forget()
    again = begun.probe()
    assert sum(small.visits) == 1
    assert again.endpoints == first.endpoints
    (raw,) = begun.store.sections([again.file], 0)
    assert lost.key in {each.key for each in unsqueeze(raw, staging.Section, staging.Section).rows}
    assert begun.store.names("_scan/kept/00000") == []


def test_what_was_learnt_before_the_scan_is_to_end_is_written_down(begun: Begun, small: World) -> None:
    # One after the other; the scan is to end while the first server is talked to.
    small.forget(hold_s=3.0)
    alone = msgspec.structs.replace(LIMITS, concurrency=1)
    with ThreadPoolExecutor() as pool:
        work = pool.submit(parts.probe, begun.where, RUN, 0, [begun.resolved], alone, 1)
        small.wait_for(lambda: sum(small.visits) > 0)
        begun.store.put(staging.stop_file(RUN), b"")
        assert not work.result(20).is_complete
    assert sum(small.visits) == 1
    begun.store.remove(staging.stop_file(RUN))
    visits = small.visits
    small.forget()
    assert begun.probe().is_complete
    assert max(now + before for now, before in zip(small.visits, visits, strict=True)) == 1


def test_a_worker_with_few_descriptors_makes_its_share_smaller(
    begun: Begun, small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Limits] = []

    def remember(work: object, limits: Limits, *_: object) -> None:
        found.append(limits)
        raise OSError("that is all")

    monkeypatch.setattr(
        parts, "fit_to_descriptors", lambda limits: (msgspec.structs.replace(limits, concurrency=50), 1)
    )
    monkeypatch.setattr(parts, "Talking", remember)
    for share in (100, 1):
        limits = msgspec.structs.replace(LIMITS, concurrency=share)
        with pytest.raises(OSError, match="that is all"):
            parts.probe(begun.where, RUN, 0, [begun.resolved], limits, 400)
        assert begun.store.get(LEASE) is None  # whoever tries again need not wait
    assert [each.concurrency for each in found] == [12, 1]


def test_a_worker_of_an_older_run_leaves_the_scan_alone(begun: Begun, small: World) -> None:
    begun.store.put(staging.STAGED, msgspec.msgpack.encode(msgspec.structs.replace(begun.staged, run="newer")))
    with pytest.raises(OSError, match="another run"):
        parts.probe(begun.where, "older", 0, [begun.resolved], LIMITS, LIMITS.concurrency)
    assert sum(small.visits) == 0


def test_a_worker_that_does_not_see_the_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="all machines share"):
        parts.resolve(str(tmp_path / "elsewhere"), RUN, 0, 1)


def test_a_worker_of_another_version_says_so(begun: Begun) -> None:
    other = msgspec.structs.replace(begun.staged, run="other", version="0.0.1")
    begun.store.put(staging.STAGED, msgspec.msgpack.encode(other))
    with pytest.raises(OSError, match="version"):
        parts.resolve(begun.where, "other", 0, 1)
