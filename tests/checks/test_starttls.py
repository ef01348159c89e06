"""STARTTLS and the handshake behind it: a warning between servers, an error where passwords pass."""

from __future__ import annotations

import pytest

from smtpprobe.checks.reading import Service, service
from smtpprobe.evidence import Conversation, Endpoint, Exchange, FailureKind, Phase, Target, TargetKind, TlsMode
from smtpprobe.report import Severity
from tests.checks.evidence_builder import (
    EHLO,
    EHLO_INSIDE,
    GREETING,
    PLAIN_EHLO,
    STARTTLS,
    endpoint,
    evidence,
    failed,
    findings,
    found,
    given,
    healthy,
    ids,
    said,
    talk,
    tls,
    tls_failed,
    unasked,
)
from tests.checks.scenarios import judged

MAIL = Target(text="mail.example.org", kind=TargetKind.NAME, name="mail.example.org")
RELAY, SUBMISSION, COURTESY = endpoint(), given(587), endpoint(port=587)
WORTH = [(RELAY, Severity.WARNING), (SUBMISSION, Severity.ERROR), (COURTESY, Severity.INFO)]


def on(at: Endpoint, *steps: object) -> tuple[Conversation, ...]:
    """The steps at an endpoint, beside a healthy relay where the endpoint is a courtesy of an MX host."""
    conversation = talk(at, *steps)  # type: ignore[arg-type]
    return (healthy(), conversation) if at is COURTESY else (conversation,)


@pytest.mark.parametrize(("at", "severity"), WORTH)
def test_starttls_that_is_not_offered(at: Endpoint, severity: Severity) -> None:
    assert found("starttls-missing", findings(*on(at, GREETING, PLAIN_EHLO))).severity is severity


@pytest.mark.parametrize(("at", "severity"), WORTH)
def test_starttls_that_is_refused_for_good(at: Endpoint, severity: Severity) -> None:
    report = findings(*on(at, GREETING, EHLO, said(Phase.STARTTLS, "502 5.5.1 not implemented")))
    assert found("starttls-refused", report).severity is severity
    assert "starttls-missing" not in ids(report)


@pytest.mark.parametrize(
    ("at", "severity"),
    [(RELAY, Severity.INCONCLUSIVE), (SUBMISSION, Severity.INCONCLUSIVE), (COURTESY, Severity.INFO)],
)
def test_starttls_that_is_refused_for_now_is_not_known(at: Endpoint, severity: Severity) -> None:
    report = findings(*on(at, GREETING, EHLO, said(Phase.STARTTLS, "454 4.7.0 TLS not available")))
    finding = found("starttls-temporarily-refused", report)
    assert finding.severity is severity
    assert finding.explanation is not None
    assert "starttls-refused" not in ids(report)


def test_starttls_is_not_missed_where_none_is_wanted() -> None:
    report = findings(talk(endpoint(tls=TlsMode.NONE), GREETING, PLAIN_EHLO))
    assert not {each for each in ids(report) if "starttls" in each}


def test_starttls_is_not_missed_where_the_session_never_began() -> None:
    for step in (said(Phase.EHLO, "421 later"), failed(Phase.EHLO, FailureKind.CLOSED)):
        assert "starttls-missing" not in ids(findings(talk(endpoint(), GREETING, step)))


def test_a_keyword_of_x_is_a_firewall_and_not_a_server_without_tls() -> None:
    report = judged("starttls-stripped")
    assert found("starttls-stripped", report).params == {"keyword": "XXXXXXXA"}
    assert "starttls-missing" not in ids(report)


def test_private_extensions_are_no_firewall() -> None:
    report = findings(talk(endpoint(), GREETING, said(Phase.EHLO, "250-mx1", "250-XCLIENT NAME", "250 XEXCH50")))
    assert "starttls-missing" in ids(report)


def test_plain_text_behind_the_220_is_told_apart_from_other_unasked_text() -> None:
    report = judged("plaintext-after-starttls")
    reply = found("plaintext-after-starttls", report).reply
    assert reply is not None
    assert reply.raw == b"250 injected\r\n"
    assert "unsolicited-reply" not in ids(report)


