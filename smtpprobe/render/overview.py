"""The overview of a scan as people see it: charts, tables and a few large numbers, every word resolved.

What is shown, in which order and in whose colour is decided here once; `overview_text`, `overview_markdown` and
`overview_html` only draw. Names may come from servers and from the file itself, so each passes `escape`. A share never
stands without the number that it is a share of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from smtpprobe import texts
from smtpprobe.render import writing
from smtpprobe.render.escaping import escape
from smtpprobe.render.layout import Column
from smtpprobe.render.session import version_words
from smtpprobe.render.words import label, standing_word
from smtpprobe.report import Severity
from smtpprobe.scan.claims import EXPIRY_DAYS
from smtpprobe.scan.overview import Findings, Group, Groups, Overview, Problems, Replies, Shares

PLAIN: Final = "plain"
"""The kind of a bar that is neither good nor bad."""

_KINDS: Final[Mapping[str, Mapping[str, str]]] = {
    "outcomes": {**{each: each for each in Severity}, "null-mx": "info"},
    "reachability": {
        "reachable": "ok",
        "refused": "warning",
        "no-answer": "error",
        "not-from-here": "inconclusive",
        "left-alone": PLAIN,
        "null-mx": "info",
        "no-host": "error",
        "dns-failed": "inconclusive",
    },
    "starttls": {"all": "ok", "some": "warning", "none": "error"},
    "tls": {
        "TLSv1.3": "ok",
        "TLSv1.2": "info",
        "TLSv1.1": "warning",
        "TLSv1": "warning",
        "not-offered": "error",
        "failed": "error",
        "not-tried": "inconclusive",
    },
    "certificates": {"trusted": "ok", "expires-soon": "warning", "": "error"},
    "dane": {
        "match": "ok",
        "partial": "warning",
        "without-rollover": "ok",
        "mismatch": "error",
        "without-tls": "error",
        "unusable": "warning",
        "insecure": "warning",
        "mx-insecure": "warning",
        "lookup-failed": "inconclusive",
        "unverifiable": "inconclusive",
        "unvalidated": "inconclusive",
        "untested": "inconclusive",
    },
    "mta-sts": {"enforce": "ok", "testing": "info", "invalid": "warning", "lookup-failed": "inconclusive"},
    "delivery": {
        "authenticated": "ok",
        "encrypted": "info",
        "clear": "warning",
        "defers": "error",
        "bounces": "error",
        "unknown": "inconclusive",
    },
}
"""Chart -> row -> the severity whose colour its bar has; the empty row stands for all others."""


_PLACEHOLDER: Final = re.compile(r"\{[^{}]*\}")


class Bar(NamedTuple):
    """One row of a chart."""

    name: str
    number: str
    """The count, as it is written in the language."""
    share: str
    """As per cent, likewise."""
    portion: float
    """The share as a number from 0 to 1."""
    kind: str
    """A severity, or `PLAIN`: chooses the colour; the name says the same."""


class Chart(NamedTuple):
    """Shares of one number."""

    id: str
    title: str
    basis: str
    """What the shares are shares of; where there is nothing to take a share of, that."""
    bars: tuple[Bar, ...]
    """Empty where nothing can be said."""


class Row(NamedTuple):
    """One row of a table."""

    cells: tuple[str, ...]
    kind: str = PLAIN
    """A severity, or `PLAIN`."""
    aside: str = ""
    """What stands behind the last cell: an id, or a text as it was sent."""
    short: tuple[str, ...] = ()
    """The cells where there is little room; empty: the same."""


class Table(NamedTuple):
    """Rows of several numbers or words."""

    id: str
    title: str
    basis: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    wraps: bool
    """The last column holds running text."""
    closing: str = ""
    """What is in no row."""


class Tile(NamedTuple):
    """One large number."""

    number: str
    label: str
    detail: str
    """Of how many; empty where the number is no share."""
    kind: str = PLAIN


class Page(NamedTuple):
    """The whole overview."""

    title: str
    period: str
    """When; empty without a result."""
    notes: tuple[str, ...]
    tiles: tuple[Tile, ...]
    sections: tuple[Chart | Table, ...]


def page(overview: Overview, language: str) -> Page:
    """Lay out an overview in one language."""
    words = _Words(language)
    notes = []
    if overview.unreadable:
        notes.append(words("page", "unreadable", count=words.number(overview.unreadable)))
    if not overview.targets:
        return Page(words("page", "title"), "", (words("page", "empty"), *notes), (), ())
    if not overview.is_finished:
        notes.insert(0, words("page", "unfinished"))
    notes.append(words("page", "shared"))
    return Page(
        title=words("page", "title"),
        period=_period(overview.began_at, overview.ended_at, words),
        notes=tuple(notes),
        tiles=tuple(_tiles(overview, words)),
        sections=tuple(_sections(overview, words)),
    )


class _Words:
    """The phrases of the room ``overview`` in one language, and how numbers are written there."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, table: str, field: str, /, **params: object) -> str:
        return texts.phrase(self.language, "overview", table, field, **params)

    def name(self, table: str, field: str, **params: object) -> str:
        """The name of what is counted; one without words stands for itself."""
        phrase = (texts.entry(self.language, "overview", table) or {}).get(field)
        return escape(field) if phrase is None else phrase.format_map(params) if params else phrase

    def number(self, count: int) -> str:
        return writing.number(count, self.language)

    def percent(self, count: int, of: int) -> str:
        """A share in whole per cent; never 0 of something, nor all of less."""
        value = (200 * count + of) // (2 * of)
        if value == 0 and count:
            return self("number", "percent-under")
        if value == 100 and count < of:
            return self("number", "percent-over")
        return self("number", "percent", value=value)

    def fraction(self, count: int, of: int) -> str:
        """A share and what it is of; empty where there is nothing to take one of."""
        if not of:
            return ""
        return self(
            "number",
            "fraction",
            percent=self.percent(count, of),
            count=self.number(count),
            total=self.number(of),
        )


