"""The journal: each change is whole or has not happened, and what was committed is there again."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from smtpprobe.errors import EvidenceError
from smtpprobe.scan.journal import FORMAT, Became, Counts, Journal

ROWS = [(1, "n a.example  ", False, b"A"), (2, "n b.example  ", False, b"B"), (4, "e 192.0.2.1  ", True, b"C")]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "out.journal")


@pytest.fixture
def journal(path: str) -> Iterator[Journal]:
    made = Journal(path)
    yield made
    made.close()


def reopened(journal: Journal, path: str) -> Journal:
    journal.close()
    return Journal(path)


def test_targets_that_mean_the_same_are_one(journal: Journal) -> None:
    assert journal.add_targets(ROWS) == 3
    assert journal.add_targets([(9, "n a.example  ", False, b"X"), (10, "n d.example  ", False, b"D")]) == 1
    assert journal.add_targets([]) == 0
    assert journal.kinds() == (3, 1)
    assert [(each.line, each.target) for each in journal.open_targets(0, 10)] == [
        (1, b"A"),
        (2, b"B"),
        (4, b"C"),
        (10, b"D"),
    ]


def test_open_targets_come_in_parts_and_without_those_that_are_written(journal: Journal) -> None:
    journal.add_targets(ROWS)
    first, second, third = journal.open_targets(0, 10)
    assert journal.open_targets(0, 2) == [first, second]
    assert journal.open_targets(second.id, 2) == [third]
    journal.written([second.id])
    assert journal.open_targets(0, 10) == [first, third]
    assert list(journal.written_targets()) == [second]
    assert journal.target(second.id) == second


def test_facts_of_targets_and_endpoints_are_kept_and_counted(journal: Journal) -> None:
    journal.add_targets(ROWS)
    number = journal.open_targets(0, 1)[0].id
    journal.resolved([(number, b"facts")])
    assert journal.target(number).facts == b"facts"
    assert journal.target(number + 1).facts is None
    assert not journal.is_probed("192.0.2.1:25")
    assert journal.became("192.0.2.1:25") is None
    journal.probed([("192.0.2.1:25", b"facts", b"session", b"shape"), ("192.0.2.2:25", None, b"left alone", None)])
    assert journal.is_probed("192.0.2.1:25")
    assert journal.became("192.0.2.1:25") == Became(b"facts", b"session", b"shape")
    assert journal.became("192.0.2.2:25") == Became(None, b"left alone")
    journal.written([number])
    assert journal.counts() == Counts(targets=3, written=1, resolved=1, probed=2)


def test_certificates_are_kept_once(journal: Journal) -> None:
    journal.add_certificates([("ab", b"one"), ("cd", b"two")])
    journal.add_certificates([("ab", b"other")])
    assert (journal.certificate("ab"), journal.certificate("cd"), journal.certificate("ef")) == (b"one", b"two", None)


def test_what_was_committed_is_there_again_and_the_rest_never_was(journal: Journal, path: str) -> None:
    journal.add_targets(ROWS)
    journal.keep("length", 10)
    journal.commit()
    journal.written([1, 2])
    journal.keep("length", 20)
    journal.probed([("192.0.2.1:25", b"facts", b"session", None)])
    again = reopened(journal, path)
    assert again.get("length") == 10
    assert again.counts() == Counts(targets=3, written=0, resolved=0, probed=0)
    again.close()


def test_a_process_that_is_killed_leaves_what_it_committed(path: str) -> None:
    program = (
        "import sys, os, signal; from smtpprobe.scan.journal import Journal\n"
        "journal = Journal(sys.argv[1])\n"
        "for number in range(100):\n"
        "    journal.add_targets([(number, str(number), False, b'x' * 1000)]); journal.keep('length', number)\n"
        "    journal.commit()\n"
        "journal.add_targets([(999, '999', False, b'')]); journal.keep('length', 999)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, path], timeout=60)
    assert ended.returncode == -signal.SIGKILL
    journal = Journal(path)
    assert (journal.counts().targets, journal.get("length")) == (100, 99)
    journal.close()


def test_removing_leaves_nothing_behind(journal: Journal, path: str) -> None:
    journal.add_targets(ROWS)
    journal.commit()
    journal.close()
    for ending in ("", "-wal", "-shm"):
        Path(path + ending).touch()
    Journal.remove(path)
    assert os.listdir(Path(path).parent) == []
    Journal.remove(path)


def test_a_second_scan_cannot_use_the_same_journal(
    journal: Journal, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.add_targets(ROWS)
    monkeypatch.setattr("sqlite3.connect", partial(sqlite3.connect, timeout=0.01))
    with pytest.raises(EvidenceError, match=r"cannot be used as journal: .*locked"):
        Journal(path)


def test_what_is_no_journal_is_said_so(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(b"line\n" * 1000)
    with pytest.raises(EvidenceError, match="is no journal of a scan"):
        Journal(str(text))
    other = tmp_path / "other"
    with closing(sqlite3.connect(other)) as db, db:
        db.execute("CREATE TABLE x(y)")
    db.close()
    with pytest.raises(EvidenceError, match="no such table"):
        Journal(str(other))
    with pytest.raises(EvidenceError, match="cannot be used"):
        Journal(str(tmp_path / "nowhere" / "journal"))


def test_a_journal_of_another_version_is_left_as_it_is(journal: Journal, path: str) -> None:
    journal.keep("format", FORMAT + 1)
    journal.commit()
    journal.close()
    with pytest.raises(EvidenceError, match="another version"):
        Journal(path)
