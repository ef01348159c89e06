"""Formats that programs read, each read back by a program that is not ours; and what a hostile server does to them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Final, TypeVar
from urllib.parse import urlsplit
from xml.etree import ElementTree

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest
from junitparser import Error, Failure, JUnitXml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from smtpprobe import __version__
from smtpprobe.checks import judge
from smtpprobe.evidence import (
    Conversation,
    Exchange,
    FailureKind,
    Options,
    Phase,
    PortSpec,
    Reply,
    Role,
    TlsMode,
)
from smtpprobe.render import FORMATS, renderer
from smtpprobe.render.nagios import exit_status
from smtpprobe.render.style import Style
from smtpprobe.render.thresholds import parse_range, parse_thresholds
from smtpprobe.replies import parse_reply
from smtpprobe.report import Report, Severity
from tests.checks.evidence_builder import A1, A2, GREETING, MX1, MX2, PLAIN_EHLO, endpoint, evidence, failed, said, talk
from tests.render import reports
from tests.render.foreign import SARIF, stored_schema

HOSTILE_TEXT = (
    "\x1b[2J\x1b]0;owned\x07 ]]> <script>alert(1)</script> & \" ' ::error::pwned %0A::warning::x `code`"
    " ##[add-mask]a ##vso[task]b [a](javascript:b) | =cmd() \u202egnp.exe \u2066 \x00 \U000e0041 {{7*7}} \\ "
)
LONG_TEXT = HOSTILE_TEXT + "A" * 65536


def rendered(format: str, *given: Report, **style: object) -> str:
    return "".join(renderer(format).render(given, Style(**style)))  # type: ignore[arg-type]


_T = TypeVar("_T")


def poisoned(report: Report, text: str = HOSTILE_TEXT) -> Report:
    """A report of which every text that comes from outside is hostile; replies are long, too."""
    long = LONG_TEXT if text == HOSTILE_TEXT else text

    findings = tuple(
        msgspec.structs.replace(
            each,
            params={name: text if isinstance(param, str) else param for name, param in each.params.items()},
            where=msgspec.structs.replace(each.where, host=text if each.where.host else None),
        )
        for each in report.findings
    )
    evidence = _poison_texts(report.evidence, text)
    conversations = tuple(_poison_replies(each, long) for each in evidence.conversations)
    evidence = msgspec.structs.replace(evidence, conversations=conversations)
    return msgspec.structs.replace(report, evidence=evidence, findings=findings)


_SOUND: Final = {"address", "addresses", "local_address", "sha256", "chain", "schema", "ehlo_name"}
"""Fields that reading holds against what they can be, or that are our own."""


def _poison_texts(value: _T, text: str) -> _T:
    """Any value of evidence with this text in place of each of its own."""
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__ if name not in _SOUND}
        return msgspec.structs.replace(value, **{name: _poison_texts(each, text) for name, each in fields.items()})
    if isinstance(value, tuple):
        return tuple(_poison_texts(each, text) for each in value)  # type: ignore[return-value]
    return text if type(value) is str else value  # type: ignore[return-value]


def _poison_replies(conversation: Conversation, text: str) -> Conversation:
    exchanges = tuple(
        msgspec.structs.replace(
            each,
            outcome=msgspec.structs.replace(
                each.outcome, raw=text.encode("utf-8", "surrogatepass") + b"\xff", lines=(text,)
            )
            if isinstance(each.outcome, Reply)
            else each.outcome,
        )
        for each in conversation.exchanges
    )
    return msgspec.structs.replace(conversation, exchanges=exchanges)


# --- readers that are not ours ----------------------------------------------------------------------------------------


def read_html(text: str) -> None:
    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__(convert_charrefs=True)
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in ("script", "img", "iframe", "object", "form", "link")
            assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)
            if tag not in ("meta", "br", "hr"):
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []


def read_nagios(text: str) -> None:
    """The grammar of the Monitoring Plugins guidelines, 2.1 and 2.6."""
    line = text.splitlines()[0]
    assert re.match(r"SMTPPROBE (OK|WARNING|CRITICAL|UNKNOWN) - ", line)
    said, _, data = line.partition(" | ")
    assert "|" not in said
    datum = re.compile(r"(?:'(?:[^'=]|'')+'|[^\s'=]+)=-?\d+(?:\.\d+)?(?:s|%|[KMGT]?B|c)?(?:;[^;\s]*){0,4}(?:\s+|$)")
    position = 0
    while position < len(data):
        found = datum.match(data, position)
        assert found, data[position : position + 80]
        position = found.end()
    assert all("|" not in each for each in text.splitlines()[1:])


def read_github(text: str) -> None:
    for line in text.splitlines():
        assert re.match(r"::(error|warning|notice) title=[^:,\r\n]*::[^\r\n]*$|smtpprobe: ", line), line[:100]


def read_csv(text: str) -> None:
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert len({len(row) for row in rows}) == 1
    assert not any(cell[:1] in ("=", "+", "@", "\t") for row in rows[1:] for cell in row)


def read_prometheus(text: str) -> None:
    families = list(text_string_to_metric_families(text))
    assert all(family.name.startswith("smtpprobe_") for family in families)
    # Nothing but the marker of the end separates these gauges from OpenMetrics.
    assert len(list(parse_openmetrics(text + "# EOF\n"))) == len(families)  # type: ignore[no-untyped-call]


def read_junit(text: str) -> None:
    suites = list(JUnitXml.fromstring(text.encode()))
    assert suites


def read_sarif(text: str) -> None:
    from sarif_pydantic import Sarif  # type: ignore[import-untyped]

    log = Sarif.model_validate_json(text)
    assert log.version == "2.1.0"
    jsonschema.Draft7Validator(stored_schema(SARIF)).validate(json.loads(text))


READERS: dict[str, Callable[[str], object]] = {
    "text": str.splitlines,
    "json": json.loads,
    "ndjson": lambda text: [json.loads(line) for line in text.splitlines()],
    "markdown": str.splitlines,
    "html": read_html,
    "csv": read_csv,
    "junit": read_junit,
    "sarif": read_sarif,
    "github": read_github,
    "gitlab": json.loads,
    "nagios": read_nagios,
    "prometheus": read_prometheus,
}


@pytest.mark.parametrize("format", sorted(FORMATS))
@pytest.mark.parametrize("make", [reports.healthy, reports.mixed, reports.dead, reports.inconclusive, reports.host])
def test_every_format_is_read_by_its_readers(format: str, make: Callable[[], Report]) -> None:
    READERS[format](rendered(format, make(), reports.healthy()))


@pytest.mark.parametrize("verbosity", [0, 2])
@pytest.mark.parametrize("format", sorted(FORMATS))
@pytest.mark.parametrize("make", [reports.hostile, lambda: poisoned(reports.mixed()), lambda: poisoned(reports.host())])
def test_no_format_lets_a_hostile_server_write_what_it_wants(
    format: str, make: Callable[[], Report], verbosity: int
) -> None:
    text = rendered(format, make(), verbosity=verbosity)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    text.encode()
    READERS[format](text)
    assert not log_commands(text, format)


def log_commands(text: str, format: str) -> list[str]:
    """What a CI server would take for a command if it saw the text in the log of a job."""
    found = [line for line in text.splitlines() if line.lstrip().startswith(("::error", "::warning"))]
    if format == "github":
        found = [
            line for line in found if not line.startswith(("::error title=smtpprobe ", "::warning title=smtpprobe "))
        ]
    return found + re.findall(r"##[a-z]*\[", text)


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_every_format_stands_no_report_at_all(format: str) -> None:
    READERS[format](rendered(format)) if format not in ("junit", "nagios") else rendered(format)


# --- what each says ---------------------------------------------------------------------------------------------------


def test_junit_fails_at_the_threshold_and_tells_errors_apart() -> None:
    def results(**style: object) -> list[type]:
        suites = JUnitXml.fromstring(rendered("junit", reports.mixed(), **style).encode())
        return [type(result) for suite in suites for case in suite for result in case.result]

    assert results() == [Error]
    with_warnings = results(fail_on=Severity.WARNING)
    assert with_warnings.count(Failure) == 2
    assert with_warnings.count(Error) == 1


def test_a_junit_case_is_called_alike_from_run_to_run_and_apart_from_others() -> None:
    def names(report: Report) -> list[tuple[str, str]]:
        suites = JUnitXml.fromstring(rendered("junit", report).encode())
        return [(case.classname, case.name) for suite in suites for case in suite]

    report = reports.mixed()
    later = tuple(
        msgspec.structs.replace(
            each, params={name: value + 1 if type(value) is int else value for name, value in each.params.items()}
        )
        for each in report.findings
    )
    assert later != report.findings
    assert names(msgspec.structs.replace(report, findings=later)) == names(report)
    twice = names(msgspec.structs.replace(report, findings=report.findings * 2))
    assert len(set(twice)) == len(twice) == 2 * len(report.findings)


@pytest.mark.parametrize("format", ["markdown", "html", "junit", "sarif", "github", "gitlab", "nagios", "csv"])
def test_a_long_reply_does_not_fill_a_document_that_has_a_limit(format: str) -> None:
    report = poisoned(reports.mixed())
    replies = [each for each in report.findings if each.reply is not None]
    assert replies
    talkative = tuple(
        msgspec.structs.replace(
            each, reply=msgspec.structs.replace(each.reply, raw=f"220 {number}{LONG_TEXT}".encode(), lines=(LONG_TEXT,))
        )
        for number, each in enumerate(replies * 20)
        if each.reply is not None
    )
    short = msgspec.structs.replace(report.evidence, conversations=())
    assert len(rendered(format, msgspec.structs.replace(report, evidence=short, findings=talkative))) < 400_000


def test_in_markdown_a_reply_is_code_however_deep_the_list_is() -> None:
    evil = "<script>![x](https://x.example/) ```` @all"
    report = reports.mixed()
    reply = parse_reply(f"550-{evil}\r\n550-```\r\n550 {evil}\r\n".encode())
    finding = msgspec.structs.replace(next(each for each in report.findings if each.reply is not None), reply=reply)
    lines = rendered("markdown", msgspec.structs.replace(report, findings=(finding,))).splitlines()
    begin, end = (number for number, line in enumerate(lines) if line == "  `````")
    assert lines[begin - 2].startswith("  - "), "below an item of a list within the list"
    assert [number for number, line in enumerate(lines) if "<script>" in line] == [begin + 1, begin + 3]
    assert end == begin + 4


def test_junit_tells_how_long_the_probes_took() -> None:
    both = (reports.mixed(), reports.host())
    document = JUnitXml.fromstring(rendered("junit", *both).encode())
    assert [suite.time for suite in document] == pytest.approx([each.evidence.elapsed_s for each in both], abs=0.001)
    assert document.time == pytest.approx(sum(each.evidence.elapsed_s for each in both), abs=0.002)


def test_junit_has_no_attribute_that_jenkins_does_not_know() -> None:
    root = ElementTree.fromstring(rendered("junit", *(make() for make in reports.ALL.values())))  # noqa: S314 - our own
    known = {
        "testsuites": {"name", "time", "tests", "failures", "errors"},
        "testsuite": {"name", "time", "tests", "failures", "errors", "skipped", "timestamp", "hostname"},
        "testcase": {"name", "time", "classname"},
        "error": {"type", "message"},
        "failure": {"type", "message"},
        "system-out": set(),
    }
    for element in root.iter():
        assert set(element.attrib) <= known[element.tag], element.tag


def test_sarif_names_each_rule_once_and_points_to_it() -> None:
    run = json.loads(rendered("sarif", reports.mixed(), reports.healthy()))["runs"][0]
    rules = [each["id"] for each in run["tool"]["driver"]["rules"]]
    assert len(rules) == len(set(rules))
    assert all(rules[each["ruleIndex"]] == each["ruleId"] for each in run["results"])
    assert {each["kind"] for each in run["results"]} == {"fail", "open"}, "GitHub takes what passed for an alert"
    assert len(run["results"]) == sum(
        each.severity is not Severity.OK for make in (reports.mixed, reports.healthy) for each in make().findings
    )


def test_a_sarif_rule_is_the_same_whatever_was_found_first() -> None:
    """GitHub shows the text of a rule beside each of its alerts, and wants all three of them."""

    def rules(*given: Report) -> dict[str, dict[str, object]]:
        run = json.loads(rendered("sarif", *given))["runs"][0]
        return {each["id"]: each for each in run["tool"]["driver"]["rules"]}

    every = [make() for make in reports.ALL.values()]
    one, other = rules(*every), rules(*reversed(every))
    assert one == other
    assert all({"shortDescription", "fullDescription", "help"} <= each.keys() for each in one.values())
    assert "mx1." not in json.dumps(one)


def test_a_sarif_result_says_what_to_do_there() -> None:
    results = json.loads(rendered("sarif", reports.host()))["runs"][0]["results"]
    text = next(each["message"]["text"] for each in results if each["ruleId"] == "certificate-name-mismatch")
    first, _, steps = text.partition("\n\n")
    assert first.startswith("mail.example.org 192.0.2.26:465: The certificate is not for ")
    assert "certbot certonly -d mail.example.org" in steps


def test_github_tells_results_on_one_line_apart_and_knows_them_again() -> None:
    first, second = (
        [
            each["partialFingerprints"]["primaryLocationLineHash"]
            for each in json.loads(rendered("sarif", reports.mixed()))["runs"][0]["results"]
        ]
        for _ in range(2)
    )
    assert first == second
    assert len(set(first)) == len(first)


@pytest.mark.parametrize("make", [*reports.ALL.values(), lambda: poisoned(reports.mixed())])
def test_sarif_has_places_that_could_be_files_of_a_checkout(make: Callable[[], Report]) -> None:
    """GitHub refuses a file in which a URI has another scheme than its checkout, which is ``file``."""
    report = make()
    v6 = tuple(
        msgspec.structs.replace(each, where=msgspec.structs.replace(each.where, host=None, address="2001:db8::1"))
        for each in report.findings
    )
    for each in (report, msgspec.structs.replace(report, findings=v6)):
        for result in json.loads(rendered("sarif", each))["runs"][0]["results"]:
            place = urlsplit(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])
            assert (place.scheme, place.netloc, place.query, place.fragment) == ("", "", "", "")
            assert re.fullmatch(r"[a-z]+(/[A-Za-z0-9._~%-]+){1,2}", place.path)


def test_gitlab_knows_a_finding_again() -> None:
    first, second = (json.loads(rendered("gitlab", reports.mixed())) for _ in range(2))
    fingerprints = [each["fingerprint"] for each in first]
    assert fingerprints == [each["fingerprint"] for each in second]
    assert len(set(fingerprints)) == len(fingerprints)


def test_prometheus_counts_what_the_report_says() -> None:
    families = {each.name: each for each in text_string_to_metric_families(rendered("prometheus", reports.mixed()))}
    status = {each.labels["status"]: each.value for each in families["smtpprobe_status"].samples}
    assert status == {"ok": 0, "info": 0, "warning": 1, "error": 0, "inconclusive": 0}
    serving = [each.value for each in families["smtpprobe_endpoint_serving"].samples]
    assert sum(serving) == 2
    expiry = families["smtpprobe_certificate_not_after_timestamp_seconds"].samples
    assert {each.labels["host"] for each in expiry} == {"mx1.example.org", "mx2.example.org"}


def test_prometheus_joins_what_a_target_comes_to_for_each_of_its_services() -> None:
    def probed(role: Role, *steps: Exchange) -> Report:
        port = PortSpec(port=25 if role is Role.SMTP else 587, role=role, tls=TlsMode.STARTTLS)
        return judge(evidence(talk(endpoint(port=port.port), *steps), options=Options(ports=(port,))))

    bad = probed(Role.SMTP, said(Phase.GREETING, "554 no"), said(Phase.QUIT, "221 bye"))
    good = probed(Role.SUBMISSION, GREETING, PLAIN_EHLO)
    assert bad.status is Severity.ERROR
    text = rendered("prometheus", bad, bad, good)
    families = {each.name: each for each in text_string_to_metric_families(text)}
    assert {each.labels["port"] for each in families["smtpprobe_endpoint_serving"].samples} == {"25", "587"}
    (status,) = [each.labels["status"] for each in families["smtpprobe_status"].samples if each.value]
    assert status == "error"
    found = {each.labels["id"]: each.value for each in families["smtpprobe_finding"].samples}
    assert found["greeting-refused"] == 1, "the same probe again is not counted again"
    assert {each.id for each in good.findings if each.severity is Severity.WARNING} <= found.keys()
    assert len(text.splitlines()) == len(set(text.splitlines())), "a series stands once"


@pytest.mark.parametrize(
    ("make", "warning", "critical", "status"),
    [
        (reports.healthy, (), (), 0),
        (reports.mixed, (), (), 1),
        (reports.dead, (), (), 2),
        (reports.inconclusive, (), (), 3),
        (reports.healthy, ("0.01",), (), 1),
        (reports.healthy, ("0.01",), ("0.02",), 2),
        (reports.healthy, ("5",), ("10",), 0),
        (reports.healthy, ("days=90:",), (), 1),
        (reports.healthy, ("days=21:",), ("days=7:",), 0),
        (reports.healthy, (), ("days=100:",), 2),
    ],
)
def test_nagios_states_follow_findings_and_thresholds(
    make: Callable[[], Report], warning: tuple[str, ...], critical: tuple[str, ...], status: int
) -> None:
    style = Style(thresholds=parse_thresholds(warning, critical))
    word = ("OK", "WARNING", "CRITICAL", "UNKNOWN")[status]
    assert exit_status([make()], style) == status
    assert "".join(renderer("nagios").render([make()], style)).startswith(f"SMTPPROBE {word} - ")


def test_nagios_names_the_server_that_is_beyond_a_threshold() -> None:
    limits = parse_thresholds(("0.01", "days=400:"), ())
    said = rendered("nagios", reports.healthy(), thresholds=limits).splitlines()
    assert re.match(r"SMTPPROBE WARNING - mx\d\.example\.org [\d.]+:\d+: the slowest endpoint took ", said[0])
    assert re.fullmatch(r"mx\d\.example\.org [\d.]+:\d+: the first certificate ends in \d+ days", said[2])


def test_nagios_does_not_say_that_a_certificate_will_have_ended() -> None:
    text = rendered("nagios", reports.mixed(), thresholds=parse_thresholds((), ("days=7:",)))
    over = re.search(r"the certificate has expired \(days ago: (\d+)\)", text)
    assert over is not None
    assert f"(days ago: {over[1]})" in next(line for line in text.splitlines() if "has expired on" in line)
    assert "ends in" not in text


def test_nagios_begins_with_what_is_gravest_of_all_targets_and_says_the_same_once() -> None:
    refused = said(Phase.GREETING, "554 no"), said(Phase.QUIT, "221 bye")
    faulty = judge(evidence(talk(endpoint(), *refused), talk(endpoint(MX2, A2), *refused)))
    status, *lines = rendered("nagios", reports.mixed(), faulty).splitlines()
    title = "The server refuses the session in its greeting (554)"
    assert f"{MX1} {A1}:25 (+1): {title}" in status
    at = lines.index(f"{MX1} {A1}:25, {MX2} {A2}:25: {title}")
    assert at < next(number for number, line in enumerate(lines) if "has expired on" in line), "a warning"
    assert sum(title in line for line in lines) == 1


def test_nagios_says_what_to_do_first_below_each_problem() -> None:
    lines = rendered("nagios", reports.mixed()).splitlines()
    at = next(number for number, line in enumerate(lines) if number and "has expired" in line)
    assert lines[at + 1] == "  Next: Renew it now: certbot renew, or what your authority gives you."


def many_endpoints(report: Report, hosts: int) -> Report:
    """The same report, with each endpoint on many hosts."""
    found = [
        msgspec.structs.replace(each, endpoint=msgspec.structs.replace(each.endpoint, host=f"mx{number}.example.org"))
        for number in range(hosts)
        for each in report.evidence.conversations
    ]
    every = msgspec.structs.replace(
        report.evidence, conversations=tuple(found), endpoints=tuple(each.endpoint for each in found)
    )
    return msgspec.structs.replace(report, evidence=every)


@pytest.mark.parametrize("make", [reports.mixed, lambda: poisoned(reports.mixed())])
def test_the_status_line_keeps_its_words_however_many_servers_there_are(make: Callable[[], Report]) -> None:
    text = rendered("nagios", many_endpoints(make(), 40))
    read_nagios(text)
    line = text.splitlines()[0]
    assert line.startswith("SMTPPROBE WARNING - ")
    assert " | time=" in line
    assert "serving=" in line
    assert len(line.encode()) <= 4096


@pytest.mark.parametrize(
    ("text", "alerting", "quiet"),
    [
        ("10", (-1, 10.5), (0, 10)),
        ("10:", (9.9,), (10, 1e9)),
        ("~:10", (11,), (-1e9, 10)),
        ("10:20", (9, 21), (10, 20)),
        ("@10:20", (10, 20), (9, 21)),
        (".5:1.", (0.4, 1.1), (0.5, 1)),
    ],
)
def test_ranges_are_those_of_the_guidelines(text: str, alerting: tuple[float, ...], quiet: tuple[float, ...]) -> None:
    wanted = parse_range(text)
    assert all(wanted.alerts(each) for each in alerting)
    assert not any(wanted.alerts(each) for each in quiet)


@pytest.mark.parametrize("text", ["", ":", "@", "x", "20:10", "1:2:3", "1 ", ".", "٣"])
def test_what_is_no_range_is_refused(text: str) -> None:
    from smtpprobe.errors import OptionError

    with pytest.raises(OptionError, match="threshold range"):
        parse_range(text)


@pytest.mark.parametrize(
    ("steps", "phase"),
    [
        ((said(Phase.GREETING, "450 later"), said(Phase.QUIT, "221 bye")), "greeting"),
        ((said(Phase.GREETING, "421 busy"), failed(Phase.QUIT, FailureKind.CLOSED)), "greeting"),
        ((GREETING, PLAIN_EHLO, failed(Phase.QUIT, FailureKind.CLOSED)), "quit"),
        ((GREETING, PLAIN_EHLO, said(Phase.QUIT, "221 bye")), ""),
        ((GREETING, failed(Phase.EHLO, FailureKind.TIMEOUT)), "ehlo"),
    ],
)
def test_the_csv_says_at_which_step_it_failed(steps: tuple[Exchange, ...], phase: str) -> None:
    report = judge(evidence(talk(endpoint(), *steps)))
    (row,) = csv.DictReader(io.StringIO(rendered("csv", report), newline=""))
    assert row["failed_at"] == phase


def test_the_csv_has_a_row_for_a_target_without_endpoints() -> None:
    rows = list(csv.DictReader(io.StringIO(rendered("csv", reports.inconclusive()), newline="")))
    assert [(row["target"], row["status"], row["address"]) for row in rows] == [("example.org", "inconclusive", "")]


def test_the_html_asks_for_nothing_from_anywhere() -> None:
    text = rendered("html", reports.mixed())
    assert "default-src 'none'" in text
    assert not re.search(r"url\(|@import|<script|<link|src=", text)
    assert text.count("<svg") >= 3


@pytest.mark.parametrize("make", reports.ALL.values())
def test_no_column_of_the_html_stands_empty(make: Callable[[], Report]) -> None:
    text = rendered("html", make())
    for table in re.findall("<thead>.*?</table>", text, re.DOTALL):
        head, _, body = table.partition("</thead>")
        rows = [re.findall("<td.*?</td>", row, re.DOTALL) for row in body.split("</tr>") if "colspan" not in row]
        columns = list(zip(*filter(None, rows), strict=True))
        assert len(columns) in (0, len(re.findall("<th[ >]", head)))
        assert all(any(re.sub("<.*?>|\\s", "", cell) for cell in column) for column in columns)


# --- as a whole -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "ending"),
    [
        ("markdown", "md"),
        ("csv", "csv"),
        ("junit", "xml"),
        ("sarif", "sarif"),
        ("github", "github.txt"),
        ("gitlab", "gitlab.json"),
        ("nagios", "nagios.txt"),
        ("prometheus", "prom"),
        ("json", "json"),
        ("ndjson", "ndjson"),
        ("html", "html"),
    ],
)
def test_a_format_looks_as_it_did(format: str, ending: str, golden: Callable[[str, str], None]) -> None:
    text = rendered(format, reports.mixed(), reports.host()).replace("\r\n", "\n")
    golden(f"formats.{ending}", text.replace(__version__, "VERSION"))
