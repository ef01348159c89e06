"""The facts of one probe, frozen, and their JSON.

Everything that the network told is written down here once, without judgement: what was looked up and answered, what
was connected to, each byte that was said and when. Checks, explanations and renderers are pure functions of these
values, so a saved evidence file can be judged again later, elsewhere, in another language.

The values are msgspec Structs rather than dataclasses: one definition is the type, the validated codec and the JSON
schema, and creating one costs a tenth, which a scan of many domains needs. In JSON, bytes are base64, enumerations
are their values, and the two outcomes of a step carry a ``type`` field (``reply`` or ``failure``).

Times inside a conversation and a resolution are seconds since the probe began (`Evidence.started_at`), on a monotonic
clock; `None` means that the event did not happen. Nothing secret is ever put in here: a command that carries a
credential is recorded with the credential replaced.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

import msgspec

SCHEMA: Final = "smtpprobe/evidence/1"
"""Name and version of the JSON form; the number changes when a reader must change."""

MAX_POLICY_BYTES: Final = 64 * 1024
"""An MTA-STS policy is cut after this many bytes (RFC 8461 3.3)."""

MAX_VERSION_CONNECTIONS: Final = 4
"""Connections to one endpoint for TLS 1.0 to 1.3, one each."""

MAX_SECURITY_CONNECTIONS: Final = 4
"""Connections to one endpoint for the intrusive probes."""

MAX_REPLY_BYTES = 64 * 1024
"""A reply is cut after this many bytes: RFC 5321 4.5.3.1.5 allows lines of 512 bytes, so this is 128 full lines."""

# What values can be, which is held against what is read, and costs nothing where a value is made.
Seconds = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
"""Decades, either way."""
Days = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Code = Annotated[int, msgspec.Meta(ge=0, le=999)]
EnhancedCode = Annotated[str, msgspec.Meta(pattern=r"^[0-9]\.[0-9]{1,3}\.[0-9]{1,3}$")]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the evidence values: immutable, compared by content. Unknown fields of later minor versions are passed
    over when read."""


# --- what was asked -------------------------------------------------------------------------------------------------


class Role(StrEnum):
    """The service that a port is expected to offer."""

    SMTP = "smtp"
    """Relay between servers, port 25 (RFC 5321)."""
    SUBMISSION = "submission"
    """Message submission with STARTTLS, port 587 (RFC 6409)."""
    SUBMISSIONS = "submissions"
    """Message submission over implicit TLS, port 465 (RFC 8314 3.3)."""


class TlsMode(StrEnum):
    """How TLS comes about on an endpoint; data of the endpoint, never guessed from the port."""

    STARTTLS = "starttls"
    """Plain text first; STARTTLS where the server offers it (RFC 3207)."""
    IMPLICIT = "implicit"
    """TLS before the greeting (RFC 8314 3.3)."""
    NONE = "none"
    """Plain text only, also where STARTTLS is offered."""


class TargetKind(StrEnum):
    """What a target asks for."""

    NAME = "name"
    """A bare name: its MX hosts, or the host itself where it has none (RFC 5321 5.1)."""
    ENDPOINT = "endpoint"
    """A host or an address exactly as given, with no MX look-up."""


class Target(Fact, frozen=True, kw_only=True):
    """One thing to check, as a person wrote it and as it was understood."""

    text: str
    """What was typed, without surrounding blanks."""
    kind: TargetKind
    name: str | None = None
    """The host or domain in lower-case A-labels, without a trailing dot; None for an address."""
    address: str | None = None
    """The IP address in its canonical text form; None for a name."""
    port: Port | None = None
    """The port that was asked for; None where the ports of the options apply."""
    role: Role | None = None
    """The role that a URL named; None where the port decides."""


class PortSpec(Fact, frozen=True, kw_only=True):
    """One port to try on each address, with what is expected there."""

    port: Port
    role: Role
    tls: TlsMode


DEFAULT_PORTS = (
    PortSpec(port=25, role=Role.SMTP, tls=TlsMode.STARTTLS),
    PortSpec(port=465, role=Role.SUBMISSIONS, tls=TlsMode.IMPLICIT),
    PortSpec(port=587, role=Role.SUBMISSION, tls=TlsMode.STARTTLS),
)


