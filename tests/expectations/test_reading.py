"""The file of expectations: what it may say, and how each mistake is named."""

from __future__ import annotations

import re
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpprobe.cli import COMMANDS
from smtpprobe.errors import ConfigError, SmtpprobeError
from smtpprobe.evidence import Family, Phase, PortSpec, Question, Role, TlsMode
from smtpprobe.expectations.finding import find_config
from smtpprobe.expectations.lines import line_of, lines_of
from smtpprobe.expectations.planning import plan
from smtpprobe.expectations.reading import parse_config, read_config
from smtpprobe.expectations.wording import fits, parse_mx, parse_reply_wanted
from smtpprobe.replies import parse_reply

FULL = """\
# all there is
[defaults]
resolvers = ["127.0.0.1:5300"]
timeout = "1500ms"
allow = [{ finding = "ptr-missing", reason = "no reverse zone in the lab" }]

[defaults.expect]
min-tls = "1.2"
auth-before-tls = false

[targets.mail]
target = "example.org"
ports = [25, "submission:2587"]
family = "ipv4"
resolve = { "mx1.example.org" = "192.0.2.1" }
ca = "roots.pem"
ehlo = "me.example"
deadline = 30
tls-versions = true
security = true
submission-discovery = true
trust-ad = true
policy-port = 8443
sender = "probe@example.net"
raise = { "tls-13-missing" = "error" }
allow = [
    { finding = "certificate-expired", reason = "moved", until = 2027-01-01, host = "mx2.example.org", port = 25 },
]

[targets.mail.expect]
reachable = ["smtp", "submission"]
mx = ["10 mx1.example.org", "mx2.example.org"]
dane = true
mta-sts = "enforce"
tls-rpt = true
ptr = ["mx1.example.org"]
within = "20s"
greeting-code = 220
greeting-matches = "^mx[12]"
greeting-within = 5
capabilities = ["PIPELINING", "8BITMIME"]
no-capabilities = ["CHUNKING"]
capabilities-before-tls = ["STARTTLS"]
no-capabilities-before-tls = ["AUTH"]
certificate-trusted = true
certificate-days = 7
size = 10485760
software = "Postfix"
replies = ["rcpt me@example.org -> 250", "vrfy postmaster -> 252 2.0.0 | 5xx"]

[targets.mail.expect.submission]
auth = ["PLAIN", "LOGIN"]
replies = ["rcpt me@example.org -> 530"]

[targets.mail.expect-warning]
certificate-days = 21

[targets.mail.expect-info]
mta-sts = "enforce"

[targets."other.example"]
expect.reachable = ["smtp"]
"""


def mistakes(text: str, file: str = "smtpprobe.toml") -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse_config(text.encode(), file)
    return str(raised.value).splitlines()


# --- what is right --------------------------------------------------------------------------------------------------


def test_a_resolver_may_be_one_that_is_asked_over_tls() -> None:
    given = ("192.0.2.53", "tls://192.0.2.53#dns.example", "https://192.0.2.53/dns-query")
    mail = plan(parse_config(f"[targets.mail]\nresolvers = {list(given)}\n".encode()), "mail", ".")
    assert mail.options.resolvers == given


