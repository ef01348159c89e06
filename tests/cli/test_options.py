"""The values of options, and what happens around them."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from smtpprobe.cli.files import replacing
from smtpprobe.cli.options import language, parse_expiry_days
from smtpprobe.durations import parse_duration
from smtpprobe.errors import OptionError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10", 10.0),
        ("10s", 10.0),
        ("1.5s", 1.5),
        (".5", 0.5),
        ("500ms", 0.5),
        ("2m", 120.0),
        ("2 MIN", 120.0),
        ("1h", 3600),
    ],
)
def test_a_duration_is_read_with_a_unit_or_without(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "ten", "-1", "0", "0ms", "25h", "1e3", "1d", "1s2", "٣", "inf", "nan"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(OptionError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "days"),
    [("30", (30, 7)), ("30,10", (30, 10)), (" 30 , 10 ", (30, 10)), ("5", (5, 5)), ("7,7", (7, 7)), ("0", (0, 0))],
)
def test_days_before_the_end_of_a_certificate_are_one_number_or_two(text: str, days: tuple[int, int]) -> None:
    assert parse_expiry_days(text) == days


@pytest.mark.parametrize("text", ["", ",", "30,", ",7", "-1", "7,30", "30,10,5", "3.5", "30d", "3651", "9" * 5000, "٣"])
def test_what_are_no_days_is_refused(text: str) -> None:
    with pytest.raises(OptionError):
        parse_expiry_days(text)


def test_the_language_is_chosen_by_option_then_by_environment(capsys: pytest.CaptureFixture[str]) -> None:
    assert language("en", {"SMTPPROBE_LANG": "tlh"}) == "en"
    assert language(None, {"LANG": "C.UTF-8"}) == "en"
    assert language(None, {"SMTPPROBE_LANG": "en", "LANG": "tlh_TLH.UTF-8"}) == "en"
    assert capsys.readouterr().err == ""


def test_an_option_that_asks_for_a_language_in_vain_gets_english_with_a_note(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert language("tlh", {"LANG": "de_DE.UTF-8"}) == "en"
    note = capsys.readouterr().err
    assert note.startswith("smtpprobe: no texts in 'tlh'; there are: en, ")
    assert note.endswith("; using 'en'\n")


@pytest.mark.parametrize("variable", ["SMTPPROBE_LANG", "LC_ALL", "LC_MESSAGES", "LANG"])
def test_a_language_that_is_not_shipped_is_english_with_a_note(
    variable: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert language(None, {variable: "tlh_TLH.UTF-8"}) == "en"
    assert capsys.readouterr().err.startswith(f"smtpprobe: no texts in 'tlh_TLH.UTF-8' ({variable}); using 'en'")


# --- files ----------------------------------------------------------------------------------------------------------


def test_a_file_takes_its_place_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "evidence.json"
    path.write_text("before")
    with replacing(str(path)) as stream:
        stream.write(b"after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert os.listdir(tmp_path) == ["evidence.json"]


def test_a_file_that_could_not_be_finished_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "evidence.json"
    path.write_text("before")

    def write_half() -> None:
        with replacing(str(path)) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["evidence.json"]


def test_a_link_is_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("before")
    link.symlink_to(target)
    with replacing(str(link)) as stream:
        stream.write(b"after")
    assert link.is_symlink()
    assert target.read_text() == "after"


def test_what_is_no_regular_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with replacing(str(path)) as stream:
        stream.write(b"evidence")
    assert os.read(reader, 100) == b"evidence"
    os.close(reader)
    assert path.is_fifo()


def test_progress_is_for_terminals_only() -> None:
    from smtpprobe.cli.progress import ProgressLine
    from smtpprobe.targets import parse_target

    stream = io.StringIO()
    line = ProgressLine([parse_target("example.org")], "en", stream)
    line.wait_for(0)
    line.erase()
    assert stream.getvalue() == ""
