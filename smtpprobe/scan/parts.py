"""What the workers of a distributed scan do: resolve some targets, talk to a bucket of endpoints, write some results.

Each is a function of the names of files in the folder that all machines share, so that any worker can do it, and do
it again. What it makes goes to a file of a name that nobody else uses, and only then is noted as done: whichever
attempt is noted counts, what others made is never read. The parts of the result have the same name in each attempt,
and replace one another whole.

Nothing here imports Dask.
"""

from __future__ import annotations

import asyncio
import gc
import io
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from socket import gethostname
from typing import Any, Final, TypeVar
from uuid import uuid4

import msgspec

from smtpprobe import __version__
from smtpprobe.evidence import Endpoint, Options, Resolution, Target
from smtpprobe.probing import runtime
from smtpprobe.scan.guard import Guard
from smtpprobe.scan.joining import Joiner, Memory, facts_of_address
from smtpprobe.scan.lease import Lease, LeaseLostError, Terms
from smtpprobe.scan.pace import Limits
from smtpprobe.scan.results import Session
from smtpprobe.scan.running import GC_THRESHOLD, Taken, fit_to_descriptors, loop_factory
from smtpprobe.scan.shuffling import bucket_of, pack, squeeze, unsqueeze
from smtpprobe.scan.sinks import fill_parquet
from smtpprobe.scan.store import Store
from smtpprobe.scan.talking import NotAllowedError, Talking
from smtpprobe.scan.worker import Depth, Facts, Probed, Resolved, Worker

STAGED: Final = "_scan/plan"
SUCCESS: Final = "_SUCCESS"
"""Is there when the result is complete, as Hadoop and all that came after it have it."""

KEEP_S: Final = 10.0
"""How often a bucket writes down what it has learnt, so that whoever does it again need not ask again."""

LOOK_S: Final = 1.0
"""How often it is looked whether the scan is to end."""

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


class _Row(msgspec.Struct, array_like=True):
    """What became of an endpoint."""

    key: str
    facts: bytes | None
    session: bytes
    chain: tuple[str, ...] = ()
    failure: str | None = None


class Section(msgspec.Struct, array_like=True):
    """What became of some endpoints."""

    rows: list[_Row] = msgspec.field(default_factory=list)
    certificates: dict[str, bytes] = msgspec.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.rows)


