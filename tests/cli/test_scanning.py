"""What a scan tells while it goes, in the numbers and units of each language."""

from __future__ import annotations

import io
from collections import Counter

import pytest

from smtpprobe.cli.scanning import Teller, span
from smtpprobe.scan.engine import Progress
from smtpprobe.scan.running import Outcome, Taken


@pytest.mark.parametrize(
    ("seconds", "language", "told"),
    [
        (0.42, "en", "0.4 s"),
        (12.3, "en", "12 s"),
        (185, "en", "3:05 min"),
        (9600, "en", "2:40 h"),
        (442_800, "en", "5 d 3 h"),
        (1.46, "fr", "1,5\u00a0s"),
        (442_800, "fr", "5\u00a0j 3\u00a0h"),
        (185, "tr", "3:05\u00a0dk"),
        (442_800, "de", "5\u00a0Tage 3\u00a0h"),
        (442_800, "zh-Hans", "5\u00a0天 3\u00a0小时"),
        (12.3, "ko", "12초"),
    ],
)
def test_a_time_has_the_units_of_the_language(seconds: float, language: str, told: str) -> None:
    assert span(seconds, language) == told


class Screen(io.StringIO):
    """A terminal that remembers what was written."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("language", "first", "second"),
    [
        ("en", "1,234,567 targets", "1,000 error, 20 warning"),
        ("de", "Ziele: 1.234.567", "Fehler: 1.000, Warnung: 20"),
        ("fr", "cibles\u00a0: 1\u00a0234\u00a0567", "erreur\u00a0: 1\u00a0000, avertissement\u00a0: 20"),
        ("zh-Hans", "1,234,567 个目标", "错误 1,000 个，警告 20 个"),
    ],
)
def test_a_summary_has_the_numbers_of_the_language(language: str, first: str, second: str) -> None:
    progress = Progress(targets=1_234_567, outcomes=Counter(error=1000, warning=20))
    stream = io.StringIO()
    Teller(language, stream=stream).summary(Outcome(is_complete=True, progress=progress, taken=Taken()), is_kept=True)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith(first)
    assert lines[1].strip() == second


def test_failures_are_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    screen = Screen()
    Teller("de", stream=screen).tick(Progress(targets=10, failures=Counter({"timeout": 1200, "refused": 3})))
    assert "fehlgeschlagen: keine Antwort 1.200, geschlossen 3" in screen.getvalue()
