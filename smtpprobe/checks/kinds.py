"""What kinds of findings there are: each id once, with the severities that it may have and what its words may name.

A check module declares its kinds as constants and makes findings from them. So the list of ids cannot differ from what
the checks emit, and a finding without a parameter that its words need fails at once, in the check that made it. The
words themselves are in the ``findings`` texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from smtpprobe.evidence import Fact, Reply
from smtpprobe.reference.model import Actor, Confidence
from smtpprobe.report import Finding, Param, Severity, Where


class Topic(StrEnum):
    """What a finding is about; groups the list of ids for people."""

    SUMMARY = "summary"
    DNS = "dns"
    REACHABILITY = "reachability"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    TLS = "tls"
    CERTIFICATE = "certificate"
    PROTOCOL = "protocol"
    DANE = "dane"
    MTA_STS = "mta-sts"
    TLS_RPT = "tls-rpt"
    SECURITY = "security"
    """Of the intrusive probes."""
    EXPECTATIONS = "expectations"
    """Of a file that says what is expected."""
    PROBE = "probe"
    """About the probe itself: cut short, or a defect of ours."""


class Kind(Fact, frozen=True, kw_only=True):
    """One kind of finding."""

    id: str
    """Kebab-case, names the problem, stable: part of the interface."""
    topic: Topic
    severities: tuple[Severity, ...]
    """All that it may have, the usual one first."""
    params: tuple[str, ...] = ()
    """The parameters that each finding of this kind has: its words' placeholders."""
    worded: Mapping[str, str] = {}
    """Parameters whose values are ids of a closed set -> the table of the ``labels`` texts that has words for them. An
    id may carry what it is about behind a colon: ``mx-invalid:a_b``."""

    actor: Actor | None = None
    """Who must act, whatever the reply that such a finding rests on says for itself: to a client that is told 502 it is
    the client's command that was wrong, but a server that does not know EHLO is for the server's people to mend. None:
    as the reply says."""

    @property
    def severity(self) -> Severity:
        """The usual severity."""
        return self.severities[0]

    def found(
        self,
        where: Where,
        /,
        *,
        as_: Severity | None = None,
        sure: Confidence = Confidence.CERTAIN,
        because_of: Reply | None = None,
        **params: Param,
    ) -> Finding:
        """Make a finding of this kind.

        Args:
            where: as specific as it is true.
            as_: the severity; None: the usual one.
            sure: how sure the judgement is.
            because_of: the reply that it rests on; then `where` names its phase, by which the reply is explained.
            params: exactly those of `Kind.params`.

        Raises:
            ValueError: parameters or severity are not those of the kind: a defect of the check.
        """
        severity = as_ if as_ is not None else self.severity
        if params.keys() != set(self.params):
            raise ValueError(f"{self.id} has the parameters {self.params}, not {tuple(params)}")
        if severity not in self.severities:
            raise ValueError(f"{self.id} is never {severity}")
        return Finding(
            id=self.id, severity=severity, confidence=sure, where=where, params=dict(params), reply=because_of
        )


def kind(
    id: str,
    topic: Topic,
    *severities: Severity,
    params: tuple[str, ...] = (),
    worded: Mapping[str, str] | None = None,
    actor: Actor | None = None,
) -> Kind:
    """Declare a kind; the first severity is the usual one."""
    return Kind(id=id, topic=topic, severities=severities, params=params, worded=worded or {}, actor=actor)
