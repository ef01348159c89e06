"""What a watch has seen, kept in an SQLite file, so that what comes and goes shows: "3 of 20 refused STARTTLS".

A file holds one row for each probe and one for each problem in it; the tables are part of the interface, for whoever
asks in SQL:

    probe    id, target, at, status, outcome, endpoints, answering, elapsed_s,
             connect_s, greeting_s, ehlo_s, tls_s, total_s
    problem  probe, id, severity, count

Each probe is written in a transaction of its own, so a watch that is killed loses none, and several may write to one
file. What is not such a file is never written to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final, Literal, Self

import msgspec

from smtpprobe.errors import SmtpprobeError
from smtpprobe.evidence import Fact
from smtpprobe.report import Severity
from smtpprobe.watching import STAGES, Problem, Sighting, change, known

HISTORY_SCHEMA: Final = "smtpprobe/history/1"
"""Name and version of the JSON form."""

APPLICATION_ID: Final = 0x736D7470
"""Marks the file as ours (``smtp`` in ASCII), for `file` and for us."""
VERSION: Final = 1
"""Of the tables."""
BUSY_TIMEOUT_S: Final = 10.0
"""So long another program may keep the file locked."""

_TABLES: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS probe (
    id INTEGER PRIMARY KEY,
    target TEXT NOT NULL,
    at TEXT NOT NULL,          -- when it began, RFC 3339, UTC
    status TEXT NOT NULL,      -- ok, info, warning, error, inconclusive
    outcome TEXT NOT NULL,     -- passed, inconclusive, findings: against the threshold of the watch
    endpoints INTEGER NOT NULL,
    answering INTEGER NOT NULL,
    elapsed_s REAL NOT NULL,
    connect_s REAL,            -- of the slowest endpoint; NULL where none came so far
    greeting_s REAL,
    ehlo_s REAL,
    tls_s REAL,
    total_s REAL
);
CREATE TABLE IF NOT EXISTS problem (
    probe INTEGER NOT NULL REFERENCES probe (id) ON DELETE CASCADE,
    id TEXT NOT NULL,          -- of the finding, as 'smtpprobe codes --findings' lists them
    severity TEXT NOT NULL,
    count INTEGER NOT NULL,    -- in how many places
    PRIMARY KEY (probe, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS probe_of_target ON probe (target, at);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""
_COLUMNS: Final = (
    "target", "at", "status", "outcome", "endpoints", "answering", "elapsed_s", *(f"{each}_s" for each in STAGES),
)  # fmt: skip


class HistoryError(SmtpprobeError):
    """A file is no history, or cannot be read or written."""


class History:
    """A history that is written to; a context manager."""

    def __init__(self, path: str) -> None:
        """Open the file, or make it.

        Raises:
            HistoryError: it holds something else, is of a later version, or cannot be written.
        """
        self._path = path
        with _blaming(path):
            self._connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            try:
                if _is_empty(self._connection):
                    self._connection.executescript(_TABLES)
                _check(self._connection, path)
                self._connection.execute("PRAGMA foreign_keys = ON")
                self._connection.execute("BEGIN IMMEDIATE")  # whether it can be written is to be known now
                self._connection.execute("ROLLBACK")
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, sighting: Sighting) -> None:
        """Write a probe down.

        Raises:
            HistoryError: the disk is full, or the file has been taken away.
        """
        row = (
            sighting.target,
            _written(sighting.at),
            sighting.status.value,
            sighting.outcome.value,
            sighting.endpoints,
            sighting.answering,
            sighting.elapsed_s,
            *(sighting.stages_s.get(each) for each in STAGES),
        )
        marks = ", ".join("?" * len(_COLUMNS))
        with _blaming(self._path), _transaction(self._connection):
            probe = self._connection.execute(
                f"INSERT INTO probe ({', '.join(_COLUMNS)}) VALUES ({marks})",  # noqa: S608 - constants
                row,
            ).lastrowid
            self._connection.executemany(
                "INSERT INTO problem VALUES (?, ?, ?, ?)",
                [(probe, each.id, each.severity.value, each.count) for each in sighting.problems],
            )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def _blaming(path: str) -> Iterator[None]:
    """Name the file in what SQLite complains about."""
    try:
        yield
    except sqlite3.Error as error:
        raise HistoryError(f"{path}: {error}") from error


def _is_empty(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return not tables and not _pragma(connection, "application_id")


def _check(connection: sqlite3.Connection, path: str) -> None:
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise HistoryError(f"{path}: this is no history of smtpprobe; it is left as it is")
    version = _pragma(connection, "user_version")
    if version > VERSION:
        raise HistoryError(
            f"{path}: a later version of smtpprobe wrote it (tables {version}, this one knows {VERSION})"
        )


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


# --- reading --------------------------------------------------------------------------------------------------------


class Recurrence(Fact, frozen=True, kw_only=True):
    """One kind of problem over many probes."""

    id: str
    severity: Severity
    """The latest."""
    probes: int
    """In so many of the probes."""
    first: datetime
    last: datetime
    is_present: bool
    """In the last probe too."""


class Duration(Fact, frozen=True, kw_only=True):
    """How long a stage took over many probes, in seconds."""

    median_s: float
    longest_s: float


class Past(Fact, frozen=True, kw_only=True):
    """What is known of one target."""

    target: str
    kept: int
    """So many probes are in the file."""
    sightings: tuple[Sighting, ...]
    """The last of them, oldest first; never empty."""
    statuses: dict[str, int]
    """How often each status was met in `sightings`."""
    changes: int
    """How often the status or the kinds of problems changed."""
    problems: tuple[Recurrence, ...]
    """The most frequent first."""
    stages: dict[str, Duration] = msgspec.field(default_factory=dict)
    """By the names of `STAGES`; a stage that was never reached is not there."""


class Pasts(Fact, frozen=True, kw_only=True):
    """The document that ``history --format json`` prints."""

    schema: Literal["smtpprobe/history/1"] = HISTORY_SCHEMA
    targets: tuple[Past, ...]
    """In alphabetic order."""


def read_history(path: str, targets: Sequence[str] = (), last: int | None = None) -> Pasts:
    """Read what a file knows.

    Args:
        targets: as they were typed for the watch, whatever their case; none: all.
        last: look at so many of the latest probes of each target; None: at all.

    Raises:
        HistoryError: there is no such file, it is none of ours, or it knows no such target.
    """
    if Path(path).exists() and not Path(path).is_file():
        raise HistoryError(f"{path}: this is no file that 'smtpprobe watch --history FILE' makes")
    if not Path(path).is_file():
        raise HistoryError(f"{path}: there is no such file; 'smtpprobe watch --history FILE' makes one")
    with _blaming(path), closing(_opened_to_read(path)) as connection:
        _check(connection, path)
        known = [name for (name,) in connection.execute("SELECT DISTINCT target FROM probe ORDER BY target")]
        if not all(isinstance(name, str) for name in known):
            raise HistoryError(f"{path}: the history has a row that cannot be read: its target is no text")
        wanted = {each.casefold() for each in targets}
        if unknown := wanted - {each.casefold() for each in known}:
            there = ", ".join(known[:MAX_NAMED]) or "no target"
            raise HistoryError(f"{path}: it knows no {min(unknown)!r}; there is {there}")
        chosen = [each for each in known if not wanted or each.casefold() in wanted]
        return Pasts(targets=tuple(_past(connection, each, last) for each in chosen))


MAX_NAMED: Final = 10
"""So many targets are named to somebody who asked for one that is not there."""


def _opened_to_read(path: str) -> sqlite3.Connection:
    # A URI, since only that can say that nothing is to be written (SQLite, "URI Filenames").
    return sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)


def _past(connection: sqlite3.Connection, target: str, last: int | None) -> Past:
    (kept,) = connection.execute("SELECT count(*) FROM probe WHERE target = ?", (target,)).fetchone()
    rows = connection.execute(
        f"SELECT id, {', '.join(_COLUMNS)} FROM probe WHERE target = ? ORDER BY at DESC, id DESC LIMIT ?",  # noqa: S608
        (target, -1 if last is None else last),
    ).fetchall()
    sightings = tuple(_sighting(connection, row) for row in reversed(rows))
    return past(target, sightings, kept)


def _sighting(connection: sqlite3.Connection, row: Sequence[object]) -> Sighting:
    id_, target, at, status, outcome, endpoints, answering, elapsed_s, *stages = row
    problems = connection.execute("SELECT id, severity, count FROM problem WHERE probe = ? ORDER BY id", (id_,))
    fields = {
        "target": target,
        "at": at,
        "status": status,
        "outcome": outcome,
        "endpoints": endpoints,
        "answering": answering,
        "elapsed_s": elapsed_s,
        "stages_s": {name: value for name, value in zip(STAGES, stages, strict=True) if value is not None},
        "problems": [{"id": name, "severity": severity, "count": count} for name, severity, count in problems],
    }
    try:
        return msgspec.convert(fields, Sighting)
    except msgspec.ValidationError as error:
        raise HistoryError(f"the history has a row that cannot be read: {error}") from error


def past(target: str, sightings: tuple[Sighting, ...], kept: int) -> Past:
    """Count what happened in sightings of one target, oldest first; pure."""
    statuses = dict.fromkeys((each.value for each in Severity), 0)
    changes = 0
    before: Sighting | None = None
    for each in sightings:
        statuses[each.status.value] += 1
        changes += before is not None and change(before, each) is not None
        before = known(before, each)
    return Past(
        target=target,
        kept=kept,
        sightings=sightings,
        statuses={status: count for status, count in statuses.items() if count},
        changes=changes,
        problems=tuple(sorted(_recurrences(sightings), key=lambda each: (-each.probes, each.id))),
        stages={stage: found for stage in STAGES if (found := _duration(sightings, stage)) is not None},
    )


def _recurrences(sightings: tuple[Sighting, ...]) -> Iterator[Recurrence]:
    met: dict[str, list[tuple[Sighting, Problem]]] = {}
    for sighting in sightings:
        for problem in sighting.problems:
            met.setdefault(problem.id, []).append((sighting, problem))
    for id_, each in met.items():
        yield Recurrence(
            id=id_,
            severity=each[-1][1].severity,
            probes=len(each),
            first=each[0][0].at,
            last=each[-1][0].at,
            is_present=each[-1][0] is sightings[-1],
        )


def _duration(sightings: tuple[Sighting, ...], stage: str) -> Duration | None:
    taken = [each.stages_s[stage] for each in sightings if stage in each.stages_s]
    return Duration(median_s=round(median(taken), 6), longest_s=max(taken)) if taken else None
