"""The reports for programs: lossless, the same every time, and as the schema says."""

from __future__ import annotations

import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpprobe.checks import judge
from smtpprobe.evidence import Evidence, encode
from smtpprobe.loading import decode
from smtpprobe.render.json import Reports, WordedReport, ascii_json, render
from smtpprobe.render.schema import schema_of
from smtpprobe.render.style import Style
from tests.render import reports

WORLDS = pytest.mark.parametrize("world", reports.ALL)


def document(*worlds: str) -> Any:
    return json.loads("".join(render((reports.ALL[world]() for world in worlds), Style())))


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = schema_of(Reports)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@WORLDS
def test_what_is_printed_is_as_the_schema_says(world: str, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(document(world))


@pytest.mark.parametrize(
    ("where", "value"),
    [(["reports", 0, "status"], "splendid"), (["reports", 0, "evidence", "started_at"], 7), (["schema"], "other/1")],
)
def test_the_schema_refuses_what_is_not_a_report(
    where: list[Any], value: Any, validator: jsonschema.Draft202012Validator
) -> None:
    wrong = document("healthy")
    inner = wrong
    for step in where[:-1]:
        inner = inner[step]
    inner[where[-1]] = value
    assert not validator.is_valid(wrong)


@pytest.mark.parametrize("form", [Reports, WordedReport, Evidence])
def test_every_field_of_the_schema_says_what_it_means_or_is_plain(form: type[msgspec.Struct]) -> None:
    definitions = schema_of(form)["$defs"]
    assert definitions["Evidence"]["properties"]["ehlo_name"]["description"] == "What was said in EHLO."
    assert all(definition["description"] for definition in definitions.values())
    assert "servfail: The resolver could not find out" in definitions["LookupStatus"]["description"]


@WORLDS
def test_the_evidence_inside_is_lossless(world: str) -> None:
    report = reports.ALL[world]()
    (shown,) = document(world)["reports"]
    assert decode(json.dumps(shown["evidence"])) == report.evidence
    assert encode(judge(decode(json.dumps(shown["evidence"])))) == encode(report)


@WORLDS
def test_a_finding_has_its_words(world: str) -> None:
    for finding in document(world)["reports"][0]["findings"]:
        assert finding["id"]
        assert finding["title"]
        assert isinstance(finding["fix"], list)


def test_the_shape_is_the_same_for_none_one_and_many() -> None:
    assert document() == {"schema": "smtpprobe/reports/1", "reports": []}
    assert [each["target"] for each in document("healthy")["reports"]] == ["example.org"]
    assert [each["status"] for each in document("healthy", "dead")["reports"]] == ["info", "error"]


def test_each_report_stands_on_a_line_of_its_own() -> None:
    text = "".join(render((reports.ALL[world]() for world in ("healthy", "dead")), Style()))
    head, *lines, end = text.splitlines()
    assert head == '{"schema":"smtpprobe/reports/1","reports":['
    assert [json.loads(line.rstrip(","))["schema"] for line in lines] == ["smtpprobe/report/1"] * 2
    assert end == "]}"


@WORLDS
def test_it_is_plain_ascii(world: str) -> None:
    text = "".join(render(iter([reports.ALL[world]()]), Style()))
    assert all(" " <= character <= "~" for line in text.split("\n") for character in line)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_ascii_json_means_the_same(text: str) -> None:
    spelled = ascii_json(msgspec.json.encode(text))
    assert spelled.isascii()
    assert spelled.isprintable()
    assert json.loads(spelled) == text
