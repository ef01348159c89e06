"""The names that a server goes by, and when it is worth a note that they differ."""

from __future__ import annotations

import msgspec
import pytest

from smtpprobe.checks import judge
from smtpprobe.evidence import Evidence, LookupStatus
from tests.checks.evidence_builder import A2, MX1, MX2, certificate, endpoint, found, ids, lookup
from tests.checks.scenarios import named

STRANGE = "host7.example.net"


def replaced(made: Evidence, **resolution: object) -> Evidence:
    return msgspec.structs.replace(made, resolution=msgspec.structs.replace(made.resolution, **resolution))


def test_a_name_that_nothing_else_knows_is_a_note_with_all_names() -> None:
    assert found("server-names-differ", judge(named(STRANGE, "a.example.com"))).params == {
        "own": (STRANGE,),
        "host": MX2,
        "reverse": ("a.example.com",),
        "certificate": (MX1,),
    }


@pytest.mark.parametrize(
    "made",
    [
        named(MX2, "a.example.com"),
        named(STRANGE, "a.example.com", STRANGE),
        named(STRANGE.upper(), STRANGE),
        named(MX1, "a.example.com"),
        named(STRANGE, "a.example.com", leaf=certificate("*.example.net")),
        named("localhost", "a.example.com"),
        named("[192.0.2.1]", "a.example.com"),
        named(MX2),
    ],
    ids=["the MX name", "reverse", "capitals", "certificate", "wildcard", "not public", "address", "alone"],
)
def test_one_agreement_is_enough(made: Evidence) -> None:
    assert "server-names-differ" not in ids(judge(made))


def test_a_reverse_name_that_could_not_be_looked_up_may_agree() -> None:
    made = named(STRANGE)
    [known] = made.resolution.reverse
    failed = msgspec.structs.replace(known, ptr=lookup(known.ptr.name, "PTR", status=LookupStatus.TIMEOUT))
    assert "server-names-differ" not in ids(judge(replaced(made, reverse=(failed,))))
    assert "server-names-differ" in ids(judge(made)), "the certificate alone is another name"


def test_a_host_is_noted_once_and_not_where_one_of_its_endpoints_agrees() -> None:
    strange = named(STRANGE)
    [talk] = strange.conversations
    also = msgspec.structs.replace(talk, endpoint=endpoint(MX2, A2))
    both = msgspec.structs.replace(strange, conversations=(talk, also))
    found("server-names-differ", judge(both))
    [agreeing] = named(MX2).conversations
    other = msgspec.structs.replace(agreeing, endpoint=endpoint(MX2, A2))
    assert "server-names-differ" not in ids(judge(msgspec.structs.replace(strange, conversations=(talk, other))))
