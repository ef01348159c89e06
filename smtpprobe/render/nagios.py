"""One status line with performance data, and an exit status: what Nagios, Icinga, Checkmk and their kin read.

The Monitoring Plugins guidelines give the grammar: ``SMTPPROBE OK - text | 'label'=value[unit];warn;crit;min;max``.
States are 0 OK, 1 WARNING, 2 CRITICAL and 3 UNKNOWN, other than those of the other formats, so `exit_status` is part of
the format. The line has no ``|`` of a server's, which would begin the performance data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

from smtpprobe.evidence import Endpoint
from smtpprobe.render import Style, writing
from smtpprobe.render.advice import steps
from smtpprobe.render.escaping import escape
from smtpprobe.render.measures import measures
from smtpprobe.render.places import place
from smtpprobe.render.thresholds import Range
from smtpprobe.render.words import finding_words, label
from smtpprobe.report import GRAVITY, Finding, Report, Severity

MAX_LINE = 4096
"""Bytes. Older readers take 4 KiB and no more; the first line is what everybody shows."""
MAX_STATUS = 1024
"""Bytes of it before the performance data, of which as much follows as has room."""


class State(IntEnum):
    """The exit status that monitoring understands."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_STATES = {
    Severity.OK: State.OK,
    Severity.INFO: State.OK,
    Severity.WARNING: State.WARNING,
    Severity.ERROR: State.CRITICAL,
    Severity.INCONCLUSIVE: State.UNKNOWN,
}
_GRAVEST_LAST = (State.OK, State.UNKNOWN, State.WARNING, State.CRITICAL)
"""What is known to be wrong says more than what is not known."""


def render(reports: Iterable[Report], style: Style) -> Iterator[str]:
    """Give the status line with performance data, and the long output: each problem, and what to do first."""
    every = tuple(reports)
    state = _state(every, style)
    exceeded = list(_exceeded(every, style))
    problems = list(_problems(every, style))
    counts = ", ".join(
        f"{place(report)}: {label(style.language, 'status', report.status)}" for report in every
    ) or label(style.language, "verdict", "nothing")
    first = "; ".join([*exceeded, *(each.short for each in problems)][:3]) or counts
    line = _cut(f"SMTPPROBE {state.name} - {_plain(first)}", MAX_STATUS)
    yield f"{line} |{_fitting(_data(every, style), MAX_LINE - len(line.encode()) - len(' |'))}\n"
    for text in exceeded:
        yield _plain(text) + "\n"
    for each in problems:
        yield _plain(f"{', '.join(each.places)}: {each.title}") + "\n"
        if each.step:
            following = writing.named(label(style.language, "verdict", "next"), each.step, style.language)
            yield f"  {_plain(following)}\n"


def exit_status(reports: Sequence[Report], style: Style) -> int:
    """Give the exit status that goes with the line."""
    return int(_state(tuple(reports), style))


def _state(reports: Sequence[Report], style: Style) -> State:
    states = [_STATES[report.status] for report in reports]
    limits = style.thresholds
    slowest, soonest = _slowest(reports), _soonest(reports)
    for value, warning, critical in (
        (slowest and slowest.value, limits.time_warning, limits.time_critical),
        (soonest and soonest.value, limits.days_warning, limits.days_critical),
    ):
        if value is not None and critical is not None and critical.alerts(value):
            states.append(State.CRITICAL)
        elif value is not None and warning is not None and warning.alerts(value):
            states.append(State.WARNING)
    return max(states, key=_GRAVEST_LAST.index, default=State.UNKNOWN)


class _Problem(NamedTuple):
    """What is wrong alike in one place or in several."""

    title: str
    step: str
    """What to do first; empty where there is nothing."""
    places: list[str]

    @property
    def short(self) -> str:
        """With the first place alone, and how many more there are."""
        more = f" (+{len(self.places) - 1})" if len(self.places) > 1 else ""
        return f"{self.places[0]}{more}: {self.title}"


def _problems(reports: Sequence[Report], style: Style) -> Iterator[_Problem]:
    """Errors of all targets, then warnings, then what is not known."""
    found = [
        (report, each)
        for report in reports
        for each in report.findings
        if each.severity not in (Severity.OK, Severity.INFO)
    ]
    alike: dict[tuple[Severity, str, str], list[tuple[Report, Finding]]] = {}
    for report, finding in sorted(found, key=lambda each: GRAVITY.index(each[1].severity)):
        words = finding_words(finding, style.language)
        alike.setdefault((finding.severity, words.title, words.fix), []).append((report, finding))
    for (_, title, fix), members in alike.items():
        first = next(iter(steps(fix, [(report.evidence, finding) for report, finding in members])), "")
        yield _Problem(title, first, list(dict.fromkeys(place(report, finding.where) for report, finding in members)))


