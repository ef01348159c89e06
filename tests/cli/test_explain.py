"""``smtpprobe explain``: one code, one reply, or a stream of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smtpprobe import texts
from smtpprobe.checks import KINDS
from smtpprobe.cli import main
from smtpprobe.cli.explain import MAX_LINE_BYTES
from smtpprobe.evidence import Phase
from smtpprobe.reference import codes, diagnoses, enhanced_codes, keywords
from smtpprobe.render.layout import cell_width

HEAVY = {"asyncio", "dns", "aiosmtplib", "cryptography", "OpenSSL", "rich", "ssl", "msgspec", "json", "tomllib"}
RUN = [sys.executable, "-m", "smtpprobe", "explain"]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    for variable in ("SMTPPROBE_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(variable, raising=False)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["explain", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def entries(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    read = json.loads(said(capsys, "--format", "json", *arguments))
    assert read["schema"] == "smtpprobe/explain/1"
    assert read["language"] == "en"
    found: list[dict[str, Any]] = read["entries"]
    return found


def heads_of(lines: list[str]) -> list[str]:
    """The headings of an answer: what stands at the second cell and before two blanks."""
    return [line[2:].split("  ")[0] for line in lines if line[:2] == "  " and line[2:3].strip()]


# --- what is told ---------------------------------------------------------------------------------------------------


def test_a_code_is_told_with_meaning_actor_retry_steps_and_source(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "421").splitlines()
    assert lines[0].startswith("421  ")
    heads = heads_of(lines[1:])
    assert heads == [
        *("Meaning", "When", "Who acts", "Retry", "What to do", "Class", "Where", "Source", "Elsewhere"),
    ]
    assert "RFC 5321 4.2.3, 4.3.2 (in the standard)" in "\n".join(lines)
    assert "421.greeting" in lines[-5]


def test_the_step_chooses_the_story(capsys: pytest.CaptureFixture[str]) -> None:
    greeting = said(capsys, "421", "--phase", "greeting").splitlines()[0]
    quitting = said(capsys, "421", "--phase", "quit").splitlines()[0]
    assert greeting.startswith("421.greeting  ")
    assert quitting.startswith("421.quit  ")
    assert said(capsys, "421.quit").splitlines()[0] == quitting
    assert said(capsys, "421", "--phase", "QUIT").splitlines()[0] == quitting


def test_a_reply_is_quoted_and_told_by_its_cause(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "550-5.7.1 relay\n550 5.7.1 access refused", "--phase", "rcpt")
    lines = out.splitlines()
    assert lines[:4] == ["550-5.7.1 relay", "550 5.7.1 access refused", "", "Relaying denied"]
    heads = heads_of(lines[4:])
    assert heads == [
        *("Cause", "Who acts", "Retry", "Sender", "Receiver", "Code", "Enhanced", "At this step", "How sure", "Source"),
    ]
    assert "likely (wording:relay)" in out


def test_a_provider_is_named_with_its_page_and_its_own_advice(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "550-5.7.1 [192.0.2.7] Invalid credentials for relay\\n550 5.7.1 ab1si2 - gsmtp")
    assert "\n  Provider  Google\n" in out
    assert "pattern:gmail-relay-credentials" in out
    assert "https://support.google.com/a/answer/6140680" in out
    assert "Google Workspace" in out


def test_contradictions_are_pointed_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Contradiction" in said(capsys, "550 4.2.1 mailbox disabled")
    assert "Contradiction" in said(capsys, "450 4.1.1 User unknown")
    assert "Contradiction" not in said(capsys, "550 5.1.1 User unknown")


def test_a_reply_without_its_quotes_is_understood(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "550", "5.1.1", "User", "unknown") == said(capsys, "550 5.1.1 User unknown")


def test_the_keywords_of_an_ehlo_reply_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "250-mx.dest.example\n250-SIZE 1000\n250-XFROB\n250 CHUNKING", "--phase", "ehlo")
    heads = heads_of(out.splitlines()[5:])
    assert heads[-3:] == ["SIZE", "XFROB", "CHUNKING"]


def test_words_alone_are_judged_and_the_missing_code_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "mailbox is full")
    assert "Mailbox full" in out
    assert "no reply code" in out


def test_the_phase_that_a_mail_log_names_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    reply = "host mx.dest.example[192.0.2.1] said: 550 5.7.1 Access denied (in reply to MAIL FROM command)"
    [entry] = entries(capsys, reply)
    assert (entry["phase"], entry["code_key"], entry["category"]) == ("mail", "550.mail", "sender_rejected")


@pytest.mark.parametrize("number", ["478", "999", "042"])
def test_an_unknown_code_falls_back_to_its_class_and_says_so(capsys: pytest.CaptureFixture[str], number: str) -> None:
    assert f"{number} is in no list" in said(capsys, number)


def test_that_only_the_class_of_a_code_is_known_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    told = " ".join(said(capsys, "478 4.9.9 wait").split())
    assert told.count("in no list") == 1
    assert told.count("cannot or will not do it now") == 1
    assert "in no list" not in said(capsys, "4xx")


def test_a_class_of_codes_is_told_with_its_codes(capsys: pytest.CaptureFixture[str]) -> None:
    whole, group, enhanced, subject = entries(capsys, "4yz", "55x", "5.x.x", "4.7.z")
    assert (whole["kind"], whole["class"], whole["retry"], whole["actor"]) == ("class", "4xx", "yes", "either")
    assert {421, 450, 451, 452} <= set(whole["codes"])
    assert group["codes"] == [550, 551, 552, 553, 554, 555, 556]
    assert "5.7.x" in enhanced["codes"]
    assert "4.7.0" in subject["codes"]
    heads = heads_of(said(capsys, "5xx").splitlines()[1:])
    assert heads == ["Meaning", "When", "Who acts", "Retry", "What to do", "Enhanced", "Source", "Code"]


def test_of_a_class_the_step_leaves_the_codes_that_are_met_there(capsys: pytest.CaptureFixture[str]) -> None:
    [entry] = entries(capsys, "3xx", "--phase", "auth")
    assert entry["codes"] == [334]


def test_a_class_that_smtp_has_not_is_told_to_be_none(capsys: pytest.CaptureFixture[str]) -> None:
    [entry] = entries(capsys, "6xx")
    assert (entry["key"], entry["codes"], entry["references"]) == ("xxx", [], [])


def test_an_unknown_enhanced_code_falls_back_to_its_subject(capsys: pytest.CaptureFixture[str]) -> None:
    [entry] = entries(capsys, "5.1.234")
    assert (entry["key"], entry["status"]) == ("x.1.x", "subject")
    assert "5.1.234 is in no list" in said(capsys, "5.1.234")


def test_an_enhanced_code_names_the_codes_of_its_class_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert entries(capsys, "4.7.0")[0]["basic_codes"] == ["450", "454"]
    assert "250" not in entries(capsys, "5.5.0")[0]["basic_codes"]


def test_a_keyword_a_cause_and_a_finding_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    keyword, cause, finding = entries(capsys, "chunking", "greylisted", "starttls-missing")
    assert (keyword["kind"], keyword["keyword"], keyword["verbs"]) == ("keyword", "CHUNKING", ["BDAT"])
    assert (cause["kind"], cause["retry_after_s"]) == ("diagnosis", 900)
    assert (finding["kind"], finding["finding"]) == ("finding", "starttls-missing")
    assert finding["severities"] == [str(each) for each in KINDS["starttls-missing"].severities]


@pytest.mark.parametrize("language", texts.languages())
def test_a_setting_in_the_words_of_a_finding_can_be_copied(language: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, "auth-without-tls", "--lang", language)
    assert "auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}\n" in told
    assert "<mechanisms>" in told


@pytest.mark.parametrize(
    ("code", "retry", "after_s"),
    [
        ("4.7.0", "yes", None),
        ("4.7.1", "yes", None),
        ("4.4.2", "yes", 900),
        ("4.7.299", "yes", None),
        ("4.9.9", "yes", None),
        ("5.7.0", "no", None),
        ("5.9.9", "no", None),
        ("2.1.5", "n.a.", None),
        ("x.7.1", "class", None),
        ("4.7.x", "yes", None),
        ("5.x.x", "no", None),
        ("x.7.x", "class", None),
    ],
)
def test_whether_waiting_helps_after_an_enhanced_code_is_decided_by_its_first_digit(
    code: str, retry: str, after_s: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    [entry] = entries(capsys, code)
    assert (entry["retry"], entry["retry_after_s"]) == (retry, after_s)


def test_an_enhanced_code_is_told_with_class_and_subject(capsys: pytest.CaptureFixture[str]) -> None:
    assert "  temporary failure, Security or policy\n" in said(capsys, "4.7.0")


def test_of_text_without_code_and_known_words_nothing_is_claimed(capsys: pytest.CaptureFixture[str]) -> None:
    heads = heads_of(said(capsys, "good morning").splitlines()[3:])
    assert heads == ["Note", "How sure"]


def test_a_code_that_is_met_anywhere_is_met_nowhere_in_particular(capsys: pytest.CaptureFixture[str]) -> None:
    assert "  Where       anywhere\n" in said(capsys, "421")


def test_google_is_known_by_the_word_that_ends_its_replies(capsys: pytest.CaptureFixture[str]) -> None:
    [entry] = entries(capsys, "550-5.7.1 [192.0.2.1] ... gsmtp")
    assert entry["provider"] == "Google"


@pytest.mark.parametrize(
    ("reply", "product", "version"),
    [
        ("220 mx.dest.example ESMTP Postfix (3.7.11)", "Postfix", "3.7.11"),
        ("220-mx.dest.example ESMTP Exim 4.96 Mon, 02 Jun 2025 10:00:00 +0200\n220 no spam", "Exim", "4.96"),
        ("250-mx.dest.example\n250-X-ANONYMOUSTLS\n250 X-EXPS NTLM", "Microsoft Exchange", None),
    ],
)
def test_the_software_of_a_greeting_or_an_ehlo_reply_is_named(
    reply: str, product: str, version: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    [entry] = entries(capsys, reply)
    assert entry["software"]["product"].startswith(product)
    assert entry["software"]["version"] == version
    [line] = [line for line in said(capsys, reply).splitlines() if line.startswith("  Software ")]
    assert f" {' '.join(filter(None, (entry['software']['product'], version)))} (" in line


def test_what_is_said_of_a_provider_stands_under_a_condition_until_it_is_proved(
    capsys: pytest.CaptureFixture[str],
) -> None:
    loose, proved = entries(
        capsys, "550 5.4.5 Daily SMTP relay limit exceeded", "550 5.4.5 Daily SMTP relay limit exceeded. ab1si2 - gsmtp"
    )
    assert (loose["rule"], loose["provider"]) == ("pattern:gmail-daily-limit", None)
    assert (proved["rule"], proved["provider"]) == ("pattern:gmail-daily-limit", "Google")
    assert loose["words"]["note"] == f"If the server is Google: {proved['words']['note']}"


def test_no_software_is_named_for_what_nobody_is_known_to_say(capsys: pytest.CaptureFixture[str]) -> None:
    greeting, other = entries(capsys, "220 mx.dest.example ready", "550 5.1.1 Postfix does not know you")
    assert greeting["software"] is None
    assert other["software"] is None


def test_each_keyword_of_an_ehlo_reply_is_told_also_one_that_is_not_registered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = said(capsys, "250-mx.dest.example\n250-SIZE 1000\n250-xfrob 7\n250-\x1b[2J\n250 PIPELINING")
    assert heads_of(told.split("RFC 5321", 1)[1].splitlines()[1:]) == ["SIZE", "XFROB", "PIPELINING"]
    assert "XFROB       not registered, meaning not known" in told
    assert heads_of(said(capsys, "250-Thanks a lot\n250 message queued").splitlines()[4:])[-1] == "Source"


def test_a_private_keyword_is_said_to_be_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert "XFROB is not registered" in said(capsys, "xfrob")


def test_everything_in_the_tables_can_be_explained(capsys: pytest.CaptureFixture[str]) -> None:
    enhanced = [key for key in enhanced_codes() if "-" not in key]
    everything = [*codes(), *enhanced, *keywords(), *diagnoses(), *KINDS]
    found = entries(capsys, *everything)
    assert len(found) == len(everything)
    assert all(each["words"]["title"] for each in found)


def test_the_same_is_told_at_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    for phase in Phase:
        assert said(capsys, "550 5.1.1 User unknown", "--phase", phase)


# --- how it looks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_no_line_is_wider_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    out = said(capsys, "421", "4.7.1", "CHUNKING", "greylisted", "550 5.7.1 " + "word " * 60)
    assert max(map(cell_width, out.splitlines())) <= int(columns)


def test_what_a_server_sent_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("text", "markdown"):
        out = said(capsys, "550 \x1b[2Jno\x07 \u202eevil", "--format", form)
        assert "\x1b" not in out
        assert "\x07" not in out
        assert "\u202e" not in out
        assert "\\x1b[2Jno" in out


def test_a_long_reply_is_shown_in_part(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "\n".join(["550-" + "x" * 5000] * 40))
    assert len(out) < 20_000
    assert "… 20" in out


def test_markdown_quotes_the_reply_whatever_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "550 ```\\n550 <b>|no|</b>", "--format", "markdown")
    assert "````\n550 ```\n550 <b>|no|</b>\n````" in out
    assert "- **Who acts:**" in out


def test_several_answers_are_apart(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "421", "450")
    assert "\n\n450  " in out


def test_json_has_no_entry_for_a_file_without_replies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "none").write_text("\n\n")
    assert main(["explain", "--format", "json", str(tmp_path / "none")]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == []


def test_a_stream_of_ndjson_is_answered_in_kind_unless_told_otherwise(tmp_path: Path) -> None:
    asked = '{"id": 1, "reply": "550 5.1.1 no such user"}\n{"id": NaN, "reply": "550"}\n'
    ended = subprocess.run(
        [*RUN, "--input-format", "ndjson", "-"], input=asked, capture_output=True, text=True, timeout=60
    )
    first, second = map(json.loads, ended.stdout.splitlines())
    assert (first["id"], first["category"]) == (1, "user_unknown")
    assert (second["id"], second["error"]) == (None, "not JSON: NaN is no value of JSON")


# --- what cannot be understood --------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["foo", "42", "\x1b[2J", "x" * 100_000])
def test_what_is_not_understood_ends_with_one_line_that_names_the_forms(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", word]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "is none of: a reply code (421), a class of them (4xx), an enhanced code (4.7.0), a reply in quotes" in err
    assert "\x1b" not in err
    assert len(err) < 600


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--phase", "lunch", "421"], "'lunch' is not one of"),
        (["--format", "xml", "421"], "xml"),
        (["--input-format", "ndjson", "--format", "text", "-"], "--format ndjson, not text"),
        (["--input-format", "ndjson", "--format", "ndjson", "/no/such"], "cannot read '/no/such'"),
        (["/no/such/file"], "cannot read '/no/such/file': No such file"),
        (["/"], "cannot read '/': Is a directory"),
        (["starttls-mising"], "'starttls-mising' is not known; did you mean starttls-missing?"),
        (["SPF"], "did you mean spf-fail or spf-error or spf-missing?"),
        (["RCPT"], "the codes that are met there: smtpprobe codes --phase rcpt"),
        (["no.txt", "such.txt"], "'no.txt' is none of: a reply code"),
        (["GREYLISTD"], "did you mean greylisted?"),
        (["PIPELINNG"], "did you mean PIPELINING?"),
        (["-", "421"], "do not go together"),
        ([], "Missing argument"),
    ],
)
def test_what_is_asked_for_wrongly_is_said(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


# --- files and streams ----------------------------------------------------------------------------------------------


def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*RUN, *arguments], input=stdin, capture_output=True, timeout=60)


def lines_of(ran: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    assert (ran.returncode, ran.stderr) == (0, b"")
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_a_file_of_replies_is_explained_reply_by_reply(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "replies"
    file.write_bytes(b"550-5.1.1 no\r\n550 5.1.1 such user\r\n\r\n421\nMailbox full\n\xff\xfe\n")
    found = entries(capsys, str(file))
    assert [each["reply"] for each in found] == [
        *("550-5.1.1 no\n550 5.1.1 such user", "421", "Mailbox full", "\\xff\\xfe"),
    ]


def test_stdin_is_read_for_a_dash() -> None:
    found = lines_of(run("-", "--format", "ndjson", stdin=b"550 5.1.1 User unknown\n250 OK\n"))
    assert [each["category"] for each in found] == ["user_unknown", "none"]


def test_a_stream_is_answered_line_by_line_in_order_and_broken_lines_too() -> None:
    asked = [
        b'{"id": "a", "reply": "550 5.1.1 User unknown", "phase": "rcpt"}',
        b"{broken",
        b"",
        b'{"id": "b", "reply": "450-4.7.1 Grey\\n450 4.7.1 listed", "phase": null}',
        b"x" * (MAX_LINE_BYTES + 10),
        b'{"id": "c", "reply": "\xe9\x82\xae\xe7\xae\xb1\xe5\xb7\xb2\xe6\xbb\xa1"}',
    ]
    found = lines_of(run("--input-format", "ndjson", "--format", "ndjson", "-", stdin=b"\n".join(asked)))
    assert [each["id"] for each in found] == ["a", None, "b", None, "c"]
    assert [each.get("category") for each in found] == ["user_unknown", None, "greylisted", None, "mailbox_full"]
    assert ["error" in each for each in found] == [False, True, False, True, False]
    assert found[1]["line"] == 2


def test_each_answer_is_there_before_the_next_question() -> None:
    with subprocess.Popen(
        [*RUN, "--input-format", "ndjson", "--format", "ndjson", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(3):
            process.stdin.write(json.dumps({"id": number, "reply": "421"}).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == number
        process.stdin.close()
        assert process.wait(timeout=30) == 0


MEMORY = """
import resource, sys
from smtpprobe.cli import main
status = main(["explain", "--input-format", "ndjson", "--format", "ndjson", "-"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
sys.exit(status)
"""


def test_a_long_stream_takes_no_more_memory_than_a_short_one() -> None:
    peaks = []
    for count in (200, 4_000):
        feed = b"".join(b'{"id": %d, "reply": "550 5.1.1 user %d unknown"}\n' % (each, each) for each in range(count))
        ran = subprocess.run([sys.executable, "-c", MEMORY], input=feed, capture_output=True, timeout=100)
        assert ran.returncode == 0
        assert ran.stdout.count(b"\n") == count
        peaks.append(int(ran.stderr))
    assert peaks[1] < peaks[0] + 1024  # kilobytes


# --- start-up -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["421"], set()),
        (["421", "--phase", "greeting"], set()),
        (["4.7.1", "CHUNKING", "greylisted"], set()),
        (["550 5.1.1 User unknown"], set()),
        (["--format", "json", "421"], {"json"}),
        (["--help"], set()),
    ],
)
def test_a_code_is_explained_without_loading_what_it_does_not_need(arguments: list[str], allowed: set[str]) -> None:
    program = (
        "import sys\nfrom smtpprobe.cli import main\n"
        f"status = main({['explain', *arguments]!r})\n"
        f"print(*sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)\nsys.exit(status)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0
    assert set(ran.stderr.split()) <= allowed


def test_what_is_passed_over_in_a_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long, empty = tmp_path / "long.txt", tmp_path / "empty.txt"
    long.write_bytes(b"550 " + b"x" * MAX_LINE_BYTES + b"\n421 later\n")
    empty.write_bytes(b"\n")
    assert main(["explain", "--lang", "en", str(long), str(empty)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("421 later\n")
    assert err.splitlines() == [
        f"smtpprobe: {long}: line 1 is longer than 1 MiB and passed over",
        f"smtpprobe: {empty}: there is no reply in it",
    ]


def test_of_a_whole_log_only_the_replies_are_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "mail.log"
    put_off = "Nov 29 01:00:01 mx postfix/smtp[7]: 4F1ABC1: to=<a@example.net>, dsn=4.7.1, status=deferred (451 Later)"
    log.write_text(
        "Nov 29 01:00:00 mx postfix/smtpd[9]: connect from unknown[192.0.2.7]\n"
        f"{put_off}\n"
        "Nov 29 01:00:02 mx postfix/qmgr[8]: 4F1ABC1234: removed\n"
    )
    assert main(["explain", "--lang", "en", "--format", "ndjson", str(log)]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["reply"] for line in out.splitlines()] == [put_off]
    assert err == f"smtpprobe: {log}: lines of a log without a reply: 2\n"