def _period(began: datetime | None, ended: datetime | None, words: _Words) -> str:
    if began is None or ended is None:
        return ""
    begin, end = (f"{each:%Y-%m-%d %H:%M}" for each in (began, ended))
    if begin == end:
        return words("page", "at", begin=begin)
    return words("page", "period", begin=begin, end=end[11:] if begin[:10] == end[:10] else end)


def _tiles(overview: Overview, words: _Words) -> Iterator[Tile]:
    endpoints = words.number(overview.endpoints.count)
    if not overview.endpoints.is_exact:
        endpoints = words("page", "about", count=endpoints)
    spared = sum(each.count for each in overview.reachability.rows if each.id == "left-alone")
    detail = words("tile", "left-alone", count=words.number(spared)) if spared else ""
    yield Tile(words.number(overview.targets), words("tile", "targets"), detail)
    yield Tile(endpoints, words("tile", "endpoints"), "")
    for field, shares, row, kind in (
        ("reachable", overview.reachability, "reachable", "ok"),
        ("starttls", overview.starttls, "all", "ok"),
        ("trusted", overview.certificates, "trusted", "ok"),
        ("errors", overview.outcomes, "error", "error"),
    ):
        count = sum(each.count for each in shares.rows if each.id == row)
        of = shares.of - spared if field == "reachable" else shares.of  # who was not asked did not fail to answer
        if of:
            detail = f"{words.number(count)}/{words.number(of)}"
            yield Tile(words.percent(count, of), words("tile", field), detail, kind if count else PLAIN)


def _sections(overview: Overview, words: _Words) -> Iterator[Chart | Table]:
    yield _chart("outcomes", overview.outcomes, "targets", words)
    yield _chart("reachability", overview.reachability, "targets", words)
    yield _chart("starttls", overview.starttls, "asked", words)
    yield _chart("tls", overview.tls, "conversations", words)
    yield _chart("certificates", overview.certificates, "certificates", words, has_all=True)
    is_full = bool(overview.dane.of or overview.mta_sts.of or overview.deliveries)
    for policy, shares in (("dane", overview.dane), ("mta-sts", overview.mta_sts)):
        chart = _chart(policy, shares, policy, words)
        yield chart if shares.of or not is_full else chart._replace(basis=words("nothing", "not-asked"))
    for each in overview.deliveries:
        sender = escape(label(words.language, "sender", each.sender))
        chart = _chart("delivery", each.fates, "judged", words, sender=sender)
        yield chart._replace(id=f"delivery-{each.sender}")
    yield _chart("providers", overview.providers, "hosts", words)
    yield _chart("software", overview.software, "reachable", words)
    yield _findings(overview.findings, words)
    yield _replies(overview.replies, words)
    if overview.groups is not None:
        yield _groups(overview.groups, words)
    yield _problems(overview.problems, words)


# --- charts ---------------------------------------------------------------------------------------------------------


def _chart(id: str, shares: Shares, basis: str, words: _Words, *, has_all: bool = False, **title: object) -> Chart:
    """Make a chart; rows that count nothing are left out, unless their absence is worth knowing."""
    heading = words("title", id, **title)
    if not shares.of:
        return Chart(id, heading, words("nothing", id), ())
    bars = [
        _bar(_row_name(id, row.id, words), row.count, shares.of, _kind(id, row.id), words)
        for row in shares.rows
        if row.count or has_all
    ]
    if shares.others:
        bars.append(_bar(words("table", "others"), shares.others, shares.of, PLAIN, words))
    return Chart(id, heading, words("basis", basis, count=words.number(shares.of)), tuple(bars))