def _exceeded(reports: Sequence[Report], style: Style) -> Iterator[str]:
    limits = style.thresholds
    slowest, soonest = _slowest(reports), _soonest(reports)
    if slowest is not None and any(each and each.alerts(slowest.value) for each in limits[:2]):
        text = label(style.language, "monitoring", "time", seconds=slowest.value)
        yield f"{_name(slowest.endpoint)}: {text}"
    if soonest is not None and any(each and each.alerts(soonest.value) for each in limits[2:]):
        days = soonest.value
        field, count = ("days", int(days)) if days >= 0 else ("days-over", int(-days))
        yield f"{_name(soonest.endpoint)}: {label(style.language, 'monitoring', field, days=count)}"


class _Extreme(NamedTuple):
    """A number, and the endpoint that has it."""

    value: float
    endpoint: Endpoint


def _name(endpoint: Endpoint) -> str:
    host = "" if endpoint.host == endpoint.address else f"{escape(endpoint.host)} "
    return f"{host}{endpoint.id}"


def _slowest(reports: Sequence[Report]) -> _Extreme | None:
    return max(
        (
            _Extreme(each.total_s, each.endpoint)
            for report in reports
            for each in measures(report.evidence)
            if each.is_serving and each.total_s is not None
        ),
        key=lambda each: each.value,
        default=None,
    )


def _soonest(reports: Sequence[Report]) -> _Extreme | None:
    return min(
        (
            _Extreme(each.days_left, each.endpoint)
            for report in reports
            for each in measures(report.evidence)
            if each.days_left is not None
        ),
        key=lambda each: each.value,
        default=None,
    )


def _data(reports: Sequence[Report], style: Style) -> Iterator[str]:
    limits = style.thresholds
    slowest, soonest = _slowest(reports), _soonest(reports)
    if slowest is not None:
        yield _datum("time", slowest.value, "s", limits.time_warning, limits.time_critical, minimum="0")
    if soonest is not None:
        yield _datum("certificate_days", soonest.value // 1, "", limits.days_warning, limits.days_critical)
    every = [each for report in reports for each in measures(report.evidence)]
    yield f"serving={sum(each.is_serving for each in every)};;;0;{len(every)}"
    for severity in (Severity.ERROR, Severity.WARNING, Severity.INCONCLUSIVE):
        count = sum(each.severity is severity for report in reports for each in report.findings)
        yield f"{severity.value}s={count};;;0" if severity is not Severity.INCONCLUSIVE else f"unknown={count};;;0"
    for each in every:
        for stage in ("connect", "greeting", "ehlo", "tls"):
            value = getattr(each, f"{stage}_s")
            if value is not None:
                endpoint = each.endpoint
                yield _datum(
                    f"{escape(endpoint.host)}:{endpoint.port}/{endpoint.address}/{stage}", value, "s", minimum="0"
                )


def _datum(
    name: str, value: float, unit: str, warning: Range | None = None, critical: Range | None = None, minimum: str = ""
) -> str:
    quoted = (
        "'" + name.replace("'", "''").replace("=", "-").replace("|", "/") + "'"
        if not name.replace("_", "").isalnum()
        else name
    )
    number = f"{value:.4f}".rstrip("0").rstrip(".")
    ranges = (warning.text if warning else "", critical.text if critical else "", minimum)
    return f"{quoted}={number}{unit};{';'.join(ranges)}".rstrip(";") if any(ranges) else f"{quoted}={number}{unit}"


def _fitting(data: Iterable[str], room: int) -> str:
    """As many values as have room, each behind a blank: half a value would spoil the line."""
    fitting = []
    for each in data:
        room -= len(each.encode()) + 1
        if room < 0:
            break
        fitting.append(f" {each}")
    return "".join(fitting)


def _cut(text: str, size: int) -> str:
    raw = text.encode()
    return text if len(raw) <= size else raw[: size - len("…".encode())].decode(errors="ignore") + "…"


def _plain(text: str) -> str:
    return " ".join(text.replace("|", "/").split())
