"""Counting results: from any number of them to an overview, one by one.

A million results need no more memory than a thousand: what is kept grows with the number of different providers, codes
and findings, and that is bounded too, since a file may be anybody's. Nothing here reads files or knows words.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from smtpprobe.evidence import Phase
from smtpprobe.reference.matching import match
from smtpprobe.report import GRAVITY, Fate, Sender, Severity
from smtpprobe.scan.claims import (
    GROUPED,
    Adoption,
    Grouping,
    PolicyState,
    Reachability,
    TlsUse,
    Validity,
    adoption,
    mta_sts,
    reachability,
    sessions,
    software,
    tls_use,
    validity,
)
from smtpprobe.scan.distinct import Distinct
from smtpprobe.scan.overview import (
    EndpointCount,
    FindingCount,
    Findings,
    Group,
    Groups,
    Overview,
    Problem,
    Problems,
    Replies,
    ReplyCount,
    SenderShares,
    Share,
    Shares,
)
from smtpprobe.scan.results import Result, SeenReply, Standing

DEFAULT_TOP: Final = 10
MAX_TOP: Final = 1000
"""The longest list that can be asked for."""

MAX_KINDS: Final = 10_000
"""So many different names are counted apart; what comes later is counted together. No honest scan has so many."""

MAX_NAME: Final = 200
"""Characters of a name that is kept."""

_STANDINGS: Final = (
    Standing.OK,
    Standing.WARNING,
    Standing.ERROR,
    Standing.NULL_MX,
    Standing.INCONCLUSIVE,
    Standing.LEFT_ALONE,
)
"""In the order of an overview: what is known, from good to bad, then what is not."""

_ENHANCED: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}", re.ASCII)
"""RFC 3463 2. A file may have anything in that field."""


class Tally:
    """Counts of names, in bounded memory."""

    def __init__(self) -> None:
        self.total = 0
        self._counts: Counter[str | None] = Counter()
        self._overflow = 0

    def add(self, name: str | None) -> None:
        """Count a name once."""
        self.total += 1
        name = name[:MAX_NAME] if name is not None else None
        if name in self._counts or len(self._counts) < MAX_KINDS:
            self._counts[name] += 1
        else:
            self._overflow += 1

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def top(self, number: int) -> Shares:
        """The most frequent names, the first ones by alphabet among equals; what is not known stands last."""
        known = sorted(((name, count) for name, count in self._counts.items() if name is not None), key=_by_count)
        rows = [Share(id=name, count=count) for name, count in known[:number]]
        if None in self._counts:
            rows.append(Share(id=None, count=self._counts[None]))
        return Shares(of=self.total, rows=tuple(rows), others=self.total - sum(row.count for row in rows))

    def all_of(self, names: Iterable[str], *, of: int | None = None) -> Shares:
        """The counts of names that are known beforehand, in their order, the others behind them.

        Args:
            of: where one thing may have several names, the number of things; None: as many as were counted.
        """
        order = dict.fromkeys(map(str, names))
        further = sorted(((name, self._counts[name]) for name in self._counts if name not in order), key=_by_count)
        rows = [Share(id=name, count=self._counts[name]) for name in order]
        rows += [Share(id=name, count=count) for name, count in further[:MAX_TOP]]
        rest = self.total - sum(row.count for row in rows)
        return Shares(of=self.total if of is None else of, rows=tuple(rows), others=rest)


def _by_count(row: tuple[str | None, int]) -> tuple[int, str]:
    return -row[1], row[0] or ""


class _Refusals:
    """Counts of refusals, with the first text of each kind."""

    def __init__(self) -> None:
        self.total = 0
        self._rows: dict[tuple[int | None, str | None, Phase, str | None], list[int]] = {}
        self._texts: dict[tuple[int | None, str | None, Phase, str | None], str] = {}

    def add(self, reply: SeenReply) -> None:
        self.total += 1
        enhanced = reply.enhanced[:MAX_NAME] if reply.enhanced else None
        category = reply.category[:MAX_NAME] if reply.category else None
        key = (reply.code, enhanced, reply.phase, category)
        if key in self._rows:
            self._rows[key][0] += 1
        elif len(self._rows) < MAX_KINDS:
            self._rows[key] = [1]
            self._texts[key] = reply.text[:MAX_NAME]

    def top(self, number: int) -> Replies:
        ranked = sorted(self._rows.items(), key=lambda row: (-row[1][0], str(row[0])))
        rows = tuple(_reply_count(key, count, self._texts[key]) for key, (count,) in ranked[:number])
        return Replies(of=self.total, rows=rows, others=self.total - sum(row.count for row in rows))


def _reply_count(key: tuple[int | None, str | None, Phase, str | None], count: int, text: str) -> ReplyCount:
    code, enhanced, phase, category = key
    said = text.removeprefix(str(code)).lstrip(" -") if code is not None else text
    is_enhanced = enhanced is not None and _ENHANCED.fullmatch(enhanced) is not None
    found = match(code, enhanced if is_enhanced else None, phase, tuple(said.splitlines()))
    return ReplyCount(
        code=code,
        enhanced=enhanced,
        phase=phase,
        category=category,
        count=count,
        example=text,
        code_key=found.code_key,
        diagnosis=found.diagnosis,
    )


class _Group:
    """The counts of one group: the fields of `Group`."""

    __slots__ = ("counts",)

    NAMES: Final = (
        "targets",
        "left_alone",
        "reachable",
        "asked_starttls",
        "starttls",
        "with_certificate",
        "trusted",
        "errors",
    )

    def __init__(self) -> None:
        self.counts = [0] * len(self.NAMES)

    def add(self, facts: Sequence[int]) -> None:
        self.counts = [have + more for have, more in zip(self.counts, facts, strict=True)]

    def value(self, name: str | None) -> Group:
        return Group(name=name, **dict(zip(self.NAMES, self.counts, strict=True)))


class _Groups:
    def __init__(self, by: Grouping) -> None:
        self.by = by
        self._groups: dict[str | None, _Group] = {}
        self._overflow = _Group()

    def add(self, result: Result, facts: Sequence[int]) -> None:
        name = GROUPED[self.by](result)
        name = name[:MAX_NAME] if name is not None else None
        group = self._groups.get(name)
        if group is None:
            group = self._overflow if len(self._groups) >= MAX_KINDS else self._groups.setdefault(name, _Group())
        group.add(facts)

    def top(self, number: int) -> Groups:
        ranked = sorted(self._groups.items(), key=lambda row: (row[0] is None, -row[1].counts[0], row[0] or ""))
        known = [row for row in ranked if row[0] is not None]
        shown = known[:number] + [row for row in ranked if row[0] is None]
        rest = _Group()
        for group in (self._overflow, *(group for _, group in known[number:])):
            rest.add(group.counts)
        others = rest.value(None) if rest.counts[0] else None
        return Groups(by=self.by, rows=tuple(group.value(name) for name, group in shown), others=others)


class _Problems:
    """The worst targets so far."""

    def __init__(self, number: int) -> None:
        self.total = 0
        self._number = number
        self._worst: list[tuple[tuple[int, int, int, int, int], Problem]] = []

    def add(self, result: Result) -> None:
        errors = [each for each in result.findings if each.severity is Severity.ERROR]
        if not errors and result.outcome is not Standing.ERROR:
            return
        self.total += 1
        places = sum(each.count for each in errors)
        warnings = sum(1 for each in result.findings if each.severity is Severity.WARNING)
        # The last number tells equals apart, the earlier one being the worse, so that problems are never compared.
        rank = (len(errors), places, warnings, -result.line, -self.total)
        if len(self._worst) == self._number and rank < self._worst[0][0]:
            return
        problem = Problem(
            target=result.target[:MAX_NAME],
            line=result.line,
            errors=tuple(each.id[:MAX_NAME] for each in errors[:MAX_TOP]),
            places=places,
            warnings=warnings,
        )
        heapq.heappush(self._worst, (rank, problem))
        if len(self._worst) > self._number:
            heapq.heappop(self._worst)

    def value(self) -> Problems:
        ranked = sorted(self._worst, key=lambda each: each[0], reverse=True)
        return Problems(of=self.total, rows=tuple(problem for _, problem in ranked))


class Counting:
    """Takes results in, and says at any time what they come to."""

    def __init__(self, *, top: int = DEFAULT_TOP, group_by: Grouping | None = None) -> None:
        """Begin with nothing.

        Args:
            top: the length of the lists, from 1 to `MAX_TOP`.
            group_by: by what to put targets together; None: by nothing.

        Raises:
            ValueError: `top` is out of range.
        """
        if not 1 <= top <= MAX_TOP:
            raise ValueError(f"a list of {top} rows; it must have 1 to {MAX_TOP}")
        self._top = top
        self._targets = 0
        self._unreadable = 0
        self._is_finished = True
        self._began: datetime | None = None
        self._ended: datetime | None = None
        self._endpoints = Distinct()
        self._certificates = 0
        self._outcomes, self._reachability, self._starttls, self._tls = Tally(), Tally(), Tally(), Tally()
        self._validity, self._dane, self._mta_sts = Tally(), Tally(), Tally()
        self._providers, self._software = Tally(), Tally()
        self._findings: dict[Severity, Tally] = {severity: Tally() for severity in GRAVITY}
        self._deliveries = {str(sender): Tally() for sender in Sender}
        self._refusals = _Refusals()
        self._groups = _Groups(group_by) if group_by is not None else None
        self._problems = _Problems(top)

    def add_unreadable(self, number: int = 1) -> None:
        """Note lines that were no result."""
        self._unreadable += number

    def add_unfinished(self) -> None:
        """Note that the scan of some results is not finished."""
        self._is_finished = False

    def add(self, result: Result) -> None:
        """Take one result in."""
        self._targets += 1
        self._began = result.at if self._began is None else min(self._began, result.at)
        self._ended = result.at if self._ended is None else max(self._ended, result.at)
        self._outcomes.add(result.outcome)
        got = reachability(result)
        self._reachability.add(got)
        offered = adoption(result)
        if offered is not None:
            self._starttls.add(offered)
        if result.hosts and got is not Reachability.LEFT_ALONE:
            self._providers.add(result.provider)
        if got is Reachability.REACHABLE:
            self._software.add(software(result))
        for found in result.findings:
            self._findings[found.severity].add(found.id)
        trusted = self._add_sessions(result)
        self._add_policies(result)
        self._problems.add(result)
        if self._groups is not None:
            has_error = result.outcome is Standing.ERROR
            facts = (
                1,
                got is Reachability.LEFT_ALONE,
                got is Reachability.REACHABLE,
                offered is not None,
                offered is Adoption.ALL,
                bool(trusted),
                bool(trusted) and all(trusted),
                has_error,
            )
            self._groups.add(result, facts)

    def _add_sessions(self, result: Result) -> list[bool]:
        """Count what the sessions say; give for each certificate whether it is trusted."""
        trusted = []
        for session in sessions(result):
            if session.skipped is None:
                self._endpoints.add(f"{session.address} {session.port}")
            version = tls_use(session)
            if version is not None:
                self._tls.add(version)
            if session.refusal is not None:
                self._refusals.add(session.refusal)
            if session.certificate is not None:
                self._certificates += 1
                said = validity(session.certificate, result.at)
                trusted.append(Validity.TRUSTED in said)
                for each in said:
                    self._validity.add(each)
        return trusted

    def _add_policies(self, result: Result) -> None:
        """Count what a full scan asks for; what was not asked counts for nothing."""
        if result.dane is not None:
            self._dane.add(result.dane)
        mode = mta_sts(result)
        if mode is not None:
            self._mta_sts.add(mode)
        for verdict in result.deliveries:
            if verdict.sender in self._deliveries:
                self._deliveries[verdict.sender].add(verdict.fate)

    def overview(self) -> Overview:
        """Say what the results so far come to."""
        return Overview(
            targets=self._targets,
            unreadable=self._unreadable,
            is_finished=self._is_finished,
            began_at=self._began,
            ended_at=self._ended,
            endpoints=EndpointCount(count=self._endpoints.count, is_exact=self._endpoints.is_exact),
            outcomes=self._outcomes.all_of(_STANDINGS),
            reachability=self._reachability.all_of(Reachability),
            starttls=self._starttls.all_of(Adoption),
            tls=self._tls.all_of(("TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1", *TlsUse)),
            certificates=self._validity.all_of(Validity, of=self._certificates),
            dane=self._dane.all_of(()),
            mta_sts=self._mta_sts.all_of(("enforce", "testing", "none", "invalid", *PolicyState)),
            deliveries=tuple(
                SenderShares(sender=sender, fates=tally.all_of(Fate))
                for sender, tally in self._deliveries.items()
                if tally.total
            ),
            providers=self._providers.top(self._top),
            software=self._software.top(self._top),
            replies=self._refusals.top(self._top),
            findings=self._top_findings(),
            groups=self._groups.top(self._top) if self._groups is not None else None,
            problems=self._problems.value(),
        )

    def _top_findings(self) -> Findings:
        """The most frequent kinds: errors first, then warnings, what is not known, notes."""
        targets: Counter[str] = Counter()
        gravest: dict[str, Severity] = {}
        for severity in GRAVITY:
            for row in self._findings[severity].top(MAX_KINDS).rows:
                if row.id is not None:
                    targets[row.id] += row.count
                    gravest.setdefault(row.id, severity)
        ranked = sorted(targets, key=lambda each: (GRAVITY.index(gravest[each]), -targets[each], each))
        rows = tuple(
            FindingCount(id=each, severity=gravest[each], targets=targets[each]) for each in ranked[: self._top]
        )
        return Findings(of=self._targets, rows=rows, other_kinds=len(ranked) - len(rows))


def overview_of(results: Iterable[Result], *, top: int = DEFAULT_TOP, group_by: Grouping | None = None) -> Overview:
    """Say what results come to; see `Counting`."""
    counting = Counting(top=top, group_by=group_by)
    for result in results:
        counting.add(result)
    return counting.overview()
