"""The overview of a scan in each format: what is said, what fits, and what a hostile file does to it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from smtpprobe import texts
from smtpprobe.evidence import EXCLUDED
from smtpprobe.render import overview_html, overview_markdown, overview_text
from smtpprobe.render.layout import Terminal, cell_width
from smtpprobe.render.overview import Chart, Table, page
from smtpprobe.scan.claims import Adoption, Grouping, PolicyState, Reachability, TlsUse, Validity
from smtpprobe.scan.counting import Counting, overview_of
from smtpprobe.scan.overview import Overview
from smtpprobe.scan.results import Standing, Verdict
from tests.render.test_formats import HOSTILE_TEXT
from tests.scan.made import AT, found, full, good, refused, result, silent, town

LANGUAGES = texts.languages()
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b\ufeff]|[\U000e0000-\U000e0fff]")


def whole() -> Overview:
    """Some of everything, with a broken line, grouped."""
    counting = Counting(top=5, group_by=Grouping.TLD)
    counting.add_unreadable()
    for each in [*town(), *full()]:
        counting.add(each)
    return counting.overview()


def hostile() -> Overview:
    text = HOSTILE_TEXT
    results = [
        result(
            text,
            good(software=text, tls=text),
            refused(text=text, enhanced=text, category=text),
            name=f"a.{text}",
            provider=text,
            dane=text,
            mta_sts=text,
            outcome=Standing.ERROR,
            findings=(found(text),),
            deliveries=(Verdict(sender="dane", fate="unknown"),),  # type: ignore[arg-type]
        )
    ]
    return overview_of(results, group_by=Grouping.TLD)


def as_text(overview: Overview, language: str = "en", **terminal: object) -> str:
    lines = overview_text.render(overview, language, Terminal(**terminal))  # type: ignore[arg-type]
    return "".join(f"{line}\n" for line in lines)


def as_markdown(overview: Overview, language: str = "en") -> str:
    return "".join(f"{line}\n" for line in overview_markdown.render(overview, language))


# --- what is said ---------------------------------------------------------------------------------------------------


def test_text_for_a_terminal(golden: Callable[[str, str], None]) -> None:
    golden("overview.txt", as_text(whole()))


def test_text_in_a_narrow_terminal_without_unicode(golden: Callable[[str, str], None]) -> None:
    golden("overview-narrow.txt", as_text(whole(), "de", width=40, is_unicode=False))


def test_the_first_version_of_tls_is_not_taken_for_all_of_them() -> None:
    chart = next(
        each for each in page(overview_of([result("a.test", good(tls="TLSv1"))]), "en").sections if each.id == "tls"
    )
    assert isinstance(chart, Chart)
    assert [bar.name for bar in chart.bars] == ["TLS 1.0"]


def test_markdown(golden: Callable[[str, str], None]) -> None:
    golden("overview.md", as_markdown(whole()))


@pytest.mark.parametrize(
    ("count", "of", "shown"),
    [(0, 7, "0%"), (7, 7, "100%"), (1, 3, "33%"), (1, 1000, "<1%"), (999, 1000, ">99%"), (995, 1000, ">99%")],
)
def test_a_share_is_never_rounded_to_none_or_all(count: int, of: int, shown: str) -> None:
    results = [result(f"{n}.test", outcome=Standing.OK if n < count else Standing.ERROR, hosts=()) for n in range(of)]
    outcomes = page(overview_of(results), "en").sections[0]
    assert isinstance(outcomes, Chart)
    assert [bar.share for bar in outcomes.bars if bar.kind == "ok"] == ([shown] if count else [])
    assert outcomes.basis == f"of all targets: {of:,}"


def test_every_share_says_of_how_many() -> None:
    for section in page(whole(), "en").sections:
        if isinstance(section, Chart):
            assert re.search(r": \d", section.basis)
        for row in section.rows if isinstance(section, Table) else ():
            for cell in row.cells:
                assert "%" not in cell or re.fullmatch(r"\d+% \(\d+/\d+\)", cell)


def test_who_was_left_alone_is_told_and_did_not_fail_to_answer() -> None:
    spared = result("gamma.test", outcome=Standing.LEFT_ALONE, hosts=(), skipped=EXCLUDED)
    results = [result("alpha.test", good()), result("beta.test", silent(), outcome=Standing.ERROR), spared]
    told = {tile.label: (tile.number, tile.detail) for tile in page(overview_of(results), "en").tiles}
    assert told["targets"] == ("3", "left alone: 1")
    assert told["of the targets answer"] == ("50%", "1/2")


def test_what_a_light_scan_does_not_ask_is_said_to_be_not_asked() -> None:
    told = {each.id: each.basis for each in page(overview_of(town()), "en").sections}
    assert told["dane"].startswith("Not asked")
    assert told["mta-sts"].startswith("Not asked")
    assert not any(each.startswith("delivery") for each in told)


def test_a_full_scan_that_had_nothing_to_ask_does_not_call_itself_light() -> None:
    told = {each.id: each.basis for each in page(overview_of(full()[2:]), "en").sections}
    assert told["dane"] == told["mta-sts"] == "Not asked: no target has what is to be asked for."


def test_nothing_is_claimed_where_nothing_was_seen() -> None:
    shown = page(overview_of([result("null.test", hosts=(), is_null_mx=True)]), "en")
    claims = {one.id: (one.basis, one.bars if isinstance(one, Chart) else one.rows) for one in shown.sections}
    for each in ("starttls", "tls", "certificates", "providers", "software", "replies", "findings", "problems"):
        basis, rows = claims[each]
        assert basis == texts.phrase("en", "overview", "nothing", each)
        assert rows == ()
    assert [tile.label for tile in shown.tiles] == [
        "targets",
        "distinct endpoints",
        *(t.label for t in shown.tiles[2:]),
    ]
    assert not any("STARTTLS" in tile.label or "certificates" in tile.label for tile in shown.tiles)


@pytest.mark.parametrize("render", [as_text, as_markdown, overview_html.render])
def test_without_a_result_there_is_nothing_but_that(render: Callable[[Overview, str], str]) -> None:
    told = render(overview_of([]), "en")
    assert "There is no result" in told
    assert "%" not in re.sub(r"(?s)<style>.*</style>", "", told)


def test_an_estimate_says_that_it_is_one() -> None:
    counting = Counting()
    counting._endpoints._max_exact = 10
    for number in range(30):
        counting.add(result(f"{number}.test", good(f"192.0.2.{number}")))
    assert page(counting.overview(), "en").tiles[1].number.startswith("about ")


def test_a_finding_and_a_reply_without_words_stand_for_themselves() -> None:
    results = [result("a.test", refused(299), findings=(found("of-somebody-else"),), outcome=Standing.ERROR)]
    told = as_text(overview_of(results))
    assert "of-somebody-else" in told
    assert "299" in told


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_name_that_is_counted_has_words(language: str) -> None:
    for table, names in {
        "reachability": Reachability,
        "starttls": Adoption,
        "tls": TlsUse,
        "certificate": Validity,
        "mta-sts": ("enforce", "testing", "none", "invalid", *PolicyState),
        "fate": ("authenticated", "encrypted", "clear", "defers", "bounces", "unknown"),
        "nothing": ("starttls", "tls", "certificates", "dane", "mta-sts", "providers", "software", "replies"),
        "unknown": Grouping,
        "title": (f"by-{each}" for each in Grouping),
    }.items():
        assert set(names) <= set(texts.entry(language, "overview", table) or {}), table


# --- what fits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "width", "by"), [*itertools.product(LANGUAGES, (40, 60, 80, 132), (Grouping.PROVIDER, Grouping.TLD))]
)
def test_no_line_is_wider_than_the_terminal(language: str, width: int, by: Grouping) -> None:
    many = [
        result(f"domain{n}.example", good(), provider="A provider of a considerable name", line=n) for n in range(1200)
    ]
    told = as_text(overview_of([*town(), *full(), *many], group_by=by), language, width=width)
    assert [line for line in told.splitlines() if cell_width(line) > width] == []


def test_colour_only_repeats_what_is_there_without_it() -> None:
    coloured = as_text(whole(), is_coloured=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == as_text(whole())


def test_bars_are_as_long_as_what_they_count() -> None:
    results = [result(f"{n}.test", hosts=(), outcome=Standing.OK if n < 3 else Standing.ERROR) for n in range(4)]
    told = as_text(overview_of(results), is_unicode=False, width=80)
    bars = {line.split()[0]: line.count("#") for line in told.splitlines() if "#" in line}
    assert bars["passed"] == 30
    assert bars["error"] == 10


# --- HTML -----------------------------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Reads the document strictly: every element is closed, nothing runs, nothing is fetched."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.named_by: list[str] = []
        self.text = ""
        self.charts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "img", "iframe", "object", "form", "link", "a")
        assert not any(name.startswith("on") or name in ("src", "href", "style") for name, _ in attrs)
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "svg":
            self.charts += 1
            assert given["role"] == "img"
            self.named_by += given["aria-labelledby"].split()
        if tag == "rect" and given["class"] != "track":
            assert 0 < float(given["width"].removesuffix("%")) <= 100
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def read(document: str) -> Reader:
    reader = Reader()
    reader.feed(document)
    reader.close()
    assert reader.open == []
    return reader


@pytest.mark.parametrize("language", LANGUAGES)
def test_html_is_whole_and_every_chart_is_named(language: str) -> None:
    seen = read(overview_html.render(whole(), language))
    charts = [each for each in page(whole(), language).sections if isinstance(each, Chart) and each.bars]
    assert seen.charts == len(charts)
    assert len(seen.ids) == len(set(seen.ids))
    assert set(seen.named_by) <= set(seen.ids)
    assert len(seen.named_by) == 2 * len(charts)


def test_html_has_each_number_beside_its_bar_and_in_the_description() -> None:
    seen = read(overview_html.render(whole(), "en"))
    assert seen.text.count("answers EHLO: 6, 50%") == 2
    assert "of all targets: 12; answers EHLO: 6, 50%" in seen.text


def test_a_long_chart_has_the_whole_width() -> None:
    many = [result(f"{n}.test", provider=f"provider {n}") for n in range(30)]
    assert overview_html.render(overview_of(many, top=30), "en").count('class="card long"') == 1
    assert 'class="card long"' not in overview_html.render(whole(), "en")


# --- hostile files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("render", [as_text, as_markdown, overview_html.render])
def test_nothing_from_a_file_acts_on_the_reader(render: Callable[[Overview, str], str]) -> None:
    told = render(hostile(), "en")
    assert not RAW.search(told)
    assert "\\x1b" in told


def test_a_hostile_html_is_still_whole() -> None:
    read(overview_html.render(hostile(), "en"))


def test_a_hostile_name_cannot_leave_its_cell_in_markdown() -> None:
    told = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", as_markdown(hostile()))
    assert "<" not in told
    assert "](" not in told
    for line in told.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")
            assert line.count("|") in (4, 5, 7)


def test_the_time_of_a_scan_is_told_once_where_it_took_no_time() -> None:
    assert page(overview_of([result()]), "en").period == "2026-11-20 10:00 UTC"
    for hours, end in ((2, "12:00"), (30, "2026-11-21 16:00")):
        longer = overview_of([result(at=AT + timedelta(hours=hours)), result()])
        assert page(longer, "en").period == f"2026-11-20 10:00 to {end} UTC"