@pytest.mark.parametrize(
    ("lines", "severity"),
    [(("503 5.5.1 no",), Severity.ERROR), (("421 4.3.2 later",), Severity.INCONCLUSIVE)],
)
def test_ehlo_that_is_refused_inside_tls(lines: tuple[str, ...], severity: Severity) -> None:
    inside = said(Phase.EHLO, *lines, over_tls=True)
    report = findings(talk(endpoint(), GREETING, EHLO, STARTTLS, tls(), inside))
    assert found("ehlo-refused-after-tls", report).severity is severity
    # A sender for which TLS stands does not go back to clear text for a reply.
    assert "mail-reachable" not in ids(report)
    assert ("mx-all-unreachable" in ids(report)) == (severity is Severity.ERROR)


def test_starttls_and_auth_may_differ_on_the_two_sides() -> None:
    assert "ehlo-changes-after-tls" not in ids(findings(healthy()))


def test_other_changes_are_listed() -> None:
    finding = found("ehlo-changes-after-tls", judged("ehlo-changes-after-tls"))
    assert finding.params == {"before": ("SIZE", "8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES"), "after": ("DSN",)}


# --- the handshake --------------------------------------------------------------------------------------------------

FAILED = [
    (FailureKind.TLS_ALERT, "tls-handshake-alert"),
    (FailureKind.TLS_CLOSED, "tls-handshake-closed"),
    (FailureKind.RESET, "tls-handshake-closed"),
    (FailureKind.TLS_PROTOCOL, "tls-not-spoken"),
]
UNKNOWN = [(FailureKind.TLS_LOCAL, "tls-local-limit"), (FailureKind.TIMEOUT, "tls-handshake-timeout")]


@pytest.mark.parametrize(("kind", "id"), FAILED)
@pytest.mark.parametrize(("at", "severity"), WORTH)
def test_a_handshake_that_the_server_breaks(kind: FailureKind, id: str, at: Endpoint, severity: Severity) -> None:
    report = findings(*on(at, GREETING, EHLO, STARTTLS, tls_failed(kind)))
    assert found(id, report).severity is severity
    assert not [each for each in report if each.id == "starttls-works" and each.where.port == at.port != 25]


@pytest.mark.parametrize(("kind", "id"), UNKNOWN)
def test_a_handshake_that_may_be_our_own_fault_is_not_known(kind: FailureKind, id: str) -> None:
    report = findings(talk(endpoint(), GREETING, EHLO, STARTTLS, tls_failed(kind, "unsupported protocol")))
    assert found(id, report).severity is Severity.INCONCLUSIVE
    report = findings(*on(COURTESY, GREETING, EHLO, STARTTLS, tls_failed(kind, "unsupported protocol")))
    assert found(id, report).severity is Severity.INFO


def test_our_own_library_is_named_where_it_refuses() -> None:
    assert found("tls-local-limit", judged("tls-local-limit")).params == {
        "detail": "unsupported protocol",
        "openssl": "OpenSSL 3.0.15",
    }


@pytest.mark.parametrize("kind", [FailureKind.TLS_ALERT, FailureKind.TLS_CLOSED, FailureKind.TLS_PROTOCOL])
def test_without_implicit_tls_nothing_works(kind: FailureKind) -> None:
    report = findings(talk(given(465, is_required=True), tls_failed(kind)), target=MAIL)
    assert {each.severity for each in report if each.where.phase is Phase.TLS} == {Severity.ERROR}
    assert "submission-reachable" not in ids(report)


def test_plain_text_on_a_port_for_tls_is_shown() -> None:
    finding = found("tls-not-spoken", judged("tls-not-spoken"))
    assert finding.reply is not None
    assert finding.reply.code == 220
    assert finding.explanation is None  # "service ready" would be no explanation of the failure


