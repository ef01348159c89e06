"""``smtpprobe init``: a file that expects what is there, and that the same world fulfils."""

from __future__ import annotations

import asyncio
import json
import shlex
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from smtpprobe import texts
from smtpprobe.checks import judge
from smtpprobe.cli import main
from smtpprobe.evidence import Options, Phase, Role
from smtpprobe.expectations.planning import plan
from smtpprobe.expectations.proposing import left_out, propose, proposed
from smtpprobe.expectations.reading import parse_config
from smtpprobe.lab.scenarios import choose
from smtpprobe.lab.world import World
from tests.checks.evidence_builder import A2, GREETING, MX2, dead, endpoint, evidence, healthy, said, talk
from tests.checks.scenarios import SCENARIOS
from tests.cli.small_world import HEALTHY, small_world

SCENES = (
    "healthy",
    "null-mx",
    "one-mx-dead",
    "two-troubles",
    "greeting-554",
    "greeting-escape-sequences",
    "no-starttls",
    "auth-before-tls",
    "tls12-only",
    "certificate-expired",
    "certificate-expiring",
)
"""Domains of the lab, most of them with something wrong, and all with something that can be expected."""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def typed(world: World, *names: str) -> list[str]:
    """What follows ``smtpprobe init`` to look at domains of the lab."""
    return shlex.split(world.command_line(*map(world.domain, names)))[2:]


def expected_of(name: str) -> Any:
    """What the file says of a target."""
    return expected_in(written(), name)


def written() -> str:
    """The file, in whole."""
    return Path("smtpprobe.toml").read_text()


def expected_in(text: str, name: str) -> Any:
    """What the text of a file says of a target."""
    return tomllib.loads(text)["targets"][name]["expect"]


async def test_the_world_that_a_file_was_written_from_is_as_it_expects(capsys: pytest.CaptureFixture[str]) -> None:
    async with World(choose(SCENES)) as world:
        assert await asyncio.to_thread(main, ["init", *typed(world, *SCENES)]) == 0
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "Written: smtpprobe.toml" in printed.err
        await asyncio.to_thread(main, ["check", "--format", "json"])
    expected = expected_of("healthy.lab.test")
    assert expected["reachable"] == ["smtp", "submission", "submissions"]
    assert expected["mx"] == ["10 mx1.healthy.lab.test", "20 mx2.healthy.lab.test"]
    assert expected["smtp"]["min-tls"] == "1.2"
    assert expected["submission"]["auth-before-tls"] is False
    reports = json.loads(capsys.readouterr().out)["reports"]
    assert len(reports) == len(SCENES)
    for report in reports:
        ids = [each["id"] for each in report["findings"]]
        assert "expectation-met" in ids, report["target"]
        assert not {"expectation-not-met", "expectation-unknown"} & set(ids), report["target"]


@pytest.mark.parametrize("id", SCENARIOS)
def test_whatever_was_found_what_is_proposed_holds(id: str) -> None:
    facts = SCENARIOS[id]
    text = propose([judge(facts)], facts.options, ".", lambda key: texts.phrase("en", "expectations", "init", key))
    name = facts.target.text
    findings = plan(parse_config(text.encode()), name).judge(facts).findings
    assert not {"expectation-not-met", "expectation-unknown"} & {each.id for each in findings}
    uncommented = text.replace("# allow = [", "allow = [").replace("#     {", "{").replace("# ]", "]")
    rules = plan(parse_config(uncommented.encode()), name).settings.allow or ()
    assert all(each.until is not None for each in rules)