class Family(StrEnum):
    """Which IP versions to use."""

    ANY = "any"
    IPV4 = "ipv4"
    IPV6 = "ipv6"


class Override(Fact, frozen=True, kw_only=True):
    """``--resolve NAME=IP``: an address to use for a name instead of asking the DNS."""

    name: str
    address: str


class Question(Fact, frozen=True, kw_only=True):
    """A command to ask, since somebody knows what the answer should be. None of them begins a message."""

    verb: Literal["noop", "help", "vrfy", "mail", "rcpt"]
    argument: str = ""
    """In ASCII: the address of ``mail`` and ``rcpt`` without its angle brackets, empty for the null sender."""
    role: Role | None = None
    """Ask endpoints of this role only; None: all."""


class Options(Fact, frozen=True, kw_only=True):
    """How a probe is to be made. The same values are kept in the evidence."""

    ports: tuple[PortSpec, ...] = DEFAULT_PORTS
    explicit_ports: bool = False
    """True where the caller chose the ports: then each of them must answer."""
    resolvers: tuple[str, ...] = ()
    """Resolvers as ``ADDR`` or ``ADDR:PORT`` (``[ADDR]:PORT`` for IPv6), ``tls://ADDR:PORT#NAME`` (RFC 7858) or
    ``https://ADDR:PORT/PATH#NAME`` (RFC 8484); empty: those of the system."""
    overrides: tuple[Override, ...] = ()
    ca_file: str | None = None
    """A PEM file of roots to trust beside the system's."""
    family: Family = Family.ANY
    ehlo_name: str | None = None
    """The name for EHLO; None: the host's FQDN, else an address literal (RFC 5321 4.1.4)."""
    timeout_s: Seconds = 10.0
    """The longest time that one step may take: connect, TLS handshake, one whole reply, one DNS question."""
    greeting_timeout_s: Seconds = 30.0
    """The same for the greeting, for which RFC 5321 4.5.3.2.1 wants clients to wait minutes."""
    deadline_s: Seconds = 60.0
    """The longest time for the whole probe of one target."""
    concurrency: int = 64
    """How many connections may be open at once."""
    expiry_warning_days: Days = 21
    """A certificate with no more days left is worth a warning."""
    expiry_alarm_days: Days = 7
    """And with no more than these, whatever an expired one is worth."""
    policies: bool = True
    """Look up what a domain publishes about transport security: TLSA, MTA-STS with its policy, TLS-RPT."""
    trust_ad: bool = False
    """Take the AD bit of the resolver for true although the path to it is not known to be safe."""
    policy_port: Port = 443
    """Where the policy host of MTA-STS is; another than 443 (RFC 8461 3.3) in a world of one's own only."""
    tls_versions: bool = False
    """Try each TLS version, over a connection each (`MAX_VERSION_CONNECTIONS` an endpoint)."""
    security: bool = False
    """Make the intrusive probes, which never send DATA (`MAX_SECURITY_CONNECTIONS` an endpoint)."""
    submission_discovery: bool = False
    """Look up the SRV records by which mail programs find the submission service (RFC 6186, RFC 8314 5.1)."""
    posture: bool = False
    """Have SPF and DMARC of the domain looked up by checkdmarc, where it is installed."""
    questions: tuple[Question, ...] = ()
    """Asked of each endpoint over one more connection; DATA is never sent."""
    question_sender: str = ""
    """The address in MAIL before a question about RCPT; empty: the null sender, which every server must take (RFC 5321
    4.5.5)."""


# --- the name system ------------------------------------------------------------------------------------------------