class _Gathered:
    """A `joining.Memory` of sections."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[bytes | None, bytes]] = {}
        self.certificates: dict[str, bytes] = {}

    def add(self, section: Section) -> None:
        self._rows.update((each.key, (each.facts, each.session)) for each in section.rows)
        self.certificates.update(section.certificates)

    def session(self, key: str) -> tuple[bytes | None, bytes | None]:
        return self._rows.get(key, (None, None))

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


def _open(where: str, run: str) -> tuple[Store, Staged]:
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
def _few_collections() -> Iterator[None]:
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


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run on an event loop of its own, in whatever thread this is."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(work)


def _worker(staged: Staged) -> Worker:
    lead_s = (datetime.now(UTC) - staged.started_at).total_seconds()
    options = staged.options
    if staged.roots is not None:
        options = msgspec.structs.replace(options, ca_file=_roots_here(staged.roots)[0])
    return Worker(options, staged.depth, staged.ehlo_name, lead_s=max(0.0, lead_s))


def _joiner(staged: Staged, memory: Memory) -> Joiner:
    return Joiner(
        memory,
        staged.options,
        staged.depth,
        ehlo_name=staged.ehlo_name,
        started_at=staged.started_at,
        runtime=runtime(),
        keeps_evidence=staged.evidence is not None,
    )


def _read_targets(store: Store, number: int) -> list[tuple[int, Target]]:
    return unsqueeze(store.read(targets_file(number)), list[tuple[int, Target]], list)


# --- resolve --------------------------------------------------------------------------------------------------------


@_few_collections()
def resolve(where: str, run: str, number: int, at_once: int) -> Part:
    """Resolve the targets of a partition.

    Makes a file of sections: the endpoints of each bucket, then the facts of all targets in their order, then the
    certificates of policy hosts.

    Args:
        at_once: so many targets at a time.
    """
    store, staged = _open(where, run)
    found = find_done(store, "resolve", number)
    if found is not None:
        return found
    targets = _read_targets(store, number)
    resolved = _run(_resolve_all(staged, [target for _, target in targets], at_once))
    joiner = _joiner(staged, _Gathered())
    buckets: list[dict[str, Endpoint]] = [{} for _ in range(staged.buckets)]
    certificates: dict[str, bytes] = {}
    for (line, target), each in zip(targets, resolved, strict=True):
        certificates.update(each.certificates)
        understood = joiner.planned(line, target, each.facts)
        for endpoint, key in zip(understood.endpoints, understood.keys, strict=True):
            buckets[bucket_of(endpoint.address, staged.buckets)].setdefault(key, endpoint)
    file = f"_scan/resolved/{number:05}-{uuid4().hex}"
    sections = [squeeze(list(each.items())) for each in buckets]
    store.put(file, pack([*sections, squeeze([each.facts for each in resolved]), squeeze(certificates)]))
    return note_done(store, "resolve", number, Part(file=file, targets=len(targets)))


async def _resolve_all(staged: Staged, targets: Sequence[Target], at_once: int) -> list[Resolved]:
    worker = _worker(staged)
    room = asyncio.Semaphore(at_once)

    async def one(target: Target) -> Resolved:
        if target.address is not None:
            return Resolved(facts_of_address(target.address))
        if staged.guard.objection_to_name(target.name) is not None:
            return Resolved(Facts(resolution=Resolution(name=target.name)))
        async with room:
            return await worker.resolve(target)

    try:
        return await asyncio.gather(*map(one, targets))
    finally:
        await worker.close()


# --- probe ----------------------------------------------------------------------------------------------------------


@_few_collections()
def probe(where: str, run: str, bucket: int, resolved: Sequence[str], limits: Limits, concurrency: int) -> Part:
    """Talk to the endpoints of a bucket, which nobody else does at the same time.

    Makes a file of sections, one for each partition: what became of the endpoints that its targets need.

    Args:
        resolved: the files that `resolve` made, by partition.
        limits: this bucket's share of those of the whole scan. A bucket has whole networks, so the limits for an
            address and a network hold across the cluster as they are.
        concurrency: connections at once of the whole scan, all of which may be in this process.

    Raises:
        LeaseLostError: it is not certain any more that nobody else does.
    """
    store, staged = _open(where, run)
    found = find_done(store, "probe", bucket)
    if found is not None:
        return found
    room = fit_to_descriptors(msgspec.structs.replace(limits, concurrency=concurrency))[0].concurrency
    limits = msgspec.structs.replace(limits, concurrency=max(1, limits.concurrency * room // concurrency))
    return _run(_Bucket(store, staged, bucket, resolved, limits).probe())


class _Bucket:
    """One bucket while it is worked on."""

    def __init__(self, store: Store, staged: Staged, number: int, resolved: Sequence[str], limits: Limits) -> None:
        self._store = store
        self._staged = staged
        self._number = number
        self._resolved = resolved
        self._limits = limits
        self._lease = Lease(store, f"_scan/leases/{number:05}", staged.terms)
        self._kept_folder = f"_scan/kept/{number:05}"
        self._encode = msgspec.msgpack.Encoder().encode
        self._encode_json = msgspec.json.Encoder().encode
        self._rows: dict[str, _Row] = {}
        self._certificates: dict[str, bytes] = {}
        self._unkept: list[str] = []
        """Keys of the rows that are in memory only."""

    async def probe(self) -> Part:
        while not await asyncio.to_thread(self._lease.acquire):
            found = await asyncio.to_thread(find_done, self._store, "probe", self._number)
            if found is not None:
                return found
            if await self._is_to_end():
                return Part(is_complete=False)
            await asyncio.sleep(self._staged.terms.beat_s)
        try:
            found = await asyncio.to_thread(find_done, self._store, "probe", self._number)
            return await self._probe() if found is None else found
        finally:
            await asyncio.to_thread(self._lease.release)

    async def _probe(self) -> Part:
        needs = await asyncio.to_thread(self._read)
        worker = _worker(self._staged)
        talking = Talking(worker, self._limits, self._lease.holds, self._talked)
        guard = self._staged.guard
        for key, (endpoint, _) in needs.items():
            objection = guard.objection_to_name(endpoint.name) or guard.objection_to_address(endpoint.address)
            if objection is not None:
                self._leave_alone(key, endpoint, objection)
            elif key not in self._rows:
                talking.offer(key, endpoint)
        try:
            is_complete = await self._talk(talking)
        finally:
            await worker.close()
        if not is_complete:
            await asyncio.to_thread(self._keep)
            return Part(is_complete=False)
        await asyncio.to_thread(self._lease.renew)  # nobody else has come meanwhile
        return await asyncio.to_thread(self._write, needs)

    def _read(self) -> dict[str, tuple[Endpoint, list[int]]]:
        """Read the endpoints, with the partitions that need them, and what is known of them already."""
        needs: dict[str, tuple[Endpoint, list[int]]] = {}
        for partition, raw in enumerate(self._store.sections(self._resolved, self._number)):
            for key, endpoint in unsqueeze(raw, list[tuple[str, Endpoint]], list):
                needs.setdefault(key, (endpoint, []))[1].append(partition)
        for name in self._store.names(self._kept_folder):
            section = unsqueeze(self._store.read(name), Section, Section)
            self._rows.update((each.key, each) for each in section.rows)
            self._certificates.update(section.certificates)
        return needs

    async def _talk(self, talking: Talking) -> bool:
        """Talk, renew the lease, write down what was learnt, and look whether the scan is to end, all at once."""
        run = asyncio.create_task(talking.run())
        beside: set[asyncio.Task[None]] = {asyncio.create_task(self._renew()), asyncio.create_task(self._look(talking))}
        everything: set[asyncio.Task[Any]] = {run, *beside}
        try:
            await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
            for task in beside:
                if task.done():
                    task.result()
            return await run
        except NotAllowedError:
            raise LeaseLostError(f"bucket {self._number}: the lease could not be renewed") from None
        finally:
            for each in everything:
                each.cancel()
            await asyncio.gather(*everything, return_exceptions=True)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._staged.terms.beat_s)
            with suppress(OSError):  # how long that may go on the lease itself knows
                await asyncio.to_thread(self._lease.renew)

    async def _look(self, talking: Talking) -> None:
        kept_s = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_S)
            if await self._is_to_end():
                talking.stop()
            if time.monotonic() - kept_s >= KEEP_S:
                await asyncio.to_thread(self._keep)
                kept_s = time.monotonic()

    async def _is_to_end(self) -> bool:
        try:
            return await asyncio.to_thread(self._store.get, stop_file(self._staged.run)) is not None
        except OSError:
            return False

    def _talked(self, key: str, probed: Probed) -> None:
        conversation, session, certificates = probed
        self._certificates.update(certificates)
        self._rows[key] = _Row(
            key,
            self._encode(conversation),
            self._encode_json(session),
            tuple([sha256 for sha256, _ in certificates]),
            None if conversation.failure is None else conversation.failure.kind.value,
        )
        self._unkept.append(key)

    def _leave_alone(self, key: str, endpoint: Endpoint, objection: str) -> None:
        session = Session(address=endpoint.address, port=endpoint.port, role=endpoint.role, skipped=objection)
        self._rows[key] = _Row(key, None, self._encode_json(session))

    def _keep(self) -> None:
        """Write down what was learnt since the last time."""
        keys, self._unkept = self._unkept, []
        if keys:
            self._store.put(f"{self._kept_folder}/{uuid4().hex}", squeeze(self._section(keys)))

    def _section(self, keys: Sequence[str]) -> Section:
        rows = [self._rows[key] for key in keys]
        return Section(rows, {sha256: self._certificates[sha256] for row in rows for sha256 in row.chain})

    def _write(self, needs: dict[str, tuple[Endpoint, list[int]]]) -> Part:
        wanted: list[list[str]] = [[] for _ in self._resolved]
        for key, (_, partitions) in needs.items():
            for partition in partitions:
                wanted[partition].append(key)
        file = f"_scan/probed/{self._number:05}-{uuid4().hex}"
        self._store.put(file, pack([squeeze(self._section(keys)) for keys in wanted]))
        rows = [self._rows[key] for key in needs]
        talked = sum(row.facts is not None for row in rows)
        part = Part(
            file=file,
            endpoints=talked,
            left_alone=len(rows) - talked,
            failures=dict(Counter(row.failure for row in rows if row.failure is not None)),
        )
        part = note_done(self._store, "probe", self._number, part)
        self._store.remove(self._kept_folder)
        return part


# --- join -----------------------------------------------------------------------------------------------------------


@_few_collections()
def join(where: str, run: str, number: int, resolved: str, probed: Sequence[str]) -> Part:
    """Write the results of the targets of a partition.

    Args:
        resolved: the file that `resolve` made of it.
        probed: those that `probe` made, by bucket.
    """
    store, staged = _open(where, run)
    found = find_done(store, "join", number)
    if found is not None:
        return found
    targets = _read_targets(store, number)
    (facts,) = store.sections([resolved], staged.buckets)
    (certificates,) = store.sections([resolved], staged.buckets + 1)
    memory = _Gathered()
    memory.certificates.update(unsqueeze(certificates, dict[str, bytes], dict))
    for section in store.sections(probed, number):
        memory.add(unsqueeze(section, Section, Section))
    joiner = _joiner(staged, memory)
    outcomes: Counter[str] = Counter()
    lines, evidence = [], []
    for (line, target), known in zip(targets, unsqueeze(facts, list[Facts], list), strict=True):
        joined = joiner.join(joiner.planned(line, target, known))
        lines.append(joined.line)
        outcomes[joined.outcome.value] += 1
        if joined.evidence is not None:
            evidence.append(joined.evidence)
    if staged.evidence is not None:
        Store(staged.evidence).put(f"part-{number:05}.ndjson", b"".join([each + b"\n" for each in evidence]))
    stream = io.BytesIO()
    fill_parquet(stream, lines, staged.fields)
    store.put(part_file(number), stream.getvalue())
    return note_done(store, "join", number, Part(file=part_file(number), targets=len(lines), outcomes=dict(outcomes)))
