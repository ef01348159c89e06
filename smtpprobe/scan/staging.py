"""What lies in the common folder of a distributed scan while it goes: the plan, what each stage has made, what is done.

The client writes the plan and the targets, the workers the rest. Here is also what each piece of work begins with: the
plan read back, and a `Worker` and a `Joiner` made after it with what this machine has.
"""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from socket import gethostname
from typing import Any, Final, TypeVar

import msgspec

from smtpprobe import __version__
from smtpprobe.evidence import Options, Target
from smtpprobe.probing import runtime
from smtpprobe.scan.guard import Guard
from smtpprobe.scan.joining import Joiner, Memory
from smtpprobe.scan.journal import Became
from smtpprobe.scan.lease import Terms
from smtpprobe.scan.loops import GC_THRESHOLD, loop_factory
from smtpprobe.scan.running import Taken
from smtpprobe.scan.shuffling import unsqueeze
from smtpprobe.scan.store import Store
from smtpprobe.scan.worker import Depth, Worker

STAGED: Final = "_scan/plan"

T = TypeVar("T")


class Staged(msgspec.Struct, frozen=True, kw_only=True):
    """All that a worker must know of the scan."""

    run: str
    """Of this run; one that goes on with the scan has another."""
    version: str = __version__
    what: bytes
    """By which two runs are of the same scan."""
    options: Options
    roots: bytes | None
    """What stands in the file of roots of the options, which is on one machine only."""
    depth: Depth
    guard: Guard
    fields: tuple[str, ...] | None
    ehlo_name: str
    started_at: datetime
    partitions: int
    buckets: int
    taken: Taken
    evidence: str | None
    terms: Terms = Terms()


class Part(msgspec.Struct, kw_only=True):
    """What came of one piece of work."""

    file: str = ""
    is_complete: bool = True
    """Not where the scan was stopped."""
    targets: int = 0
    endpoints: int = 0
    left_alone: int = 0
    failures: dict[str, int] = msgspec.field(default_factory=dict)
    outcomes: dict[str, int] = msgspec.field(default_factory=dict)


class Row(msgspec.Struct, array_like=True):
    """What became of an endpoint."""

    key: str
    facts: bytes | None
    session: bytes
    shape: bytes | None = None
    chain: tuple[str, ...] = ()
    failure: str | None = None


class Section(msgspec.Struct, array_like=True):
    """What became of some endpoints."""

    rows: list[Row] = msgspec.field(default_factory=list)
    certificates: dict[str, bytes] = msgspec.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.rows)


class Gathered:
    """A `joining.Memory` of sections."""

    def __init__(self) -> None:
        self._rows: dict[str, Became] = {}
        self.certificates: dict[str, bytes] = {}

    def add(self, section: Section) -> None:
        self._rows.update((each.key, Became(each.facts, each.session, each.shape)) for each in section.rows)
        self.certificates.update(section.certificates)

    def became(self, key: str) -> Became | None:
        return self._rows.get(key)

    def certificate(self, sha256: str) -> bytes | None:
        return self.certificates.get(sha256)


# --- names of files -------------------------------------------------------------------------------------------------


def targets_file(number: int) -> str:
    """The targets of a partition."""
    return f"_scan/targets/{number:05}"


def done_file(stage: str, number: int) -> str:
    """Where it is noted what came of a piece of work."""
    return f"_scan/done/{stage}-{number:05}"


def stop_file(run: str) -> str:
    """Is there when the run is to end."""
    return f"_scan/stop-{run}"


def part_file(number: int) -> str:
    """A part of the result."""
    return f"part-{number:05}.parquet"


def find_done(store: Store, stage: str, number: int) -> Part | None:
    """What came of a piece of work; None where it is still to be done."""
    kept = store.get(done_file(stage, number))
    return None if kept is None else msgspec.msgpack.decode(kept, type=Part)


def note_done(store: Store, stage: str, number: int, part: Part) -> Part:
    """Note what came of a piece of work, unless another attempt was first.

    Returns:
        What counts.
    """
    found = find_done(store, stage, number)
    if found is not None:
        return found
    store.put(done_file(stage, number), msgspec.msgpack.encode(part))
    return part


# --- what all of them need ------------------------------------------------------------------------------------------


def open_scan(where: str, run: str) -> tuple[Store, Staged]:
    return Store(where), _staged(where, run)


@lru_cache(maxsize=4)
def _staged(where: str, run: str) -> Staged:
    raw = Store(where).get(STAGED)
    if raw is None:
        raise OSError(f"{gethostname()} finds no scan in {where}; the output must be a place that all machines share")
    try:
        staged = msgspec.msgpack.decode(raw, type=Staged)
    except msgspec.DecodeError:
        staged = None
    if staged is None or staged.version != __version__:
        raise OSError(f"{gethostname()} has smtpprobe {__version__}, which is not the version that began this scan")
    if staged.run != run:
        raise OSError("another run has gone on with this scan")
    return staged


@lru_cache(maxsize=4)
def _roots_here(roots: bytes) -> tuple[str, tempfile.TemporaryDirectory[str]]:
    """Put roots where this machine's TLS finds them, until they are needed no more."""
    folder = tempfile.TemporaryDirectory(prefix="smtpprobe-")
    path = os.path.join(folder.name, "roots.pem")
    with open(path, "wb") as file:
        file.write(roots)
    return path, folder


class _Collections:
    """How many threads of this process want few of them, and how it was before."""

    lock = threading.Lock()
    wanted_by = 0
    before = gc.get_threshold()


@contextmanager
def few_collections() -> Iterator[None]:
    """Look for cycles seldom meanwhile: there are very many objects, and hardly any cycle."""
    with _Collections.lock:
        if not _Collections.wanted_by:
            _Collections.before = gc.get_threshold()
            gc.set_threshold(GC_THRESHOLD)
        _Collections.wanted_by += 1
    try:
        yield
    finally:
        with _Collections.lock:
            _Collections.wanted_by -= 1
            if not _Collections.wanted_by:
                gc.set_threshold(*_Collections.before)


def run_apart(work: Coroutine[Any, Any, T]) -> T:
    """Run on an event loop of its own, in whatever thread this is."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(work)


def make_worker(staged: Staged) -> Worker:
    lead_s = (datetime.now(UTC) - staged.started_at).total_seconds()
    options = staged.options
    if staged.roots is not None:
        options = msgspec.structs.replace(options, ca_file=_roots_here(staged.roots)[0])
    return Worker(options, staged.depth, staged.ehlo_name, lead_s=max(0.0, lead_s))


def make_joiner(staged: Staged, memory: Memory) -> Joiner:
    return Joiner(
        memory,
        staged.options,
        staged.depth,
        ehlo_name=staged.ehlo_name,
        started_at=staged.started_at,
        runtime=runtime(),
        keeps_evidence=staged.evidence is not None,
    )


def read_targets(store: Store, number: int) -> list[tuple[int, Target]]:
    return unsqueeze(store.read(targets_file(number)), list[tuple[int, Target]], list)