class LookupStatus(StrEnum):
    """How one DNS question ended. They are different facts and lead to different advice."""

    ANSWERED = "answered"
    NO_DATA = "no-data"
    """The name exists, without records of this type (RFC 2308 2.2)."""
    NXDOMAIN = "nxdomain"
    """The name does not exist (RFC 2308 2.1)."""
    SERVFAIL = "servfail"
    """The resolver could not find out, or DNSSEC validation failed."""
    REFUSED = "refused"
    """The resolver does not answer such questions for us."""
    OTHER_RCODE = "other-rcode"
    """Another error code; `Lookup.detail` names it."""
    TIMEOUT = "timeout"
    """No resolver answered in time."""
    MALFORMED = "malformed"
    """The answer could not be read, or a name cannot be looked up at all."""
    UNREACHABLE = "unreachable"
    """No resolver could be reached, or none is configured."""
    OVERRIDDEN = "overridden"
    """Answered by ``--resolve``, without a question to the DNS."""


class Lookup(Fact, frozen=True, kw_only=True):
    """One DNS question and what came back."""

    name: str
    """The name that was asked for, lower case, no trailing dot."""
    rrtype: str
    """``MX``, ``A``, ``AAAA``, ``PTR``, ``TXT``, ``TLSA``, ``SRV``, ``CNAME`` ..."""
    status: LookupStatus
    records: tuple[str, ...] = ()
    """The records in presentation form, in answer order; names lower case, without a trailing dot, but ``.`` itself."""
    canonical_name: str | None = None
    """Where the CNAME chain ended, if there was one."""
    aliases: tuple[str, ...] = ()
    """Each name of the CNAME chain before the canonical one, in order."""
    ttl_s: int | None = None
    """The smallest TTL in the answer; for a negative answer that of the SOA (RFC 2308 5)."""
    authenticated: bool = False
    """The resolver set the AD bit (RFC 4035 3.2.3). Worth as much as the path to the resolver is trusted."""
    extended_error: str | None = None
    """Extended DNS errors (RFC 8914) as ``6 DNSSEC Bogus (what the resolver adds)``, joined by ``; ``."""
    resolver: str | None = None
    """Which resolver answered, as ``ADDR:PORT``, or as the URL of an encrypted one."""
    detail: str | None = None
    """More about a failure, in the library's words."""
    started_s: Seconds = 0.0
    elapsed_s: Seconds = 0.0


class HostOrigin(StrEnum):
    """Why a host is among those that are probed."""

    MX = "mx"
    """Named by an MX record."""
    IMPLICIT_MX = "implicit-mx"
    """No MX: the domain itself is taken as host (RFC 5321 5.1)."""
    GIVEN = "given"
    """Asked for by name, port or address."""


class MxHost(Fact, frozen=True, kw_only=True):
    """A host that takes mail, with its addresses."""

    name: str
    """Lower-case A-labels without a trailing dot; the address itself where only an address was given."""
    origin: HostOrigin
    preference: int | None = None
    """The MX preference; None where no MX record names the host."""
    addresses: tuple[str, ...] = ()
    """IPv4 first, then IPv6, each in canonical text form, without repetition."""
    lookups: tuple[Lookup, ...] = ()
    """The A and AAAA questions for the name."""


class Reverse(Fact, frozen=True, kw_only=True):
    """The reverse name of one address and whether it points back (RFC 1912 2.1)."""

    address: str
    ptr: Lookup
    forward: tuple[Lookup, ...] = ()
    """The A or AAAA question for each name of the PTR answer."""


class Resolution(Fact, frozen=True, kw_only=True):
    """What the DNS says about a target."""

    name: str | None = None
    """The domain or host that was resolved; None for an address."""
    mx: Lookup | None = None
    """The MX question; None where none was asked."""
    hosts: tuple[MxHost, ...] = ()
    """The hosts in the order in which a sender would try them: by preference, then by name."""
    is_null_mx: bool = False
    """The domain has the single record ``0 .``: it takes no mail (RFC 7505)."""
    reverse: tuple[Reverse, ...] = ()
    elapsed_s: Seconds = 0.0
    """Until the addresses were known; PTR look-ups run beside the conversations and do not count."""


# --- the wire -------------------------------------------------------------------------------------------------------


