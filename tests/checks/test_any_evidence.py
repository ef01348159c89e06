"""No check raises for anything that evidence can hold, and nothing passes for want of an answer."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from smtpprobe.checks import judge
from smtpprobe.checks.reading import Service, service
from smtpprobe.evidence import (
    Conversation,
    Endpoint,
    Exchange,
    FailureKind,
    Handshake,
    HostOrigin,
    LookupStatus,
    Phase,
    Unsolicited,
)
from smtpprobe.report import Outcome, Severity, outcome
from tests.checks.evidence_builder import (
    A1,
    A2,
    AAAA1,
    GOOD,
    certificate,
    dead,
    endpoint,
    evidence,
    failed,
    host,
    ids,
    lookup,
    resolved,
    said,
    talk,
    tls,
    tls_failed,
    trust,
    unasked,
)

BYTES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"220 mx1.example.org ESMTP\r\n",
            b"250-mx1.example.org\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n",
            b"250 XXXXXXXA\r\n",
            b"421 4.7.0 too many connections\r\n",
            b"454 4.7.0 TLS not available\r\n",
            b"554 5.7.1 Client host blocked using zen.spamhaus.org\r\n",
            b"999\r\n",
        ]
    ),
)
PHASES = st.sampled_from([Phase.GREETING, Phase.EHLO, Phase.HELO, Phase.STARTTLS, Phase.QUIT])
KINDS = st.sampled_from(FailureKind)
EXCHANGES: st.SearchStrategy[Exchange] = st.one_of(
    st.builds(lambda phase, raw, inside: said(phase, raw=raw, over_tls=inside), PHASES, BYTES, st.booleans()),
    st.builds(lambda phase, kind, partial: failed(phase, kind, partial=partial), PHASES, KINDS, BYTES),
)
CERTIFICATES = (
    GOOD,
    certificate(not_before=None, not_after=None, unreadable="no"),
    certificate(days=-4),
    certificate(dns_names=(), common_name=None, subject="", issuer=""),
    certificate(key_type=None, key_bits=None, signature_hash=None),
)
TRUST = st.one_of(
    st.none(),
    st.builds(
        lambda chain, matched, in_date, issuer, roots: trust(
            chain=chain, matched=matched, in_date=in_date, is_issuer_missing=issuer, has_roots=roots
        ),
        st.booleans(),
        st.sampled_from([True, False, None]),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
)
HANDSHAKES: st.SearchStrategy[Handshake] = st.one_of(
    st.builds(lambda leaf, facts: tls(leaf, trust=facts), st.sampled_from(CERTIFICATES), TRUST),
    st.builds(lambda version, cipher: tls(version=version, cipher=cipher), st.text(max_size=9), st.text(max_size=9)),
    st.builds(lambda kind, partial: tls_failed(kind, partial=partial), KINDS, BYTES),
)
UNASKED: st.SearchStrategy[Unsolicited] = st.builds(
    lambda raw, before: unasked(raw, before_handshake=before), BYTES, st.booleans()
)
ENDPOINTS: st.SearchStrategy[Endpoint] = st.builds(
    lambda name, address, port, origin, required: endpoint(name, address, port, origin=origin, is_required=required),
    st.sampled_from(["mx1.example.org", "mx2.example.org", A1]),
    st.sampled_from([A1, A2, AAAA1, "10.0.0.1"]),
    st.sampled_from([25, 465, 587]),
    st.sampled_from(HostOrigin),
    st.booleans(),
)
CONVERSATIONS: st.SearchStrategy[Conversation] = st.one_of(
    st.builds(dead, ENDPOINTS, KINDS),
    st.builds(
        lambda at, exchanges, handshake, strays: talk(at, *exchanges, *handshake, *strays),
        ENDPOINTS,
        st.lists(EXCHANGES, max_size=5),
        st.lists(HANDSHAKES, max_size=1),
        st.lists(UNASKED, max_size=2),
    ),
)


@given(st.lists(CONVERSATIONS, max_size=4), st.booleans())
@settings(max_examples=100, deadline=None)
def test_no_conversation_breaks_a_check_or_passes_unseen(talks: list[Conversation], is_interrupted: bool) -> None:
    report = judge(evidence(*talks, shown=CERTIFICATES, is_interrupted=is_interrupted))
    assert "check-failed" not in ids(report)
    assert judge(report.evidence) == report
    if not any(service(each) is Service.SERVES for each in talks):
        assert outcome(report, Severity.ERROR) is not Outcome.PASSED
        assert not report.ok


@given(
    st.sampled_from(LookupStatus),
    st.lists(st.sampled_from(["0 .", "10 mx1.example.org", "x", "10 10.0.0.1", "70000 y."]), max_size=3),
    st.lists(
        st.builds(
            lambda name, addresses, origin, status: host(name, *addresses, origin=origin, status=status),
            st.sampled_from(["mx1.example.org", "localhost", "10.0.0.1", "a..b", ""]),
            st.lists(st.sampled_from([A1, AAAA1, "10.0.0.1", "::1"]), max_size=2, unique=True),
            st.sampled_from(HostOrigin),
            st.sampled_from(LookupStatus),
        ),
        max_size=3,
    ),
)
@settings(max_examples=100, deadline=None)
def test_no_answer_of_the_name_system_breaks_a_check(
    status: LookupStatus, records: list[str], hosts: list[object]
) -> None:
    resolution = resolved(*hosts, mx=lookup("example.org", "MX", *records, status=status))  # type: ignore[arg-type]
    report = judge(evidence(resolution=resolution))
    assert "check-failed" not in ids(report)
    assert outcome(report, Severity.ERROR) is not Outcome.PASSED
    assert not report.ok
