"""A scan on a Dask cluster: the same plan as a flow of parts over any number of machines.

    targets -> partitions -> resolve -> endpoints, dealt out by network -> probe -> dealt back -> join -> Parquet parts

What goes from one stage to the next lies in files in the output folder (`store`, `shuffling`), the work itself is in
`parts`. Dask knows who is there, gives the work out, and gives it out again where a worker is lost. So nothing that was
found out is lost with a worker, and what two attempts make of the same work is there once.

Politeness holds over the whole cluster: a bucket has whole networks and is worked on by one worker at a time (`lease`),
so the limits for an address and a network hold as they are; connections at once, the rate and the connections to one
provider are shared out among the buckets that are worked on (`shuffling.Shares`). As many are at once as the workers
have threads, and no more than any of these limits; of the other work, which keeps a processor busy, as many pieces as
there are workers.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

import msgspec

from smtpprobe import __version__
from smtpprobe.errors import EvidenceError, OptionError, SmtpprobeError
from smtpprobe.names import own_ehlo_name, quoted
from smtpprobe.scan import parts, staging
from smtpprobe.scan.cluster import connected, explained, quiet_logs, require_dask, result_of
from smtpprobe.scan.engine import Progress
from smtpprobe.scan.lease import Terms
from smtpprobe.scan.results import RESULT_SCHEMA, SUCCESS
from smtpprobe.scan.running import OTHER_SCAN, STDOUT, Outcome, Plan, Scan, Taken, require_name
from smtpprobe.scan.shuffling import Shares, count_buckets, squeeze
from smtpprobe.scan.sinks import FORMS
from smtpprobe.scan.staging import Part, Staged
from smtpprobe.scan.store import Store

PARTITION_SIZE: Final = 10_000
"""Targets: what a worker resolves or writes in about a minute, and a Parquet file of a few megabytes."""

RESOLVING_AT_ONCE: Final = 500
"""Targets, over the whole cluster, as in a scan on one machine."""

RETRIES: Final = 2
"""How often a piece of work is tried again that failed; work that was lost with its worker is not counted here."""

ALONE_S: Final = 10.0
"""How long all workers may be gone of a cluster of our own, or while the scan ends, before they are given up."""

TICK_S: Final = 0.5

_OTHER_FORMS: Final = (".ndjson", ".jsonl", *(ending for ending, form in FORMS.items() if form != "parquet"))


class Flow(Progress):
    """How far a distributed scan has come."""

    stage: str = ""
    """``resolve``, ``probe`` or ``join``; empty before."""
    parts: int = 0
    parts_done: int = 0
    workers: int = 0


class DistributedScan:
    """One scan: take the targets in, run, and close; as `running.Scan`. A context manager.

    Args:
        scheduler: where Dask's scheduler is, ``tcp://HOST:PORT``; None: ``plan.jobs`` processes of our own.
        partition_size: targets.
        terms: how long the lease of a bucket lasts.

    Raises:
        MissingExtraError: Dask is not installed.
        OptionError: the output is no folder, or exists, or there is nothing to go on with.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        scheduler: str | None = None,
        partition_size: int = PARTITION_SIZE,
        on_tick: Callable[[Flow], None] | None = None,
        terms: Terms | None = None,
    ) -> None:
        require_dask()
        if plan.out == STDOUT or Path(plan.out).suffix.lower() in _OTHER_FORMS:
            raise OptionError("a distributed scan writes a folder of Parquet files: --out FOLDER, or a URL")
        evidence = None if plan.evidence is None else Store.absolute(plan.evidence)
        self.plan = msgspec.structs.replace(plan, out=Store.absolute(plan.out), evidence=evidence)
        self._shown_out = plan.out
        self._scheduler = scheduler
        self._size = partition_size
        self._on_tick = on_tick
        self._terms = terms or Terms()
        self._what = self.plan.what() + b" %d" % partition_size
        self._run_id = uuid4().hex[:12]
        self._stack = ExitStack()
        self._scan: Scan | None = None
        self._staged: Staged | None = None
        self._task: asyncio.Task[bool] | None = None
        self._client: Any = None
        self.progress = Flow()
        self.taken = Taken()
        self.is_stopped = False
        """By a person."""
        self._is_ending = False
        self._slots = 1
        """How much the workers can do at once."""
        self._running: dict[asyncio.Task[Part], int] = {}
        self._seen_workers_s = 0.0

    def __enter__(self) -> Self:
        self._store = store = Store(self.plan.out)
        if Path(self.plan.out).is_file():
            raise OptionError(f"{quoted(self._shown_out)} is a file; a distributed scan writes a folder: --out FOLDER")
        staged = store.get(staging.STAGED)
        if self.plan.is_resumed:
            if staged is None:
                raise OptionError(f"there is nothing to go on with in {quoted(self._shown_out)}")
            try:
                self._staged = msgspec.msgpack.decode(staged, type=Staged)
            except msgspec.DecodeError:
                raise EvidenceError(f"the scan in {quoted(self._shown_out)} was begun by another version") from None
            if self._staged.version != __version__:
                raise EvidenceError(f"the scan in {quoted(self._shown_out)} was begun by another version")
            if self._staged.what != self._what:
                raise OptionError(OTHER_SCAN)
        elif staged is not None:
            raise OptionError(
                f"a scan into {quoted(self._shown_out)} was not finished; go on with --resume, or remove the folder"
            )
        elif any(name == SUCCESS or name.startswith("part-") for name in store.names("")):
            raise OptionError(f"{quoted(self._shown_out)} has results; choose another --out or remove them")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def take_targets(self, on_progress: Callable[[Taken], None] | None = None) -> Taken:
        """Read the targets, unless that was done in an earlier run.

        Raises:
            OSError: the source cannot be read.
            OptionError: a column is missing.
        """
        if self._staged is not None:
            self.taken = self._staged.taken
        else:
            aside = msgspec.structs.replace(self.plan, out=STDOUT, evidence=None)
            self._scan = self._stack.enter_context(Scan(aside))  # its journal tells which of them are the same
            self.taken = self._scan.take_targets(on_progress)
        return self.taken

    def run(self) -> Outcome:
        """Scan.

        Raises:
            OSError: something cannot be written, or the cluster failed; what was found out can be gone on with.
            OptionError: more targets than `running.NAMELESS` and no EHLO name, or no cluster is there.
        """
        require_name(self.taken.targets, self.plan.options)
        self._partitions = self._stage_targets() if self._staged is None else self._staged.partitions
        try:
            with quiet_logs():
                is_complete = asyncio.run(self._run())
        except BaseException:
            if self._store.get(staging.STAGED) is None:  # nothing was begun that one could go on with
                self._store.remove("_scan")
                self._store.remove_if_empty()
            raise
        return Outcome(is_complete, self.progress, self.taken)

    async def _run(self) -> bool:
        self._task = asyncio.current_task()
        self._listen(asyncio.get_running_loop())
        progress = self.progress
        progress.targets = self.taken.targets
        try:
            async with connected(self._scheduler, self.plan.jobs) as client:
                self._client = client
                await self._count_workers()
                staged = await asyncio.to_thread(self._stage_plan)
                ticking = asyncio.create_task(self._tick())
                try:
                    return await self._flow(staged)
                finally:
                    ticking.cancel()
        except asyncio.CancelledError:
            if not self.is_stopped:
                raise
            return False

    # --- stopping ---------------------------------------------------------------------------------------------------

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take Ctrl-C, and a polite kill, as a wish to stop; a shell that has Ctrl-C ignored is obeyed."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                with suppress(NotImplementedError):  # Windows
                    loop.add_signal_handler(number, self.stop)

    def stop(self) -> None:
        """On the event loop: begin nothing more; again: break off what runs."""
        if self.is_stopped and self._task is not None:
            self._task.cancel()
        self.is_stopped = True

    async def _end(self) -> None:
        """Tell the workers to come to an end."""
        if not self._is_ending:
            self._is_ending = self.progress.is_draining = True
            await asyncio.to_thread(self._store.put, staging.stop_file(self._run_id), b"")

    async def _tick(self) -> None:
        ends_s = None if self.plan.max_time_s is None else time.monotonic() + self.plan.max_time_s
        while True:
            if self.is_stopped or (ends_s is not None and time.monotonic() >= ends_s):
                with suppress(OSError):
                    await self._end()
            with suppress(OSError):  # of a scheduler that is gone its work tells
                await self._count_workers()
            if self._on_tick is not None:
                self._on_tick(self.progress)
            await asyncio.sleep(TICK_S)

    async def _count_workers(self) -> None:
        threads = dict(await self._client.nthreads())
        self.progress.workers = len(threads)
        self._slots = max(1, sum(threads.values()))

    # --- the targets ------------------------------------------------------------------------------------------------

    def _stage_plan(self) -> Staged:
        """Put where the workers find it what they have to know."""
        plan = self.plan
        if self._staged is not None:
            staged = msgspec.structs.replace(self._staged, run=self._run_id, guard=plan.guard, terms=self._terms)
        else:
            roots = None if plan.options.ca_file is None else Path(plan.options.ca_file).read_bytes()
            staged = Staged(
                run=self._run_id,
                what=self._what,
                options=plan.options,
                roots=roots,
                depth=plan.depth,
                guard=plan.guard,
                fields=plan.fields,
                ehlo_name=own_ehlo_name(plan.options.ehlo_name),
                started_at=datetime.now(UTC),
                partitions=self._partitions,
                buckets=count_buckets(self.taken.targets, self._slots),
                taken=self.taken,
                evidence=plan.evidence,
                terms=self._terms,
            )
        self._store.put(staging.STAGED, msgspec.msgpack.encode(staged))
        return staged

    def _stage_targets(self) -> int:
        """Write the partitions.

        Returns:
            How many there are; at least one.
        """
        last = count = 0
        while self._scan is not None and (known := self._scan.journal.open_targets(last, self._size)):
            last = known[-1].id
            rows = [(each.line, msgspec.Raw(each.target)) for each in known]
            self._store.put(staging.targets_file(count), squeeze(rows))
            count += 1
        if not count:
            self._store.put(staging.targets_file(0), b"")
        return max(1, count)

    # --- the flow ---------------------------------------------------------------------------------------------------

    async def _flow(self, staged: Staged) -> bool:
        progress, where, run = self.progress, self.plan.out, staged.run
        progress.began_s = time.monotonic()

        def resolve(number: int) -> Any:
            if len(self._running) >= max(1, progress.workers):
                return None
            at_once = max(1, RESOLVING_AT_ONCE // max(1, progress.workers))
            return self._submit(parts.resolve, "resolve", where, run, number, at_once)

        resolved = await self._stage("resolve", staged.partitions, resolve)
        if resolved is None:
            return False
        files = [each.file for each in resolved]
        shares = Shares(self.plan.limits)

        def probe(bucket: int) -> Any:
            share = shares.take(self._slots)
            if share is None:
                return None
            task = self._submit(parts.probe, "probe", where, run, bucket, files, share.limits, shares.concurrency)
            task.add_done_callback(lambda _: shares.give_back(share))
            return task

        probed = await self._stage("probe", staged.buckets, probe)
        if probed is None:
            return False
        files_probed = [each.file for each in probed]

        def join(number: int) -> Any:
            if len(self._running) >= max(1, progress.workers):
                return None
            return self._submit(parts.join, "join", where, run, number, files[number], files_probed)

        joined = await self._stage("join", staged.partitions, join)
        if joined is None:
            return False
        await asyncio.to_thread(self._finish, joined)
        return True

    def _submit(self, work: Callable[..., Part], stage: str, where: str, run: str, number: int, *rest: Any) -> Any:
        future = self._client.submit(
            work, where, run, number, *rest, key=f"smtpprobe-{run}-{stage}-{number}", pure=False, retries=RETRIES
        )
        return asyncio.ensure_future(result_of(future))

    async def _stage(self, stage: str, count: int, begin: Callable[[int], Any]) -> list[Part] | None:
        """Have the work of a stage done, in any order.

        Args:
            begin: begins one piece, or gives None where another must end first.

        Returns:
            What came of each; None where the scan was stopped before all was done.
        """
        progress = self.progress
        done = await asyncio.to_thread(self._done, stage, count)
        progress.stage, progress.parts, progress.parts_done = stage, count, len(done)
        for part in done.values():
            self._account(stage, part)
        waiting = deque(number for number in range(count) if number not in done)
        self._seen_workers_s = time.monotonic()
        try:
            while waiting or self._running:
                while waiting and not self._is_ending and (task := begin(waiting[0])) is not None:
                    self._running[task] = waiting.popleft()
                if not self._running:
                    break
                self._see_to_workers()
                ended, _ = await asyncio.wait(self._running, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    number = self._running.pop(task)
                    try:
                        part = task.result()
                    except (SmtpprobeError, OSError):
                        raise
                    except Exception as error:
                        raise OSError(explained(stage, number, error)) from error
                    if part.is_complete:
                        done[number] = part
                        progress.parts_done = len(done)
                        self._account(stage, part)
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
        return [done[number] for number in range(count)] if len(done) == count else None

    def _account(self, stage: str, part: Part) -> None:
        progress = self.progress
        if stage == "resolve":
            progress.resolved += part.targets
        elif stage == "join":
            progress.written += part.targets
        progress.endpoints += part.endpoints
        progress.probed += part.endpoints
        progress.connections += part.endpoints
        progress.left_alone += part.left_alone
        progress.failures.update(part.failures)
        progress.outcomes.update(part.outcomes)

    def _see_to_workers(self) -> None:
        """Do not wait for what nobody works at: if nobody can come, or the scan is to end anyway.

        Raises:
            OSError: no worker has been there for long.
        """
        now_s = time.monotonic()
        if self.progress.workers:
            self._seen_workers_s = now_s
        elif now_s - self._seen_workers_s > ALONE_S and (self._scheduler is None or self._is_ending):
            raise OSError("the workers of the scan were lost; --resume goes on")

    def _done(self, stage: str, count: int) -> dict[int, Part]:
        """What was done in an earlier run."""
        names = set(self._store.names("_scan/done")) if self._staged is not None else set()
        found = {}
        for number in range(count):
            part = staging.find_done(self._store, stage, number) if staging.done_file(stage, number) in names else None
            if part is not None:
                found[number] = part
        return found

    def _finish(self, joined: list[Part]) -> None:
        """Say that the result is complete, and remove what led to it."""
        content = {
            "schema": RESULT_SCHEMA,
            "targets": sum(each.targets for each in joined),
            "parts": [{"file": each.file, "targets": each.targets} for each in joined],
        }
        self._store.put(SUCCESS, msgspec.json.encode(content) + b"\n")
        self._store.remove("_scan")
