"""What errors of the operating system mean for a connection: `OSError` -> `FailureKind`."""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from smtpprobe.evidence import FailureKind

_DISCARD_PORT: Final = 9
"""RFC 863; any port would do where nothing is sent."""

_BY_ERRNO: Final = {
    errno.ECONNREFUSED: FailureKind.REFUSED,
    errno.ETIMEDOUT: FailureKind.TIMEOUT,
    errno.EHOSTUNREACH: FailureKind.UNREACHABLE,
    errno.ENETUNREACH: FailureKind.UNREACHABLE,
    errno.ENETDOWN: FailureKind.UNREACHABLE,
    errno.EADDRNOTAVAIL: FailureKind.NO_ROUTE,
    errno.EAFNOSUPPORT: FailureKind.NO_ROUTE,
    errno.EACCES: FailureKind.DENIED,
    errno.EPERM: FailureKind.DENIED,
    errno.ECONNRESET: FailureKind.RESET,
    errno.ECONNABORTED: FailureKind.RESET,
    errno.EPIPE: FailureKind.RESET,
}


def explain_os_error(error: OSError, address: str) -> tuple[FailureKind, str]:
    """Say what an error means for a connection to an address, and in which words it came.

    That there is no way is said by a router far away or by this very machine in the same words; so the local routes
    are asked.
    """
    if error.errno is None:
        return FailureKind.OTHER, str(error)
    kind = _BY_ERRNO.get(error.errno, FailureKind.OTHER)
    if kind is FailureKind.UNREACHABLE and not has_route(address):
        kind = FailureKind.NO_ROUTE
    name = errno.errorcode.get(error.errno)
    return kind, f"{name}: {os.strerror(error.errno)}" if name else str(error)


def has_stood(error: OSError) -> bool:
    """Tell whether a connection that could not be made had come about and was cut before anybody looked: of one that
    does not come about, systems say that it was refused."""
    return error.errno == errno.ECONNRESET


def has_route(address: str) -> bool:
    """Tell whether this machine has any way to an address.

    Connecting a datagram socket sends nothing: the kernel only looks for a route.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as route:
            route.connect((address, _DISCARD_PORT))
    except OSError as error:
        return _BY_ERRNO.get(error.errno or 0) not in (FailureKind.UNREACHABLE, FailureKind.NO_ROUTE)
    return True
