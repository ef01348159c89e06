"""Putting a scan together: from what was asked for to a finished output, or to a journal to go on with."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from smtpprobe.errors import OptionError
from smtpprobe.evidence import Options, Target
from smtpprobe.names import own_ehlo_name, quoted
from smtpprobe.probing import runtime
from smtpprobe.scan.engine import Engine, Progress
from smtpprobe.scan.estimate import Estimate, estimate
from smtpprobe.scan.guard import Guard
from smtpprobe.scan.joining import Joiner
from smtpprobe.scan.journal import Journal
from smtpprobe.scan.loops import loop_factory, spare_the_collector
from smtpprobe.scan.pace import Limits
from smtpprobe.scan.reading import MAX_SHOWN, Bad, read_entries
from smtpprobe.scan.results import JOURNAL_ENDING
from smtpprobe.scan.sinks import Lines, Nothing, Sink, form_of, write_parquet, write_sqlite
from smtpprobe.scan.worker import Depth, Worker
from smtpprobe.stub import QUESTIONS_AT_ONCE

NAMELESS: Final = 100
"""A scan of more targets must say who it is: an EHLO name that leads to whoever answers for it."""

BATCH: Final = 1_000
"""Targets that are put into the journal at a time."""

FILES_BESIDE: Final = QUESTIONS_AT_ONCE + 64
"""File descriptors that are needed for other things than connections: each open question of the usual stub has one."""

TICK_S: Final = 0.5
"""How often it is told how far the scan has come."""

STDOUT: Final = "-"

OTHER_SCAN: Final = "this scan was begun with other targets or other options; give the same as then, and --resume"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a scan is to do."""

    source: str
    """A path; ``-`` for the standard input."""
    column: str | None = None
    out: str = STDOUT
    """A path, by whose ending the form is told; ``-`` for the standard output."""
    fields: tuple[str, ...] | None = None
    depth: Depth = Depth.LIGHT
    options: Options = Options()
    limits: Limits = Limits()
    guard: Guard = Guard()
    limit: int | None = None
    """So many targets at most."""
    max_time_s: float | None = None
    evidence: str | None = None
    """Where to keep the evidence: NDJSON."""
    is_resumed: bool = False
    jobs: int = 1

    @property
    def form(self) -> str:
        """``ndjson``, ``csv``, ``sqlite`` or ``parquet``.

        Raises:
            OptionError: the ending promises a form that is not written.
        """
        return form_of(self.out)

    def what(self) -> bytes:
        """All by which two runs are of the same scan."""
        return msgspec.json.encode(
            (self.source, self.column, self.fields, self.depth, self.options, self.limit, self.evidence)
        )

    @property
    def journal_path(self) -> str | None:
        """Where the journal is; None: in a file that is gone afterwards."""
        return None if self.out == STDOUT else self.out + JOURNAL_ENDING


class Taken(msgspec.Struct):
    """What came of reading the targets."""

    targets: int = 0
    duplicates: int = 0
    bad: int = 0
    shown: list[Bad] = msgspec.field(default_factory=list)
    """The first bad lines."""


class Outcome(msgspec.Struct, frozen=True):
    """How a scan ended."""

    is_complete: bool
    progress: Progress
    taken: Taken


