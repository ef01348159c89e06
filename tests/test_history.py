"""What a watch has seen, on disk and counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from smtpprobe.history import VERSION, History, HistoryError, past, read_history
from smtpprobe.report import Outcome, Severity
from smtpprobe.watching import Problem, Sighting

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def seen(minute: int, *ids: str, target: str = "example.org", total_s: float | None = 0.1) -> Sighting:
    """A probe at a minute past noon that met some warnings."""
    return Sighting(
        target=target,
        at=NOON + timedelta(minutes=minute),
        status=Severity.WARNING if ids else Severity.OK,
        outcome=Outcome.FINDINGS if ids else Outcome.PASSED,
        problems=tuple(Problem(id=each, severity=Severity.WARNING, count=2) for each in ids),
        endpoints=3,
        answering=2,
        stages_s={} if total_s is None else {"connect": 0.01, "total": total_s},
        elapsed_s=0.2,
    )


def flapping() -> Iterator[Sighting]:
    """Twenty probes of which three were refused STARTTLS."""
    for minute in range(20):
        yield seen(minute, *(["starttls-refused"] if minute in (4, 5, 11) else []))


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "history.db")


def test_what_is_written_is_read_again(file: str) -> None:
    kept = (seen(0), seen(1, "a", "b", total_s=None), seen(2, "a"))
    with History(file) as history:
        for each in kept:
            history.add(each)
    (found,) = read_history(file).targets
    assert (found.target, found.kept, found.sightings) == ("example.org", 3, kept)


def test_what_comes_and_goes_is_counted(file: str) -> None:
    with History(file) as history:
        for each in flapping():
            history.add(each)
    (found,) = read_history(file).targets
    assert found.statuses == {"ok": 17, "warning": 3}
    assert found.changes == 4
    (problem,) = found.problems
    assert (problem.id, problem.probes, problem.is_present) == ("starttls-refused", 3, False)
    assert (problem.first, problem.last) == (NOON + timedelta(minutes=4), NOON + timedelta(minutes=11))


def test_what_a_silent_server_does_not_show_is_no_change() -> None:
    silent = msgspec.structs.replace(seen(1, "a"), answering=1)
    assert past("example.org", (seen(0, "a", "b"), silent, seen(2, "a", "b")), 3).changes == 0


def test_durations_are_those_of_the_probes_that_came_so_far() -> None:
    found = past("example.org", (seen(0, total_s=0.2), seen(1, total_s=None), seen(2, total_s=0.4)), kept=3)
    assert set(found.stages) == {"connect", "total"}
    assert (found.stages["total"].median_s, found.stages["total"].longest_s) == (0.3, 0.4)


def test_the_most_frequent_problem_stands_first_and_what_still_holds_is_marked() -> None:
    found = past("example.org", (seen(0, "rare", "often"), seen(1, "often")), kept=2)
    assert [(each.id, each.is_present) for each in found.problems] == [("often", True), ("rare", False)]


def test_the_last_probes_of_each_target_are_chosen_by_time(file: str) -> None:
    with History(file) as history:
        for minute in (2, 0, 1):
            history.add(seen(minute))
            history.add(seen(minute, target="example.net"))
    found = read_history(file, last=2)
    assert [each.target for each in found.targets] == ["example.net", "example.org"]
    assert [[each.at.minute for each in found.targets[n].sightings] for n in (0, 1)] == [[1, 2], [1, 2]]
    assert {each.kept for each in found.targets} == {3}


def test_targets_are_chosen_by_name(file: str) -> None:
    with History(file) as history:
        history.add(seen(0))
        history.add(seen(0, target="mx.example.org:25"))
    assert [each.target for each in read_history(file, ["Example.ORG"]).targets] == ["example.org"]
    with pytest.raises(HistoryError, match=r"knows no 'example\.net'; there is example\.org, mx\.example\.org:25"):
        read_history(file, ["example.net"])


def test_a_history_goes_on_and_several_may_write(file: str) -> None:
    with History(file) as one, History(file) as other:
        one.add(seen(0))
        other.add(seen(1))
    with History(file) as again:
        again.add(seen(2))
    assert [each.at.minute for each in read_history(file).targets[0].sightings] == [0, 1, 2]


def test_names_of_targets_are_data_and_never_sql(file: str) -> None:
    name = "x'; DROP TABLE probe; --"
    with History(file) as history:
        history.add(seen(0, target=name))
    assert [each.target for each in read_history(file, [name]).targets] == [name]


def test_a_probe_is_written_whole_or_not_at_all(file: str) -> None:
    twice = (Problem(id="a", severity=Severity.ERROR), Problem(id="a", severity=Severity.ERROR))
    broken = Sighting(target="a", at=NOON, status=Severity.OK, outcome=Outcome.PASSED, problems=twice)
    with History(file) as history:
        with pytest.raises(HistoryError):
            history.add(broken)
        history.add(seen(0))
    assert [each.target for each in read_history(file).targets] == ["example.org"]


# --- what is none ---------------------------------------------------------------------------------------------------


def test_a_database_of_somebody_else_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE mine (a)")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(HistoryError, match="no history of smtpprobe"):
        History(str(file))
    with pytest.raises(HistoryError, match="no history of smtpprobe"):
        read_history(str(file))
    assert file.read_bytes() == before


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("remember the milk\n" * 100)
    with pytest.raises(HistoryError, match=r"notes\.txt: file is not a database"):
        History(str(file))
    assert file.read_text() == "remember the milk\n" * 100


def test_a_later_version_is_said_to_be_one(file: str) -> None:
    History(file).close()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(HistoryError, match="a later version of smtpprobe"):
        read_history(file)
    with pytest.raises(HistoryError, match="a later version of smtpprobe"):
        History(file)


def test_reading_makes_no_file(file: str) -> None:
    with pytest.raises(HistoryError, match="this is no file that"):
        read_history(str(Path(file).parent))
    with pytest.raises(HistoryError, match="there is no such file"):
        read_history(file)
    assert not Path(file).exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=r"missing/h\.db: unable to open"):
        History(str(tmp_path / "missing" / "h.db"))


@pytest.mark.parametrize(
    "change", ["status = 'purple'", "total_s = 9e999", "elapsed_s = -1e300", "at = '2026-01-01'", "target = x'ff00'"]
)
def test_a_row_that_nobody_of_us_wrote_is_no_traceback(change: str, file: str) -> None:
    with History(file) as history:
        history.add(seen(0))
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(f"UPDATE probe SET {change}")  # noqa: S608 - one of the above
    connection.close()
    with pytest.raises(HistoryError, match="cannot be read"):
        read_history(file)
