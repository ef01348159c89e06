"""A mail server that staples an OCSP response, which Python's ssl module cannot do: one visitor at a time, in a thread.

It speaks as much SMTP as a trial of TLS versions hears, with STARTTLS or with TLS from the beginning.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from OpenSSL import SSL

from smtpprobe.lab.certificates import Identity

PATIENCE_S = 20.0


@contextmanager
def stapling_server(
    identity: Identity, staple: bytes, *, starttls: bool, minimum: int = SSL.TLS1_2_VERSION
) -> Iterator[int]:
    """Serve on a port of the loopback address, which is yielded.

    Args:
        staple: in DER; empty: nothing is stapled.
        starttls: begin in plain text.
        minimum: the lowest version of TLS.
    """
    context = _context(identity, staple, minimum)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, context, starttls), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
    thread.join(PATIENCE_S)


def _context(identity: Identity, staple: bytes, minimum: int) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(minimum)
    context.use_privatekey(identity.key)
    leaf, *others = identity.chain
    context.use_certificate(leaf)
    for each in others:
        context.add_extra_chain_cert(each)
    context.set_ocsp_server_callback(lambda _, __: staple)
    return context


def _serve(listener: socket.socket, context: SSL.Context, starttls: bool) -> None:
    while True:
        try:
            visitor, _ = listener.accept()
        except OSError:
            return
        visitor.settimeout(PATIENCE_S)
        with visitor, suppress(OSError, SSL.Error):
            _talk(visitor, context, starttls)


def _talk(visitor: socket.socket, context: SSL.Context, starttls: bool) -> None:
    if starttls:
        visitor.sendall(b"220 mx.example.org ESMTP\r\n")
        _read_line(visitor)
        visitor.sendall(b"250-mx.example.org\r\n250 STARTTLS\r\n")
        _read_line(visitor)
        visitor.sendall(b"220 2.0.0 Ready\r\n")
    visitor.settimeout(None)  # pyOpenSSL wants a blocking socket
    inside = SSL.Connection(context, visitor)
    inside.set_accept_state()
    inside.do_handshake()
    if not starttls:
        inside.sendall(b"220 mx.example.org ESMTP\r\n")
    _read_line(inside)
    inside.sendall(b"250 mx.example.org\r\n")
    _read_line(inside)
    inside.sendall(b"221 2.0.0 Bye\r\n")


def _read_line(visitor: socket.socket | SSL.Connection) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        data = visitor.recv(1000)
        if not data:
            raise OSError("the visitor is gone")
        line += data
    return line
