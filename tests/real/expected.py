"""What a check finds on each domain of the real world, beyond what it finds on all of them.

By label below ``example.test``; a finding is written ``SEVERITY ID``. The same holds for the evidence recorded from
them, which is judged without servers.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from smtpprobe.checks import KINDS
from smtpprobe.checks.kinds import Topic
from smtpprobe.report import Report, Severity

EVIDENCE = Path(__file__).parent.parent / "data" / "evidence"
"""Where recorded evidence is, a file a domain."""
RECORDED = ("", "exim", "opensmtpd", "broken", "postscreen", "reject", "expired", "plain", "halfdead", "danebad")
"""The domains whose evidence is recorded, by label."""

ON_LOOPBACK = "info mx-address-private"
"""Found wherever a host has an address: all of them are in 127.0.0.0/8."""
ON_25_ONLY = "info submission-not-offered"
"""Found on all hosts that serve port 25 alone."""

EXPECTED: dict[str, frozenset[str]] = {
    label: frozenset(found)
    for label, found in {
        # three implementations
        "": (),
        "exim": (),
        "opensmtpd": (),
        "multi": (),
        "broken": ("warning tls-handshake-alert", ON_25_ONLY),
        # who answers
        "silent": ("inconclusive connection-timeout", ON_25_ONLY),
        "halfdead": ("warning connection-refused", ON_25_ONLY),
        "alldead": ("error connection-refused", "error mx-all-unreachable", ON_25_ONLY),
        # certificates
        "expired": ("warning certificate-expired", ON_25_ONLY),
        "notyet": ("warning certificate-not-yet-valid", ON_25_ONLY),
        "wrongname": ("warning certificate-name-mismatch", ON_25_ONLY),
        "selfsigned": ("warning certificate-self-signed", ON_25_ONLY),
        "nochain": ("warning certificate-intermediate-missing", ON_25_ONLY),
        "rsa": (ON_25_ONLY,),
        "both": (ON_25_ONLY,),
        "rsa1024": ("warning certificate-key-weak", ON_25_ONLY),
        "sha1": ("warning certificate-signature-weak", ON_25_ONLY),
        # certificates that a TLSA record vouches for
        **dict.fromkeys(
            ("daneexpired", "danewrongname", "daneselfsigned"), ("info certificate-only-by-dane", ON_25_ONLY)
        ),
        "danetawrongname": ("warning certificate-name-mismatch", ON_25_ONLY),
        # TLS
        "tls10": ("warning tls-version-old", ON_25_ONLY),
        "tls11": ("warning tls-version-old", ON_25_ONLY),
        "tls12": ("info tls-13-missing", ON_25_ONLY),
        "tls13": (ON_25_ONLY,),
        "plain": ("warning starttls-missing", ON_25_ONLY),
        "tlsrefused": ("inconclusive starttls-temporarily-refused", ON_25_ONLY),
        "tlsbroken": ("warning tls-handshake-alert", ON_25_ONLY),
        # what Postfix says
        "needtls": (ON_25_ONLY,),
        "reject": ("inconclusive client-refused", ON_25_ONLY),
        "rejecthelo": ("inconclusive client-refused", ON_25_ONLY),
        "busy": (ON_25_ONLY,),
        "postscreen": ("info greeting-multiline", ON_25_ONLY),
        # names
        "nullmx": ("info null-mx", "inconclusive nothing-probed"),
        "nullplus": ("error null-mx-beside-others",),
        "mxalias": ("warning mx-is-alias",),
        "mxmissing": ("error mx-host-not-found",),
        "mxempty": ("error mx-host-without-address",),
        "mxliteral": ("error mx-is-address-literal",),
        "implicit": ("info implicit-mx",),
        "viaalias": (),
        "nothing": ("error no-mail-host",),
        "nosuch": ("error domain-not-found",),
        "loop": ("inconclusive mx-lookup-servfail",),
        "lame": ("inconclusive mx-lookup-servfail",),
        "bogus": ("error mx-lookup-bogus",),
        "expired-signatures": ("error mx-lookup-bogus",),
        "insecure": (),
        "many": (),
    }.items()
}


TRUST = frozenset({Topic.DANE, Topic.MTA_STS, Topic.TLS_RPT})
"""What is published for senders; `EXPECTED` is about all else."""

_MATCH, _LAST = "ok dane-match", "info dane-without-rollover"
_BAD_POLICY = frozenset({"warning mta-sts-policy-invalid"})

DANE: dict[str, frozenset[str]] = {
    label: frozenset(found)
    for label, found in {
        "": (_MATCH, _LAST),
        "multi": (_MATCH, _LAST, "info dane-not-published"),  # the last of the three hosts has none
        "opensmtpd": ("info dane-not-published",),
        # every form of a record that fits
        **dict.fromkeys(("dane311", "dane310", "dane312", "dane301", "dane302", "dane300"), (_MATCH, _LAST)),
        **dict.fromkeys(("dane211", "daneroot", "danefullroot", "danekey", "danekeyroot"), (_MATCH,)),
        # what DANE-EE does not look at (RFC 7671 5.1)
        **dict.fromkeys(("daneexpired", "danewrongname", "daneselfsigned"), (_MATCH, _LAST)),
        # several records
        **dict.fromkeys(("danerollover", "danestale", "danestronger"), (_MATCH,)),
        **dict.fromkeys(("danemixed", "daneboth"), (_MATCH, _LAST)),
        # aliases (RFC 7672 2.2.2)
        **dict.fromkeys(("alias", "alias2", "alias3", "danealias", "danecname"), (_MATCH, _LAST)),
        "partlydane": (_MATCH, _LAST, "info dane-not-published"),
        # none that fits
        **dict.fromkeys(
            (
                "danebad",
                "danemixedbad",
                "daneunsentroot",
                "danetawrongname",
                "danetaexpired",
                "danewrongkey",
                "daneweaker",
            ),
            ("error dane-mismatch",),
        ),
        "daneplain": ("error dane-without-tls",),
        **dict.fromkeys(
            ("danepkix", "danepkixta", "danematching", "daneselector", "daneshort"), ("warning dane-unusable",)
        ),
        # not vouched for, or not to be had
        "insecure": ("warning dane-insecure",),
        "insecure-to-secure": (_MATCH, _LAST, "warning dane-mx-insecure"),
        "insecure-to-bad": ("error dane-mismatch", "warning dane-mx-insecure"),
        "danefail": ("error dane-lookup-failed",),
    }.items()
}
"""What is found of DANE, good and bad, on the domains that are about it."""

MTA_STS: dict[str, frozenset[str]] = {
    label: frozenset(found)
    for label, found in {
        **dict.fromkeys(
            (
                "", "sts-enforce", "sts-wildcard", "sts-several", "sts-lf", "sts-charset", "sts-extension",
                "sts-splittxt", "sts-othertxt", "sts-twomodes",
            ),
            ("ok mta-sts-enforced",),
        ),
        "sts-testing": ("info mta-sts-testing",),
        "sts-none": ("info mta-sts-none",),
        "sts-shortmaxage": ("ok mta-sts-enforced", "info mta-sts-max-age-short"),
        # the servers do not keep the policy
        "sts-unlisted": ("ok mta-sts-enforced", "error mta-sts-mx-not-listed"),
        "sts-unlisted-testing": ("info mta-sts-testing", "warning mta-sts-mx-not-listed"),
        "sts-deepwildcard": ("ok mta-sts-enforced", "error mta-sts-mx-not-listed"),
        "sts-plain": ("ok mta-sts-enforced", "error mta-sts-mx-without-tls"),
        "sts-badmx": ("ok mta-sts-enforced", "error mta-sts-mx-untrusted"),
        # the record
        **dict.fromkeys(("sts-twotxt", "sts-badid", "sts-noid"), ("warning mta-sts-record-invalid",)),
        **dict.fromkeys(("sts-badrecord", "sts-notxt"), ("info mta-sts-not-published",)),
        # the policy
        **dict.fromkeys(
            (
                "sts-badversion", "sts-badmode", "sts-nomode", "sts-nomx", "sts-nomaxage", "sts-badmaxage",
                "sts-longmaxage", "sts-empty", "sts-binary",
            ),
            _BAD_POLICY,
        ),
        **dict.fromkeys(("sts-html", "sts-mediatype"), ("warning mta-sts-policy-type",)),
        "sts-big": ("warning mta-sts-policy-too-large",),
        # its host
        **dict.fromkeys(
            ("sts-nohost", "sts-drip", "sts-cut", "sts-silenttls", "sts-silent"),
            ("warning mta-sts-policy-unreachable",),
        ),
        **dict.fromkeys(
            ("sts-expiredcert", "sts-wrongname", "sts-selfsigned"), ("warning mta-sts-policy-certificate",)
        ),
        "sts-redirect": ("warning mta-sts-policy-redirect",),
        **dict.fromkeys(("sts-404", "sts-500"), ("warning mta-sts-policy-status",)),
        # the name system
        **dict.fromkeys(("bogus", "lame"), ("inconclusive mta-sts-lookup-failed",)),
    }.items()
}  # fmt: skip
"""What is found of MTA-STS on the domains that are about it."""

TLS_RPT: dict[str, frozenset[str]] = {
    label: frozenset(found)
    for label, found in {
        **dict.fromkeys(("", "rpt-mail", "rpt-https", "rpt-other", "rpt-split"), ("ok tls-rpt-found",)),
        **dict.fromkeys(("rpt-two", "rpt-norua", "rpt-scheme"), ("warning tls-rpt-invalid",)),
        "rpt-version": ("info tls-rpt-not-published",),
        "lame": ("info tls-rpt-lookup-failed",),
    }.items()
}
"""What is found of TLS reporting on the domains that are about it."""


def found(report: Report) -> frozenset[str]:
    """The findings of a report in the form of `EXPECTED`: without what is well, published or common to all."""
    every = {
        f"{finding.severity} {finding.id}"
        for finding in report.findings
        if finding.severity is not Severity.OK and KINDS[finding.id].topic not in TRUST
    }
    return frozenset(every - {ON_LOOPBACK})


def found_of(report: Report, topic: Topic) -> frozenset[str]:
    """The findings of one topic, those included that say that all is well."""
    return frozenset(
        f"{finding.severity} {finding.id}" for finding in report.findings if KINDS[finding.id].topic is topic
    )


def domains(labels: Iterable[str]) -> list[str]:
    """The full names for labels; the empty label is ``example.test`` itself."""
    return [f"{label}.example.test".lstrip(".") for label in labels]