@pytest.mark.parametrize(
    "word", ["::error::x", "=cmd()", "\\x1b[2J", '"', "\N{PILE OF POO}", "AUTH =PLAIN,LOGIN", "AUTH '"]
)
def test_a_file_can_be_read_whatever_the_server_offers(word: str) -> None:
    facts = evidence(
        talk(endpoint(), GREETING, said(Phase.EHLO, "250-mx1.example.org", f"250-{word}", "250 SIZE 1000"))
    )
    name = "\N{CJK UNIFIED IDEOGRAPH-20000}.example"  # beyond the 16 bits of an escape in JSON
    facts = msgspec.structs.replace(facts, target=msgspec.structs.replace(facts.target, text=name))
    text = propose([judge(facts)], facts.options, ".", lambda key: key)
    found = plan(parse_config(text.encode()), name).judge(facts).findings
    assert "expectation-not-met" not in {each.id for each in found}
    assert expected_in(text, name)["smtp"]["size"] == 1000


def test_what_is_proposed_is_what_is_there() -> None:
    expected, later = proposed(evidence(healthy()))
    assert expected.reachable == ("smtp",)
    assert expected.mx == ("10 mx1.example.org",)
    assert expected.smtp is not None
    assert expected.submission is None
    assert expected.smtp.greeting_code == 220
    assert expected.smtp.capabilities == ("8BITMIME", "AUTH", "ENHANCEDSTATUSCODES", "PIPELINING", "SIZE")
    assert expected.smtp.auth == ("PLAIN",)
    assert (expected.smtp.certificate_trusted, expected.smtp.certificate_days, expected.smtp.size) == (True, 7, 1000000)
    assert later.certificate_days == 21


def test_the_days_of_a_certificate_are_those_that_were_asked_for() -> None:
    expected, later = proposed(evidence(healthy(), options=Options(expiry_warning_days=30, expiry_alarm_days=10)))
    assert expected.smtp is not None
    assert (expected.smtp.certificate_days, later.certificate_days) == (10, 30)


def test_a_file_is_overwritten_only_by_force(capsys: pytest.CaptureFixture[str]) -> None:
    with small_world(mine=HEALTHY) as world:
        Path("smtpprobe.toml").write_text("of mine")
        assert main(["init", *world.options, world.target("mine")]) == 2
        assert "--force overwrites it" in capsys.readouterr().err
        assert Path("smtpprobe.toml").read_text() == "of mine"
        assert world.servers["mine"].visits == []
        assert main(["init", "--force", *world.options, world.target("mine")]) == 0
        assert set(tomllib.loads(Path("smtpprobe.toml").read_text())["targets"]) == {world.target("mine")}
        assert main(["check", "-q"]) == 0


def test_it_can_be_printed_in_another_language(capsys: pytest.CaptureFixture[str]) -> None:
    with small_world(mine=HEALTHY) as world:
        assert main(["init", "--lang", "zh-Hans", "--out", "-", *world.options, world.target("mine")]) == 0
    printed = capsys.readouterr()
    assert "期望" in printed.out
    assert parse_config(printed.out.encode()).targets
    assert list(Path().iterdir()) == []
    assert printed.err == ""


async def test_what_nothing_is_expected_of_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is written while a server is busy would else hold nobody to port 25, and nobody would notice."""
    async with World(choose(["healthy", "two-troubles"])) as world:
        wanted = [*typed(world, "healthy", "two-troubles")]
        assert await asyncio.to_thread(main, ["init", *wanted]) == 0
        said = [line for line in capsys.readouterr().err.splitlines() if "Nothing is expected of" in line]
    (line,) = said
    assert line.startswith("two-troubles.lab.test: ")
    note = line[line.index("smtp: ") :]
    assert f"#     {note}" in written().splitlines()
    assert "mx1.two-troubles.lab.test 127." in line
    assert "mx2.two-troubles.lab.test" not in line, "it works"


def test_a_port_25_that_does_not_work_is_named_and_a_submission_that_is_not_there_is_not() -> None:
    there = evidence(healthy(), dead(endpoint(MX2, A2)), dead(endpoint(port=587, role=Role.SUBMISSION)))
    assert list(left_out(there)) == [f"smtp: {MX2} {A2}:25"]


def test_where_nothing_was_found_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--resolver", "127.0.0.1:1", "--timeout", "1s", "example.org"]) == 3
    assert "example.org: nothing was found that could be expected of it" in capsys.readouterr().err
    assert list(Path().iterdir()) == []
