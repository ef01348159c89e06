"""What is asked of the local TLS library, and read from it: contexts, sessions, and errors put into facts.

A probe looks at servers as they are. So its contexts verify nothing (a certificate that is wrong is to be shown, and
judged afterwards by `certificates`), accept TLS 1.0 and weak keys where the local OpenSSL still can, and are shared:
to make one takes longer than a whole plain session.

No network here: `wire` feeds TLS through memory.
"""

from __future__ import annotations

import ssl
import warnings
from _ssl import ENCODING_DER
from collections.abc import Callable
from functools import cache, partial
from hashlib import sha256
from typing import Any, Final, NamedTuple, Protocol

from smtpprobe.evidence import MAX_REPLY_BYTES, FailureKind, TlsSession

CIPHERS: Final = "DEFAULT:@SECLEVEL=0"
"""Whatever the local OpenSSL has, the weak included. Level 0 lets short keys and SHA-1 pass, which old servers use."""

_RECORD_BYTES: Final = 16 * 1024
"""RFC 8446 5.1: the most plain text that one record carries."""

_LEGACY_SERVER_CONNECT: Final = 0x4
"""SSL_OP_LEGACY_SERVER_CONNECT: talk to servers without secure renegotiation (RFC 5746). Python 3.12 names it."""

_ALERT_PREFIXES: Final = ("TLSV13_ALERT_", "TLSV1_ALERT_", "SSLV3_ALERT_")
"""How OpenSSL begins the names of alerts that came from the peer."""

_OTHER_ALERTS: Final = frozenset(
    {
        "TLSV1_BAD_CERTIFICATE_HASH_VALUE",
        "TLSV1_BAD_CERTIFICATE_STATUS_RESPONSE",
        "TLSV1_CERTIFICATE_UNOBTAINABLE",
        "TLSV1_UNRECOGNIZED_NAME",
        "TLSV1_UNSUPPORTED_EXTENSION",
    }
)
"""Alerts whose OpenSSL names leave the word out (RFC 6066 9)."""

_OWN_POLICY: Final = frozenset(
    {
        "BAD_DH_VALUE",
        "BN_LIB",
        "CA_KEY_TOO_SMALL",
        "CA_MD_TOO_WEAK",
        "DH_KEY_TOO_SMALL",
        "EE_KEY_TOO_SMALL",
        "EXCESSIVE_MESSAGE_SIZE",
        "LEGACY_SIGALG_DISALLOWED_OR_UNSUPPORTED",
        "MODULUS_TOO_SMALL",
        "NO_CIPHERS_AVAILABLE",
        "NO_PROTOCOLS_AVAILABLE",
        "NO_SUITABLE_KEY_SHARE",
        "NO_SUITABLE_SIGNATURE_ALGORITHM",
        "UNSAFE_LEGACY_RENEGOTIATION_DISABLED",
        "UNSUPPORTED_PROTOCOL",
        "VERSION_TOO_HIGH",
        "VERSION_TOO_LOW",
        "WRONG_CIPHER_RETURNED",
        "WRONG_SIGNATURE_TYPE",
    }
)
"""Errors by which the local OpenSSL says that what the peer chose is below or beyond what it supports."""


@cache
def client_context(
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1, maximum: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
) -> ssl.SSLContext:
    """The context for talking to servers of any quality; made once for each range of versions, and shared.

    Nobody may change it: give one of your own, from `make_client_context`, to a library that might.
    """
    return make_client_context(minimum, maximum)


