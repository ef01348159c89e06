"""What a scan knows, on disk: its targets, what the DNS said, which endpoints that makes, what became of them.

One SQLite file. It is what keeps the memory flat however many targets there are, makes each endpoint be talked to once,
and lets a scan go on after anything that may happen to a machine: a change is whole or has not happened, and how long
the output file is stands in the same transaction as which results are in it. So on the way back the file is cut to that
length, and neither is a result lost nor written twice.

Nothing here knows the network or judges anything.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from smtpprobe.errors import EvidenceError

FORMAT: Final = 3
"""Of the file, and of the results and columns that come of it; a scan is only ever gone on with by a version that
writes the same, or rows of one file would differ in their columns."""

CERTIFICATES_KNOWN: Final = 4_096
"""So many certificates are known to be in the file without looking."""

_SCHEMA: Final = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE target(
    id INTEGER PRIMARY KEY,
    line INTEGER NOT NULL,
    key TEXT NOT NULL UNIQUE,   -- two targets that mean the same are one
    is_address INTEGER NOT NULL,
    target BLOB NOT NULL,
    is_written INTEGER NOT NULL DEFAULT 0
);
-- Rows that are added whole and never grow: so each goes behind the last, and no page is written twice.
CREATE TABLE resolution(
    id INTEGER PRIMARY KEY,     -- of the target; none until somebody has asked, and where nobody need ask
    facts BLOB NOT NULL
);
CREATE TABLE endpoint(
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,   -- address, port and name
    facts BLOB,                 -- NULL where it was left alone
    session BLOB NOT NULL,
    shape BLOB
);
CREATE TABLE certificate(sha256 TEXT PRIMARY KEY, der BLOB NOT NULL) WITHOUT ROWID;
"""

_KNOWN: Final = "SELECT id, line, target, facts FROM target LEFT JOIN resolution USING (id)"


class Known(msgspec.Struct, frozen=True):
    """One target, and what the DNS said of it."""

    id: int
    line: int
    target: bytes
    facts: bytes | None


class Became(msgspec.Struct, frozen=True, array_like=True):
    """What became of one endpoint."""

    facts: bytes | None
    """The conversation in MessagePack; None where it was left alone."""
    session: bytes
    """Its sum in JSON."""
    shape: bytes | None = None
    """Of the facts (`summing.shape_of_conversation`); None where they have none."""


class Counts(NamedTuple):
    """How far the scan has come."""

    targets: int
    written: int
    resolved: int
    probed: int
    """Endpoints of which it is known what became of them."""


