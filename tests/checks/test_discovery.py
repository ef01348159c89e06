"""What SRV records promise to mail programs, held against the servers that were probed."""

from __future__ import annotations

from typing import Any

import pytest

from smtpprobe.checks import judge
from smtpprobe.checks.discovery import Server, read_server
from smtpprobe.evidence import Evidence, FailureKind, LookupStatus, Policies
from smtpprobe.report import Severity
from tests.checks.evidence_builder import (
    A2,
    DOMAIN,
    GREETING,
    MX2,
    PLAIN_EHLO,
    dead,
    endpoint,
    evidence,
    found,
    healthy,
    ids,
    lookup,
    talk,
)
from tests.checks.policy_scenarios import MAIL, announced, at_mail

RECORD = f"0 1 587 {MAIL}"


def of_submission(made: Evidence) -> set[str]:
    return {each for each in ids(judge(made)) if each.startswith("submission-")}


@pytest.mark.parametrize("record", ["", "587 mail.example.org", "0 1 x mail.example.org", "0 1 587 a b", "0 1 ٣ a"])
def test_what_is_no_srv_record_is_none(record: str) -> None:
    assert (read_server(record) if record else None) is None


def test_a_record_is_read() -> None:
    assert read_server(RECORD) == Server(0, 1, 587, MAIL)


def test_what_was_not_asked_for_is_not_judged() -> None:
    assert of_submission(evidence(healthy(), policies=Policies())) == set()


def test_the_servers_stand_in_the_order_of_trying() -> None:
    made = announced(f"10 1 587 {MAIL}", "5 1 587 a.example.org", "5 9 587 b.example.org")
    assert found("submission-servers-alike", judge(made)).params["servers"] == (
        "b.example.org:587",
        "a.example.org:587",
    )
    assert found("submission-announced", judge(made)).params["servers"] == (
        "b.example.org:587",
        "a.example.org:587",
        f"{MAIL}:587",
    )


@pytest.mark.parametrize(
    "conversation",
    [
        healthy(at_mail()),
        dead(at_mail(), FailureKind.TIMEOUT),
        dead(at_mail(25)),
        dead(endpoint(MX2, A2, 587)),
    ],
    ids=["works", "not known", "another port", "another host"],
)
def test_only_what_was_seen_of_the_very_server_counts_against_it(conversation: Any) -> None:
    assert of_submission(announced(RECORD, talks=(conversation,))) >= {"submission-announced"}


def test_a_server_that_fails_beside_one_that_works_is_a_warning() -> None:
    made = announced(RECORD, f"9 1 587 {MX2}", talks=(dead(at_mail()), healthy(endpoint(MX2, A2, 587))))
    assert found("submission-announced-unreachable", judge(made)).severity is Severity.WARNING
    alone = announced(RECORD, talks=(dead(at_mail()),))
    assert found("submission-announced-unreachable", judge(alone)).severity is Severity.ERROR
    assert "submission-announced" not in of_submission(alone)


def test_one_address_that_works_is_enough() -> None:
    made = announced(RECORD, talks=(dead(at_mail()), healthy(endpoint(MAIL, A2, 587))))
    assert of_submission(made) >= {"submission-announced"}
    unknown = announced(RECORD, talks=(dead(at_mail()), dead(endpoint(MAIL, A2, 587), FailureKind.TIMEOUT)))
    assert "submission-announced-unreachable" not in of_submission(unknown), "the other address may work"
    plain = announced(RECORD, talks=(dead(at_mail()), talk(endpoint(MAIL, A2, 587), GREETING, PLAIN_EHLO)))
    assert of_submission(plain) >= {"submission-announced-without-tls"}


def test_addresses_that_are_not_known_are_not_missing() -> None:
    made = announced(RECORD, hosts=(lookup(MAIL, "A"), lookup(MAIL, "AAAA", status=LookupStatus.TIMEOUT)))
    assert "submission-target-without-address" not in ids(judge(made))
    assert found("submission-lookup-failed", judge(made)).params["rrtype"] == "AAAA"
    assert of_submission(announced(RECORD, hosts=())) == {"submission-announced"}, "nobody asked"


def test_one_host_with_an_address_makes_the_other_a_warning() -> None:
    hosts = (lookup(MAIL, "A"), lookup(MAIL, "AAAA"), lookup(MX2, "A", A2))
    made = announced(RECORD, f"9 1 587 {MX2}", hosts=hosts)
    assert found("submission-target-without-address", judge(made)).severity is Severity.WARNING


def test_each_service_has_its_own_usual_port() -> None:
    swapped = announced(f"0 1 465 {MAIL}", implicit=(f"0 1 587 {MAIL}",))
    unusual = [each for each in judge(swapped).findings if each.id == "submission-port-unusual"]
    assert [(each.params["name"], each.params["usual"]) for each in unusual] == [
        (f"_submissions._tcp.{DOMAIN}", 465),
        (f"_submission._tcp.{DOMAIN}", 587),
    ]


def test_that_nothing_is_announced_takes_an_answer_to_both_questions() -> None:
    assert of_submission(announced(status=LookupStatus.TIMEOUT)) == {"submission-lookup-failed"}
