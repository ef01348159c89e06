"""A watch and its history as they are shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from smtpprobe import texts
from smtpprobe.history import Pasts, past
from smtpprobe.render import history, watch
from smtpprobe.render.layout import Terminal, cell_width
from smtpprobe.report import Outcome, Severity
from smtpprobe.watching import Problem, Sighting, change

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOSTILE = "\x1b[2Jmx`|<b>\u202e.example"


def seen(minute: int, status: Severity, *ids: str, target: str = "example.org") -> Sighting:
    return Sighting(
        target=target,
        at=NOON + timedelta(minutes=minute),
        status=status,
        outcome=Outcome.PASSED,
        problems=tuple(Problem(id=each, severity=Severity.ERROR) for each in ids),
        endpoints=2,
        answering=2,
        stages_s={"connect": 0.012, "greeting": 0.08 + minute / 10, "total": 0.2 + minute / 10},
        elapsed_s=0.4,
    )


def flapping() -> Pasts:
    turns = [
        seen(minute, Severity.ERROR, "starttls-refused") if minute in (4, 5, 11) else seen(minute, Severity.OK)
        for minute in range(50)
    ]
    unknown = [seen(0, Severity.INFO, target=HOSTILE), seen(1, Severity.INCONCLUSIVE, "too-slow", target=HOSTILE)]
    return Pasts(targets=(past("example.org", tuple(turns), kept=60), past(HOSTILE, tuple(unknown), kept=2)))


def rows() -> list[watch.Row]:
    recent = (Severity.OK, Severity.INFO, Severity.WARNING, Severity.ERROR, Severity.INCONCLUSIVE) * 6
    bad = seen(0, Severity.ERROR, "starttls-refused", "certificate-expired")
    return [
        watch.Row("example.org", recent, bad, 30.0),
        watch.Row(HOSTILE),
        watch.Row("例子.example", recent, bad, 0.0),
    ]


def table(width: int, height: int = 24, language: str = "en", **more: bool) -> list[str]:
    terminal = Terminal(width, **more)
    return watch.table(rows(), every_s=30, probes=31, language=language, terminal=terminal, height=height)


@pytest.mark.parametrize("width", [120, 80, 40])
def test_the_table_looks_as_it_did(width: int, golden: Callable[[str, str], None]) -> None:
    golden(f"watch-{width}.txt", "".join(f"{line}\n" for line in table(width)))


@pytest.mark.parametrize("language", texts.languages())
@pytest.mark.parametrize("width", [1, 10, 20, 30, 40, 60, 80, 100, 200])
def test_no_line_of_the_table_is_wider_than_the_terminal(width: int, language: str) -> None:
    lines = table(width, language=language)
    assert len(lines) == 5
    assert [line for line in lines if cell_width(line) > width] == []


def test_colours_change_no_character() -> None:
    coloured = [re.sub("\x1b\\[[0-9;]*m", "", line).rstrip() for line in table(80, is_coloured=True)]
    assert coloured == table(80)
    assert "\x1b" in "".join(table(80, is_coloured=True))


def test_a_terminal_without_unicode_gets_ascii() -> None:
    lines = watch.table(
        rows()[:1], every_s=30, probes=1, language="en", terminal=Terminal(100, is_unicode=False), height=9
    )
    assert "".join(lines).isascii()


@pytest.mark.parametrize(("height", "shown"), [(24, 3), (6, 3), (5, 1), (4, 1), (1, 1)])
def test_a_low_terminal_is_told_how_many_more_there_are(height: int, shown: int) -> None:
    lines = table(80, height)
    assert len(lines) - 2 - (shown < 3) == shown
    if shown < 3:
        assert lines[-2] == f"more targets: {3 - shown}"


def test_a_change_is_one_line_however_hostile_the_target() -> None:
    one, two = seen(0, Severity.OK, target=HOSTILE), seen(1, Severity.ERROR, "a", target=HOSTILE)
    found = change(one, two)
    assert found is not None
    line = watch.change_line(two, found, language="en", terminal=Terminal())
    assert line == "2026-11-24 12:01:00 UTC  ✖ \\x1b[2Jmx`|<b>\\u202e.example  OK becomes ERROR; new: a"


# --- history --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 40])
def test_the_history_looks_as_it_did(width: int, golden: Callable[[str, str], None]) -> None:
    lines = list(history.text(flapping(), "en", Terminal(width)))
    assert max(map(cell_width, lines)) <= width
    golden(f"history-{width}.txt", "".join(f"{line}\n" for line in lines))


def test_the_history_in_markdown_looks_as_it_did(golden: Callable[[str, str], None]) -> None:
    golden("history.md", "".join(f"{line}\n" for line in history.markdown(flapping(), "en")))


@pytest.mark.parametrize("language", texts.languages())
def test_the_history_has_words_in_every_language(language: str) -> None:
    for lines in (history.text(flapping(), language, Terminal()), history.markdown(flapping(), language)):
        text = "\n".join(lines)
        assert "starttls-refused" in text
        assert not re.search("[\x00-\x09\x0b-\x1f\u202e]|\\{", text)


def test_an_empty_history_says_so() -> None:
    assert list(history.text(Pasts(targets=()), "en", Terminal())) == ["The history has no probes yet"]
    assert "The history has no probes yet" in list(history.markdown(Pasts(targets=()), "en"))