def test_a_target_has_its_own_settings_over_those_of_all() -> None:
    mail = plan(parse_config(FULL.encode()), "mail", "/etc/smtpprobe")
    options = mail.options
    assert mail.target.name == "example.org"
    assert options.ports == (
        PortSpec(port=25, role=Role.SMTP, tls=TlsMode.STARTTLS),
        PortSpec(port=2587, role=Role.SUBMISSION, tls=TlsMode.STARTTLS),
    )
    assert options.explicit_ports
    assert options.resolvers == ("127.0.0.1:5300",)
    assert (options.timeout_s, options.greeting_timeout_s, options.deadline_s) == (1.5, 1.5, 30.0)
    assert options.family is Family.IPV4
    assert [(each.name, each.address) for each in options.overrides] == [("mx1.example.org", "192.0.2.1")]
    assert (options.ca_file, options.ehlo_name) == ("/etc/smtpprobe/roots.pem", "me.example")
    assert (options.tls_versions, options.security, options.submission_discovery, options.trust_ad) == (True,) * 4
    assert (options.policy_port, options.question_sender) == (8443, "probe@example.net")
    assert mail.settings.expect is not None
    assert (mail.settings.expect.min_tls, mail.settings.expect.certificate_days) == ("1.2", 7)
    assert mail.settings.expect_warning is not None
    assert mail.settings.expect_warning.certificate_days == 21
    assert [each.finding for each in mail.settings.allow or ()] == ["ptr-missing", "certificate-expired"]
    assert (mail.settings.allow or ())[1].until == date(2027, 1, 1)
    assert mail.settings.raise_ == {"tls-13-missing": "error"}


def test_a_target_is_called_what_it_is_unless_it_says_otherwise() -> None:
    other = plan(parse_config(FULL.encode()), "other.example")
    assert other.target.text == "other.example"
    assert not other.options.explicit_ports
    assert other.settings.expect is not None
    assert other.settings.expect.auth_before_tls is False


def test_each_question_is_asked_once_and_of_those_that_it_is_for() -> None:
    text = (
        '[targets.a.expect]\nreplies = ["noop -> 250", "RCPT <me@example.org> -> 250"]\n'
        '[targets.a.expect-warning]\nreplies = ["rcpt me@example.org->550"]\n'
        '[targets.a.expect.submission]\nreplies = ["rcpt me@example.org -> 530", "help -> 214"]\n'
    )
    asked = plan(parse_config(text.replace("targets.a", 'targets."a.example"').encode()), "a.example").options.questions
    assert set(asked) == {
        Question(verb="noop"),
        Question(verb="rcpt", argument="me@example.org"),
        Question(verb="help", role=Role.SUBMISSION),
    }


def test_nothing_is_asked_unless_the_file_does() -> None:
    assert plan(parse_config(FULL.encode()), "other.example").options.questions == ()


def test_the_file_is_looked_for_under_two_names(tmp_path: Path) -> None:
    assert find_config(str(tmp_path)) is None
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\nname = "mine"\n')
    assert find_config(str(tmp_path)) is None
    project.write_text(
        '[project]\nname = "mine"\n[tool.smtpprobe.targets."example.org".expect]\nreachable = ["smtp"]\n'
    )
    assert find_config(str(tmp_path)) == str(project)
    assert set(read_config(str(project)).targets) == {"example.org"}
    project.write_text('dependencies = ["smtpprobe"]\n')
    assert find_config(str(tmp_path)) is None
    project.write_text('[tool]\nsmtpprobe = { targets = { a = { target = "example.org" } } }\n')
    assert find_config(str(tmp_path)) == str(project)
    (tmp_path / "smtpprobe.toml").write_text("")
    assert find_config(str(tmp_path)) == str(tmp_path / "smtpprobe.toml")


@pytest.mark.parametrize(
    "text",
    [
        "[tool.smtpprobe]",
        "[tool.smtpprobe.targets.mail]",
        """[ 'tool' . "smtpprobe" ]""",
        "\ufeff[tool]\nsmtpprobe.targets = {}",
        "tool.smtpprobe.targets = {}",
        "tool = { smtpprobe = {} }",
        'tool = { ruff = {}, "smtpprobe".targets = {} }',
        '["to\\u006fl".smtpprobe]',
    ],
)
def test_our_table_is_found_however_it_is_written(text: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(text, "utf-8")
    assert find_config(str(tmp_path)) is not None


def test_a_project_that_only_uses_us_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tomllib", None)
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "tool"\ndependencies = ["smtpprobe[pytest]"]\n[tool.mypy]\nfiles = ["smtpprobe"]\n'
        "[project.scripts]\nsmtpprobe = 'smtpprobe.cli:program'\n"
    )
    assert find_config(str(tmp_path)) is None


