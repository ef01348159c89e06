"""``smtpprobe check`` with a file of expectations: from the file to the exit status."""

from __future__ import annotations

import datetime
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema  # type: ignore[import-untyped]
import pytest

from smtpprobe.cli import main
from smtpprobe.lab.scripted import Script, greeting, serve
from smtpprobe.loading import decode
from smtpprobe.render import FORMATS
from tests.cli.small_world import HEALTHY, REFUSING, SmallWorld, small_world
from tests.expectations.test_reading import FULL

TALKATIVE: Script = (
    greeting("mx.example.org"),
    serve("mx.example.org", changes={"MAIL": b"250 2.1.0 Ok\r\n", "RCPT": b"550 5.1.1 Nobody here\r\n"}),
)


@pytest.fixture(scope="module")
def world() -> Iterator[SmallWorld]:
    with small_world(healthy=HEALTHY, refusing=REFUSING, talkative=TALKATIVE) as servers:
        yield servers


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(world: SmallWorld, text: str, file: str = "smtpprobe.toml") -> None:
    """Write a file about the servers of the world: ``{healthy}`` is one's address and port."""
    for name in world.servers:
        text = text.replace(f"{{{name}}}", world.target(name))
    Path(file).write_text(f'[defaults]\nresolvers = ["{world.dns.resolver}"]\ntimeout = "5s"\n\n{text}')


WELL = """
[targets.mine]
target = "{healthy}"
[targets.mine.expect]
reachable = ["smtp"]
greeting-code = 220
capabilities = ["PIPELINING"]
size = 10240000
"""
WRONG = WELL.replace("10240000", "10240001")


# --- runs -----------------------------------------------------------------------------------------------------------


def test_without_targets_all_of_the_file_are_checked(world: SmallWorld, capsys: pytest.CaptureFixture[str]) -> None:
    write(world, WELL + '[targets.other]\ntarget = "{refusing}"\nexpect.greeting-code = 554\n')
    assert main(["check", "--format", "junit"]) == 1, "it refuses, which is a finding, as expected as it may be"
    suites = ElementTree.fromstring(capsys.readouterr().out)  # noqa: S314 - our own
    assert [each.get("name") for each in suites] == [world.target("healthy"), world.target("refusing")]
    every = [case for suite in suites for case in suite if (case.get("name") or "").startswith("expect ")]
    assert {case.get("name") for case in every} == {
        "expect reachable", "expect greeting-code", "expect capabilities", "expect size"
    }  # fmt: skip
    assert {inner.tag for case in every for inner in case} == {"system-out"}