class Phase(StrEnum):
    """Where in an SMTP session something was said or went wrong."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    HELO = "helo"
    STARTTLS = "starttls"
    TLS = "tls"
    """The TLS handshake itself, implicit or after STARTTLS."""
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    """The reply to the DATA command, before any message text."""
    MESSAGE = "message"
    """The reply after the final dot."""
    RSET = "rset"
    NOOP = "noop"
    VRFY = "vrfy"
    EXPN = "expn"
    HELP = "help"
    QUIT = "quit"
    IDLE = "idle"
    """Between commands: something that nobody asked for."""


class Irregularity(StrEnum):
    """How a reply departs from RFC 5321 4.2. Kept beside the bytes; some are harmless."""

    BARE_LF = "bare-lf"
    """A line ends in LF alone."""
    BARE_CR = "bare-cr"
    """A CR stands inside a line."""
    NO_TERMINATOR = "no-terminator"
    """The last line has no line end: the peer stopped in the middle."""
    INCOMPLETE = "incomplete"
    """The last line still announces another one."""
    NOT_A_REPLY = "not-a-reply"
    """A line does not begin with three digits."""
    CODE_OUT_OF_RANGE = "code-out-of-range"
    """Three digits outside 200 to 559, the range of RFC 5321 4.2."""
    MIXED_CODES = "mixed-codes"
    """The lines of one reply have different codes."""
    NO_SEPARATOR = "no-separator"
    """Text follows the code at once."""
    NO_TEXT = "no-text"
    """The code stands alone, which RFC 5321 4.2 lets clients meet."""
    EMPTY_LINE = "empty-line"
    NUL = "nul"
    CONTROL = "control"
    """Control characters other than TAB, CR, LF and NUL."""
    NOT_ASCII = "not-ascii"
    """Valid UTF-8 outside ASCII."""
    INVALID_UTF8 = "invalid-utf8"
    LONG_LINE = "long-line"
    """A line of over 512 bytes with its end (RFC 5321 4.5.3.1.5)."""
    TOO_LONG = "too-long"
    """The reply was cut at `MAX_REPLY_BYTES`."""


class Reply(Fact, frozen=True, kw_only=True, tag="reply"):
    """One reply as it came, and as it was read."""

    raw: bytes
    """Every byte, line ends included; cut where `Irregularity.TOO_LONG` says so."""
    code: Code | None = None
    """The code of the first line that has one; None where no line has."""
    enhanced: EnhancedCode | None = None
    """The enhanced status code of the first line that has one, as ``4.7.0`` (RFC 2034 3)."""
    lines: tuple[str, ...] = ()
    """The text of each line after code and separator; bytes that are not UTF-8 stand as ``\\xNN``. Not escaped
    otherwise: what is shown to a person must pass through the renderer."""
    irregularities: tuple[Irregularity, ...] = ()

    @property
    def text(self) -> str:
        """The lines joined by newlines."""
        return "\n".join(self.lines)


class FailureKind(StrEnum):
    """Why a step brought no reply."""

    REFUSED = "refused"
    """The port is closed: ECONNREFUSED."""
    TIMEOUT = "timeout"
    """The step's own time ran out."""
    DEADLINE = "deadline"
    """The time for the whole probe ran out first."""
    UNREACHABLE = "unreachable"
    """A router or the host said that there is no way: EHOSTUNREACH, ENETUNREACH from outside."""
    NO_ROUTE = "no-route"
    """This machine has no way there at all, as without IPv6: local ENETUNREACH, EADDRNOTAVAIL, EAFNOSUPPORT."""
    DENIED = "denied"
    """This machine forbids it: EACCES or EPERM, a local firewall."""
    RESET = "reset"
    """The connection was cut: ECONNRESET, EPIPE."""
    CLOSED = "closed"
    """The peer closed before its reply was complete; `Failure.partial` has what came."""
    GARBAGE = "garbage"
    """The peer sent what is no reply at all; `Failure.partial` has the beginning."""
    TLS_ALERT = "tls-alert"
    """The peer ended the handshake with a TLS alert; `Failure.detail` names it."""
    TLS_PROTOCOL = "tls-protocol"
    """What came is not TLS, as from a plain-text port, or breaks its rules."""
    TLS_LOCAL = "tls-local"
    """The local OpenSSL would not go on: version, cipher, key size or signature below its own policy."""
    TLS_CLOSED = "tls-closed"
    """The peer closed during the handshake without an alert."""
    INTERRUPTED = "interrupted"
    """The person stopped the probe."""
    LEFT_ALONE = "left-alone"
    """A scan was told to keep away: nobody connected. `Failure.detail` has why: `EXCLUDED` or `NOT_PUBLIC`."""
    INTERNAL = "internal"
    """A defect of smtpprobe itself; `Failure.detail` has the exception."""
    OTHER = "other"
    """Another error of the operating system; `Failure.detail` has it."""