def test_the_example_of_the_readme_can_be_read() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (example,) = re.findall(r"```toml\n(\[targets\..*?)```", readme, re.DOTALL)
    mail = plan(parse_config(example.encode()), "mail")
    assert mail.target.name == "example.org"
    assert [each.verb for each in mail.options.questions] == ["rcpt", "rcpt"]
    for command in re.findall(r"smtpprobe (init|check|diff|schema) ", readme):
        assert command in COMMANDS


# --- what is wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[target.mail]", 1, "target: there is no such key; did you mean 'targets'?"),
        ("[targets.mail]\n\nport = [25]", 3, "targets.mail.port: there is no such key; did you mean 'ports'"),
        (
            "[targets.mail.expect]\nmx = []\ncapabilites = []",
            3,
            "targets.mail.expect.capabilites: there is no such key; did you mean 'capabilities'",
        ),
        ("[targets.mail.expect]\nstarttls_needed = 1", 2, "there are greeting-code, "),
        ("[targets.mail.expect]\nsize = '10MB'", 2, "targets.mail.expect.size: a whole number is expected, not a text"),
        ("[targets.mail.expect]\nmx = 'mx1.example.org'", 2, "an array is expected, not a text"),
        ("[targets.mail.expect]\nmin-tls = 1.2", 2, 'a text is expected, not a number; write it as "1.2"'),
        ("[targets.mail]\nallow = ['ptr-missing']", 2, 'write it as { finding = "...", reason = "..." }'),
        ("[targets.mail.expect]\nmx = ['a.example', 7]", 2, "a text is expected in element 2, not a whole number"),
        ("[targets.mail.expect]\nmin-tls = '1.4'", 2, "'1.4' is not one of 1.0, 1.1, 1.2, 1.3"),
        (
            "[targets.mail.expect]\nreachable = ['smtp', 'imap']",
            2,
            "'imap' is not one of smtp, submission, submissions",
        ),
        ("[targets.mail.expect]\ngreeting-code = 2200", 2, "2200 is no reply code"),
        ("[targets.mail.expect]\ngreeting-matches = '('", 2, "'(' is no regular expression"),
        ("[targets.mail.expect]\nwithin = '5 parsecs'", 2, "is no duration; write it as 10, 10s, 500ms or 2m"),
        ("[targets.mail.expect]\ncapabilities = ['AUTH PLAIN']", 2, "'AUTH PLAIN' is no keyword"),
        ("[targets.mail.expect]\nmx = ['10 mx_1 b']", 2, "is no MX host"),
        (
            "[targets.mail.expect]\nreplies = [\n'data -> 354',\n]",
            2,
            "'data' is not asked; noop, help, vrfy, mail, rcpt",
        ),
        ("[targets.mail.expect]\nreplies = ['rcpt a@b.example']", 2, "the arrow before the code is missing"),
        ("[targets.mail.expect]\nreplies = ['rcpt a@b.example -> ok']", 2, "'ok' is no reply code"),
        ("[targets.mail.expect]\nreplies = ['''rcpt a@b\r\nDATA -> 250''']", 2, "is no mail address"),
        ("[targets.mail]\nports = ['imap:143']", 2, "'imap' is no role"),
        ("[targets.mail]\nresolvers = ['dns.example']", 2, "by its address"),
        ("[targets.mail]\nresolvers = ['tls://dns.example']", 2, "by its address"),
        ("[targets.mail]\nresolvers = ['quic://192.0.2.53']", 2, "no way to ask a resolver"),
        ("[targets.mail]\nresolve = { a = 'b' }", 2, "'b' is no IP address"),
        ("[targets.mail]\ntarget = 'exa mple.org'", 2, "is no target"),
        ("[targets.mail]\nehlo = 'my_host'", 2, "EHLO"),
        ("[targets.mail]\nsender = 'me'", 2, "is no mail address"),
        (
            "[[targets.mail.allow]]\nfinding = 'certificate-expried'\nreason = 'x'",
            2,
            "did you mean certificate-expired",
        ),
        ("[[targets.mail.allow]]\nfinding = 'expectation-not-met'\nreason = ''", 2, "change the expectation instead"),
        ("[[targets.mail.allow]]\nfinding = 'ptr-missing'", 1, "the key 'reason' is missing"),
        (
            "[[targets.mail.allow]]\nfinding = 'ptr-missing'\nreason = 'x'\nuntil = '2027'",
            4,
            "a date such as 2027-01-01",
        ),
        ("[targets.mail]\nraise = { 'mail-reachable' = 'error' }", 2, "there is nothing to raise"),
        (
            "[targets.mail.raise]\nptr-missing = 'error'\n'tls-13-missing' = 'fatal'",
            3,
            "targets.mail.raise.tls-13-missing: 'fatal' is not one of error, warning, info",
        ),
        ("[targets.mail.raise]\ntls-13-mising = 'fatal'", 2, "did you mean tls-13-missing"),
        ("[targets.mail.raise]\ntls-13-missing = true", 2, "a text is expected, not true or false"),
        ("[targets.mail]\npolicy-port = 70000", 2, "ports go from 1 to 65535"),
        ("[targets.mail.expect]\ncertificate-days = -1", 2, "-1 is below 0"),
        ("[targets.mail.expect]\nauth = ['PLAIN LOGIN']", 2, "'PLAIN LOGIN' is no AUTH mechanism"),
        ("[[targets.mail.allow]]\nfinding = 'ptr-missing'\nreason = ' '", 3, "reason: say why"),
        ("[[targets.mail.allow]]\nfinding = 'ptr-missing'\nreason = 'x'\nport = 0", 4, "ports go from 1 to 65535"),
        ("[targets.a]\n[targets.b]\n[targets.a]", 3, "no TOML: there is a table [targets.a] already"),
        ("[targets.a]\nehlo = 'a'\nehlo = 'b'", 3, "no TOML: the key stands there twice"),
        ("# a\u2028b\x85c\n[targets.a]\nehol = 1", 3, "did you mean 'ehlo'"),
        ('[targets]\n[targets."\\u00fc.example"]\nehol = 1', 3, "did you mean 'ehlo'"),
        ("[targets]\nmail = 'example.org'", 2, "targets.mail: a table is expected, not 'example.org'"),
        ("targets = [1]", 1, "targets: a table of tables is expected, not an array"),
        ("[targets.mail\n", 1, "no TOML: "),
        ("a = 1\n\nb = {\n", 3, "no TOML: "),
        ('[targets.mail]\nsender = """\n[x]\ny = 1\n"""\nfoo = 1', 6, "targets.mail.foo: there is no such key"),
    ],
)
def test_a_mistake_is_named_by_file_line_and_key(text: str, line: int, said: str) -> None:
    found = mistakes(text)
    assert any(each.startswith(f"smtpprobe.toml:{line}: ") and said in each for each in found), found


