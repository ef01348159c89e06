"""TLS-RPT: whether a sender could report."""

from __future__ import annotations

import pytest

from smtpprobe.policies.tls_rpt import read_record


@pytest.mark.parametrize(
    ("records", "addresses", "problem"),
    [
        (('"v=TLSRPTv1; rua=mailto:tls@example.org"',), ("mailto:tls@example.org",), None),
        (
            ('"v=TLSRPTv1;rua=mailto:a@example.org,https://r.example.org/v1"',),
            ("mailto:a@example.org", "https://r.example.org/v1"),
            None,
        ),
        (('"v=TLSRPTv1; rua=mailto:a%40b@example.org"',), ("mailto:a%40b@example.org",), "rua-invalid"),
        (('"v=TLSRPTv1; rua=http://r.example.org/"',), ("http://r.example.org/",), "rua-invalid"),
        (('"v=TLSRPTv1; rua=tls@example.org"',), ("tls@example.org",), "rua-invalid"),
        (('"v=TLSRPTv1; rua=https://[bad/"',), ("https://[bad/",), "rua-invalid"),
        (('"v=TLSRPTv1; rua=mailto:a@example.org!10m"',), ("mailto:a@example.org!10m",), "rua-invalid"),
        (
            ('"v=TLSRPTv1; rua=mailto:a@example.org; rua=https://r.example.org/v1"',),
            ("mailto:a@example.org", "https://r.example.org/v1"),
            None,
        ),
        (('"v=TLSRPTv1;"',), (), "rua-missing"),
        (('"v=TLSRPTv1"',), (), "version-invalid"),
        (('"v=tlsrptv1; rua=mailto:a@example.org"',), (), "version-invalid"),
        (('"v=TLSRPTv1; rua=mailto:a@example.org"',) * 2, (), "several-records"),
        (('"v=spf1 -all"',), (), None),
    ],
)
def test_a_record_is_valid_where_a_sender_can_use_every_address(
    records: tuple[str, ...], addresses: tuple[str, ...], problem: str | None
) -> None:
    record = read_record(records)
    assert (record.addresses, record.problem) == (addresses, problem)
    assert record.is_valid == (bool(addresses) and problem is None)
