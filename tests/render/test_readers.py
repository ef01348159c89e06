"""Formats as those read them for which they are meant: Prometheus's checker, Jenkins's schema, and a browser."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import xmlschema

from smtpprobe.report import Report
from tests.render import reports
from tests.render.conftest import Run
from tests.render.test_formats import poisoned, rendered

pytestmark = pytest.mark.real

ALERTS = Path(__file__).parents[2] / "examples" / "monitoring" / "alerts.yml"
POLICY = re.compile('<meta http-equiv="Content-Security-Policy"[^>]*>')


# --- Prometheus -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [reports.mixed, reports.host, reports.hostile, lambda: poisoned(reports.mixed())])
def test_promtool_finds_nothing_to_mend_in_our_metrics(promtool: Run, make: Callable[[], Report]) -> None:
    ended = promtool(["check", "metrics"], rendered("prometheus", make(), reports.healthy()))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_promtool_takes_the_alerts_of_the_examples(promtool: Run) -> None:
    ended = promtool(["check", "rules", str(ALERTS)])
    assert ended.returncode == 0, ended.stderr
    assert "5 rules found" in ended.stdout


LIFE = """\
rule_files: [{alerts}]
evaluation_interval: 10m
tests:
  - interval: 10m
    input_series:
      - series: 'smtpprobe_status{{target="a", status="error"}}'
        values: '0 0 1x20'
      - series: 'smtpprobe_status{{target="busy", status="inconclusive"}}'
        values: '1 0 1 0 1 1 1 1 0 1x20'
      - series: 'smtpprobe_endpoint_serving{{target="a", host="mx.a", address="192.0.2.1", port="25", role="smtp"}}'
        values: '1 0 1 1 0 1 1 0 1x20'
      - series: 'smtpprobe_timestamp_seconds{{target="a"}}'
        values: '0x20'
      - series: 'smtpprobe_certificate_not_after_timestamp_seconds{{target="a", host="mx", address="1", port="25"}}'
        values: '1210000 1210000 _ _ 1210000'
      - series: 'smtpprobe_certificate_not_after_timestamp_seconds{{target="a", host="mx", address="2", port="25"}}'
        values: '9999999x20'
    alert_rule_test:
{expected}
"""


def test_the_alerts_of_the_examples_fire_when_they_should(promtool: Run, tmp_path: Path) -> None:
    """Not for a server that puts us off now and then, and not again and again for one thing."""
    firing = {
        "MailServersFaulty": {"40m": 0, "50m": 1},
        "MailServersUnknown": {"200m": 0, "210m": 1},
        "MailFlapping": {"60m": 0, "70m": 1},
        "MailProbeMissing": {"60m": 0, "70m": 1},
        "MailCertificateEndsSoon": {"0m": 0, "20m": 1, "30m": 1, "90m": 1},
    }
    asked = [(name, at, count) for name, times in firing.items() for at, count in times.items()]
    file = tmp_path / "life.yml"
    expected = "".join(f"      - {{eval_time: {at}, alertname: {name}}}\n" for name, at, count in asked if not count)
    file.write_text(LIFE.format(alerts=ALERTS, expected=expected))
    quiet = promtool(["test", "rules", str(file)])
    assert quiet.returncode == 0, quiet.stdout + quiet.stderr
    for name, at, _ in (each for each in asked if each[2]):
        file.write_text(LIFE.format(alerts=ALERTS, expected=f"      - {{eval_time: {at}, alertname: {name}}}\n"))
        loud = promtool(["test", "rules", str(file)])
        said = loud.stdout + loud.stderr
        assert loud.returncode == 1, (name, at)
        assert said.count("Labels:") == 1, said
        assert name != "MailCertificateEndsSoon" or "address=" not in said, "one alert for all addresses of a host"


# --- Jenkins --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [*reports.ALL.values(), lambda: poisoned(reports.mixed())])
def test_a_junit_report_keeps_to_the_schema_of_jenkins(
    jenkins_schema: xmlschema.XMLSchema, make: Callable[[], Report]
) -> None:
    jenkins_schema.validate(rendered("junit", make(), reports.healthy()))


def test_the_schema_of_jenkins_finds_mistakes(jenkins_schema: xmlschema.XMLSchema) -> None:
    report = rendered("junit", reports.mixed())
    assert not jenkins_schema.is_valid(report.replace("<testcase ", '<testcase colour="red" ', 1))


# --- a browser ------------------------------------------------------------------------------------------------------


def shown(chromium: Run, folder: Path, page: str, width: int = 1000) -> tuple[str, list[str]]:
    """What a browser makes of a page, and what it complains about."""
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    ended = chromium(
        [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr",
            f"--user-data-dir={folder / 'profile'}", f"--window-size={width},800", "--dump-dom", file.as_uri(),
        ]
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout, [line for line in ended.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("make", [reports.mixed, reports.hostile, lambda: poisoned(reports.host())])
def test_a_browser_shows_the_report_and_has_nothing_to_complain_about(
    chromium: Run, tmp_path: Path, make: Callable[[], Report]
) -> None:
    report = make()
    page, complaints = shown(chromium, tmp_path, rendered("html", report, verbosity=2))
    assert complaints == []
    text = html.unescape(re.sub("<[^>]*>", " ", page.partition("</style>")[2]))
    for finding in report.findings:
        assert finding.id in text


def test_a_browser_runs_nothing_even_if_something_came_in(chromium: Run, tmp_path: Path) -> None:
    page = rendered("html", reports.mixed()).replace("</body>", "<script>document.title='owned'</script></body>")
    page, complaints = shown(chromium, tmp_path, page)
    assert "<title>owned" not in page
    assert any("Content Security Policy" in each for each in complaints)


@pytest.mark.parametrize("width", [500, 1400])
@pytest.mark.parametrize("make", [reports.mixed, reports.host, reports.hostile])
def test_no_page_has_to_be_moved_sideways(
    chromium: Run, tmp_path: Path, make: Callable[[], Report], width: int
) -> None:
    measure = "<script>document.title=document.documentElement.scrollWidth+' of '+innerWidth</script></body>"
    page = POLICY.sub("", rendered("html", make(), verbosity=2))
    assert page != rendered("html", make(), verbosity=2)
    page, _ = shown(chromium, tmp_path, page.replace("</body>", measure), width)
    found = re.search(r"<title>(\d+) of (\d+)</title>", page)
    assert found is not None
    assert int(found[1]) <= int(found[2])
