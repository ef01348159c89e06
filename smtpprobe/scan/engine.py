"""How a scan goes: targets in, questions asked, endpoints talked to when `pace` lets them, results out; all journalled.

One event loop. Little is held in memory: a window of targets that are being asked about, a window of endpoints that
wait for their turn, what runs, and what came in since it was last looked at, which is a hundredth of a second ago.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import Any, Final, Protocol

import msgspec

from smtpprobe.evidence import Endpoint, Target
from smtpprobe.scan.guard import Guard
from smtpprobe.scan.joining import Joiner, Understood, facts_of_address
from smtpprobe.scan.journal import Journal
from smtpprobe.scan.pace import Job, Limits, Pace, network_of
from smtpprobe.scan.sinks import Sink
from smtpprobe.scan.worker import Facts, Probed, Resolved, left_alone, nobody_asked

COMMIT_S: Final = 0.1
"""How often what came in is written down for good."""

NOTE_S: Final = 0.01
"""How often what came in is looked at: so little at a time that nobody is kept waiting, and no reply is heard late."""

WINDOW: Final = 6_000
"""Endpoints that wait for their turn before no more targets are resolved."""

TARGETS_READ: Final = 1_000
"""Targets that are taken from the journal at a time."""

WARM: Final = 8_000
"""Targets that wait for their endpoints and are kept in memory; the others are read again when it is their turn."""


class Work(Protocol):
    """Who asks and talks: a `worker.Worker`, or several in processes of their own."""

    async def resolve(self, target: Target) -> Resolved:
        """Ask about a target; raises nothing."""
        ...

    def probe(self, endpoint: Endpoint, then: Callable[[Probed], None]) -> None:
        """Talk to an endpoint."""
        ...

    async def close(self) -> None:
        """Break off what runs."""
        ...


class Progress(msgspec.Struct):
    """How far a scan has come."""

    targets: int = 0
    written: int = 0
    resolved: int = 0
    endpoints: int = 0
    """Distinct ones that were or are to be talked to; those left alone are not among them."""
    probed: int = 0
    connections: int = 0
    """Made in this run."""
    running: int = 0
    resolving: int = 0
    failures: Counter[str] = msgspec.field(default_factory=Counter)
    """Endpoints that failed, by kind of failure."""
    outcomes: Counter[str] = msgspec.field(default_factory=Counter)
    """Results by `results.Standing`, of all runs."""
    left_alone: int = 0
    """Endpoints that were not talked to, because somebody or reason forbids it."""
    written_before: int = 0
    """In an earlier run."""
    began_s: float = msgspec.field(default_factory=time.monotonic)
    is_draining: bool = False


class Engine:
    """One scan while it lasts.

    Args:
        journal: with the targets in it.
        evidence: where the evidence of each target goes; None: it is not made.
    """

    def __init__(
        self,
        journal: Journal,
        work: Work,
        joiner: Joiner,
        sink: Sink,
        *,
        limits: Limits,
        guard: Guard,
        progress: Progress,
        targets_at_once: int,
        evidence: Sink | None = None,
    ) -> None:
        self._journal = journal
        self._work = work
        self._joiner = joiner
        self._sink = sink
        self._guard = guard
        self.progress = progress
        self._pace = Pace(limits)
        self._targets_at_once = targets_at_once
        self._evidence = evidence
        self._is_committed = False
        self._loop = asyncio.get_running_loop()
        self._clock = time.monotonic
        self._read_target = msgspec.msgpack.Decoder(Target)
        self._read_facts = msgspec.msgpack.Decoder(Facts)
        self._encode = msgspec.msgpack.Encoder().encode  # for the journal
        self._queue: list[tuple[int, int, Target, Facts | None]] = []
        """Targets to be resolved, next one last: id, line, target, and the facts where they are known."""
        self._last_target = 0
        self._more_targets = True
        self._tasks: set[asyncio.Task[None]] = set()
        # What waits for endpoints.
        self._endpoints: dict[str, Endpoint] = {}
        """Those that wait in `_pace` or run, by key."""
        self._needed_by: dict[str, list[int]] = {}
        """Targets by the key of an endpoint."""
        self._open: dict[int, int] = {}
        """How many endpoints a target waits for."""
        self._warm: OrderedDict[int, Understood] = OrderedDict()
        # What came in since the last commit.
        self._resolved: list[tuple[int, int, Target, Resolved, bool]] = []
        """Id, line, target, what came of it, and whether that is new."""
        self._probed: list[tuple[str, Probed]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._is_stopping = False
        self._failure: BaseException | None = None

    def stop(self) -> None:
        """Begin nothing more; what runs comes to its end."""
        self._is_stopping = True
        self.progress.is_draining = True

    def fail(self, error: BaseException) -> None:
        """Something that all depends on has failed: end with this error."""
        self._failure = self._failure or error

    async def run(self, max_time_s: float | None = None) -> bool:
        """Scan until all is done, or until stopped.

        Args:
            max_time_s: begin nothing more after so many seconds.

        Returns:
            Whether every target has its result.

        Raises:
            OSError: the output or the journal cannot be written; what was written by then is intact.
        """
        ends_s = None if max_time_s is None else self._clock() + max_time_s
        try:
            commits_s = 0.0
            while True:
                self._note()
                if self._clock() >= commits_s:
                    self._commit()
                    commits_s = self._clock() + COMMIT_S
                if self._failure is not None:
                    raise self._failure
                if ends_s is not None and self._clock() >= ends_s:
                    self.stop()
                if not self._is_stopping:
                    self._begin_resolving()
                self._begin_probing()
                if self._is_over():
                    break
                await asyncio.sleep(NOTE_S if self._endpoints or self._tasks else 0)
            self._commit()
        finally:
            await self._break_off()
        counts = self._journal.counts()
        return counts.written == counts.targets

    def _is_over(self) -> bool:
        if self._resolved or self._probed or self._tasks or self._pace.running:
            return False
        return self._is_stopping or not (self._queue or self._more_targets or self._pace.waiting)

    async def _break_off(self) -> None:
        self._is_stopping = True  # sessions that are broken off must not make room for others
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()

    # --- resolving --------------------------------------------------------------------------------------------------

    def _begin_resolving(self) -> None:
        while len(self._tasks) < self._targets_at_once and self._pace.waiting + len(self._resolved) < WINDOW:
            if not self._queue and not self._fill_queue():
                break
            number, line, target, facts = self._queue.pop()
            why = self._guard.objection_to_name(target.name)
            if why is not None:  # perhaps only since the scan is gone on with
                self._resolved.append((number, line, target, Resolved(nobody_asked(target, why)), facts is None))
            elif facts is not None:
                self._resolved.append((number, line, target, Resolved(facts), False))
            else:
                task = self._loop.create_task(self._resolve(number, line, target))
                self._tasks.add(task)
                task.add_done_callback(self._resolution_ended)
        self.progress.resolving = len(self._tasks)

    def _fill_queue(self) -> bool:
        if not self._more_targets:
            return False
        known = self._journal.open_targets(self._last_target, TARGETS_READ)
        if not known:
            self._more_targets = False
            return False
        self._last_target = known[-1].id
        for each in reversed(known):
            target = self._read_target.decode(each.target)
            facts = None
            if each.facts is not None:
                facts = self._read_facts.decode(each.facts)
            elif target.address is not None:
                facts = facts_of_address(target.address)
            self._queue.append((each.id, each.line, target, facts))
        return True

    async def _resolve(self, number: int, line: int, target: Target) -> None:
        found = await self._work.resolve(target)
        self._resolved.append((number, line, target, found, True))

    def _resolution_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        if task.exception() is not None:
            self._failure = task.exception()
        elif not self._is_stopping and self._failure is None and self._queue:
            self._begin_resolving()

    # --- probing ----------------------------------------------------------------------------------------------------

    def _begin_probing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_stopping or self._failure is not None:
            return
        now_s = self._clock()
        while (job := self._pace.take(now_s)) is not None:
            self.progress.connections += 1
            self._work.probe(self._endpoints[job.id], partial(self._ended, job))
        self.progress.running = self._pace.running
        next_s = self._pace.next_s()
        if next_s is not None:
            self._timer = self._loop.call_later(max(0.0, next_s - self._clock()), self._begin_probing)

    def _ended(self, job: Job, probed: Probed) -> None:
        self._probed.append((job.id, probed))
        self._pace.done(job, self._clock(), is_put_off=probed.is_put_off)
        self._begin_probing()

    # --- writing down -----------------------------------------------------------------------------------------------

    def _note(self) -> None:
        """Take in what came, and write the results of all targets of which all is known now."""
        if not (self._resolved or self._probed):
            return
        probed, self._probed = self._probed, []
        resolved, self._resolved = self._resolved, []
        ready: list[int] = []
        self._note_probed(probed, ready)
        self._note_resolved(resolved, ready)
        if ready:
            self._write_results(ready)
        self._is_committed = False

    def _commit(self) -> None:
        """Make what was taken in last."""
        if self._is_committed:
            return
        self._journal.keep("length", self._sink.length())
        self._journal.keep("tally", msgspec.json.encode((self.progress.outcomes, self.progress.left_alone)))
        if self._evidence is not None:
            self._journal.keep("evidence-length", self._evidence.length())
        self._journal.commit()
        self._is_committed = True

    def _note_probed(self, probed: list[tuple[str, Probed]], ready: list[int]) -> None:
        rows: list[tuple[str, bytes | None, bytes, bytes | None]] = []
        for key, found in probed:
            if found.certificates:
                self._journal.add_certificates(found.certificates)
            rows.append((key, found.facts, found.session, found.shape))
            del self._endpoints[key]
            self._joiner.remember(key, found)
            for target in self._needed_by.pop(key, ()):
                left = self._open[target] - 1
                if left:
                    self._open[target] = left
                else:
                    del self._open[target]
                    ready.append(target)
            if found.failure is not None:
                self.progress.failures[found.failure.value] += 1
        self._journal.probed(rows)
        self.progress.probed += len(rows)

    def _note_resolved(self, resolved: list[tuple[int, int, Target, Resolved, bool]], ready: list[int]) -> None:
        rows = []
        for number, line, target, (facts, certificates), is_new in resolved:
            if certificates:
                self._journal.add_certificates(certificates)
            if is_new:
                rows.append((number, self._encode(facts)))
                self.progress.resolved += 1
            understood = self._joiner.planned(line, target, facts)
            waits = 0
            for endpoint, key in zip(understood.endpoints, understood.keys, strict=True):
                waits += self._need(number, endpoint, key)
            self._warm[number] = understood
            if waits:
                self._open[number] = waits
            else:
                ready.append(number)
        while len(self._warm) > WARM + len(ready):
            self._warm.popitem(last=False)
        self._journal.resolved(rows)
        self._begin_probing()

    def _need(self, target: int, endpoint: Endpoint, key: str) -> bool:
        """Note that a target needs an endpoint.

        Returns:
            Whether it must wait for it.
        """
        if key not in self._endpoints:
            if self._joiner.is_known(key) or self._journal.is_probed(key):
                return False
            objection = self._guard.objection_to(endpoint)
            if objection is not None:
                self._leave_alone(endpoint, key, objection)
                return False
            self.progress.endpoints += 1
            self._endpoints[key] = endpoint
            self._pace.offer(Job(key, endpoint.address, network_of(endpoint.address), provider_of(endpoint.name)))
        self._needed_by.setdefault(key, []).append(target)
        return True

    def _leave_alone(self, endpoint: Endpoint, key: str, objection: str) -> None:
        self.progress.left_alone += 1
        became = left_alone(endpoint, objection)
        self._journal.probed([(key, became.facts, became.session, became.shape)])
        self._joiner.remember(key, became)

    def _write_results(self, ready: list[int]) -> None:
        joined = []
        for number in ready:
            understood = self._warm.pop(number, None) or self._joiner.understood(self._journal.target(number))
            joined.append(self._joiner.join(understood))
        self._sink.write([each.line for each in joined])
        if self._evidence is not None:
            self._evidence.write([each.evidence for each in joined if each.evidence is not None])
        self._journal.written(ready)
        self.progress.written += len(ready)
        for one in joined:
            self.progress.outcomes[one.outcome] += 1


def provider_of(host: str | None) -> str | None:
    """The registered name that a mail host lies under, whose owner all its hosts belong to; None without a name.

    By the public suffix list where that is installed. Without it by the last two labels, which puts together what lies
    under ``co.uk`` and the like: then the scan is slower there, never less polite.
    """
    if host is None:
        return None
    # The hosts of a provider have the same parent, which is looked up once; the host only where that is a suffix.
    _, _, parent = host.partition(".")
    return _registered(parent) or _registered(host) or ".".join(host.split(".")[-2:])


@lru_cache(maxsize=4096)
def _registered(name: str) -> str | None:
    suffixes = _suffixes()
    found: str | None = None if suffixes is None else suffixes.privatesuffix(name)
    return found


@cache
def _suffixes() -> Any:
    try:
        from publicsuffixlist import PublicSuffixList
    except ImportError:
        return None
    return PublicSuffixList()