EXCLUDED: Final = "excluded"
"""Somebody asked that it be left alone."""
NOT_PUBLIC: Final = "not-public"
"""The address is nobody's in public, and a scan of a private world was not asked for."""


class Failure(Fact, frozen=True, kw_only=True, tag="failure"):
    """A step that brought no reply."""

    phase: Phase
    kind: FailureKind
    detail: str = ""
    """The library's or system's own words, for the log and the ticket."""
    partial: bytes = b""
    """What had come of the reply, at most `MAX_REPLY_BYTES`."""


class Exchange(Fact, frozen=True, kw_only=True):
    """One command and what came back, or the greeting, which comes unasked."""

    phase: Phase
    sent: bytes | None = None
    """The command with its line end, credentials replaced; None for the greeting."""
    outcome: Reply | Failure
    over_tls: bool = False
    started_s: Seconds
    """When the command went out, or when the wait for the greeting began."""
    first_byte_s: Seconds | None = None
    ended_s: Seconds


class Unsolicited(Fact, frozen=True, kw_only=True):
    """Bytes that no command had asked for."""

    after: Phase
    """The last step before they came."""
    raw: bytes
    at_s: Seconds
    over_tls: bool = False
    before_handshake: bool = False
    """They came in plain text behind the 220 to STARTTLS: a response injection (RFC 3207 4, 6)."""


class Trust(Fact, frozen=True, kw_only=True):
    """What verification of a chain says, each fact by itself; made with OpenSSL as mail servers do.

    The certificate's own properties (key, signature, names) are in `Certificate`.
    """

    is_chain_trusted: bool
    """A path to a trusted root exists, dates and names aside."""
    is_name_matched: bool | None
    """The certificate covers `name` (RFC 6125 6.4); None where there was no name to hold it against."""
    is_within_validity: bool
    """The dates include the time of the probe: those of the leaf, and of each certificate on its path to a root."""
    is_self_signed: bool = False
    """The leaf is its own issuer and not a trusted root."""
    is_issuer_missing: bool = False
    """Nothing that the server sent has issued its leaf, nor has a trusted root, and the leaf is not its own issuer: an
    intermediate is missing."""
    is_for_servers: bool = True
    """The leaf may be used for servers: `Certificate.is_for_servers`."""
    has_roots: bool = True
    """False where the machine has no trusted root at all, so that nothing could be trusted."""
    name: str | None = None
    """The reference identity: the MX host, or the host asked for."""
    errors: tuple[str, ...] = ()
    """OpenSSL's own reasons as ``20 unable to get local issuer certificate``."""

    @property
    def is_trusted(self) -> bool:
        """Chain, dates, use and name are all in order; without a name, all but that."""
        return (
            self.is_chain_trusted
            and self.is_within_validity
            and self.is_for_servers
            and self.is_name_matched is not False
        )

    @property
    def is_unknown(self) -> bool:
        """All is in order as far as it can be told where no root is trusted: a machine with roots might trust it."""
        return (
            not (self.has_roots or self.is_chain_trusted or self.is_self_signed)
            and self.is_within_validity
            and self.is_for_servers
            and self.is_name_matched is not False
        )