def make_client_context(
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1, maximum: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
) -> ssl.SSLContext:
    """Make a context like `client_context` that is not shared."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.options |= _LEGACY_SERVER_CONNECT
    try:
        context.set_ciphers(CIPHERS)
    except ssl.SSLError:  # a library without security levels: then there is no level to lower
        context.set_ciphers("DEFAULT")
    with warnings.catch_warnings():  # naming an old version at all warns since Python 3.10, and here it is meant
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = minimum
        context.maximum_version = maximum
    return context


class Session(Protocol):
    """What is used of `ssl.SSLObject`, with its errors."""

    def do_handshake(self) -> None: ...
    def read(self, size: int, /) -> bytes: ...
    def write(self, data: bytes, /) -> int: ...
    def unwrap(self) -> object: ...


class Incoming(Protocol):
    """What is used of the `ssl.MemoryBIO` that is fed."""

    def write(self, data: bytes, /) -> int: ...


class Outgoing(Protocol):
    """What is used of the `ssl.MemoryBIO` that is emptied."""

    @property
    def pending(self) -> int: ...
    def read(self) -> bytes: ...


class Layer(NamedTuple):
    """The client's side of a TLS session, fed and emptied through memory."""

    session: Session
    incoming: Incoming
    outgoing: Outgoing
    server_name: str | None
    """What is sent as SNI."""
    describe: Callable[[], tuple[TlsSession, tuple[bytes, ...]]]
    """Read what a completed handshake agreed on, and the certificates as sent, leaf first, in DER."""


def begin(context: ssl.SSLContext, server_name: str | None) -> Layer:
    """Begin a session, which says nothing yet.

    Args:
        server_name: the name to ask for. One that is no host name, as MX records may have, is not sent (RFC 6066 3).
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    if server_name:
        try:
            session = context.wrap_bio(incoming, outgoing, server_hostname=server_name)
        except ValueError:  # UnicodeError is one
            server_name = None
        else:
            return Layer(session, incoming, outgoing, server_name, partial(read_session, session))
    session = context.wrap_bio(incoming, outgoing)
    return Layer(session, incoming, outgoing, None, partial(read_session, session))


def read_all(session: Session) -> tuple[bytes, tuple[FailureKind, str] | None]:
    """Read all plain text that is there, up to what is too much anyway: what came together is taken together, since how
    it is cut into records says nothing (RFC 8446 5.1).

    Returns:
        The plain text, and how the session ended if it did.
    """
    plain = bytearray()
    try:
        while len(plain) <= MAX_REPLY_BYTES:
            record = session.read(_RECORD_BYTES)
            if not record:
                return bytes(plain), (FailureKind.CLOSED, "")  # close_notify
            plain += record
    except ssl.SSLWantReadError:
        pass
    except ssl.SSLError as error:
        return bytes(plain), explain_error(error)
    return bytes(plain), None


def read_session(session: Session) -> tuple[TlsSession, tuple[bytes, ...]]:
    """Read what a completed handshake agreed on, and the certificates as sent, leaf first, in DER.

    Args:
        session: of the ssl module.
    """
    inner: Any = session
    name, _, bits = inner.cipher() or ("", "", None)
    chain = _chain(inner)
    group = getattr(inner, "group", None)  # Python 3.15
    facts = TlsSession(
        version=inner.version() or "",
        cipher=name,
        secret_bits=bits,
        group=group() if callable(group) else None,
        chain=tuple([sha256(der).hexdigest() for der in chain]),
    )
    return facts, chain


def explain_error(error: ssl.SSLError) -> tuple[FailureKind, str]:
    """Say whose doing a TLS error is, and in a word what: the name of the alert (RFC 8446 6), or OpenSSL's reason."""
    reason: str = getattr(error, "reason", None) or ""  # unset on errors that Python code made
    for prefix in _ALERT_PREFIXES:
        if reason.startswith(prefix):
            return FailureKind.TLS_ALERT, reason.removeprefix(prefix).lower()
    if reason in _OTHER_ALERTS:
        return FailureKind.TLS_ALERT, reason.removeprefix("TLSV1_").lower()
    if isinstance(error, ssl.SSLEOFError):
        return FailureKind.TLS_CLOSED, ""
    kind = FailureKind.TLS_LOCAL if reason in _OWN_POLICY else FailureKind.TLS_PROTOCOL
    return kind, reason.replace("_", " ").lower() or str(error)


def _chain(session: ssl.SSLObject) -> tuple[bytes, ...]:
    public = getattr(session, "get_unverified_chain", None)
    if public is not None:  # Python 3.13
        return tuple(public() or ())
    inner: Any = session
    return tuple([each.public_bytes(ENCODING_DER) for each in inner._sslobj.get_unverified_chain() or ()])
