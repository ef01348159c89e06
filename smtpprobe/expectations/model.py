"""The form of ``smtpprobe.toml``. A field that is None expects nothing.

Keys in the file are those of the fields with hyphens. Durations are numbers of seconds or texts such as ``"500ms"``.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

import msgspec

Duration = float | str
TlsVersion = Literal["1.0", "1.1", "1.2", "1.3"]
RoleName = Literal["smtp", "submission", "submissions"]
Level = Literal["error", "warning", "info"]


class Table(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """Base of the tables of the file."""


class Session(Table, frozen=True, kw_only=True):
    """What is expected of each session, which is to say of each address and port that the target is about."""

    greeting_code: int | None = None
    """Of the greeting, as 220."""
    greeting_matches: str | None = None
    """A regular expression that the text of the greeting has a match for."""
    greeting_within: Duration | None = None
    """From the connection to the end of the greeting."""
    capabilities: tuple[str, ...] | None = None
    """Keywords that the last EHLO reply offers, which is the one inside TLS where there is TLS."""
    no_capabilities: tuple[str, ...] | None = None
    """Keywords that it must not offer."""
    capabilities_before_tls: tuple[str, ...] | None = None
    """Keywords that the EHLO reply before STARTTLS offers."""
    no_capabilities_before_tls: tuple[str, ...] | None = None
    """Keywords that it must not offer."""
    auth: tuple[str, ...] | None = None
    """The AUTH mechanisms of the last EHLO reply: these and no others, in any order."""
    auth_before_tls: bool | None = None
    """Whether AUTH is offered in clear text; false is what a careful server does (RFC 4954 4)."""
    min_tls: TlsVersion | None = None
    """TLS stands, and in no lower version; none lower is spoken at all where the versions are tried one by one."""
    certificate_trusted: bool | None = None
    """Whether chain, dates, use and name of the certificate are in order."""
    certificate_days: int | None = None
    """The certificate is valid for at least so many days."""
    size: int | None = None
    """The SIZE that EHLO offers is at least so many bytes; 0 of the server is no limit (RFC 1870 4)."""
    software: str | None = None
    """The product that answers, with or without the beginning of its version, as far as its words tell."""
    replies: tuple[str, ...] | None = None
    """Replies to questions: ``rcpt me@example.org -> 250``. A code may be ``2xx``, have an enhanced code behind it, and
    have alternatives behind ``|``. What can be asked: noop, help, vrfy, mail, rcpt. Nothing is ever sent."""


class Expected(Session, frozen=True, kw_only=True):
    """What is expected of a target."""

    reachable: tuple[RoleName, ...] | None = None
    """The services that do their work on each address."""
    mx: tuple[str, ...] | None = None
    """The MX hosts in their order, as ``mx1.example.org`` or ``10 mx1.example.org``; ``.`` alone is a null MX."""
    dane: bool | None = None
    """True: each server fits TLSA records that DNSSEC vouches for. False: there are none."""
    mta_sts: Literal["enforce", "testing", "none", "absent"] | None = None
    """The mode of the MTA-STS policy that senders would act on; absent: there is none."""
    tls_rpt: bool | None = None
    """Whether a usable address for TLS reports is published."""
    ptr: bool | tuple[str, ...] | None = None
    """True: each address has a name that points back. Names: it is one of these. False: it has none."""
    within: Duration | None = None
    """For the whole probe."""
    smtp: Session | None = None
    """Of the sessions of port 25 alone; goes before what is expected of all."""
    submission: Session | None = None
    """Of submission with STARTTLS alone."""
    submissions: Session | None = None
    """Of submission over implicit TLS alone."""


class Allowance(Table, frozen=True, kw_only=True):
    """A finding that is known and allowed: it becomes a note."""

    finding: str
    """Its id."""
    reason: str
    """Why, for whoever reads the report."""
    until: date | None = None
    """The last day on which it is allowed; without it, for ever."""
    host: str | None = None
    """On this host only."""
    port: int | None = None
    """On this port only."""


class Settings(Table, frozen=True, kw_only=True):
    """How a target is probed, and what is expected of it. In ``defaults``: of all targets that do not say otherwise."""

    ports: tuple[str | int, ...] | None = None
    """As ``--port``: 25, ``"smtp:2525"``."""
    family: Literal["any", "ipv4", "ipv6"] | None = None
    resolvers: tuple[str, ...] | None = None
    """As ``--resolver``."""
    resolve: dict[str, str] | None = None
    """As ``--resolve``: a name and the address to use for it."""
    ca: str | None = None
    """As ``--ca``: a PEM file, relative to the folder of this file."""
    ehlo: str | None = None
    """As ``--ehlo``."""
    timeout: Duration | None = None
    """As ``--timeout``."""
    deadline: Duration | None = None
    """As ``--deadline``."""
    tls_versions: bool | None = None
    """As ``--tls-versions``."""
    security: bool | None = None
    """As ``--security``."""
    submission_discovery: bool | None = None
    """As ``--submission-discovery``."""
    trust_ad: bool | None = None
    """As ``--trust-ad``."""
    policy_port: int | None = None
    """Where the policy host of MTA-STS is, in a world of one's own; everywhere else it is 443."""
    sender: str | None = None
    """The address in MAIL when a reply to RCPT is expected; the null sender if there is none."""
    expect: Expected | None = None
    """What does not hold is an error."""
    expect_warning: Expected | None = None
    """What does not hold is a warning."""
    expect_info: Expected | None = None
    """What does not hold is a note."""
    allow: tuple[Allowance, ...] | None = None
    raise_: dict[str, Level] | None = msgspec.field(default=None, name="raise")
    """Finding ids that are worth more here than usual, and how much."""


class NamedTarget(Settings, frozen=True, kw_only=True):
    """One target."""

    target: str | None = None
    """What is probed, as on the command line; the name of the table if it is not given."""


class Config(Table, frozen=True, kw_only=True):
    """The file ``smtpprobe.toml``, or the table ``tool.smtpprobe`` of ``pyproject.toml``."""

    defaults: Settings | None = None
    targets: dict[str, NamedTarget] = msgspec.field(default_factory=dict)
    """By the names that ``smtpprobe check NAME`` takes."""
