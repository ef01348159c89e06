"""What is said, before it is laid out: which finding answers, what is next, and what may be pasted into a shell."""

from __future__ import annotations

import msgspec
import pytest

from smtpprobe.checks import judge
from smtpprobe.evidence import Failure, FailureKind, Phase
from smtpprobe.render.view import View, view
from smtpprobe.report import Finding, Severity, Where
from tests.checks.evidence_builder import EHLO, GREETING, STARTTLS, endpoint, evidence, said, talk, tls
from tests.render import reports


def seen(*findings: Finding) -> View:
    return view(msgspec.structs.replace(reports.healthy(), findings=findings), "en")


def timeout(**where: object) -> Finding:
    """A finding whose first step has a command with ``HOST`` in it."""
    return Finding(
        id="connection-timeout",
        severity=Severity.ERROR,
        where=Where(**where),  # type: ignore[arg-type]
        params={"port": 25, "timeout": 10.0},
    )


@pytest.mark.parametrize(
    ("host", "typed"),
    [
        ("mx1.example.org", "nc -vz mx1.example.org "),
        ("192.0.2.1", "nc -vz 192.0.2.1 "),
        ("$(reboot).example.org", "nc -vz HOST "),
        ("-oProxyCommand=reboot", "nc -vz HOST "),
        ("mx1;reboot", "nc -vz HOST "),
        ("mx1 example", "nc -vz HOST "),
        ("mx1.example.org\nreboot", "nc -vz HOST "),
        ("2001:db8::1", "nc -vz HOST "),
    ],
)
def test_only_what_can_be_nothing_but_a_host_name_is_put_into_a_command(host: str, typed: str) -> None:
    assert typed in seen(timeout(host=host, address="192.0.2.1", port=25)).next_step


def test_the_domain_is_put_into_what_is_to_be_published() -> None:
    shown = seen(
        Finding(
            id="mta-sts-not-published",
            severity=Severity.INFO,
            where=Where(domain="example.org"),
            params={"name": "_mta-sts.example.org"},
        )
    )
    assert shown.notes[0].steps[0].startswith("Serve https://mta-sts.example.org/.well-known/mta-sts.txt")
    hostile = Finding(
        id="mta-sts-not-published", severity=Severity.INFO, where=Where(domain="a b.example"), params={"name": "-"}
    )
    assert "mta-sts.DOMAIN/" in seen(hostile).notes[0].steps[0]


def test_what_was_typed_is_put_into_commands_where_it_is_a_name() -> None:
    late = Finding(
        id="deadline-reached", severity=Severity.INCONCLUSIVE, params={"seconds": 3.0, "count": 1, "total": 3}
    )
    assert seen(late).next_step == "Give more time: smtpprobe check --deadline 5m example.org"
    report = reports.healthy()
    odd = msgspec.structs.replace(report.evidence.target, text="me@[192.0.2.1]; reboot")
    evidence = msgspec.structs.replace(report.evidence, target=odd)
    words = view(msgspec.structs.replace(report, evidence=evidence, findings=(late,)), "en")
    assert words.next_step.endswith("--deadline 5m TARGET")


def test_an_endpoint_that_our_own_time_left_out_is_not_known() -> None:
    report = reports.healthy()
    first, *others = report.evidence.conversations
    failure = Failure(phase=Phase.GREETING, kind=FailureKind.DEADLINE)
    late = msgspec.structs.replace(first, exchanges=(), failure=failure)
    evidence = msgspec.structs.replace(report.evidence, conversations=(late, *others))
    words = view(msgspec.structs.replace(report, evidence=evidence, findings=()), "en")
    assert words.hosts[0].endpoints[0].severity is Severity.INCONCLUSIVE
    assert words.hosts[0].endpoints[0].state.startswith("out of time")


@pytest.mark.parametrize(
    ("lines", "state"),
    [(("250 mx1.example.org",), "answers"), (("503 5.5.1 no",), "503 (EHLO)")],
    ids=["taken", "refused"],
)
def test_an_endpoint_answers_where_it_takes_ehlo_inside_tls_too(lines: tuple[str, ...], state: str) -> None:
    talked = talk(endpoint(), GREETING, EHLO, STARTTLS, tls(), said(Phase.EHLO, *lines, over_tls=True))
    words = view(judge(evidence(talked)), "en")
    assert words.hosts[0].endpoints[0].state == state


def test_what_holds_for_every_sender_is_told_once() -> None:
    words = view(reports.nowhere(), "en").deliveries
    assert [each.sender for each in words] == ["Any sender"]
    assert [each.sender for each in view(reports.healthy(), "en").deliveries] == [
        "Any sender",
        "Sender with MTA-STS",
        "Sender with DANE",
    ]


def test_a_cause_is_told_before_what_sums_it_up() -> None:
    """The sum is the headline; what to do next is about the server that fails."""
    total = Finding(
        id="mx-all-unreachable", severity=Severity.ERROR, params={"hosts": ("mx1.example.org",), "count": 1}
    )
    milder = Finding(id="ptr-missing", severity=Severity.WARNING)
    cause = timeout(host="mx1.example.org", address="192.0.2.1", port=25)
    shown = seen(total, milder, cause)
    assert shown.headline.startswith("No mail can come in")
    assert shown.lead.endswith("(mx1.example.org 192.0.2.1:25)")
    assert shown.next_step.startswith("Try from a second network: nc -vz mx1.example.org")
    assert [each.id for each in shown.problems] == ["mx-all-unreachable", "connection-timeout", "ptr-missing"]
    alone = seen(total, milder)
    assert (alone.lead, alone.next_step.startswith("Begin with the server")) == ("", True)


def test_a_step_for_several_hosts_names_none() -> None:
    findings = [timeout(host=f"mx{number}.example.org", address="192.0.2.1", port=25) for number in (1, 2)]
    assert "nc -vz HOST " in seen(*findings).next_step


def test_the_lead_names_the_place_and_counts_the_others() -> None:
    findings = [timeout(host="mx1.example.org", address=f"192.0.2.{number}", port=25) for number in (1, 2, 3)]
    shown = seen(Finding(id="mail-reachable", severity=Severity.OK), *findings)
    assert shown.lead.endswith("(mx1.example.org 192.0.2.1:25, 2 more)")


def test_without_a_headline_the_gravest_problem_is_told_and_not_repeated() -> None:
    warning = Finding(id="one", severity=Severity.WARNING)
    error = Finding(id="two", severity=Severity.ERROR)
    shown = seen(warning, error)
    assert (shown.headline, shown.lead) == ("two", "")
    assert [each.id for each in shown.problems] == ["two", "one"]


def test_nothing_found_is_never_told_as_well() -> None:
    shown = seen()
    assert shown.status is Severity.INCONCLUSIVE
    assert shown.headline == "No mail server could be tried"


def test_findings_with_the_same_advice_are_one_and_others_are_not() -> None:
    same = [timeout(host="mx1.example.org", address="192.0.2.1", port=port) for port in (25, 587)]
    shown = seen(*same, msgspec.structs.replace(same[0], severity=Severity.WARNING))
    assert [len(each.instances[0].places[0].endpoints) for each in shown.problems] == [2, 1]
