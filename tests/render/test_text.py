"""The report at a terminal: what it says first, that it fits, and that nothing of a server acts on the screen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec
import pytest

from smtpprobe.checks import judge
from smtpprobe.evidence import Failure, FailureKind, Phase, Policies
from smtpprobe.render.layout import Terminal, cell_width
from smtpprobe.render.style import Style
from smtpprobe.render.text import render, render_at_once
from smtpprobe.report import Finding, Param, Report, Severity, Where
from tests.render import reports

WORLDS = pytest.mark.parametrize("world", reports.ALL)
SGR = re.compile("\x1b\\[[0-9;]*m")


def show(*shown: Report, width: int = 80, verbosity: int = 0, **more: bool) -> str:
    return "".join(render(iter(shown), Style(terminal=Terminal(width, **more), verbosity=verbosity)))


def with_findings(*findings: Finding) -> Report:
    return msgspec.structs.replace(reports.healthy(), findings=findings)


# --- as a whole -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("world", "width", "verbosity"),
    [
        *((world, 80, 0) for world in reports.ALL),
        ("mixed", 40, 0),
        ("mixed", 120, 0),
        ("mixed", 100, 1),
        ("host", 80, 2),
        ("hostile", 80, 1),
        ("hostile", 40, 2),
    ],
)
def test_the_report_looks_as_it_did(world: str, width: int, verbosity: int, golden: Callable[[str, str], None]) -> None:
    name = f"{world}-{width}{'-' + 'v' * verbosity if verbosity else ''}.txt"
    golden(name, show(reports.ALL[world](), width=width, verbosity=verbosity))


def test_several_reports_look_as_they_did(golden: Callable[[str, str], None]) -> None:
    three = [reports.healthy(), reports.dead(), reports.inconclusive()]
    golden("several-80.txt", show(*three))
    golden("several-80-q.txt", show(*three, verbosity=-1))


@WORLDS
@pytest.mark.parametrize("width", [40, 59, 60, 80, 120, 200])
@pytest.mark.parametrize("verbosity", [0, 1, 2])
def test_no_line_is_wider_than_the_terminal(world: str, width: int, verbosity: int) -> None:
    lines = show(reports.ALL[world](), width=width, verbosity=verbosity).splitlines()
    assert [line for line in lines if cell_width(line) > width] == []


@WORLDS
@pytest.mark.parametrize("verbosity", [-1, 0, 1, 2])
def test_nothing_but_printable_text_reaches_a_plain_terminal(world: str, verbosity: int) -> None:
    for line in show(reports.ALL[world](), verbosity=verbosity).split("\n"):
        assert line.isprintable(), repr(line)


@WORLDS
def test_colour_adds_nothing_to_what_is_said(world: str) -> None:
    coloured = show(reports.ALL[world](), verbosity=1, is_coloured=True)
    assert SGR.search(coloured)
    assert SGR.sub("", coloured) == show(reports.ALL[world](), verbosity=1)
    assert coloured.count("\x1b") == len(SGR.findall(coloured)), "an escape sequence that is not ours"


@pytest.mark.parametrize("world", ["healthy", "mixed", "dead", "inconclusive", "host"])
def test_a_terminal_without_unicode_gets_ascii(world: str) -> None:
    assert show(reports.ALL[world](), verbosity=2, is_unicode=False).isascii()


def test_no_line_ends_in_blanks() -> None:
    text = show(reports.mixed(), verbosity=2)
    assert [line for line in text.splitlines() if line != line.rstrip()] == []


@WORLDS
def test_quiet_is_one_line_a_target_however_narrow_the_terminal(world: str) -> None:
    lines = show(reports.ALL[world](), reports.ALL[world](), width=40, verbosity=-1).splitlines()
    assert len(lines) == 2
    assert lines[0] == lines[1]


# --- the first lines ------------------------------------------------------------------------------------------------


def test_a_healthy_domain_is_told_in_the_first_line_and_has_no_next_step() -> None:
    first, second, *_ = show(reports.healthy(), width=200).splitlines()
    assert first.startswith("✔ OK  example.org – ")
    assert second == ""


def test_a_problem_stands_below_the_answer_with_the_next_step() -> None:
    finding = Finding(id="mx-host-not-found", severity=Severity.ERROR, where=Where(host="mx9.example.org"))
    report = reports.mixed()
    report = msgspec.structs.replace(report, findings=(finding, *report.findings))
    first, second, third, *_ = show(report, width=200).splitlines()
    assert first.startswith("✖ ERROR  example.org – ")
    assert second.startswith("  ✖ ")
    assert third.startswith("  → Next: ")


def test_the_same_advice_for_graver_and_milder_places_is_told_once() -> None:
    names: dict[str, Param] = {"name": "mail.example.org", "names": ("other.example.net",)}
    places = [Where(host="mail.example.org", address="192.0.2.26", port=port) for port in (465, 25)]
    grave = Finding(id="certificate-name-mismatch", severity=Severity.ERROR, where=places[0], params=names)
    mild = msgspec.structs.replace(grave, severity=Severity.WARNING, where=places[1])
    between = Finding(id="mx-host-not-found", severity=Severity.WARNING, where=Where(host="mx9.example.org"))
    text = show(with_findings(grave, between, mild), width=200)
    assert text.count("A client that checks names") == 1
    head, _, rest = text.partition("✖ error: ")[2].partition("Meaning")
    assert [line.split()[-1] for line in head.splitlines() if "Where" in line] == ["192.0.2.26:465", "192.0.2.26:25"]
    assert "▲ warning: The certificate" in head
    assert "▲ warning: An MX record" in rest


@pytest.mark.parametrize(("width", "is_whole"), [(120, True), (80, True), (70, True), (60, False)])
def test_a_record_to_be_copied_is_broken_only_where_no_line_can_hold_it(width: int, is_whole: bool) -> None:
    digest = "0123456789abcdef" * 4
    params: dict[str, Param] = {
        "owner": "_25._tcp.mx1.example.org",
        "reason": "no-match",
        "records": ("3 1 1 00",),
        "wanted": f"3 1 1 {digest}",
        "authority": "-",
    }
    finding = Finding(id="dane-mismatch", severity=Severity.ERROR, where=Where(host="mx1.example.org"), params=params)
    for language in ("en", "de"):
        style = Style(terminal=Terminal(width), language=language)
        lines = "".join(render(iter([with_findings(finding)]), style)).splitlines()
        assert sum(digest in line for line in lines) == (2 if is_whole else 0)  # next, and among the steps
        assert max(map(cell_width, lines)) <= width


def no_dane(host: str, wanted: str = "3 1 1 00") -> Finding:
    """A note whose advice is another for each host."""
    params: dict[str, Param] = {"owner": f"_25._tcp.{host}", "wanted": wanted, "authority": "-"}
    return Finding(id="dane-not-published", severity=Severity.INFO, where=Where(host=host), params=params)


def test_a_note_is_told_once_with_its_hosts_although_each_has_advice_of_its_own() -> None:
    report = with_findings(*(no_dane(f"mx{number}.example.org") for number in range(11)))
    notes = " ".join(show(report).partition("\nNotes\n")[2].partition("\n\n")[0].split())
    hosts = ", ".join(f"mx{number}.example.org" for number in range(8))
    assert notes == f"• No DANE for this server ({hosts}, 3 more)"
    assert show(report, verbosity=1).count("• No DANE") == 11


def test_a_note_that_a_problem_of_the_same_host_tells_already_is_left_out() -> None:
    names: dict[str, Param] = {"name": "mx1.example.org", "names": ("other.example.net",)}
    worse = Finding(
        id="certificate-name-mismatch", severity=Severity.WARNING, where=Where(host="mx1.example.org"), params=names
    )
    note = msgspec.structs.replace(worse, severity=Severity.INFO)
    text = show(with_findings(worse, note, no_dane("mx1.example.org")), width=400)
    assert text.count("  • ") == 1
    assert "Notes" not in show(with_findings(worse, note), width=400)
    elsewhere = msgspec.structs.replace(note, where=Where(host="mx2.example.org"))
    assert "  • The certificate is not for" in show(with_findings(worse, elsewhere), width=400)


def test_an_interrupted_probe_says_how_far_it_came_and_promises_no_exit_status() -> None:
    whole = reports.mixed()
    part = msgspec.structs.replace(whole.evidence, is_interrupted=True, conversations=whole.evidence.conversations[:2])
    text = show(msgspec.structs.replace(whole, evidence=part))
    assert f"interrupted, 2 of {len(whole.evidence.endpoints)} endpoints finished" in text
    assert "exit status" not in text
    assert "not finished" in text, "the others have their rows"


# --- the findings ---------------------------------------------------------------------------------------------------


def test_a_finding_without_words_stands_for_itself_and_escapes_what_it_names() -> None:
    finding = Finding(id="my-own-check", severity=Severity.WARNING, params={"said": "a\x1b[2Jb", "count": 3})
    text = show(with_findings(finding))
    assert "▲ warning: my-own-check (said=a\\x1b[2Jb, count=3)" in text


def test_the_same_advice_is_given_once_for_all_places() -> None:
    findings = [
        Finding(
            id="my-own-check",
            severity=Severity.ERROR,
            where=Where(host="mx1.example.org", address=f"192.0.2.{number}", port=25),
        )
        for number in range(1, 13)
    ]
    text = show(with_findings(*findings))
    assert text.count("✖ error: my-own-check") == 1
    assert "192.0.2.8:25" in text
    assert "192.0.2.9:25" not in text
    assert "4 more" in text
    assert "192.0.2.12:25" in show(with_findings(*findings), verbosity=1)


def test_a_long_reply_is_cut_but_with_verbosity() -> None:
    from smtpprobe.replies import parse_reply

    reply = parse_reply(b"".join(b"550-line %d\r\n" % number for number in range(1, 20)) + b"550 end\r\n")
    finding = Finding(id="my-own-check", severity=Severity.ERROR, reply=reply)
    assert "550-line 6" in show(with_findings(finding))
    assert "550-line 7" not in show(with_findings(finding))
    assert "more lines: 14" in show(with_findings(finding))
    assert "550 end" in show(with_findings(finding), verbosity=1)


def test_a_reply_without_end_fills_no_screen_but_with_all_verbosity() -> None:
    from smtpprobe.replies import parse_reply

    finding = Finding(id="my-own-check", severity=Severity.ERROR, reply=parse_reply(b"\n" * 60_000))
    assert "more lines: 59952" in show(with_findings(finding), verbosity=1)
    assert show(with_findings(finding), verbosity=2).count("\n") > 60_000


def test_nor_does_what_had_come_when_a_conversation_failed() -> None:
    host = reports.mx_host("mx1.example.org", 10, "192.0.2.25")
    talk = reports.talk(reports.endpoint(host.name, "192.0.2.25", 25), "connect")
    garbage = Failure(phase=Phase.EHLO, kind=FailureKind.GARBAGE, partial=b"\n" * 60_000)
    shown = judge(reports.evidence("example.org", (host,), (msgspec.structs.replace(talk, failure=garbage),)))
    assert "more lines: 59960" in show(shown, verbosity=1)
    assert show(shown, verbosity=1).count("\n") < 300
    assert show(shown, verbosity=2).count("\n") > 60_000


def test_nor_does_a_record_of_the_name_system() -> None:
    records = ["v=" + "x" * 60_000, *(f"number {number}" for number in range(1_000))]
    whole = reports.healthy()
    published = Policies(mta_sts=reports.lookup("_mta-sts.example.org", "TXT", *records))
    shown = judge(msgspec.structs.replace(whole.evidence, policies=published))
    assert "more lines: 961" in show(shown, verbosity=1)
    assert show(shown, verbosity=1).count("x") < 1_000
    assert show(shown, verbosity=2).count("x") > 60_000


# --- the summary ----------------------------------------------------------------------------------------------------


def test_ports_of_which_the_same_is_to_be_said_share_a_row() -> None:
    assert re.search(r"^• +465, 587 +closed", show(reports.healthy()), re.MULTILINE)


def test_wide_characters_line_up() -> None:
    report = reports.healthy()
    talks = list(report.evidence.conversations)
    script = reports.POSTFIX.replace("Postfix (Debian/GNU)", "邮件服务器就绪".encode().decode("latin-1"))
    talks[0] = reports.talk(talks[0].endpoint, script)
    shown = msgspec.structs.replace(
        report, evidence=msgspec.structs.replace(report.evidence, conversations=tuple(talks))
    )
    rows = [line for line in show(shown, width=120).splitlines() if line.endswith(" ms")]
    assert "邮件服务器就绪" in rows[0]
    assert len({cell_width(row) for row in rows}) == 1


# --- several targets ------------------------------------------------------------------------------------------------


def test_each_report_is_given_before_the_next_is_asked_for() -> None:
    asked: list[str] = []

    def ready() -> Iterator[Report]:
        for name in ("healthy", "dead"):
            asked.append(name)
            yield reports.ALL[name]()

    pieces = render(ready(), Style())
    assert "example.org" in next(pieces)
    assert asked == ["healthy"]


def test_what_comes_before_goodbye_is_not_said_again_after_it() -> None:
    whole = reports.mixed()
    late = Finding(id="my-own-check", severity=Severity.ERROR, where=Where(host="mx1.example.org"))
    final = msgspec.structs.replace(whole, findings=(*whole.findings, late))
    head, rest, closing = render_at_once(iter([(whole, False), (final, True)]), Style())
    assert head in "".join(render(iter([whole]), Style()))
    assert "my-own-check" not in head
    assert "✖ error: my-own-check" in rest
    assert rest.splitlines()[1].startswith("✖ ERROR  example.org – "), "the answer is another one now"
    assert "certificate-expired" not in rest
    assert closing.startswith("exit status 1: ")


def test_where_goodbye_adds_nothing_only_the_end_is_given() -> None:
    whole = reports.healthy()
    pieces = render_at_once(iter([(whole, False), (whole, True)]), Style())
    assert "".join(pieces) == "".join(render(iter([whole]), Style()))


@pytest.mark.parametrize(
    ("worlds", "fail_on", "closing"),
    [
        (["healthy"], Severity.ERROR, "exit status 0: nothing at or above 'error'"),
        (["healthy", "dead"], Severity.ERROR, "exit status 1: something at or above 'error'"),
        (["healthy", "inconclusive"], Severity.ERROR, "exit status 3: something that matters is not known"),
        (["inconclusive", "dead"], Severity.ERROR, "exit status 1: something at or above 'error'"),
        ([], Severity.ERROR, "exit status 3: something that matters is not known"),
    ],
)
def test_the_last_line_says_what_the_exit_status_means(worlds: list[str], fail_on: Severity, closing: str) -> None:
    shown = (reports.ALL[world]() for world in worlds)
    text = "".join(render(shown, Style(fail_on=fail_on)))
    assert text.splitlines()[-1] == f"{closing} · -v shows the conversations"
