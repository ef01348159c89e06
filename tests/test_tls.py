"""How the local TLS library is asked and understood."""

from __future__ import annotations

import ssl

import pytest

from smtpprobe import tls
from smtpprobe.evidence import FailureKind


def error(reason: str | None, text: str = "") -> ssl.SSLError:
    made = ssl.SSLError(1, text)
    made.reason = reason  # type: ignore[assignment]  # it is None where OpenSSL gives no reason
    return made


@pytest.mark.parametrize(
    ("reason", "kind", "detail"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", FailureKind.TLS_ALERT, "certificate_required"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", FailureKind.TLS_ALERT, "protocol_version"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", FailureKind.TLS_ALERT, "handshake_failure"),
        ("TLSV1_UNRECOGNIZED_NAME", FailureKind.TLS_ALERT, "unrecognized_name"),
        ("WRONG_VERSION_NUMBER", FailureKind.TLS_PROTOCOL, "wrong version number"),
        ("UNSUPPORTED_PROTOCOL", FailureKind.TLS_LOCAL, "unsupported protocol"),
        ("EXCESSIVE_MESSAGE_SIZE", FailureKind.TLS_LOCAL, "excessive message size"),
        ("DH_KEY_TOO_SMALL", FailureKind.TLS_LOCAL, "dh key too small"),
        (None, FailureKind.TLS_PROTOCOL, "(1, 'odd')"),
    ],
)
def test_it_is_told_whose_doing_an_error_is(reason: str | None, kind: FailureKind, detail: str) -> None:
    assert tls.explain_error(error(reason, "odd")) == (kind, detail.removeprefix("(1, '").removesuffix("')"))


def test_an_end_in_the_middle_is_a_closed_connection() -> None:
    assert tls.explain_error(ssl.SSLEOFError(8, "EOF occurred in violation of protocol"))[0] is FailureKind.TLS_CLOSED


def test_a_context_is_made_once_for_each_range_of_versions() -> None:
    assert tls.client_context() is tls.client_context()
    assert tls.client_context() is not tls.client_context(maximum=ssl.TLSVersion.TLSv1_2)


def test_the_usual_context_verifies_nothing_and_takes_old_servers() -> None:
    context = tls.client_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
    assert context.minimum_version == ssl.TLSVersion.TLSv1
    assert context.options & 0x4
    offered = {each["name"] for each in context.get_ciphers()}
    assert "AES128-SHA" in offered  # RSA key exchange
    assert not any("NULL" in name or "ADH" in name for name in offered)  # a certificate is wanted, and secrecy
