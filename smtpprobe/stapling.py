"""A TLS session that asks for what the standard library's cannot: the stapled OCSP response (RFC 6066 8, RFC 8446
4.4.2.1), and the key-exchange group where the ssl module does not tell it yet.

It runs through pyOpenSSL, and looks to `wire` like one of `tls`: fed and emptied through memory, with the errors of the
ssl module. Only the trials of TLS versions use it, since pyOpenSSL brings an OpenSSL of its own, which may differ from
Python's in what it still speaks: of TLS 1.2 and 1.3 both speak the same.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from typing import Final

from OpenSSL import SSL, crypto

from smtpprobe import tls
from smtpprobe.evidence import TlsSession
from smtpprobe.names import is_hostname

VERSIONS: Final = {ssl.TLSVersion.TLSv1_2: SSL.TLS1_2_VERSION, ssl.TLSVersion.TLSv1_3: SSL.TLS1_3_VERSION}
"""Those that may be tried here."""

_LEGACY_SERVER_CONNECT: Final = 0x4
"""SSL_OP_LEGACY_SERVER_CONNECT, which pyOpenSSL does not name."""

_CHUNK_BYTES: Final = 32 * 1024


class Stapling:
    """One TLS session of one version, which asks for a stapled response."""

    def __init__(self, version: ssl.TLSVersion) -> None:
        """Ask nothing yet; `version` is one of `VERSIONS`."""
        self._version = version
        self.ocsp_response: bytes | None = None
        """In DER; None where nothing was stapled, or the handshake did not come as far."""

    def begin(self, server_name: str | None) -> tls.Layer:
        """Begin the session, which says nothing yet; like `tls.begin`."""
        connection = SSL.Connection(_context(self._version), None)
        connection.set_app_data(self)
        connection.set_connect_state()
        connection.request_ocsp()
        if server_name is not None and not is_hostname(server_name):
            server_name = None
        if server_name is not None:
            connection.set_tlsext_host_name(server_name.encode("ascii"))
        memory = _Memory(connection)
        return tls.Layer(_Session(connection), memory, memory, server_name, lambda: _read_session(connection))


@cache
def _context(version: ssl.TLSVersion) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(VERSIONS[version])
    context.set_max_proto_version(VERSIONS[version])
    context.set_options(_LEGACY_SERVER_CONNECT)
    context.set_verify(SSL.VERIFY_NONE)
    context.set_cipher_list(tls.CIPHERS.encode("ascii"))
    context.set_ocsp_client_callback(_keep)
    return context


def _keep(connection: SSL.Connection, response: bytes, _: object) -> bool:
    """Keep what was stapled, whatever it is worth: judging it is for the checks."""
    stapling = connection.get_app_data()
    if isinstance(stapling, Stapling):
        stapling.ocsp_response = response or None
    return True


def _read_session(connection: SSL.Connection) -> tuple[TlsSession, tuple[bytes, ...]]:
    shown = connection.get_peer_cert_chain() or ()
    chain = tuple(crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in shown)
    facts = TlsSession(
        version=connection.get_protocol_version_name(),
        cipher=connection.get_cipher_name() or "",
        secret_bits=connection.get_cipher_bits(),
        group=_group(connection),
        chain=tuple(sha256(der).hexdigest() for der in chain),
    )
    return facts, chain


def _group(connection: SSL.Connection) -> str | None:
    """The key-exchange group, as far as the installed pyOpenSSL and its library tell it."""
    tell = getattr(connection, "get_group_name", None)
    if tell is None:
        return None
    try:
        return tell() or None
    except NotImplementedError:
        return None


class _Session:
    """A pyOpenSSL connection with the manners of `ssl.SSLObject`."""

    def __init__(self, connection: SSL.Connection) -> None:
        self._connection = connection

    def do_handshake(self) -> None:
        with _as_of_ssl():
            self._connection.do_handshake()

    def read(self, size: int, /) -> bytes:
        try:
            with _as_of_ssl():
                return self._connection.recv(size)
        except ssl.SSLZeroReturnError:
            return b""

    def write(self, data: bytes, /) -> int:
        with _as_of_ssl():
            return self._connection.send(data)

    def unwrap(self) -> object:
        with _as_of_ssl():
            return self._connection.shutdown()


class _Memory:
    """Both ends of a connection's memory."""

    def __init__(self, connection: SSL.Connection) -> None:
        self._connection = connection
        self._taken = bytearray()

    def write(self, data: bytes, /) -> int:
        return self._connection.bio_write(data) if data else 0

    def read(self) -> bytes:
        self._take()
        data = bytes(self._taken)
        self._taken.clear()
        return data

    @property
    def pending(self) -> int:
        self._take()
        return len(self._taken)

    def _take(self) -> None:
        while True:
            try:
                self._taken += self._connection.bio_read(_CHUNK_BYTES)
            except SSL.WantReadError:
                return


@contextmanager
def _as_of_ssl() -> Iterator[None]:
    """Raise pyOpenSSL's errors as those of the ssl module."""
    try:
        yield
    except SSL.WantReadError:
        raise ssl.SSLWantReadError from None
    except SSL.ZeroReturnError:
        raise ssl.SSLZeroReturnError from None
    except SSL.SysCallError:
        raise ssl.SSLEOFError from None
    except SSL.Error as error:
        reasons = [each[-1] for each in (error.args[0] if error.args else ()) if each[-1]]
        words = reasons[-1] if reasons else ""
        raised = ssl.SSLError(1, words)
        # The name that the ssl module has for it; newer OpenSSL writes its oldest alerts in another way.
        raised.reason = words.upper().replace(" ", "_").replace("SSL/TLS_ALERT_", "SSLV3_ALERT_")
        raise raised from error