def test_what_is_as_expected_ends_with_status_0(world: SmallWorld, capsys: pytest.CaptureFixture[str]) -> None:
    write(world, WELL)
    assert main(["check"]) == 0
    assert main(["check", "-q", "mine"]) == 0
    assert world.target("healthy") in capsys.readouterr().out


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_shows_what_is_not_as_expected(
    format: str, world: SmallWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    write(world, WRONG)
    assert main(["check", "--format", format, "mine"]) == (2 if format == "nagios" else 1)
    text = capsys.readouterr().out
    assert "expectation-not-met" in text or "Not as expected: size: &gt;= 10240001" in text or (
        "Not as expected: size: >= 10240001, but found: 10240000" in text
    )  # fmt: skip


def test_a_case_has_the_same_name_whether_it_passes_or_not(
    world: SmallWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    names = []
    for text in (WELL, WRONG):
        write(world, text)
        main(["check", "--format", "junit"])
        suites = ElementTree.fromstring(capsys.readouterr().out)  # noqa: S314 - our own
        names.append([(case.get("classname"), case.get("name")) for suite in suites for case in suite][-4:])
    assert names[0] == names[1]
    assert names[0][3] == (world.target("healthy"), "expect size")


def test_what_is_wrong_in_one_place_is_told_apart_from_run_to_run(
    world: SmallWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    write(world, WRONG.replace("greeting-code = 220", "greeting-code = 221"))
    prints = []
    for _ in range(2):
        main(["check", "--format", "gitlab"])
        issues = json.loads(capsys.readouterr().out)
        prints.append([each["fingerprint"] for each in issues if each["check_name"] == "expectation-not-met"])
    assert len(set(prints[0])) == 2
    assert prints[0] == prints[1]


def test_severity_is_that_of_the_table(world: SmallWorld, capsys: pytest.CaptureFixture[str]) -> None:
    write(world, WRONG.replace("mine.expect]", "mine.expect-warning]"))
    assert main(["check", "-q"]) == 0
    assert main(["check", "-q", "--fail-on", "warning"]) == 1


def test_other_targets_are_checked_as_without_a_file(world: SmallWorld, capsys: pytest.CaptureFixture[str]) -> None:
    write(world, WRONG)
    assert main(["check", "-q", *world.options, world.target("healthy")]) == 0


@pytest.mark.parametrize(("typed", "asked"), [("mial", True), ("mail.example.org", False), ("backup", False)])
def test_a_host_that_is_almost_a_name_of_the_file_is_asked_about(
    typed: str, asked: bool, world: SmallWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    write(world, "[targets.mail]\ntarget = 'example.org'\n")
    main(["check", "-q", *world.options, typed])
    assert (f"{typed} is taken for a host; did you mean 'mail' of smtpprobe.toml?" in capsys.readouterr().err) is asked


def test_replies_are_asked_for_and_held_against_what_is_expected(
    world: SmallWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    text = '[targets.mine]\ntarget = "{talkative}"\n[targets.mine.expect]\nreplies = ["rcpt me@example.org -> %s"]\n'
    write(world, text % "550 5.1.1")
    assert main(["check", "-q", "--save", "evidence.json"]) == 0
    write(world, text % "250")
    assert main(["check"]) == 1
    assert "replies: rcpt me@example.org: 250, but found: 550 5.1.1" in " ".join(capsys.readouterr().out.split())
    lines = [line for visit in world.servers["talkative"].visits for line in visit.lines]
    assert b"RCPT TO:<me@example.org>" in lines
    assert not any(line.startswith(b"DATA") for line in lines)
    assert world.servers["talkative"].rudeness == []
    conversation = decode(Path("evidence.json").read_text()).conversations[0]
    assert conversation.connections == 2


def test_an_allowance_that_is_over_is_told(world: SmallWorld, capsys: pytest.CaptureFixture[str]) -> None:
    rule = '[[targets.mine.allow]]\nfinding = "greeting-refused"\nreason = "being moved"\nuntil = %s\n'
    text = '[targets.mine]\ntarget = "{refusing}"\n' + rule
    write(world, text % "2999-12-31")
    assert main(["check", "--format", "json"]) == 0
    found = {each["id"]: each["severity"] for each in json.loads(capsys.readouterr().out)["reports"][0]["findings"]}
    assert (found["greeting-refused"], found["finding-allowed"]) == ("info", "info")
    write(world, text % "2020-01-01")
    assert main(["check"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "The allowance for greeting-refused has expired on 2020-01-01: being moved" in shown


def test_the_options_of_the_command_line_go_before_those_of_the_file(
    world: SmallWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    write(world, WELL.replace("[targets.mine.expect]", 'ehlo = "file.example"\ndeadline = 30\n[targets.mine.expect]'))
    main(["check", "-q", "--ehlo", "typed.example", "--timeout", "10", "--save", "evidence.json"])
    options = decode(Path("evidence.json").read_text()).options
    assert (options.ehlo_name, options.timeout_s, options.deadline_s) == ("typed.example", 10.0, 30.0)
    assert options.resolvers == (world.dns.resolver,)


def test_each_target_is_probed_with_its_own_options(world: SmallWorld, capsys: pytest.CaptureFixture[str]) -> None:
    write(world, WELL + '[targets.other]\ntarget = "{talkative}"\nehlo = "other.example"\n')
    main(["check", "-q", "--save", "evidence.json"])
    saved = [decode(line) for line in Path("evidence.json").read_text().splitlines()]
    assert [each.options.ehlo_name for each in saved] == [None, "other.example"]


def test_a_file_elsewhere_is_named(world: SmallWorld, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mail").mkdir()
    Path("mail/roots.pem").write_text("no roots")
    write(world, WELL.replace('target = "', 'ca = "roots.pem"\ntarget = "'), "mail/ours.toml")
    assert main(["check", "--config", "mail/ours.toml"]) == 2
    assert "mail/roots.pem" in capsys.readouterr().err, "files in it are beside it"


def test_pyproject_has_a_table_for_it(world: SmallWorld, capsys: pytest.CaptureFixture[str]) -> None:
    text = f'[tool.smtpprobe.targets.mine]\ntarget = "{world.target("healthy")}"\nexpect.greeting-code = 221\n'
    Path("pyproject.toml").write_text(text)
    assert main(["check", *world.options]) == 1
    assert "greeting-code: 221" in capsys.readouterr().out


def test_saved_evidence_is_held_against_a_file(world: SmallWorld, capsys: pytest.CaptureFixture[str]) -> None:
    write(world, WELL)
    main(["check", "-q", "--save", "evidence.json"])
    write(world, WRONG)
    assert main(["judge", "-q", "evidence.json"]) == 0
    assert main(["judge", "-q", "--config", "smtpprobe.toml", "evidence.json"]) == 1


# --- mistakes -------------------------------------------------------------------------------------------------------


def test_a_mistake_in_the_file_ends_with_status_2_and_its_line(
    world: SmallWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    write(world, WELL.replace("capabilities", "capabilites").replace("reachable", "reachabel"))
    assert main(["check"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    meant = "'capabilities' or 'no-capabilities'"
    assert printed.err.splitlines() == [
        "smtpprobe: smtpprobe.toml:9: targets.mine.expect.reachabel: there is no such key; did you mean 'reachable'?",
        f"smtpprobe.toml:11: targets.mine.expect.capabilites: there is no such key; did you mean {meant}?",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it has no target; write one as [targets.NAME]"),
        ("[targets.'our mail'.expect]\n", "targets.our mail: 'our mail' is no target"),
    ],
)
def test_a_file_without_a_target_is_a_mistake(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("smtpprobe.toml").write_text(text)
    assert main(["check"]) == 2
    assert said in capsys.readouterr().err


def test_without_target_and_file_it_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 2
    assert "'smtpprobe init TARGET' writes one" in capsys.readouterr().err
    assert main(["check", "--config", "missing.toml"]) == 2
    assert capsys.readouterr().err == "smtpprobe: missing.toml: No such file or directory\n"


# --- the schema -----------------------------------------------------------------------------------------------------


def schema(capsys: pytest.CaptureFixture[str]) -> Any:
    assert main(["schema", "config"]) == 0
    found = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def plain(text: str) -> Any:
    """A TOML document as a schema for JSON sees it: dates are texts."""
    return json.loads(json.dumps(tomllib.loads(text), default=datetime.date.isoformat))


@pytest.mark.parametrize("text", [FULL, WELL, WRONG, ""])
def test_a_file_is_as_the_schema_says(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    jsonschema.Draft202012Validator(schema(capsys)).validate(plain(text))


@pytest.mark.parametrize(
    "text",
    [
        "[target.a]",
        "[targets.a.expect]\ncapabilites = []",
        "[targets.a.expect]\nmin-tls = '1.4'",
        "[targets.a.expect]\nsize = 'large'",
        "[[targets.a.allow]]\nfinding = 'ptr-missing'",
    ],
)
def test_what_the_reader_refuses_the_schema_refuses(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert not jsonschema.Draft202012Validator(schema(capsys)).is_valid(plain(text))


def test_the_schema_says_what_each_key_means(capsys: pytest.CaptureFixture[str]) -> None:
    defined = schema(capsys)["$defs"]
    assert "0 of the server is no limit" in defined["Expected"]["properties"]["size"]["description"]
    assert "inside TLS" in defined["Session"]["properties"]["capabilities"]["description"]
    assert "worth more here" in defined["NamedTarget"]["properties"]["raise"]["description"]
