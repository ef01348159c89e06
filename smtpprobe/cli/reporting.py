"""From reports to stdout and to an exit status: what `check` and `judge` share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import click

from smtpprobe.cli import EXIT_CLOSED_PIPE, EXIT_FINDINGS, EXIT_INCONCLUSIVE, EXIT_OK
from smtpprobe.render import renderer
from smtpprobe.render.style import Style
from smtpprobe.report import Outcome, Report, outcome, worst

EXIT_STATUS: Final = {
    Outcome.PASSED: EXIT_OK,
    Outcome.FINDINGS: EXIT_FINDINGS,
    Outcome.INCONCLUSIVE: EXIT_INCONCLUSIVE,
}


def make_ready(format: str) -> None:
    """Load what questions, TLS, judging and printing take, and of the code book what any server needs: a refusal asks
    for more."""
    import smtpprobe.stub  # first, since a question waits for it, and then for its answer
    from smtpprobe.tls import client_context

    client_context()  # else it is made within the time that is measured for the first handshake
    import smtpprobe.checks  # noqa: F401 - to have it loaded
    from smtpprobe.evidence import Phase
    from smtpprobe.reference import explain, identify
    from smtpprobe.replies import parse_reply

    renderer(format)
    greeting = parse_reply(b"220 mx.example.org ESMTP\r\n")
    explain(greeting, Phase.GREETING)
    identify(greeting)


def report_on(
    reports: Iterable[Report],
    format: str,
    style: Style,
    before: Callable[[], object] = lambda: None,
    when_unread: Callable[[], object] | None = None,
) -> int:
    """Print reports in a format as they come, and return the exit status.

    Args:
        before: called before each piece of output.
        when_unread: called when nobody reads stdout any more; the reports are taken to their end nevertheless, for
            others who take them too. None: that is the end.
    """
    chosen = renderer(format)
    told: Callable[[Sequence[Report], Style], int] | None = getattr(chosen, "exit_status", None)
    outcomes: list[Outcome] = []
    every: list[Report] = []

    def counted() -> Iterator[Report]:
        for report in reports:
            outcomes.append(outcome(report, style.fail_on))
            if told is not None:
                every.append(report)
            yield report

    if not _print(chosen.render(counted(), style), before, when_unread):
        return EXIT_CLOSED_PIPE
    return EXIT_STATUS[worst(outcomes)] if told is None else told(every, style)


def report_at_once(
    stages: Iterable[tuple[Report, bool]], style: Style, before: Callable[[], object] = lambda: None
) -> int:
    """Do the same in text for somebody who waits at a terminal: the answer is there as soon as it is certain.

    Args:
        stages: reports, and whether their evidence is final; see `background.Stage`.
    """
    from smtpprobe.render.text import render_at_once

    outcomes: list[Outcome] = []

    def counted() -> Iterator[tuple[Report, bool]]:
        for report, is_final in stages:
            if is_final:
                outcomes.append(outcome(report, style.fail_on))
            yield report, is_final

    _print(render_at_once(counted(), style), before)
    return EXIT_STATUS[worst(outcomes)]


def _print(
    pieces: Iterable[str], before: Callable[[], object], when_unread: Callable[[], object] | None = None
) -> bool:
    """Print, and tell whether it was read to its end."""
    is_read = True
    for piece in pieces:
        before()
        try:
            if is_read:
                click.echo(piece, nl=False, color=True)  # the style has decided, and click would see no terminal
        except BrokenPipeError:
            if when_unread is None:
                raise
            when_unread()
            is_read = False
    return is_read
