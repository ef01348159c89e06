"""What passed, explained: in order, once, and with what matters said beside it."""

from __future__ import annotations

import msgspec

from smtpprobe.checks import judge
from smtpprobe.evidence import Asked, Failure, FailureKind, Phase, Policies, PolicyFetch, SecurityTrial, VersionTrial
from smtpprobe.render.session import Certificates
from smtpprobe.render.transcript import Step, StepKind, Transcript, transcript
from smtpprobe.report import Severity
from tests.render import reports
from tests.render.reports import POSTFIX, endpoint, evidence, mx_host, talk


def seen(*scripts: str) -> Transcript:
    host = mx_host("mx1.example.org", 10, "192.0.2.25")
    talks = tuple(talk(endpoint(host.name, "192.0.2.25", 25), script) for script in scripts)
    return transcript(judge(evidence("example.org", (host,), talks)), "en")


def steps(*scripts: str) -> tuple[Step, ...]:
    return seen(*scripts).conversations[-1].steps


def remarks(step: Step) -> dict[str, str]:
    return {each.name: each.text for each in step.remarks}


def test_the_steps_stand_in_the_order_of_the_protocol() -> None:
    assert [(step.kind.value, step.lines[0][:8], step.is_encrypted) for step in steps(POSTFIX)] == [
        ("event", "connecte", False),
        ("received", "220 mx1.", False),
        ("sent", "EHLO pro", False),
        ("received", "250-mx1.", False),
        ("sent", "STARTTLS", False),
        ("received", "220 2.0.", False),
        ("event", "TLS 1.3,", True),
        ("sent", "EHLO pro", True),
        ("received", "250-mx1.", True),
        ("sent", "QUIT", True),
        ("received", "221 2.0.", True),
    ]


def test_times_begin_with_the_connection() -> None:
    first, *_, last = steps(POSTFIX)
    assert round(first.at_s, 4) == reports.ROUND_TRIP_S
    assert last.at_s > first.at_s


def test_the_last_ehlo_reply_is_explained_line_by_line() -> None:
    *_, ehlo, _, _ = steps(POSTFIX)
    by_line = dict(zip(ehlo.lines, ehlo.notes, strict=True))
    assert by_line["250-mx1.example.org"] == ""
    assert "login" in by_line["250-AUTH PLAIN LOGIN"] or "log in" in by_line["250-AUTH PLAIN LOGIN"]
    assert remarks(ehlo) == {"Offered before TLS only": "STARTTLS", "Offered after TLS only": "AUTH PLAIN LOGIN"}


def test_a_keyword_and_a_certificate_are_explained_only_once() -> None:
    first, second = seen(POSTFIX, POSTFIX).conversations
    assert [bool(any(step.notes)) for step in (first.steps[8], second.steps[8])] == [True, False]
    assert "sha256:" in remarks(first.steps[6])["Certificate 1"]
    assert remarks(second.steps[6])["Certificate 1"] == "for CN=mx1.example.org\nas above"


def test_plain_success_needs_no_words_and_refusal_has_them() -> None:
    greeting = steps("connect\n< 554 5.7.1 Go away")[1]
    assert greeting.severity is Severity.ERROR
    assert any(name.startswith("554 ") for name in remarks(greeting))
    assert "Retry: " in remarks(greeting)["Who acts"]
    assert steps(POSTFIX)[1].remarks == ()


def test_a_failure_is_told_once_with_what_had_come() -> None:
    host = mx_host("mx1.example.org", 10, "192.0.2.25")
    whole = talk(endpoint(host.name, "192.0.2.25", 25), "connect\nfail closed the peer closed")
    (step,) = [each for each in steps("connect\nfail closed the peer closed") if each.severity is Severity.ERROR]
    assert step.lines == ("hung up (greeting)",)
    failure = Failure(phase=Phase.EHLO, kind=FailureKind.DEADLINE)
    later = msgspec.structs.replace(whole, failure=failure, exchanges=())
    shown = transcript(judge(evidence("example.org", (host,), (later,))), "en").conversations[0]
    assert shown.steps[-1].lines == ("out of time (EHLO)",), "one that no exchange tells of is not lost"


def test_what_nobody_asked_for_stands_where_it_came() -> None:
    texts = [step.lines[0] for step in steps("connect\n< 220 mx\nunasked 250 what?\n> EHLO me\n< 250 mx")]
    assert texts == ["connected from 203.0.113.7", "220 mx", "250 what?", "EHLO me", "250 mx"]


def test_a_port_that_was_never_connected_has_one_step() -> None:
    shown = seen(reports.REFUSED).conversations[0]
    assert not shown.is_connected
    assert [(step.kind, step.lines) for step in shown.steps] == [(StepKind.EVENT, ("closed",))]


