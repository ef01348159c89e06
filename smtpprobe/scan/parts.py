"""What the workers of a distributed scan do: resolve some targets, talk to a bucket of endpoints, write some results.

Each is a function of the names of files in the folder that all machines share, so that any worker can do it, and do
it again. What it makes goes to a file of a name that nobody else uses, and only then is noted as done: whichever
attempt is noted counts, what others made is never read. The parts of the result have the same name in each attempt,
and replace one another whole.

Nothing here imports Dask.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

import msgspec

from smtpprobe.evidence import Endpoint, Target
from smtpprobe.scan.joining import facts_of_address
from smtpprobe.scan.lease import Lease, LeaseLostError
from smtpprobe.scan.pace import Limits
from smtpprobe.scan.running import fit_to_descriptors
from smtpprobe.scan.shuffling import bucket_of, pack, squeeze, unsqueeze
from smtpprobe.scan.sinks import fill_parquet
from smtpprobe.scan.staging import (
    Gathered,
    Part,
    Row,
    Section,
    Staged,
    few_collections,
    find_done,
    make_joiner,
    make_worker,
    note_done,
    open_scan,
    part_file,
    read_targets,
    run_apart,
    stop_file,
)
from smtpprobe.scan.store import Store
from smtpprobe.scan.talking import NotAllowedError, Talking
from smtpprobe.scan.worker import Facts, Probed, Resolved, left_alone, nobody_asked

KEEP_S: Final = 10.0
"""How often a bucket writes down what it has learnt, so that whoever does it again need not ask again."""

LOOK_S: Final = 1.0
"""How often it is looked whether the scan is to end."""


# --- resolve --------------------------------------------------------------------------------------------------------


@few_collections()
def resolve(where: str, run: str, number: int, at_once: int) -> Part:
    """Resolve the targets of a partition.

    Makes a file of sections: the endpoints of each bucket, then the facts of all targets in their order, then the
    certificates of policy hosts.

    Args:
        at_once: so many targets at a time.
    """
    store, staged = open_scan(where, run)
    found = find_done(store, "resolve", number)
    if found is not None:
        return found
    targets = read_targets(store, number)
    resolved = run_apart(_resolve_all(staged, [target for _, target in targets], at_once))
    joiner = make_joiner(staged, Gathered())
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
    worker = make_worker(staged)
    room = asyncio.Semaphore(at_once)

    async def one(target: Target) -> Resolved:
        if target.address is not None:
            return Resolved(facts_of_address(target.address))
        why = staged.guard.objection_to_name(target.name)
        if why is not None:
            return Resolved(nobody_asked(target, why))
        async with room:
            return await worker.resolve(target)

    try:
        return await asyncio.gather(*map(one, targets))
    finally:
        await worker.close()


# --- probe ----------------------------------------------------------------------------------------------------------


@few_collections()
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
    store, staged = open_scan(where, run)
    found = find_done(store, "probe", bucket)
    if found is not None:
        return found
    room = fit_to_descriptors(msgspec.structs.replace(limits, concurrency=concurrency))[0].concurrency
    limits = msgspec.structs.replace(limits, concurrency=max(1, limits.concurrency * room // concurrency))
    return run_apart(_Bucket(store, staged, bucket, resolved, limits).probe())


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
        self._rows: dict[str, Row] = {}
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
        worker = make_worker(self._staged)
        talking = Talking(worker, self._limits, self._lease.holds, self._talked)
        guard = self._staged.guard
        for key, (endpoint, _) in needs.items():
            objection = guard.objection_to(endpoint)
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
        self._certificates.update(probed.certificates)
        self._rows[key] = Row(
            key,
            probed.facts,
            probed.session,
            probed.shape,
            tuple([sha256 for sha256, _ in probed.certificates]),
            None if probed.failure is None else probed.failure.value,
        )
        self._unkept.append(key)

    def _leave_alone(self, key: str, endpoint: Endpoint, objection: str) -> None:
        self._rows[key] = Row(key, None, left_alone(endpoint, objection).session)

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


@few_collections()
def join(where: str, run: str, number: int, resolved: str, probed: Sequence[str]) -> Part:
    """Write the results of the targets of a partition.

    Args:
        resolved: the file that `resolve` made of it.
        probed: those that `probe` made, by bucket.
    """
    store, staged = open_scan(where, run)
    found = find_done(store, "join", number)
    if found is not None:
        return found
    targets = read_targets(store, number)
    (facts,) = store.sections([resolved], staged.buckets)
    (certificates,) = store.sections([resolved], staged.buckets + 1)
    memory = Gathered()
    memory.certificates.update(unsqueeze(certificates, dict[str, bytes], dict))
    for section in store.sections(probed, number):
        memory.add(unsqueeze(section, Section, Section))
    joiner = make_joiner(staged, memory)
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
