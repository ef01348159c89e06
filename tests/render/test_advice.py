"""Advice for the server that is there: steps for others are left out, and commands name the service that runs."""

from __future__ import annotations

import pytest

from smtpprobe import texts
from smtpprobe.evidence import Conversation, Evidence, Phase
from smtpprobe.render.advice import about_alert, fitting, is_about_servers, server_at, steps
from smtpprobe.report import Finding, Severity, Where
from tests.checks.evidence_builder import A1, A2, EHLO, MX1, MX2, dead, endpoint, evidence, said, talk

STEPS = (
    "In Postfix: postconf -e smtpd_tls_security_level=may",
    "In Exim: tls_advertise_hosts = *",
    "In OpenSMTPD: listen on ... tls pki NAME",
    "Choose by name: in Postfix tls_server_sni_maps, in Exim tls_certificate",
    "Otherwise look at the firewall.",
)


def served(made: Evidence, *places: Where) -> str | None:
    return server_at((made, each) for each in places)


def greets(words: str, host: str = MX1, address: str = A1, port: int = 25) -> Conversation:
    return talk(endpoint(host, address, port), said(Phase.GREETING, f"220 {host} ESMTP {words}"), EHLO)


@pytest.mark.parametrize(
    ("server", "kept"),
    [("postfix", (0, 3, 4)), ("exim", (1, 3, 4)), ("opensmtpd", (2, 3, 4)), ("exchange", (3, 4)), (None, range(5))],
)
def test_steps_that_begin_with_another_server_are_left_out(server: str | None, kept: tuple[int, ...]) -> None:
    assert fitting(STEPS, server) == tuple(STEPS[each] for each in kept)


def test_what_is_for_others_alone_is_kept_rather_than_nothing() -> None:
    assert fitting(STEPS[:1], "exim") == STEPS[:1]


@pytest.mark.parametrize(
    ("step", "server", "expected"),
    [
        ("See: systemctl status postfix (or exim4, dovecot)", "exim", "See: systemctl status exim4"),
        ("See: systemctl status postfix (or exim4, dovecot)", "postfix", "See: systemctl status postfix"),
        ("--deploy-hook 'systemctl reload postfix'", "exim", "--deploy-hook 'systemctl reload exim4'"),
        ("systemctl reload postfix（または exim4、dovecot）", "opensmtpd", "systemctl restart opensmtpd"),
        ("journalctl -u postfix --since -5min", "opensmtpd", "journalctl -u opensmtpd --since -5min"),
        ("grep -i tls /var/log/mail.log", "exim", "grep -i tls /var/log/exim4/mainlog"),
        ("grep -i tls /var/log/mail.log", "postfix", "grep -i tls /var/log/mail.log"),
        ("journalctl -u postfix --since -5min", "exchange", "journalctl -u postfix --since -5min"),
    ],
)
def test_a_command_names_the_service_that_runs(step: str, server: str, expected: str) -> None:
    assert fitting((step,), server) == (expected,)


@pytest.mark.parametrize("language", texts.languages())
def test_every_language_has_its_steps_for_the_server_that_is_there(language: str) -> None:
    """What is said of other servers goes, however the language builds its sentences."""
    fix = (texts.entry(language, "findings", "starttls-missing") or {})["fix"].strip().splitlines()
    kept = fitting(tuple(fix), "exim")
    assert len(kept) == len(fix) - 2
    assert not any("Postfix" in each or "OpenSMTPD" in each for each in kept)
    fix = (texts.entry(language, "findings", "certificate-expired") or {})["fix"].strip().splitlines()
    assert sum("systemctl reload exim4" in each for each in fitting(tuple(fix), "exim")) == 2
    assert not any("postfix" in each or "dovecot" in each for each in fitting(tuple(fix), "exim"))


@pytest.mark.parametrize("language", texts.languages())
@pytest.mark.parametrize(
    ("alert", "left"), [("internal_error", 2), ("protocol_version", 2), ("handshake_failure", 2), ("decode_error", 1)]
)
def test_of_the_alerts_only_the_one_that_was_seen_is_advised_on(language: str, alert: str, left: int) -> None:
    fix = tuple((texts.entry(language, "findings", "tls-handshake-alert") or {})["fix"].strip().splitlines())
    kept = about_alert(fix, alert)
    assert (len(kept), kept[0]) == (left, fix[0])
    assert all(alert.replace("_", " ") in each for each in kept[1:])


@pytest.mark.parametrize(
    ("words", "server"),
    [("Postfix (Debian/GNU)", "postfix"), ("Exim 4.98", "exim"), ("OpenSMTPD", "opensmtpd"), ("ready", None)],
)
def test_the_server_is_told_by_its_words(words: str, server: str | None) -> None:
    assert served(evidence(greets(words)), Where(host=MX1, address=A1, port=25)) == server


def test_a_closed_port_is_that_of_the_server_on_the_other_ports() -> None:
    made = evidence(greets("Exim 4.98"), dead(endpoint(port=587)))
    assert served(made, Where(host=MX1, address=A1, port=587)) == "exim"
    assert served(made, Where(host=MX1)) == "exim"
    both = evidence(greets("Exim 4.98"), greets("Postfix", port=465), dead(endpoint(port=587)))
    assert served(both, Where(host=MX1, address=A1, port=587)) is None
    assert served(both, Where(host=MX1, address=A1, port=465)) == "postfix"


def test_places_with_different_servers_or_none_have_none_in_common() -> None:
    made = evidence(greets("Exim 4.98"), greets("Postfix", MX2, A2))
    here, there = Where(host=MX1, address=A1, port=25), Where(host=MX2, address=A2, port=25)
    assert served(made, here, here) == "exim"
    assert served(made, here, there) is None
    assert served(made, here, Where(domain="example.org")) is None
    assert served(made, here, Where(host="mx9.example.org")) is None


def test_most_advice_is_about_no_server() -> None:
    assert is_about_servers(STEPS)
    assert not is_about_servers(("Check the spelling.", "dig +trace MX example.org"))


def test_commands_name_the_host_where_there_is_but_one() -> None:
    made = evidence(greets("Exim 4.98"), greets("Postfix", MX2, A2))
    fix = "nc -vz HOST 25\nIn Postfix: postconf\nIn Exim: exim -bP\nof DOMAIN"
    one, other = (
        Finding(
            id="connection-refused",
            severity=Severity.ERROR,
            where=Where(domain="example.org", host=host, address=address, port=25),
        )
        for host, address in ((MX1, A1), (MX2, A2))
    )
    assert steps(fix, [(made, one)]) == (f"nc -vz {MX1} 25", "In Exim: exim -bP", "of example.org")
    assert steps(fix, [(made, one), (made, other)]) == (
        *("nc -vz HOST 25", "In Postfix: postconf", "In Exim: exim -bP", "of example.org"),
    )