class Journal:
    """The file. All changes between two calls of `commit` happen together or not at all."""

    def __init__(self, path: str) -> None:
        """Open it, or make it.

        Raises:
            EvidenceError: it is something else, or of another version.
        """
        self._certificates: set[str] = set()
        """Some of those that are there: the same ones come again and again."""
        try:
            self._db = sqlite3.connect(path, isolation_level=None, cached_statements=64)
        except sqlite3.Error as error:
            raise EvidenceError(f"{path} cannot be used as journal: {error}") from error
        try:
            self._begin(path)
        except sqlite3.OperationalError as error:
            self._db.close()
            raise EvidenceError(f"{path} cannot be used as journal: {error}") from error
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise EvidenceError(f"{path} is no journal of a scan: {error}") from error
        except EvidenceError:
            self._db.close()
            raise

    def _begin(self, path: str) -> None:
        one = self._db.execute
        one("PRAGMA page_size = 16384")  # some ten rows; with the usual 4096 it would be three
        one("PRAGMA locking_mode = EXCLUSIVE")
        one("PRAGMA journal_mode = WAL")
        one("PRAGMA synchronous = NORMAL")
        one("PRAGMA cache_size = -8192")
        one("PRAGMA temp_store = FILE")
        is_new = not one("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        if is_new:
            self._db.executescript(f"BEGIN; {_SCHEMA} INSERT INTO meta VALUES('format', {FORMAT}); COMMIT;")
        elif self.get("format") != FORMAT:
            raise EvidenceError(f"{path} was written by another version, which alone can go on with it")
        one("BEGIN")

    def close(self) -> None:
        """Leave what was not committed, and let go of the file."""
        self._db.close()

    def commit(self) -> None:
        """Make the changes so far last."""
        self._db.execute("COMMIT")
        self._db.execute("BEGIN")

    @staticmethod
    def remove(path: str) -> None:
        """Remove a journal that is not needed any more."""
        for ending in ("", "-wal", "-shm"):
            Path(path + ending).unlink(missing_ok=True)

    # --- about the scan as a whole ----------------------------------------------------------------------------------

    def get(self, key: str) -> object:
        """A value that was kept; None where none was."""
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return found[0] if found else None

    def keep(self, key: str, value: str | int | bytes) -> None:
        """Keep a value."""
        self._set(key, value)

    def _set(self, key: str, value: object) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (key, value))

    def counts(self) -> Counts:
        """Count everything."""
        one = self._db.execute
        return Counts(
            *one("SELECT count(*), total(is_written) FROM target").fetchone(),
            *one("SELECT count(*) FROM resolution").fetchone(),
            *one("SELECT count(*) FROM endpoint").fetchone(),
        )

    def kinds(self) -> tuple[int, int]:
        """Count the targets that are names, and those that are addresses."""
        total, addresses = self._db.execute("SELECT count(*), total(is_address) FROM target").fetchone()
        return total - int(addresses), int(addresses)

    # --- targets ----------------------------------------------------------------------------------------------------

    def add_targets(self, rows: Sequence[tuple[int, str, bool, bytes]]) -> int:
        """Put targets in: line, key, whether it is an address, target.

        Returns:
            How many were new.
        """
        cursor = self._db.executemany(
            "INSERT OR IGNORE INTO target(line, key, is_address, target) VALUES(?, ?, ?, ?)", rows
        )
        return max(0, cursor.rowcount)

    def open_targets(self, after: int, limit: int) -> list[Known]:
        """Targets without a result, by id, from behind `after`."""
        rows = self._db.execute(
            f"{_KNOWN} WHERE id > ? AND NOT is_written ORDER BY id LIMIT ?",
            (after, limit),
        )
        return [Known(*row) for row in rows]

    def target(self, number: int) -> Known:
        """One target."""
        return Known(*self._db.execute(f"{_KNOWN} WHERE id = ?", (number,)).fetchone())

    def written_targets(self) -> Iterator[Known]:
        """Every target whose result was written, by id."""
        for row in self._db.cursor().execute(f"{_KNOWN} WHERE is_written ORDER BY id"):
            yield Known(*row)

    def resolved(self, rows: Iterable[tuple[int, bytes]]) -> None:
        """Note what the DNS said of targets: id, facts."""
        self._db.executemany("INSERT INTO resolution VALUES(?, ?)", rows)

    def written(self, targets: Iterable[int]) -> None:
        """Note that results are in the output."""
        self._db.executemany("UPDATE target SET is_written = 1 WHERE id = ?", [(each,) for each in targets])

    # --- endpoints --------------------------------------------------------------------------------------------------

    def probed(self, rows: Iterable[tuple[str, bytes | None, bytes, bytes | None]]) -> None:
        """Note what became of endpoints, each once: key, facts, session, shape."""
        self._db.executemany("INSERT INTO endpoint(key, facts, session, shape) VALUES(?, ?, ?, ?)", rows)

    def is_probed(self, key: str) -> bool:
        """Whether it is known what became of an endpoint."""
        return self._db.execute("SELECT 1 FROM endpoint WHERE key = ?", (key,)).fetchone() is not None

    def became(self, key: str) -> Became | None:
        """What became of an endpoint; None where that is not known."""
        found = self._db.execute("SELECT facts, session, shape FROM endpoint WHERE key = ?", (key,)).fetchone()
        return None if found is None else Became(*found)

    # --- certificates -----------------------------------------------------------------------------------------------

    def add_certificates(self, certificates: Iterable[tuple[str, bytes]]) -> None:
        """Keep certificates, each once: SHA-256, DER."""
        for sha256, der in certificates:
            if sha256 not in self._certificates:
                self._db.execute("INSERT OR IGNORE INTO certificate VALUES(?, ?)", (sha256, der))
                if len(self._certificates) >= CERTIFICATES_KNOWN:
                    self._certificates.clear()
                self._certificates.add(sha256)

    def certificate(self, sha256: str) -> bytes | None:
        """A certificate in DER."""
        found = self._db.execute("SELECT der FROM certificate WHERE sha256 = ?", (sha256,)).fetchone()
        return found[0] if found else None