def _bar(name: str, count: int, of: int, kind: str, words: _Words) -> Bar:
    return Bar(name, words.number(count), words.percent(count, of), count / of, kind)


def _kind(chart: str, row: str | None) -> str:
    kinds = _KINDS.get(chart, {})
    return kinds.get(row or PLAIN, kinds.get("", PLAIN))


def _row_name(chart: str, row: str | None, words: _Words) -> str:
    if chart in ("providers", "software"):
        return words("unknown", chart.removesuffix("s")) if row is None else escape(row)
    row = row or ""
    match chart:
        case "outcomes":
            return escape(standing_word(words.language, row))
        case "delivery":
            return words.name("fate", row)
        case "tls":
            return version_words(row) if row.startswith("TLSv") else words.name("tls", row)
        case "certificates":
            return words.name("certificate", row, days=EXPIRY_DAYS)
    return words.name(chart, row)


# --- tables ---------------------------------------------------------------------------------------------------------


def _columns(words: _Words, *names: str, numbers: int) -> tuple[Column, ...]:
    """Columns by the keys of their heads, the numbers among them aligned to the right."""
    return tuple(
        Column(words("table", name), to_right=index in range(1, numbers + 1), shrinks=index == 0)
        for index, name in enumerate(names)
    )


def _findings(findings: Findings, words: _Words) -> Table:
    rows = []
    for each in findings.rows:
        title = (texts.entry(words.language, "findings", each.id) or {}).get("title", "")
        # What differs from target to target is left open.
        shown = _PLACEHOLDER.sub("…", title) or escape(each.id)
        severity = label(words.language, "severity", each.severity)
        rows.append(Row((severity, words.fraction(each.targets, findings.of), shown), each.severity, escape(each.id)))
    return Table(
        "findings",
        words("title", "findings"),
        words("basis", "targets", count=words.number(findings.of)) if rows else words("nothing", "findings"),
        _columns(words, "severity", "targets", "title", numbers=1),
        tuple(rows),
        wraps=True,
        closing=words("table", "other-kinds", count=words.number(findings.other_kinds)) if findings.other_kinds else "",
    )


def _replies(replies: Replies, words: _Words) -> Table:
    rows = []
    for each in replies.rows:
        name = (texts.entry(words.language, "replies", each.code_key or "") or {}).get("name", "")
        cause = (texts.entry(words.language, "diagnoses", each.diagnosis or "") or {}).get("title", "")
        code = words("unknown", "code") if each.code is None else str(each.code)
        cells = (
            " ".join(filter(None, (code, escape(each.enhanced or "")))),
            words.fraction(each.count, replies.of),
            label(words.language, "phase", each.phase),
            cause or name,
        )
        rows.append(Row(cells, aside=escape(each.example)))
    others = words.fraction(replies.others, replies.of)
    return Table(
        "replies",
        words("title", "replies"),
        words("basis", "refusals", count=words.number(replies.of)) if rows else words("nothing", "replies"),
        _columns(words, "code", "count", "phase", "meaning", numbers=1),
        tuple(rows),
        wraps=True,
        closing=words("table", "others-in-all", fraction=others) if replies.others else "",
    )


def _groups(groups: Groups, words: _Words) -> Table:
    rows = [
        _group(each, words("unknown", groups.by) if each.name is None else escape(each.name), words)
        for each in groups.rows
    ]
    if groups.others is not None:
        rows.append(_group(groups.others, words("table", "others"), words))
    return Table(
        "groups",
        words("title", f"by-{groups.by}"),
        words("basis", "group"),
        _columns(words, groups.by, "targets", "reachable", "starttls", "trusted", "errors", numbers=5),
        tuple(rows),
        wraps=False,
    )


def _group(group: Group, name: str, words: _Words) -> Row:
    pairs = (
        (group.reachable, group.targets - group.left_alone),
        (group.starttls, group.asked_starttls),
        (group.trusted, group.with_certificate),
        (group.errors, group.targets),
    )
    targets = words.number(group.targets)
    return Row(
        cells=(name, targets, *(words.fraction(*pair) or "–" for pair in pairs)),
        short=(name, targets, *(f"{words.number(count)}/{words.number(of)}" if of else "–" for count, of in pairs)),
    )


def _problems(problems: Problems, words: _Words) -> Table:
    rows = []
    for each in problems.rows:
        count = words.number(len(each.errors))
        rows.append(Row((escape(each.target), count, ", ".join(map(escape, each.errors))), "error"))
    basis = words("basis", "errors", count=words.number(problems.of), shown=words.number(len(rows)))
    return Table(
        "problems",
        words("title", "problems"),
        basis if rows else words("nothing", "problems"),
        _columns(words, "target", "errors", "title", numbers=1),
        tuple(rows),
        wraps=True,
    )
