"""What a hostile server says, in every form in which it may be shown.

Those are the forms of a check, of a watch and its history, of a comparison, and of the overview of a scan. Each is read
back by a reader that is not ours where there is one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest

from smtpprobe.difference import differences
from smtpprobe.evidence import encode
from smtpprobe.history import Pasts, past
from smtpprobe.render import FORMATS, differing, history, overview_html, overview_markdown, overview_text, watch
from smtpprobe.render.json import ascii_json
from smtpprobe.render.layout import Terminal
from smtpprobe.report import Outcome, Report, Severity
from smtpprobe.scan.claims import Grouping
from smtpprobe.scan.counting import overview_of
from smtpprobe.scan.overview import Overview
from smtpprobe.watching import Problem, Sighting, change
from tests.render import reports
from tests.render.test_formats import READERS, log_commands, poisoned, read_html, rendered
from tests.scan.made import found, good, refused, result

TEXTS = {
    "escape sequences": "\x1b[2J\x1b]0;owned\x07 \x9b31m",
    "the end of CDATA": "]]> <![CDATA[ <script>alert(1)</script> &amp; <!--",
    "workflow commands": "::error::owned ::stop-commands::x ##[add-mask]a ##vso[task.complete]b ##teamcity[c]",
    "percent-encoded line ends": "%0A::error::owned%0D %25",
    "line ends": "a\r\n::error::owned\r\nb\n\x0b\x0c\x1c\x85\u2028\u2029c",
    "quotes": "\"'`\\ '' \\\" | ; = {{7*7}} ${x} $(x) %s {0}",
    "a formula": "=cmd()|' /C calc'!A0",
    "Markdown": "[a](javascript:b) ![x](http://a.example) **b** <b> | --- |",
    "reversed letters": "abc\u202egnp.exe \u2066\u2067\u061c\u200f",
    "NUL": "\x00 \x7f",
    "what is no text": "\udc80\ud800 \ufffe \U000e0041",
    "64 KiB": "A" * 65536,
}
ACTIVE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\u061c\u200f\ud800-\udfff]"
)


def lines(every: object) -> str:
    return "".join(f"{line}\n" for line in every)  # type: ignore[attr-defined]


def check(format: str, verbosity: int = 0) -> Callable[[str], str]:
    def shown(text: str) -> str:
        both = [poisoned(make(), text) for make in (reports.mixed, reports.host)]
        return rendered(format, *both, verbosity=verbosity)

    return shown


def seen(text: str, status: Severity) -> Sighting:
    return Sighting(
        target=text,
        at=datetime(2026, 11, 24, 12, tzinfo=UTC),
        status=status,
        outcome=Outcome.FINDINGS,
        problems=(Problem(id=text, severity=status),),
        stages_s={"connect": 0.1, "total": 0.2},
    )


def table(text: str) -> str:
    rows = [watch.Row(text, (Severity.OK,), seen(text, Severity.ERROR), 5.0)]
    return lines(watch.table(rows, every_s=30, probes=1, language="en", terminal=Terminal(), height=24))


def change_line(text: str) -> str:
    before, after = seen("x", Severity.OK), seen(text, Severity.ERROR)
    changed = change(before, after)
    assert changed is not None
    return watch.change_line(after, changed, language="en", terminal=Terminal()) + "\n"


def ndjson_line(text: str) -> str:
    return watch.ndjson_line(seen(text, Severity.ERROR), None, number=1, next_s=30.0)


def pasts(text: str) -> Pasts:
    return Pasts(targets=(past(text, (seen(text, Severity.OK), seen(text, Severity.ERROR)), kept=2),))


def compared(text: str) -> tuple[Report, Report]:
    return reports.mixed(), msgspec.structs.replace(
        poisoned(reports.mixed(), text), evidence=poisoned(reports.host(), text).evidence
    )


def overview(text: str) -> Overview:
    one = result(
        text,
        good(software=text, tls=text),
        refused(text=text, enhanced=text, category=text),
        name=f"a.{text}",
        provider=text,
        outcome=Severity.ERROR,
        findings=(found(text),),
    )
    return overview_of([one], group_by=Grouping.TLD)


def diff(render: Callable[..., object]) -> Callable[[str], str]:
    def shown(text: str) -> str:
        old, new = compared(text)
        same = msgspec.structs.replace(old, evidence=msgspec.structs.replace(old.evidence, target=new.evidence.target))
        every = differences([same], [new])
        more = () if render is differing.json else ("en",) if render is differing.markdown else ("en", Terminal())
        told = render(every, *more)
        return told if isinstance(told, str) else lines(told)

    return shown


FACES: dict[str, Callable[[str], str]] = {
    **{f"check {each}": check(each) for each in FORMATS},
    **{f"check -vv {each}": check(each, 2) for each in FORMATS},
    "watch table": table,
    "watch text": change_line,
    "watch ndjson": ndjson_line,
    "history text": lambda text: lines(history.text(pasts(text), "en", Terminal())),
    "history markdown": lambda text: lines(history.markdown(pasts(text), "en")),
    "history json": lambda text: history.json(pasts(text)),
    "diff text": diff(differing.text),
    "diff markdown": diff(differing.markdown),
    "diff json": diff(differing.json),
    "report text": lambda text: lines(overview_text.render(overview(text), "en", Terminal())),
    "report markdown": lambda text: lines(overview_markdown.render(overview(text), "en")),
    "report html": lambda text: overview_html.render(overview(text), "en"),
    "report json": lambda text: ascii_json(encode(overview(text))),
}


def read(face: str, text: str) -> None:
    """Have somebody else read what was written."""
    form = face.split()[-1]
    if face.startswith("check"):
        READERS[form](text)
    elif form == "html":
        read_html(text)
    elif form in ("json", "ndjson"):
        json.loads(text)


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("face", FACES)
def test_nothing_that_a_server_says_becomes_more_than_text(face: str, kind: str) -> None:
    shown = FACES[face](TEXTS[kind])
    assert not ACTIVE.search(shown)
    assert not log_commands(shown, face.split()[-1])
    shown.encode()
    read(face, shown)


@pytest.mark.parametrize("face", ["watch table", "watch text", "watch ndjson"])
@pytest.mark.parametrize("kind", TEXTS)
def test_one_target_of_a_watch_stays_on_one_line(face: str, kind: str) -> None:
    assert FACES[face](TEXTS[kind]).count("\n") == FACES[face]("plain.example").count("\n")