def test_all_mistakes_are_named_at_once_in_the_order_of_the_file() -> None:
    found = mistakes("[targets.a.expect]\nsize = -1\nmx = 3\n[targets.b]\nehol = 'x'\n")
    assert [each.split(": ")[:2] for each in found] == [
        ["smtpprobe.toml:2", "targets.a.expect.size"],
        ["smtpprobe.toml:3", "targets.a.expect.mx"],
        ["smtpprobe.toml:5", "targets.b.ehol"],
    ]


@pytest.mark.parametrize("text", ["tool = 1", "[tool]\nsmtpprobe = 1"])
def test_a_table_of_pyproject_that_is_none_is_a_mistake(text: str) -> None:
    assert "a table is expected, not 1" in mistakes(text, "pyproject.toml")[0]


def test_a_day_is_no_moment() -> None:
    text = "[[targets.mail.allow]]\nfinding = 'ptr-missing'\nreason = 'x'\nuntil = 2027-01-01T12:00:00Z"
    said = "a date such as 2027-01-01 is expected, not a moment"
    assert mistakes(text) == [f"smtpprobe.toml:4: targets.mail.allow.1.until: {said}"]


def test_a_message_has_nothing_that_a_terminal_acts_on() -> None:
    found = mistakes('[targets."\\u001b[31m"]\nehol = "\\u001b[0m"\nports = ["\\u001b[0m"]')
    assert len(found) == 2
    assert all(each.isprintable() for each in found)