class TlsSession(Fact, frozen=True, kw_only=True, tag="session"):
    """What a TLS handshake agreed on."""

    version: str
    """``TLSv1.3``, ``TLSv1.2`` ..."""
    cipher: str
    secret_bits: int | None = None
    group: str | None = None
    """The key-exchange group; None where the runtime does not tell it (the ssl module does from Python 3.15)."""
    chain: tuple[str, ...] = ()
    """The certificates as sent, leaf first, as keys of `Evidence.certificates`."""
    trust: Trust | None = None
    """None where no certificate was sent or none could be read."""


class Handshake(Fact, frozen=True, kw_only=True):
    """A TLS handshake. The connection is made without verification, so that a bad certificate can be shown;
    `TlsSession.trust` says what verification finds."""

    outcome: TlsSession | Failure
    server_name: str | None = None
    """The name sent as SNI; None for an address."""
    started_s: Seconds
    ended_s: Seconds


class Endpoint(Fact, frozen=True, kw_only=True):
    """One address and port to talk to."""

    host: str
    """The host that the address belongs to; the address itself where only that was given."""
    address: str
    port: Port
    role: Role
    tls: TlsMode
    origin: HostOrigin
    preference: int | None = None
    is_required: bool = False
    """The caller asked for this very port: it must answer."""
    name: str | None = None
    """The name that the certificate must cover and that goes into SNI; None for a bare address."""

    @property
    def id(self) -> str:
        """``ADDR:PORT`` or ``[ADDR]:PORT``."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Conversation(Fact, frozen=True, kw_only=True):
    """All that passed on one endpoint."""

    endpoint: Endpoint
    started_s: Seconds
    connected_s: Seconds | None = None
    """When the TCP connection stood; None where it never did: then `failure` says why."""
    failure: Failure | None = None
    """Why the conversation ended early: the failed connect, or the failure of its last exchange or handshake."""
    local_address: str | None = None
    """Our own address on this connection: what the server sees unless there is address translation."""
    exchanges: tuple[Exchange, ...] = ()
    handshake: Handshake | None = None
    unsolicited: tuple[Unsolicited, ...] = ()
    is_closed_by_peer: bool = False
    """The peer closed before we did, and not after its reply to QUIT, where both close."""
    versions: tuple[VersionTrial, ...] = ()
    """Of `Options.tls_versions`."""
    security: tuple[SecurityTrial, ...] = ()
    """Of `Options.security`."""
    asked: Asked | None = None
    """Of `Options.questions`; None where nothing was asked."""
    connections: int = 1
    """How many connections were made to the endpoint in all; a second one has a reason in `notes`."""
    notes: tuple[str, ...] = ()
    ended_s: Seconds

    def exchange(self, phase: Phase, *, over_tls: bool | None = None) -> Exchange | None:
        """The first exchange of a phase, on either or on the given side of the TLS handshake; None if there is none."""
        for exchange in self.exchanges:
            if exchange.phase is phase and over_tls in (None, exchange.over_tls):
                return exchange
        return None

    def reply(self, phase: Phase, *, over_tls: bool | None = None) -> Reply | None:
        """The reply of `exchange`; None where there was none or it failed."""
        exchange = self.exchange(phase, over_tls=over_tls)
        if exchange is not None and isinstance(exchange.outcome, Reply):
            return exchange.outcome
        return None

    @property
    def session(self) -> TlsSession | None:
        """What the handshake agreed on; None without a handshake or where it failed."""
        if self.handshake is not None and isinstance(self.handshake.outcome, TlsSession):
            return self.handshake.outcome
        return None


class VersionTrial(Fact, frozen=True, kw_only=True):
    """One TLS version offered alone, over a connection of its own."""

    version: str
    """``TLSv1``, ``TLSv1.1``, ``TLSv1.2``, ``TLSv1.3``."""
    outcome: TlsSession | Failure
    """`FailureKind.TLS_LOCAL`: the local OpenSSL cannot speak it, which tells nothing about the server."""
    ocsp_response: bytes | None = None
    """The stapled OCSP response in DER (RFC 6066 8); None where none was stapled."""
    started_s: Seconds
    ended_s: Seconds


class SecurityTrial(Fact, frozen=True, kw_only=True):
    """One intrusive probe: what was said to find out, and what came back. Never anything after DATA."""

    name: str
    """``starttls-injection``, ``starttls-unadvertised``, ``mail-without-tls``, ``vrfy``, ``expn``, ``relay`` ..."""
    exchanges: tuple[Exchange, ...] = ()
    unsolicited: tuple[Unsolicited, ...] = ()
    """What came unasked, as the answer to a smuggled command does."""
    failure: Failure | None = None
    """Why the probe could not be finished."""


class Answer(Fact, frozen=True, kw_only=True):
    """What came of one question."""

    question: Question
    exchange: int | None = None
    """Index into `Asked.exchanges`; that of MAIL where the server refused it, so that RCPT was never asked. None where
    the session ended before."""


class Asked(Fact, frozen=True, kw_only=True):
    """The questions of the options, over a connection of their own."""

    exchanges: tuple[Exchange, ...] = ()
    """The whole session, its opening included."""
    answers: tuple[Answer, ...] = ()
    """One for each question, in their order."""
    failure: Failure | None = None
    """Why the session ended early."""


# --- published policies ---------------------------------------------------------------------------------------------


class TlsaLookup(Fact, frozen=True, kw_only=True):
    """The TLSA question for one host and port (RFC 6698 3)."""

    host: str
    port: Port
    base: str
    """The TLSA base domain: the host, or the end of its CNAME chain (RFC 7672 2.2.2)."""
    lookup: Lookup
    alias: Lookup | None = None
    """The CNAME question for the host, asked where DNSSEC does not vouch for where the alias leads in the end and all
    depends on whether it vouches for the alias itself (RFC 7672 2.2.2)."""


class PolicyFetch(Fact, frozen=True, kw_only=True):
    """The MTA-STS policy as its host served it (RFC 8461 3.3)."""

    url: str
    address: str | None = None
    status: int | None = None
    """Of HTTP; None where there was no answer."""
    location: str | None = None
    """Where a redirect points, which is not followed (RFC 8461 3.3)."""
    media_type: str | None = None
    body: bytes = b""
    """At most `MAX_POLICY_BYTES`."""
    is_cut: bool = False
    """There was more."""
    chain: tuple[str, ...] = ()
    """The certificates as sent, leaf first, as keys of `Evidence.certificates`; empty where they are not known."""
    trust: Trust | None = None
    """None where no certificate was seen."""
    lookups: tuple[Lookup, ...] = ()
    """The A and AAAA questions for the policy host."""
    failure: Failure | None = None
    """Why there is no answer: name, connect, TLS, time. A certificate that is not trusted is told by `trust` alone."""
    started_s: Seconds
    ended_s: Seconds


class Policies(Fact, frozen=True, kw_only=True):
    """What a domain and its hosts publish about transport security."""

    tlsa: tuple[TlsaLookup, ...] = ()
    mta_sts: Lookup | None = None
    """TXT at ``_mta-sts.<domain>`` (RFC 8461 3.1); None where it was not asked."""
    policy: PolicyFetch | None = None
    """None where no valid record announces a policy."""
    tls_rpt: Lookup | None = None
    """TXT at ``_smtp._tls.<domain>`` (RFC 8460 3); None where it was not asked."""
    services: tuple[Lookup, ...] = ()
    """SRV of ``_submission._tcp`` and ``_submissions._tcp``."""
    service_hosts: tuple[Lookup, ...] = ()
    """The A and AAAA questions for the hosts that `services` name."""
    root: Lookup | None = None
    """SOA of the root, which is signed: asked where there are TLSA records and no answer was authenticated, to tell a
    zone without DNSSEC from a resolver that does not validate."""


# --- who may send in the name of a domain ---------------------------------------------------------------------------


class SpfRecord(Fact, frozen=True, kw_only=True):
    """SPF of a domain (RFC 7208), as the library reads it."""

    record: str | None = None
    """None where there is none, or it could not be looked up."""
    is_valid: bool = False
    lookups: int | None = None
    """The DNS questions that it takes to evaluate the record, of which RFC 7208 4.6.4 allows 10."""
    warnings: tuple[str, ...] = ()
    """In the library's words, as is `error`."""
    error: str | None = None


