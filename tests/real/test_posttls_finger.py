"""Our verdicts beside those of Postfix's own client: level dane, and level secure for the certificate alone.

Where the two differ, `EXPLAINED` says why.
"""

from __future__ import annotations

import pytest

from smtpprobe.evidence import Phase
from smtpprobe.report import Fate, Report, Sender
from tests.real import finger
from tests.real.expected import DANE, domains
from tests.real.test_check import check
from tests.real.world import World

pytestmark = pytest.mark.real

CERTIFICATES = ("expired", "notyet", "wrongname", "selfsigned", "nochain", "both", "tls12", "tls13")

EXPLAINED = {
    # The client goes on in clear text to show what it can; a sender at this level does not (RFC 7672 2.2).
    "daneplain": "DEFERS",
    # Without DANE the client goes on to verify by the public authorities, which a sender at this level does not.
    "opensmtpd": "ENCRYPTED",
    "insecure": "ENCRYPTED",
    "danepkix": "ENCRYPTED",
    "danepkixta": "ENCRYPTED",
}
"""What we say where the client's words mean something else, by label."""


def verdict(said: str) -> str:
    """What the client at the level dane says, in our words."""
    if "TLSA lookup error" in said:
        return Fate.DEFERS.name
    if "Verified TLS connection" in said:
        return Fate.AUTHENTICATED.name
    if "Trusted TLS connection" in said:
        return Fate.ENCRYPTED.name
    return Fate.DEFERS.name if "Untrusted TLS connection" in said else "nothing"


@pytest.fixture(scope="module")
def reports(sealed: World) -> dict[str, Report]:
    labels = (*DANE, *CERTIFICATES)
    return dict(zip(labels, check(sealed, domains(labels)).values(), strict=True))


@pytest.fixture(scope="module")
def at_level_dane(sealed: World) -> dict[str, str]:
    labels = tuple(DANE)
    said = finger.ask(sealed, domains(labels), level="dane")
    return dict(zip(labels, (said[name] for name in domains(labels)), strict=True))


@pytest.mark.parametrize("label", DANE)
def test_a_dane_sender_fares_as_postfix_says(
    reports: dict[str, Report], at_level_dane: dict[str, str], label: str
) -> None:
    [ours] = [each for each in reports[label].deliveries if each.sender is Sender.DANE]
    assert ours.fate.name == EXPLAINED.get(label, verdict(at_level_dane[label])), at_level_dane[label]


def test_certificates_are_trusted_where_postfix_trusts_them(sealed: World, reports: dict[str, Report]) -> None:
    said = finger.ask(sealed, domains(CERTIFICATES), level="secure", match="hostname")
    for label, name in zip(CERTIFICATES, domains(CERTIFICATES), strict=True):
        talk = next(each for each in reports[label].evidence.conversations if each.reply(Phase.STARTTLS))
        assert talk.session is not None
        assert talk.session.trust is not None
        assert talk.session.trust.is_trusted is ("Verified TLS connection" in said[name]), said[name]
