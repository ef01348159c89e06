"""Addresses and ports on loopback: the same ports on many addresses, and ports where nobody answers.

All of 127.0.0.0/8 is this machine (RFC 1122 3.2.1.3). Linux has it all; other systems have 127.0.0.1 only until
somebody adds more, and the lab says so.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from smtpprobe.errors import SmtpprobeError

NETWORK: Final = "127.86"
"""Where the hosts of the lab have their addresses."""
HOSTS_PER_NET: Final = 250
BACKLOG: Final = 128
PORT_ATTEMPTS: Final = 20
"""How often to look for ports that are free on every address."""
FILLERS: Final = 2
"""Connections that fill the queue of a listener with backlog 0: one that waits to be accepted, and one to spare."""


class NoLoopbackAddressError(SmtpprobeError):
    """The system has no loopback addresses but 127.0.0.1."""


def address(number: int) -> str:
    """The address of the host of this number, counted from 0."""
    net, host = divmod(number, HOSTS_PER_NET)
    return f"{NETWORK}.{net}.{host + 1}"


def bind(addresses: Sequence[str], count: int, wanted: Sequence[int] = ()) -> dict[tuple[str, int], socket.socket]:
    """Bind the same ports on each address.

    Args:
        count: how many ports.
        wanted: these where nobody listens there on any address, even if connections of before are not yet forgotten
            (TIME_WAIT); else, and without any, others that are free on each. Whoever wants some has to see to it that
            nobody else wants them at the same time.

    Returns:
        The sockets, which do not listen yet, by address and port; a connect to such a port is refused, and nobody else
        can take it.

    Raises:
        NoLoopbackAddressError: an address does not exist here.
        OSError: there are no free ports.
    """
    trials = [tuple(wanted)] if len(wanted) == count else []
    for ports in (*trials, *[(0,) * count] * PORT_ATTEMPTS):
        with ExitStack() as stack:
            bound: dict[tuple[str, int], socket.socket] = {}
            try:
                for number, place in enumerate(addresses):
                    sockets = [stack.enter_context(_bind(place, port, port in wanted)) for port in ports]
                    if number == 0:
                        ports = tuple(each.getsockname()[1] for each in sockets)  # noqa: PLW2901 - now they are known
                    bound.update({(place, port): each for port, each in zip(ports, sockets, strict=True)})
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                stack.pop_all()
                return bound
    raise OSError(errno.EADDRINUSE, "no ports are free on all addresses of the lab")


def _bind(place: str, port: int, is_wanted: bool) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if is_wanted:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((place, port))
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise NoLoopbackAddressError(
                f"the lab needs the loopback address {place}, which this system does not have; on macOS and the BSDs"
                f" each has to be added first, as in: sudo ifconfig lo0 alias {place}"
            ) from error
        raise
    return bound


@contextmanager
def kept_silent(bound: socket.socket) -> Iterator[None]:
    """Let connects to a bound socket remain unanswered: its queue of connections that wait to be accepted is full, and
    Linux drops what comes then."""
    with ExitStack() as stack:
        stack.enter_context(bound)
        bound.listen(0)
        for _ in range(FILLERS):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(bound.getsockname())
        yield