class DmarcRecord(Fact, frozen=True, kw_only=True):
    """DMARC of a domain (RFC 9989), as the library reads it."""

    record: str | None = None
    location: str | None = None
    """The domain at which the record was found."""
    is_valid: bool = False
    policy: str | None = None
    """``none``, ``quarantine`` or ``reject``."""
    warnings: tuple[str, ...] = ()
    error: str | None = None


class Posture(Fact, frozen=True, kw_only=True):
    """Who may send in the name of a domain, as another library sees it."""

    library: str
    """With its version."""
    spf: SpfRecord | None = None
    dmarc: DmarcRecord | None = None
    failure: str | None = None
    """Why one of them is missing."""


# --- certificates ---------------------------------------------------------------------------------------------------


class Certificate(Fact, frozen=True, kw_only=True):
    """One X.509 certificate, read. What could not be read is None and named in `unreadable`."""

    sha256: str
    """Of the DER form, lower-case hex: the key by which sessions refer to it."""
    der: bytes
    subject: str = ""
    """RFC 4514 text."""
    issuer: str = ""
    serial: str = ""
    """Lower-case hex."""
    not_before: Moment | None = None
    not_after: Moment | None = None
    dns_names: tuple[str, ...] = ()
    """The DNS names of the subjectAltName."""
    ip_addresses: tuple[str, ...] = ()
    common_name: str | None = None
    key_type: str | None = None
    """``RSA``, ``EC``, ``Ed25519``, ``Ed448``, ``DSA``."""
    key_bits: int | None = None
    curve: str | None = None
    signature_hash: str | None = None
    """``sha256`` ...; None where the signature scheme names none (EdDSA)."""
    spki_sha256: str | None = None
    """Of the SubjectPublicKeyInfo, lower-case hex: what a TLSA ``x 1 1`` record holds."""
    is_ca: bool = False
    is_for_servers: bool = True
    """No extendedKeyUsage, or one that allows TLS servers (RFC 5280 4.2.1.12)."""
    is_self_signed: bool = False
    """Issuer and subject are equal and the signature fits its own key."""
    unreadable: str | None = None
    """Why the certificate could not be read; None if it could."""