class Scan:
    """One scan: open the journal, take the targets in, run, and close. A context manager.

    Raises:
        OptionError: the output exists, or there is nothing to go on with, or it was begun in another way.
        EvidenceError: the journal is none.
    """

    def __init__(self, plan: Plan, *, on_tick: Callable[[Progress], None] | None = None) -> None:
        self.plan = plan
        self._on_tick = on_tick
        self.progress = Progress()
        self.taken = Taken()
        self._stack = ExitStack()
        self._engine: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[bool] | None = None
        self.is_stopped = False
        self._has_begun = False
        """There is something to go on with."""

    def __enter__(self) -> Self:
        plan = self.plan
        self._check_evidence()
        path = plan.journal_path
        if path is not None:
            form_of(plan.out)
            if not Path(path).parent.is_dir():
                raise OptionError(f"there is no folder {quoted(str(Path(path).parent))} to write results to")
            if Path(plan.out).is_dir():
                raise OptionError(f"{quoted(plan.out)} is a folder; results go to a file: --out FILE")
        if path is None:
            if plan.is_resumed:
                raise OptionError("a scan can be gone on with where its output is a file: --out FILE")
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="smtpprobe-scan-"))
            path = os.path.join(folder, "journal")
        elif plan.is_resumed and not Path(path).exists():
            raise OptionError(f"there is nothing to go on with: {quoted(path)} does not exist")
        elif not plan.is_resumed and Path(path).exists():
            raise OptionError(
                f"a scan into {quoted(plan.out)} was not finished; go on with --resume, or remove {quoted(path)}"
            )
        elif not plan.is_resumed and Path(plan.out).is_file():
            raise OptionError(f"{quoted(plan.out)} exists; choose another --out or remove it")
        self._path = path
        self._has_begun = plan.is_resumed
        self.journal = Journal(path)
        self._stack.callback(self.journal.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        if not self._has_begun:
            Journal.remove(self._path)

    def _check_evidence(self) -> None:
        plan = self.plan
        if plan.evidence is None:
            return
        if not plan.is_resumed and Path(plan.evidence).is_file():
            raise OptionError(f"{quoted(plan.evidence)} exists; choose another --save-evidence or remove it")
        if os.path.abspath(plan.evidence) == os.path.abspath(plan.out):
            raise OptionError("--out and --save-evidence need files of their own")

    # --- the targets ------------------------------------------------------------------------------------------------

    def take_targets(self, on_progress: Callable[[Taken], None] | None = None) -> Taken:
        """Read the targets into the journal, unless that was done in an earlier run.

        Raises:
            OSError: the source cannot be read, or the journal not be written.
            OptionError: a column is missing, or the journal is of another scan.
        """
        with _errors_of_the_system(self._path):
            return self._take_targets(on_progress)

    def _take_targets(self, on_progress: Callable[[Taken], None] | None) -> Taken:
        journal, taken = self.journal, self.taken
        self._check_same()
        kept = journal.get("taken")
        if isinstance(kept, bytes):
            self.taken = msgspec.json.decode(kept, type=Taken)
            return self.taken
        encoder = msgspec.msgpack.Encoder()
        rows: list[tuple[int, str, bool, bytes]] = []

        def put() -> None:
            new = journal.add_targets(rows)
            taken.duplicates += len(rows) - new
            taken.targets += new
            rows.clear()
            if on_progress is not None:
                on_progress(taken)

        for entry in read_entries(self.plan.source, self.plan.column):
            if isinstance(entry, Bad):
                taken.bad += 1
                if len(taken.shown) < MAX_SHOWN:
                    taken.shown.append(entry)
                continue
            target = entry.target
            rows.append((entry.line, target_key(target), target.address is not None, encoder.encode(target)))
            if len(rows) >= BATCH:
                put()
            if self.plan.limit is not None and taken.targets + len(rows) >= self.plan.limit:
                put()
                if taken.targets >= self.plan.limit:
                    break
        put()
        journal.keep("taken", msgspec.json.encode(taken))
        journal.commit()
        return taken

    def _check_same(self) -> None:
        """A scan is gone on with as it was begun, or its results would not be of one kind."""
        same = self.plan.what()
        kept = self.journal.get("plan")
        if kept is None:
            self.journal.keep("plan", same)
            self.journal.keep("started", datetime.now(UTC).isoformat())
        elif kept != same:
            raise OptionError(OTHER_SCAN)

    # --- the run ----------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Scan.

        Raises:
            OSError: something cannot be written; what was written by then is intact, and can be gone on with.
            OptionError: more targets than `NAMELESS` and no EHLO name, or an option that cannot be used.
        """
        require_name(self.taken.targets, self.plan.options)
        with _errors_of_the_system(self._path):
            self._heal()
            with (
                _sinks(self.plan, self.journal) as (sink, evidence),
                asyncio.Runner(loop_factory=loop_factory()) as runner,
            ):
                self._has_begun = True
                is_complete = runner.run(self._run(sink, evidence))
            if self.plan.form in ("sqlite", "parquet"):
                self._write_table()
        outcome = Outcome(is_complete, self.progress, self.taken)
        if is_complete:
            self.journal.close()
            Journal.remove(self._path)
        return outcome

    def stop(self) -> None:
        """From another thread or a signal: begin nothing more; again: break off what runs."""
        loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        if not self.is_stopped and self._engine is not None:
            self.is_stopped = True
            self._engine.stop()
        elif self._task is not None:
            self._task.cancel()

    async def _run(self, sink: Sink, evidence: Sink | None) -> bool:
        plan = self.plan
        spare_the_collector()
        self._loop = asyncio.get_running_loop()
        ehlo_name = own_ehlo_name(plan.options.ehlo_name)
        counts = self.journal.counts()
        progress = self.progress
        progress.targets, progress.written, progress.resolved = counts.targets, int(counts.written), counts.resolved
        kept = self.journal.get("tally")
        if isinstance(kept, bytes):
            outcomes, progress.left_alone = msgspec.json.decode(kept, type=tuple[dict[str, int], int])
            progress.outcomes.update(outcomes)
        progress.endpoints = progress.probed = counts.probed - progress.left_alone
        progress.written_before = progress.written
        if plan.jobs > 1:
            from smtpprobe.scan.jobs import Jobs

            work: Any = await Jobs.start(plan.jobs, plan.options, plan.depth, ehlo_name)
        else:
            work = Worker(plan.options, plan.depth, ehlo_name)
        engine = self._engine = Engine(
            self.journal,
            work,
            self._joiner(ehlo_name),
            sink,
            limits=plan.limits,
            targets_at_once=plan.depth.targets_at_once,
            guard=plan.guard,
            progress=progress,
            evidence=evidence,
        )
        self._task = asyncio.create_task(engine.run(plan.max_time_s))
        if plan.jobs > 1:
            work.on_failure(engine.fail)
        self._listen(self._loop)
        ticking = asyncio.create_task(self._tick())
        try:
            return await self._task
        except asyncio.CancelledError:
            return False
        finally:
            ticking.cancel()
            await work.close()

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take Ctrl-C, and a polite kill, as a wish to stop; a shell that has Ctrl-C ignored is obeyed."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                with suppress(NotImplementedError):  # Windows
                    loop.add_signal_handler(number, self._stop)

    async def _tick(self) -> None:
        while self._on_tick is not None:
            await asyncio.sleep(TICK_S)
            self._on_tick(self.progress)

    def estimate(self) -> Estimate:
        """Say what the scan will cost at most."""
        names, addresses = self.journal.kinds()
        return estimate(names, addresses, self.plan.limits, ports=len(self.plan.options.ports))

    def _joiner(self, ehlo_name: str) -> Joiner:
        return Joiner(
            self.journal,
            self.plan.options,
            self.plan.depth,
            ehlo_name=ehlo_name,
            started_at=datetime.fromisoformat(str(self.journal.get("started"))),
            runtime=runtime(),
            keeps_evidence=self.plan.evidence is not None,
        )

    def _heal(self) -> None:
        """Write files anew that are shorter than the journal says, as a power cut may leave them: it knows all that was
        in them."""
        plan = self.plan
        if not plan.is_resumed:
            return
        out = plan.out if plan.form in ("ndjson", "csv") else None
        files = {"length": out, "evidence-length": plan.evidence}
        short = {key: path for key, path in files.items() if path is not None and self._is_short(path, key)}
        if not short:
            return
        joiner = self._joiner(own_ehlo_name(plan.options.ehlo_name))
        with ExitStack() as stack:
            sinks: dict[str, Lines] = {}
            for key, path in short.items():
                is_result = key == "length"
                fields, is_csv = (plan.fields, plan.form == "csv") if is_result else (None, False)
                sinks[key] = Lines.to_file(path, is_csv=is_csv, fields=fields)
                stack.callback(sinks[key].close)
            for known in self.journal.written_targets():
                joined = joiner.join(joiner.understood(known))
                for key, sink in sinks.items():
                    line = joined.line if key == "length" else joined.evidence
                    sink.write([] if line is None else [line])
            for key, sink in sinks.items():
                self.journal.keep(key, sink.length())
        self.journal.commit()

    def _is_short(self, path: str, key: str) -> bool:
        kept = _kept(self.journal, key, self.plan)
        file = Path(path)
        return kept is not None and (file.stat().st_size if file.is_file() else 0) < kept

    def _write_table(self) -> None:
        joiner = self._joiner(own_ehlo_name(self.plan.options.ehlo_name))
        lines: Iterator[bytes] = (
            joiner.join(joiner.understood(known)).line for known in self.journal.written_targets()
        )
        write = write_parquet if self.plan.form == "parquet" else write_sqlite
        write(self.plan.out, lines, self.plan.fields)


@contextmanager
def _errors_of_the_system(path: str) -> Iterator[None]:
    """A journal that cannot be written is a disk that cannot be written."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(f"{path}: {error}") from error


@contextmanager
def _sinks(plan: Plan, journal: Journal) -> Iterator[tuple[Sink, Sink | None]]:
    with ExitStack() as stack:
        sink: Sink
        if plan.out == STDOUT:
            sink = Lines(sys.stdout.buffer, fields=plan.fields)
        elif plan.form in ("sqlite", "parquet"):
            sink = Nothing()
        else:
            sink = Lines.to_file(
                plan.out, is_csv=plan.form == "csv", fields=plan.fields, keep=_kept(journal, "length", plan)
            )
        stack.callback(sink.close)
        evidence: Sink | None = None
        if plan.evidence is not None:
            evidence = Lines.to_file(plan.evidence, keep=_kept(journal, "evidence-length", plan))
            stack.callback(evidence.close)
        yield sink, evidence


def _kept(journal: Journal, key: str, plan: Plan) -> int | None:
    """How much of a file is to be kept; None: none of it."""
    length = journal.get(key)
    return length if plan.is_resumed and isinstance(length, int) else None


def require_name(targets: int, options: Options) -> None:
    """See to it that a large scan says who it is.

    Raises:
        OptionError: more targets than `NAMELESS`, and no EHLO name.
    """
    if targets > NAMELESS and options.ehlo_name is None:
        raise OptionError(f"{targets:,} targets will wonder who you are: give --ehlo NAME, a name that leads to you")


def target_key(target: Target) -> str:
    """By which two targets are told to mean the same."""
    where = target.address if target.address is not None else target.name
    return f"{target.kind.value[0]} {where} {target.port or ''} {target.role or ''}"


def fit_to_descriptors(limits: Limits) -> tuple[Limits, int | None]:
    """Make room for the connections, or fewer connections where the system allows no more.

    Returns:
        The limits, and how many descriptors there are where that made them lower; None where it did not.

    Raises:
        OptionError: there are too few for any scan: what could not be asked or opened would be told as a fact.
    """
    try:
        import resource
    except ImportError:  # not a Unix
        return limits, None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.concurrency + FILES_BESIDE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
        except (OSError, ValueError):
            pass
        if soft <= FILES_BESIDE:
            raise OptionError(
                f"only {soft} files may be open at once here, and a scan needs more than {FILES_BESIDE}; "
                f"raise the limit, as by: ulimit -n {max(1024, wanted)}"
            )
        if soft < wanted:
            room = soft - FILES_BESIDE
            return msgspec.structs.replace(limits, concurrency=min(limits.concurrency, room)), soft
    return limits, None
