"""``smtpprobe demo``: the first command that anybody types."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import msgspec
import pytest

from smtpprobe import texts
from smtpprobe.cli import main
from smtpprobe.lab import tour
from smtpprobe.lab.scenarios import SCENARIOS
from smtpprobe.render.layout import wrap
from smtpprobe.report import Severity


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("SMTPPROBE_LANG", raising=False)


def test_it_checks_a_world_and_sees_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    for name in tour.DOMAINS:
        assert f"{name}.lab.test" in printed.out
        assert f"  ✔ {name} " in printed.out
    assert "421 4.3.2 mx1.two-troubles.lab.test Service not available" in printed.out  # annotated
    assert "<~ 221 2.0.0 Bye" in printed.out
    assert f"✔ The checks saw what is there, in {len(tour.DOMAINS)} of {len(tour.DOMAINS)} domains." in printed.out
    assert "NOT " not in printed.out
    assert max(map(len, printed.out.splitlines())) <= 120


@pytest.mark.parametrize("language", [tag for tag in texts.languages() if tag != "en"])
def test_it_speaks_the_language_from_the_first_line_to_the_last(
    language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--lang", language]) == 0
    lines = capsys.readouterr().out.splitlines()
    hosts = sum(len(SCENARIOS[name].hosts) for name in tour.DOMAINS)
    begun = texts.phrase(language, "demo", "demo", "introduction", hosts=hosts)
    assert lines[0] == wrap(begun, 100)[0]
    printed = "".join("".join(lines).split())
    for field in ("heading", "nothing", "next", "check", "explain", "lab"):
        assert "".join(texts.phrase(language, "demo", "demo", field).split()) in printed
        assert "".join(texts.phrase("en", "demo", "demo", field).split()) not in printed
    for name in tour.DOMAINS:
        assert "".join(texts.phrase(language, "demo", "scenario", name).split()) in printed


def test_the_words_of_the_tour_are_those_of_its_scenarios() -> None:
    assert texts.entry("en", "demo", "scenario") == {name: SCENARIOS[name].description for name in tour.DOMAINS}


def test_verbose_tells_every_domain_at_length(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "-v"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("Conversations") == len(tour.DOMAINS) - 1  # with a null MX there is nobody to talk to


def test_a_check_that_does_not_see_what_is_there_is_told_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    promised = {"no-starttls": Severity.ERROR, "made-up": Severity.INFO}
    take = tour.take_tour

    async def take_another() -> tour.Tour:
        taken = await take(("healthy", "no-starttls"))
        first, second, *rest = taken.stops
        another = tour.compare(replace(second.scenario, finds=promised), second.report)
        return taken._replace(stops=(first, another, *rest))

    monkeypatch.setattr(tour, "take_tour", take_another)
    assert main(["demo"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "✖ no-starttls" in printed
    assert "NOT FOUND: no-starttls, made-up; NOT EXPECTED: starttls-missing" in printed
    assert "✖ The checks saw what is there in 2 of 3 domains only." in printed


async def test_notes_are_compared_only_where_the_scenario_has_them() -> None:
    taken = await tour.take_tour(("null-mx",))
    [null, story] = taken.stops
    assert (null.missing, null.unexpected) == ((), ())
    noted = [each.id for each in story.report.findings if each.severity is Severity.INFO]
    assert noted  # as that addresses are private
    assert story.is_as_it_should_be


async def test_a_finding_of_another_severity_is_missing() -> None:
    taken = await tour.take_tour(("no-starttls",))
    report = msgspec.structs.replace(
        taken.stops[0].report,
        findings=tuple(
            msgspec.structs.replace(each, severity=Severity.ERROR) if each.id == "starttls-missing" else each
            for each in taken.stops[0].report.findings
        ),
    )
    assert tour.compare(SCENARIOS["no-starttls"], report).missing == ("starttls-missing",)


def test_without_the_extra_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['aiosmtpd'] = sys.modules['aiosmtpd.smtp'] = None;"
        "from smtpprobe.cli import main; sys.exit(main(['demo']))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "smtpprobe: the lab needs: pip install 'smtpprobe[lab]'\n"


def test_its_help_imports_nothing_heavy(capsys: pytest.CaptureFixture[str]) -> None:
    program = (
        "import sys; from smtpprobe.cli import main; main(['demo', '--help']); main(['lab', '--help']);"
        "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "Exit status:" in ended.stdout
    assert {"asyncio", "dns", "aiosmtplib", "aiosmtpd", "cryptography", "ssl"}.isdisjoint(ended.stderr.split())