def test_in_pyproject_the_whole_path_is_named() -> None:
    found = mistakes("[tool.smtpprobe.targets.a]\nehol = 'x'\n", "pyproject.toml")
    assert found[0].startswith("pyproject.toml:2: tool.smtpprobe.targets.a.ehol: ")


def test_a_byte_order_mark_and_line_ends_of_windows_are_no_mistake() -> None:
    text = '\ufeff[targets.a]\r\ntarget = "example.org"\r\n'
    assert parse_config(text.encode()).targets["a"].target == "example.org"


@pytest.mark.parametrize("data", [b"\xff", b"x = " + b"[" * 100_000])
def test_what_is_no_text_or_too_deep_is_a_mistake(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"smtpprobe\.toml"):
        parse_config(data)


@given(st.recursive(
    st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(
        ["targets", "a", "expect", "mx", "allow", "raise", "replies", "ptr", "defaults", "finding", "resolve"]
    ), inner, max_size=3),
    max_leaves=8,
))  # fmt: skip
def test_no_document_breaks_the_reader(document: object) -> None:
    from smtpprobe.expectations.model import Config
    from smtpprobe.expectations.reading import _Reader

    reader = _Reader("x.toml", {})
    assert reader.table(Config, document, ()) is not None or reader.mistakes


# --- lines ----------------------------------------------------------------------------------------------------------


def test_every_key_of_a_file_is_found_on_its_line() -> None:
    lines = FULL.splitlines()
    places = lines_of(FULL)

    def walk(table: dict[str, object], path: tuple[str, ...]) -> None:
        for key, value in table.items():
            line = lines[line_of(places, (*path, key)) - 1]
            assert key in line, (path, key, line)
            if isinstance(value, dict) and not line.rstrip().endswith("}"):
                walk(value, (*path, key))

    walk(tomllib.loads(FULL), ())


@given(st.text(alphabet="ab.=[]{}\"'#\\ \n", max_size=40))
def test_no_text_breaks_the_search_for_lines(text: str) -> None:
    assert all(1 <= line <= text.count("\n") + 1 for line in lines_of(text).values())


# --- single values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "reply", "is_met"),
    [
        ("250", b"250 2.1.5 Ok\r\n", True),
        ("25x", b"252 Perhaps\r\n", True),
        ("2xx", b"550 5.1.1 No\r\n", False),
        ("550 5.1.1", b"550 5.1.1 No\r\n", True),
        ("550 5.1.1", b"550 5.7.1 No\r\n", False),
        ("550 | 551", b"551 There\r\n", True),
        ("250", b"what\r\n", False),
    ],
)
def test_a_reply_fits_the_codes_that_are_wanted(wanted: str, reply: bytes, is_met: bool) -> None:
    assert fits(parse_reply(reply), parse_reply_wanted(f"noop -> {wanted}").codes) is is_met


def test_an_mx_record_is_a_name_with_or_without_a_preference() -> None:
    assert parse_mx("10 MX1.Example.ORG.") == (10, "mx1.example.org")
    assert parse_mx("mx1.example.org") == (None, "mx1.example.org")
    assert parse_mx(".") == (None, ".")


@given(st.text(max_size=30))
def test_nothing_that_is_read_as_a_question_can_end_its_line(text: str) -> None:
    for verb in ("rcpt", "mail", "vrfy", "noop", "help"):
        try:
            question = parse_reply_wanted(f"{verb} {text} -> 250").question
        except SmtpprobeError:
            continue
        assert question.argument.isascii()
        assert question.argument.isprintable()
        assert verb not in ("rcpt", "mail") or not set(question.argument) & set("<> ")
        assert Phase(question.verb)
