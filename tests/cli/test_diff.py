"""``smtpprobe diff`` and ``check --baseline``: two times on the command line."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest

from smtpprobe.cli import main
from smtpprobe.difference import Differences
from smtpprobe.evidence import Evidence, Phase, encode
from smtpprobe.lab.scripted import Script, Stall, greeting, serve
from smtpprobe.loading import decode
from smtpprobe.render import FORMATS
from tests.checks.evidence_builder import EHLO, GREETING, endpoint, evidence, healthy, said, talk
from tests.cli.small_world import BUSY, small_world

OLD = evidence(healthy())
NEW = evidence(talk(endpoint(), GREETING, said(Phase.EHLO, "250-mx1.example.org", "250 X|Y<b>\x1b[31m")))


def save(path: Path, *every: Evidence) -> str:
    path.write_bytes(b"".join(encode(each) + b"\n" for each in every))
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    return save(tmp_path / "old.json", OLD), save(tmp_path / "new.json", NEW)


def test_text_shows_what_was_and_what_is(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *files]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "example.org (from 2026-03-14 09:26 to 2026-03-14 09:26 UTC)"
    at = lines.index("  TLS version (mx1.example.org 192.0.2.1:25)")
    assert lines[at + 1] == "    - TLSv1.3"
    assert "\x1b" not in "".join(lines)
    assert any(line.startswith("  finding starttls-missing") for line in lines)


def test_nothing_is_said_to_be_nothing(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    for each in ("text", "markdown"):
        assert main(["diff", "--exit-code", "--format", each, files[0], files[0]]) == 0
        assert "Nothing has changed" in capsys.readouterr().out


@pytest.mark.parametrize("format", ["text", "markdown", "json"])
def test_the_exit_status_tells_of_changes_when_asked(
    format: str, files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", "--format", format, *files]) == 0
    assert main(["diff", "--exit-code", "--format", format, *files]) == 1
    capsys.readouterr()


def test_markdown_has_a_table_that_no_server_can_break(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["diff", "--format", "markdown", *files])
    out = capsys.readouterr().out
    assert "| What | Where | Before | After |" in out
    rows = [line for line in out.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {5}
    assert "\x1b" not in out


def test_json_is_as_its_schema_says(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    main(["diff", "--format", "json", *files])
    document = capsys.readouterr().out
    assert document.isascii()
    main(["schema", "changes"])
    jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out)).validate(json.loads(document))
    (target,) = msgspec.json.decode(document, type=Differences).targets
    assert {"tls", "capabilities", "auth", "finding"} <= {each.kind for each in target.changes}


def test_it_speaks_other_languages(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    main(["diff", "--lang", "zh-Hans", *files])
    assert "TLS 版本" in capsys.readouterr().out


def test_one_side_may_be_stdin(
    files: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encode(OLD))))
    assert main(["diff", "--exit-code", "-", files[0]]) == 0
    assert main(["diff", "-", "-"]) == 2
    assert main(["diff", files[0], "missing.json"]) == 2
    assert "missing.json: No such file" in capsys.readouterr().err


# --- check --baseline -----------------------------------------------------------------------------------------------

BEFORE: Script = (greeting("mx.example.org"), serve("mx.example.org", "PIPELINING"))
AFTER: Script = (greeting("mx.example.org"), serve("mx.example.org", "CHUNKING"))


def test_a_check_tells_what_has_changed_since_its_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = str(tmp_path / "baseline.json")
    with small_world(mine=BEFORE) as world:
        target = [*world.options, world.target("mine")]
        assert main(["check", "-q", "--save", saved, *target]) == 0
        assert main(["check", "-q", "--baseline", saved, "--exit-code", *target]) == 0, "nothing has changed"
        old = json.loads(Path(saved).read_text())
        changed = json.dumps(old).replace("PIPELINING", "CHUNKING")
        raw = old["conversations"][0]["exchanges"][1]["outcome"]["raw"]
        Path(saved).write_text(changed)
        assert raw in changed, "the raw bytes are not what is compared"
        capsys.readouterr()
        assert main(["check", "--baseline", saved, *target]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert "capabilities" in shown
        assert "before: CHUNKING, now: PIPELINING" in shown
        assert main(["check", "-q", "--baseline", saved, "--exit-code", *target]) == 1


@pytest.mark.parametrize("format", [each for each in FORMATS if each not in ("nagios", "prometheus", "csv")])
def test_formats_with_findings_show_a_change(format: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = save(tmp_path / "baseline.json", evidence(talk(endpoint(), GREETING, EHLO)))
    with small_world(mine=AFTER) as world:
        main(["check", "--format", format, "--baseline", saved, *world.options, world.target("mine")])
    out = capsys.readouterr().out
    assert "baseline-changed" in out or "Changed since" in out or "since -" in out, "the target is new"


def test_a_baseline_must_be_there_and_an_exit_code_needs_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--baseline", "missing.json", "127.0.0.1"]) == 2
    assert main(["check", "--exit-code", "127.0.0.1"]) == 2
    assert "--baseline FILE" in capsys.readouterr().err


def test_a_farewell_that_is_awaited_is_no_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = str(tmp_path / "baseline.json")
    with small_world(mute=(greeting("mx.example.org"), serve("mx.example.org", changes={"QUIT": (Stall(),)}))) as world:
        target = ["--resolver", world.dns.resolver, "--timeout", "300ms", world.target("mute")]
        main(["check", "-q", "--save", saved, *target])
        assert main(["check", "--baseline", saved, "--exit-code", *target]) == 0
    assert "Changed since" not in capsys.readouterr().out


def test_each_service_of_a_target_has_its_own_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_world(mine=BEFORE) as world:
        port = world.servers["mine"].port
        text = "".join(
            f"[targets.{role}]\ntarget = '{world.servers['mine'].host}'\nports = ['{role}:{port}']\n"
            for role in ("smtp", "submission")
        )
        (tmp_path / "smtpprobe.toml").write_text(text)
        monkeypatch.chdir(tmp_path)
        options = [*world.options, "--fail-on", "error"]
        main(["check", "-q", "--save", "both.json", *options])
        capsys.readouterr()
        main(["check", "--format", "json", "--baseline", "both.json", *options])
        assert "baseline-changed" not in capsys.readouterr().out


def test_a_server_that_puts_us_off_is_no_change_to_fail_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = str(tmp_path / "baseline.json")
    with small_world(busy=BUSY) as world:
        target = [*world.options, world.target("busy")]
        main(["check", "-q", "--save", saved, *target])
        found = decode(Path(saved).read_bytes())
        well = msgspec.structs.replace(talk(endpoint(), GREETING, EHLO), endpoint=found.conversations[0].endpoint)
        before = save(tmp_path / "before.json", msgspec.structs.replace(found, conversations=(well,)))
        capsys.readouterr()
        assert main(["check", "--baseline", before, "--exit-code", *target]) == 3
        assert "before: 220, now: 421" in " ".join(capsys.readouterr().out.split())
    assert main(["diff", "--exit-code", before, saved]) == 3
    assert main(["diff", before, saved]) == 0


def test_what_fails_for_a_change_says_so_in_every_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved, junit = save(tmp_path / "baseline.json", evidence(talk(endpoint(), GREETING, EHLO))), tmp_path / "mail.xml"
    with small_world(mine=AFTER) as world:
        changed = ["check", "--baseline", saved, "--exit-code", *world.options, world.target("mine")]
        assert main([*changed, "--output", f"junit={junit}"]) == 1
        assert "exit status 1" in capsys.readouterr().out
        assert '<failure message="Changed since' in junit.read_text()
        assert main([*changed, "--format", "nagios"]) == 2
        assert capsys.readouterr().out.startswith("SMTPPROBE CRITICAL - ")
        assert main([*changed, "--format", "nagios", "--fail-on", "warning"]) == 1