@pytest.mark.parametrize("kind", [FailureKind.DEADLINE, FailureKind.INTERRUPTED])
def test_a_handshake_that_we_ended_is_told_by_another_check(kind: FailureKind) -> None:
    report = findings(talk(endpoint(), GREETING, EHLO, STARTTLS, tls_failed(kind)))
    assert not {each for each in ids(report) if each.startswith("tls-")}


# --- what was agreed on ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1.1", "SSLv3"])
@pytest.mark.parametrize(("at", "severity"), WORTH)
def test_an_old_version(version: str, at: Endpoint, severity: Severity) -> None:
    old = tls(version=version, cipher="ECDHE-RSA-AES256-SHA")
    report = findings(*on(at, GREETING, EHLO, STARTTLS, old, EHLO_INSIDE))
    assert found("tls-version-old", report).severity is severity


def test_tls_13_is_missed_only_where_we_could_have_spoken_it() -> None:
    from msgspec.structs import replace

    from smtpprobe.checks import judge

    probed = evidence(healthy(handshake=tls(version="TLSv1.2", cipher="ECDHE-RSA-AES256-GCM-SHA384")))
    assert found("tls-13-missing", judge(probed)).severity is Severity.INFO
    old = replace(probed, runtime=replace(probed.runtime, openssl="OpenSSL 1.1.0l  10 Sep 2019"))
    assert "tls-13-missing" not in ids(judge(old))


@pytest.mark.parametrize(
    ("cipher", "bits", "id"),
    [
        ("TLS_AES_128_GCM_SHA256", 128, None),
        ("TLS_CHACHA20_POLY1305_SHA256", 256, None),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", 128, None),
        ("DHE-RSA-AES256-SHA", 256, None),
        ("AES256-GCM-SHA384", 256, "tls-no-forward-secrecy"),
        ("CAMELLIA256-SHA", 256, "tls-no-forward-secrecy"),
        ("ECDHE-RSA-DES-CBC3-SHA", 112, "tls-cipher-weak"),
        ("ECDHE-RSA-RC4-SHA", 128, "tls-cipher-weak"),
        ("AECDH-AES256-SHA", 256, "tls-cipher-weak"),
        ("ADH-AES128-SHA", 128, "tls-cipher-weak"),
        ("NULL-SHA256", 0, "tls-cipher-weak"),
        ("EXP-DES-CBC-SHA", 40, "tls-cipher-weak"),
        ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", 112, "tls-cipher-weak"),
    ],
)
def test_ciphers(cipher: str, bits: int, id: str | None) -> None:
    report = findings(healthy(handshake=tls(version="TLSv1.2", cipher=cipher, secret_bits=bits)))
    about_it = {each for each in ids(report) if each in ("tls-cipher-weak", "tls-no-forward-secrecy")}
    assert about_it == ({id} if id else set())


def test_unasked_text_inside_tls_is_no_injection() -> None:
    report = findings(talk(endpoint(), GREETING, EHLO, STARTTLS, tls(), EHLO_INSIDE, unasked(b"250 again\r\n")))
    assert "plaintext-after-starttls" not in ids(report)
    assert "unsolicited-reply" in ids(report)


@pytest.mark.parametrize(
    ("second", "service_"),
    [
        (said(Phase.EHLO, "250 mx1", over_tls=True), Service.SERVES),
        (said(Phase.EHLO, "554 5.7.1 no", over_tls=True), Service.FAILS),
        (said(Phase.EHLO, "421 4.3.2 later", over_tls=True), Service.UNKNOWN),
        (failed(Phase.EHLO, FailureKind.CLOSED, over_tls=True), Service.FAILS),
        (failed(Phase.EHLO, FailureKind.TIMEOUT, over_tls=True), Service.UNKNOWN),
    ],
)
@pytest.mark.parametrize("port", [25, 587])
def test_a_session_that_ends_inside_tls_is_no_service(port: int, second: Exchange, service_: Service) -> None:
    assert service(talk(given(port), GREETING, EHLO, STARTTLS, tls(), second)) is service_
