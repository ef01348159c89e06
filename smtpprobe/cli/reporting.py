"""From evidence to stdout and to an exit status: what `check` and `judge` share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import click

from smtpprobe.checks import judge
from smtpprobe.cli import EXIT_FINDINGS, EXIT_INCONCLUSIVE, EXIT_OK
from smtpprobe.evidence import Evidence
from smtpprobe.render import renderer
from smtpprobe.render.style import Style
from smtpprobe.report import Outcome, Report, outcome, worst

EXIT_STATUS: Final = {
    Outcome.PASSED: EXIT_OK,
    Outcome.FINDINGS: EXIT_FINDINGS,
    Outcome.INCONCLUSIVE: EXIT_INCONCLUSIVE,
}


def make_ready(format: str) -> None:
    """Load the code book and the format.

    Before the network is spoken to, since loading beside it delays what is measured: a connect of 5 ms was seen to take
    25 ms.
    """
    from smtpprobe.evidence import Phase
    from smtpprobe.reference import explain
    from smtpprobe.replies import parse_reply

    renderer(format)
    explain(parse_reply(b"421 4.3.2 Not now\r\n"), Phase.GREETING)


def report_on(
    evidence: Iterable[Evidence], format: str, style: Style, before: Callable[[], object] = lambda: None
) -> int:
    """Judge evidence as it comes, print the reports in a format, and return the exit status.

    Args:
        before: called before each piece of output.
    """
    outcomes: list[Outcome] = []

    def judged() -> Iterator[Report]:
        for each in evidence:
            report = judge(each)
            outcomes.append(outcome(report, style.fail_on))
            yield report

    _print(renderer(format).render(judged(), style), before)
    return EXIT_STATUS[worst(outcomes)]


def report_at_once(
    stages: Iterable[tuple[Evidence, bool]], style: Style, before: Callable[[], object] = lambda: None
) -> int:
    """Do the same in text for somebody who waits at a terminal: the answer is there as soon as it is certain.

    Args:
        stages: evidence, and whether it is final; see `background.Stage`.
    """
    from smtpprobe.render.text import render_at_once

    outcomes: list[Outcome] = []

    def judged() -> Iterator[tuple[Report, bool]]:
        for each, is_final in stages:
            report = judge(each)
            if is_final:
                outcomes.append(outcome(report, style.fail_on))
            yield report, is_final

    _print(render_at_once(judged(), style), before)
    return EXIT_STATUS[worst(outcomes)]


def _print(pieces: Iterable[str], before: Callable[[], object]) -> None:
    for piece in pieces:
        before()
        click.echo(piece, nl=False)