def test_mx_records_are_told_in_the_order_in_which_senders_try_them() -> None:
    hosts = (mx_host("b.example.org", 20, "192.0.2.2"), mx_host("a.example.org", 10, "192.0.2.1"))
    shown = transcript(judge(evidence("example.org", hosts, ())), "en")
    assert shown.lookups[0].answers == ("10 a.example.org", "20 b.example.org")


# --- further connections --------------------------------------------------------------------------------------------


def test_each_tls_version_that_was_tried_has_its_outcome() -> None:
    session = reports.SESSIONS["good"]("mx1")
    version = VersionTrial(version="TLSv1.3", outcome=session, started_s=1.0, ended_s=1.1)
    grouped = msgspec.structs.replace(session, group="x25519")
    stapled = VersionTrial(version="TLSv1.3", outcome=grouped, ocsp_response=bytes(512), started_s=1.1, ended_s=1.2)
    alert = Failure(phase=Phase.TLS, kind=FailureKind.TLS_ALERT, detail="protocol_version")
    ours = Failure(phase=Phase.TLS, kind=FailureKind.TLS_LOCAL, detail="switched off")
    versions = (
        VersionTrial(version="TLSv1", outcome=ours, started_s=0.9, ended_s=0.9),
        VersionTrial(version="TLSv1.1", outcome=alert, started_s=0.9, ended_s=1.0),
        version,
        stapled,
    )
    _, trials = with_further(versions=versions).conversations
    assert trials.title.endswith("TLS versions one by one")
    assert [(step.lines[0], [each.text for each in step.remarks]) for step in trials.steps] == [
        ("TLS 1.0: refused by our TLS", ["switched off"]),
        ("TLS 1.1: TLS alert", ["protocol_version"]),
        ("TLS 1.3: TLS_AES_256_GCM_SHA384", []),
        ("TLS 1.3: TLS_AES_256_GCM_SHA384, x25519", ["an OCSP response is stapled, bytes: 512"]),
    ]


def test_an_intrusive_probe_is_shown_as_it_was_spoken() -> None:
    spoken = talk(endpoint("mx1.example.org", "192.0.2.25", 25), "connect\n< 220 mx\n> MAIL FROM:<me>\n< 550 no")
    trial = SecurityTrial(name="relay", exchanges=spoken.exchanges)
    _, shown = with_further(security=(trial,)).conversations
    assert shown.title.endswith("mail to somebody else's domain")
    assert [step.lines[0] for step in shown.steps] == ["220 mx", "MAIL FROM:<me>", "550 no"]


def test_questions_are_shown_with_what_a_refusal_means() -> None:
    spoken = talk(
        endpoint("mx1.example.org", "192.0.2.25", 25), "connect\n< 220 mx\n> RCPT TO:<me>\n< 550 5.1.1 User unknown"
    )
    _, shown = with_further(asked=Asked(exchanges=spoken.exchanges)).conversations
    assert shown.title.endswith("the questions of the file")
    assert [step.lines[0] for step in shown.steps] == ["220 mx", "RCPT TO:<me>", "550 5.1.1 User unknown"]
    assert [bool(step.remarks) for step in shown.steps] == [False, False, True]


def test_the_policy_is_shown_as_it_was_served_with_the_certificate_of_its_host() -> None:
    fetch = PolicyFetch(
        url="https://mta-sts.example.org/.well-known/mta-sts.txt",
        address="192.0.2.80",
        status=200,
        media_type="text/plain",
        body=b"version: STSv1\r\nmode: \x1b[1menforce\r\n",
        chain=(reports.GOOD.sha256,),
        trust=reports.trust("mta-sts.example.org"),
        started_s=0.1,
        ended_s=0.2,
    )
    whole = msgspec.structs.replace(reports.healthy().evidence, policies=Policies(policy=fetch))
    shown = transcript(judge(whole), "en").conversations[-1]
    assert shown.title == fetch.url
    assert [step.lines for step in shown.steps] == [
        ("connected to 192.0.2.80",),
        ("HTTP 200, text/plain",),
        ("version: STSv1", "mode: \\x1b[1menforce"),
    ]
    assert "Certificate 1" in remarks(shown.steps[0])


def test_of_a_certificate_with_very_many_names_some_are_told() -> None:
    names = [f"www{number}.example.org" for number in range(20)]
    shared = reports.certificate("example.org", *names)
    whole = reports.healthy().evidence
    others = tuple(shared if each == reports.GOOD else each for each in whole.certificates)
    lines = Certificates(msgspec.structs.replace(whole, certificates=others)).lines(shared.sha256, "en")
    (told,) = [line for line in lines if line.startswith("names ")]
    assert told.endswith("www10.example.org, 9 more")


def with_further(**trials: object) -> Transcript:
    host = mx_host("mx1.example.org", 10, "192.0.2.25")
    first = talk(endpoint(host.name, "192.0.2.25", 25), POSTFIX)
    whole = evidence("example.org", (host,), (msgspec.structs.replace(first, **trials),))
    return transcript(judge(whole), "en")
