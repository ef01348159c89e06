"""What a scan tells the person while it goes and when it is over: on stderr, so that results may go through a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Final

from smtpprobe.render import writing
from smtpprobe.render.escaping import escape
from smtpprobe.render.layout import cut, describe_terminal
from smtpprobe.render.words import label, standing_word
from smtpprobe.report import Param
from smtpprobe.scan.engine import Progress
from smtpprobe.scan.estimate import ASSUMED_SESSION_S, Estimate
from smtpprobe.scan.pace import Limits
from smtpprobe.scan.results import Standing
from smtpprobe.scan.running import Outcome, Taken

if TYPE_CHECKING:
    from smtpprobe.scan.distributed import Flow

_ERASE: Final = "\r\x1b[2K"
"""To the first column, then erase the line (ECMA-48 EL)."""

LINE_EVERY_S: Final = 5.0
"""Where there is no terminal, so often a line."""

SHOWN_KINDS: Final = 4
"""Kinds of failures that progress names."""


class Teller:
    """Says it, in one language."""

    def __init__(self, language: str, *, is_quiet: bool = False, stream: IO[str] | None = None) -> None:
        self._language = language
        self._is_quiet = is_quiet
        self._stream = sys.stderr if stream is None else stream
        self._terminal = describe_terminal(self._stream)
        self._is_terminal = self._stream.isatty()
        self._is_shown = False
        self._said_at_s = time.monotonic()
        self._rate: tuple[float, int] | None = None

    def say(self, key: str, **params: Param) -> None:
        """Say something that matters even where progress does not."""
        self._line(label(self._language, "scan", key, **params))

    def reading(self, taken: Taken) -> None:
        """Tell how many targets were read so far."""
        self._show(label(self._language, "scan", "reading", count=self._number(taken.targets)))

    def tick(self, progress: Progress) -> None:
        """Tell how far the scan has come."""
        if progress.is_draining:
            self._show(label(self._language, "scan", "draining", running=self._number(progress.running)))
            return
        now_s = time.monotonic()
        elapsed_s = max(now_s - progress.began_s, 1e-6)
        rate = (progress.written - progress.written_before) / elapsed_s
        parts = [
            label(
                self._language,
                "scan",
                "progress",
                done=self._number(progress.written),
                total=self._number(progress.targets),
                rate=self._number(round(rate)) if rate >= 10 else writing.decimal(f"{rate:.1f}", self._language),
                running=self._number(progress.running),
            )
        ]
        left = progress.targets - progress.written
        if rate > 0 and left:
            parts.append(label(self._language, "scan", "left", time=span(left / rate, self._language)))
        if progress.failures:
            kinds = self._listed(
                f"{label(self._language, 'failure', kind)} {self._number(count)}"
                for kind, count in progress.failures.most_common(SHOWN_KINDS)
            )
            parts.append(label(self._language, "scan", "failed", kinds=kinds))
        self._show(writing.clauses(parts, self._language))

    def flow(self, flow: Flow) -> None:
        """Tell how far a distributed scan has come."""
        if not flow.workers:
            self._show(label(self._language, "scan", "no-workers"))
        elif flow.is_draining:
            self._show(label(self._language, "scan", "workers-draining", workers=self._number(flow.workers)))
        elif flow.stage:
            done, total, workers = map(self._number, (flow.parts_done, flow.parts, flow.workers))
            self._show(label(self._language, "scan", f"stage-{flow.stage}", done=done, total=total, workers=workers))

    def summary(self, outcome: Outcome, *, is_kept: bool = True) -> None:
        """Tell what came of it, and how to go on where what was found out is kept."""
        progress, taken = outcome.progress, outcome.taken
        self._erase()
        if self._is_quiet:
            return
        self.say(
            "summary",
            targets=self._number(progress.targets),
            endpoints=self._number(progress.endpoints),
            connections=self._number(progress.connections),
            time=span(time.monotonic() - progress.began_s, self._language),
        )
        counts = [
            label(
                self._language,
                "scan",
                "outcomes",
                outcome=standing_word(self._language, standing),
                count=self._number(progress.outcomes[standing]),
            )
            for standing in Standing
            if progress.outcomes[standing]
        ]
        if counts:
            self._line("  " + self._listed(counts))
        if progress.left_alone:
            self.say("left-alone", count=self._number(progress.left_alone))
        self.about_input(taken)
        if not outcome.is_complete:
            key = "unfinished" if is_kept else "unfinished-stdout"
            self.say(key, done=self._number(progress.written), total=self._number(progress.targets))

    def plan(self, estimate: Estimate, taken: Taken, limits: Limits) -> None:
        """Tell what a scan would cost."""
        self._erase()
        total = estimate.names + estimate.addresses
        lines = [
            label(
                self._language,
                "scan",
                "plan-targets",
                targets=self._number(total),
                names=self._number(estimate.names),
                addresses=self._number(estimate.addresses),
            ),
            label(self._language, "scan", "plan-questions", count=self._number(estimate.questions)),
            label(
                self._language,
                "scan",
                "plan-endpoints",
                count=self._number(estimate.endpoints),
                connections=self._number(limits.concurrency),
            ),
            *([] if limits.rate is None else [label(self._language, "scan", "plan-rate", rate=limits.rate)]),
            label(
                self._language,
                "scan",
                "plan-time",
                time=span(estimate.seconds, self._language),
                seconds=ASSUMED_SESSION_S,
            ),
            label(self._language, "scan", "plan-nothing"),
        ]
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        self.about_input(taken)

    def about_input(self, taken: Taken) -> None:
        """Tell what in the input counts once or not at all."""
        if taken.duplicates:
            self.say("duplicates", count=self._number(taken.duplicates))
        if taken.bad:
            self.say("bad", count=self._number(taken.bad))
            for bad in taken.shown:
                self._line(
                    "  " + label(self._language, "scan", "bad-line", line=bad.line, text=bad.text or "-", why=bad.why)
                )

    def _number(self, count: int) -> str:
        return writing.number(count, self._language)

    def _listed(self, members: Iterable[str]) -> str:
        return writing.together(members, self._language)

    # --- the line ---------------------------------------------------------------------------------------------------

    def _show(self, text: str) -> None:
        if self._is_quiet:
            return
        if self._is_terminal:
            self._write(_ERASE + cut(escape(text), self._terminal.width - 1, self._terminal.sign("more")))
            self._is_shown = True
        elif time.monotonic() - self._said_at_s >= LINE_EVERY_S:
            self._said_at_s = time.monotonic()
            self._write(text + "\n")

    def _line(self, text: str) -> None:
        self._erase()
        self._write(text + "\n")

    def _erase(self) -> None:
        if self._is_shown:
            self._write(_ERASE)
            self._is_shown = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def span(seconds: float, language: str) -> str:
    """A time as people read it: ``0.4 s``, ``12 s``, ``3:05 min``, ``2:40 h``, ``5 d 3 h``."""

    def unit(name: str, value: str | int) -> str:
        return label(language, "unit", name, value=value)

    if seconds < 10:
        return unit("seconds", writing.decimal(f"{seconds:.1f}", language))
    whole = round(seconds)
    if whole < 60:
        return unit("seconds", whole)
    if whole < 3600:
        return unit("minutes", f"{whole // 60}:{whole % 60:02d}")
    if whole < 48 * 3600:
        return unit("hours", f"{whole // 3600}:{whole % 3600 // 60:02d}")
    return f"{unit('days', whole // 86400)} {unit('hours', whole % 86400 // 3600)}"