# --- all of it ------------------------------------------------------------------------------------------------------


class Runtime(Fact, frozen=True, kw_only=True):
    """What the probe ran on; needed to tell our own limits from the server's."""

    smtpprobe: str
    python: str
    openssl: str
    platform: str


class Evidence(Fact, frozen=True, kw_only=True):
    """All facts of the probe of one target."""

    schema: Literal["smtpprobe/evidence/1"] = SCHEMA
    target: Target
    options: Options
    started_at: Moment
    """Aware, UTC."""
    elapsed_s: Seconds
    ehlo_name: str
    """What was said in EHLO."""
    resolution: Resolution
    endpoints: tuple[Endpoint, ...] = ()
    conversations: tuple[Conversation, ...] = ()
    """In the order of `endpoints`; one is missing only where `is_interrupted`."""
    policies: Policies = Policies()
    posture: Posture | None = None
    """None where it was not asked for, or the target is no domain."""
    certificates: tuple[Certificate, ...] = ()
    """Each certificate once."""
    is_interrupted: bool = False
    """The person stopped the probe before it was complete."""
    runtime: Runtime

    def certificate(self, sha256: str) -> Certificate:
        """The certificate that a session refers to.

        Raises:
            KeyError: it is not in the evidence.
        """
        for certificate in self.certificates:
            if certificate.sha256 == sha256:
                return certificate
        raise KeyError(sha256)


def encode(value: Fact) -> bytes:
    """Write a value as compact JSON in UTF-8, fields in the order of their definition.

    What is no text has ``?`` in its place: the name of a file may have such bytes (PEP 383).
    """
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        import json

        plain = json.dumps(msgspec.to_builtins(value), ensure_ascii=False, separators=(",", ":"))
        return plain.encode("utf-8", "replace")


def json_schema(of: type[Any] = Evidence) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a value's JSON form."""
    return msgspec.json.schema(of)
