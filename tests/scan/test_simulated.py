"""Scans of a simulated world of very many domains: complete, right, polite, and whole again after anything."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scan.simulated import PER_NETWORK, PER_PROVIDER, Simulated, plain, simulated, write_list

pytestmark = pytest.mark.skipif(os.uname().sysname != "Linux", reason="needs all of 127.0.0.0/8")

DOMAINS = 1500
FEW = 300


@pytest.fixture(scope="module")
def world() -> Iterator[Simulated]:
    with simulated(DOMAINS) as made:
        yield made


@pytest.fixture(scope="module")
def source(world: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_list(tmp_path_factory.mktemp("scan") / "list", world.names)


@pytest.fixture(scope="module")
def few(world: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_list(tmp_path_factory.mktemp("few") / "list", world.names[:FEW])


@pytest.fixture(scope="module")
def whole(world: Simulated, source: Path) -> Path:
    """The results of a scan that nothing has disturbed."""
    out = source.parent / "whole.ndjson"
    status, said = world.scan(source, out)
    assert status == 0, said
    return out


def test_every_target_has_exactly_one_result_and_it_is_right(world: Simulated, whole: Path) -> None:
    met = world.check(whole)
    assert set(met) >= {"healthy", "starttls", "dead", "slow", "garbage", "endless", "busy", "mx", "nxdomain"}
    assert not whole.with_name(whole.name + ".journal").exists()


def test_nobody_is_bothered_beyond_measure(world: Simulated, whole: Path) -> None:
    seen = world.seen()
    assert seen.rudeness == []
    assert seen.network == PER_NETWORK
    assert seen.provider == PER_PROVIDER


def test_a_scan_that_is_killed_again_and_again_comes_to_the_same(
    world: Simulated, source: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.ndjson"
    assert world.scan_with_kills(source, out, 3, whole.stat().st_size, "-q") >= 1
    assert plain(out) == plain(whole)
    assert [each.name for each in tmp_path.iterdir()] == ["out.ndjson"]
    assert world.seen().rudeness == []


def test_two_processes_come_to_the_same(world: Simulated, source: Path, whole: Path, tmp_path: Path) -> None:
    status, said = world.scan(source, tmp_path / "out.ndjson", "--jobs", "2")
    assert status == 0, said
    assert plain(tmp_path / "out.ndjson") == plain(whole)
    assert world.seen().rudeness == []


@pytest.mark.parametrize("size", [32 * 1024, 512 * 1024])
def test_a_full_disk_stops_it_and_nothing_is_lost(world: Simulated, few: Path, tmp_path: Path, size: int) -> None:
    out = tmp_path / "out.ndjson"
    status, said = world.scan(
        few, out, limits=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    )
    assert status == 2, said
    assert "Traceback" not in said
    assert said.startswith("smtpprobe: ")
    has_begun = Path(f"{out}.journal").exists()
    assert has_begun or not out.exists()
    status, said = world.scan(few, out, *(["--resume"] if has_begun else []))
    assert status == 0, said
    world.check(out, range(FEW))


def test_few_file_descriptors_make_it_slower_and_it_says_so(world: Simulated, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    status, said = world.scan(source, out, limits=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (192, 192)))
    assert status == 0, said
    assert "the system allows 192 open files, so at most 64 connections at once" in said
    world.check(out)


def test_too_few_file_descriptors_are_no_scan(world: Simulated, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    status, said = world.scan(source, out, limits=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    assert status == 2, said
    assert said.startswith("smtpprobe: ")
    assert "only 64 files may be open at once here" in said
    assert "ulimit -n 1024" in said
    assert list(tmp_path.glob("out.ndjson*")) == []
