"""``smtpprobe schema``: what the program writes, documented."""

from __future__ import annotations

import json

import jsonschema  # type: ignore[import-untyped]
import pytest

from smtpprobe.cli import main
from smtpprobe.evidence import encode
from tests.render import reports


@pytest.mark.parametrize(
    ("form", "title"), [("reports", "Reports"), ("report", "WordedReport"), ("evidence", "Evidence")]
)
def test_each_form_has_a_valid_schema(form: str, title: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", form]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == title


def test_saved_evidence_is_as_its_schema_says(capsys: pytest.CaptureFixture[str]) -> None:
    main(["schema", "evidence"])
    validator = jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out))
    for world in reports.ALL.values():
        validator.validate(json.loads(encode(world().evidence)))


def test_the_output_of_judge_is_as_the_schema_says(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path_factory.mktemp("saved") / "evidence.json"
    path.write_bytes(encode(reports.hostile().evidence))
    main(["schema"])
    schema = json.loads(capsys.readouterr().out)
    main(["judge", "--format", "json", str(path)])
    jsonschema.Draft202012Validator(schema).validate(json.loads(capsys.readouterr().out))


def test_an_unknown_form_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "everything"]) == 2
    assert "reports" in capsys.readouterr().err
