"""What others rely on by its name stays: ids of findings, and the exit statuses that README tells."""

from __future__ import annotations

import re
from pathlib import Path

from smtpprobe import cli
from smtpprobe.checks import KINDS

PUBLISHED = Path(__file__).with_name("ids.txt")
"""All ids that there ever were, in the order of the alphabet. A new one is added; none is taken out."""


def test_no_id_that_was_published_goes_away() -> None:
    published = PUBLISHED.read_text(encoding="utf-8").split()
    assert published == sorted(set(published))
    assert sorted(set(published) - set(KINDS)) == []
    assert sorted(set(KINDS) - set(published)) == [], "add it to ids.txt: from now on it stays"


def test_the_exit_statuses_of_the_readme_are_those_of_the_program() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    table = readme.partition("| status | means |\n")[2].partition("\n\n")[0]
    told = [int(row) for row in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]
    assert told == [
        cli.EXIT_OK,
        cli.EXIT_FINDINGS,
        cli.EXIT_USAGE,
        cli.EXIT_INCONCLUSIVE,
        cli.EXIT_INTERRUPTED,
    ]
