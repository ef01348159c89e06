"""Connections that set out before there is anybody to talk on them.

What a conversation takes, the event loop, TLS and the SMTP client, is imported in about the time in which a packet gets
to a server and back. So whoever knows already whom to talk to sends the first packet before that, and hands the
connection over afterwards. Nothing is said or read here, and asyncio is not imported before it is there.

When the server answered meanwhile is known to the kernel (Linux, tcp(7) TCP_INFO), so these times are true although
nobody looked; only a connection that fails is known to have failed when somebody looks. On other systems nothing sets
out early; a Linux that does not tell, as some that only seem to be one, leaves the times at which somebody looked.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from struct import unpack_from
from typing import Final

from smtpprobe.endpoints import host_of_address, plan_endpoints
from smtpprobe.evidence import Endpoint, Options, Resolution, Target
from smtpprobe.names import own_ehlo_name

_INFO_BYTES: Final = 104
"""Of struct tcp_info of linux/tcp.h, as far as every Linux has it."""
_LAST_DATA_RECEIVED: Final = 52
"""Where tcpi_last_data_recv stands: milliseconds since the last data came."""
_ROUND_TRIP: Final = 68
"""Where tcpi_rtt stands: microseconds; until we send data, that of the handshake. 0 where packets were sent again."""


class Opening:
    """One connection on its way.

    Args:
        endpoint: where it goes.
        clock: seconds since the probe began.

    Raises:
        OSError: there is not even a socket for such an address.
    """

    def __init__(self, endpoint: Endpoint, clock: Callable[[], float]) -> None:
        self._clock = clock
        address = os.fsencode(endpoint.address)  # a text would be taken for a name, whose codec takes time to import
        family, kind, protocol, _, where = socket.getaddrinfo(
            address, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )[0]
        self.socket = socket.socket(family, kind, protocol)
        self.socket.setblocking(False)
        self.started_s = clock()
        self._errno = self.socket.connect_ex(where)

    async def stand(self) -> tuple[float, float | None]:
        """Wait until the connection stands.

        Returns:
            Since when it does, and when something came that waits to be read; None where nothing did.

        Raises:
            OSError: it does not come about.
        """
        import asyncio

        if self._errno == errno.EINPROGRESS:
            loop, is_settled = asyncio.get_running_loop(), asyncio.Event()
            loop.add_writer(self.socket, is_settled.set)
            try:
                await is_settled.wait()
            finally:
                loop.remove_writer(self.socket)
        is_heard = self._has_something()
        info, now_s = self._info(), self._clock()
        (round_trip_us,) = unpack_from("=I", info, _ROUND_TRIP)
        if round_trip_us:  # it stood, even if it has ended since, which is for whoever reads from it
            connected_s = min(now_s, self.started_s + round_trip_us / 1e6)
        else:
            self._raise_error()
            connected_s = now_s
        if not is_heard:
            return connected_s, None
        (silence_ms,) = unpack_from("=I", info, _LAST_DATA_RECEIVED)
        return connected_s, max(connected_s, now_s - silence_ms / 1e3)

    def close(self) -> None:
        """Close the connection; it must not be anybody's by now."""
        self.socket.close()

    def _info(self) -> bytes:
        """What the kernel knows of the connection: a struct tcp_info, with zeros for what it does not tell."""
        info = b""
        with suppress(OSError):
            info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        return info.ljust(_INFO_BYTES, b"\0")

    def _raise_error(self) -> None:
        """Tell why the connection does not come about, unless it does."""
        is_under_way = self._errno in (0, errno.EINPROGRESS)
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if is_under_way else self._errno
        if error:
            raise OSError(error, os.strerror(error))

    def _has_something(self) -> bool:
        """Tell whether there is something to be read, which is left where it is."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(0))


class Openings:
    """The connections of one probe on their way, from whose start on its time counts."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self.started_at = datetime.now(UTC)
        self._began = time.monotonic()
        self._waiting: dict[Endpoint, Opening] = {}
        for each in endpoints:
            with suppress(OSError):  # of which the conversation will tell, which tries once more
                self._waiting[each] = Opening(each, self.clock)

    def clock(self) -> float:
        """Seconds since they set out."""
        return time.monotonic() - self._began

    def take(self, endpoint: Endpoint) -> Opening | None:
        """Hand a connection over, which is then the taker's; None where none goes there."""
        return self._waiting.pop(endpoint, None)

    def close(self) -> None:
        """Close those that nobody took."""
        while self._waiting:
            self._waiting.popitem()[1].close()


def set_out(target: Target, options: Options) -> Openings | None:
    """Begin to connect to all endpoints of a target, if it is known already what they are.

    Returns:
        None where nothing sets out: the DNS is to be asked first, or something else that may turn out to be wrong is
        to be looked at, or this machine itself is meant, which answers before anybody could have done anything.

    Raises:
        OptionError: an option cannot be used.
    """
    if sys.platform != "linux" or target.address is None or ip_address(target.address).is_loopback:
        return None
    if options.ca_file is not None or options.posture:
        return None
    own_ehlo_name(options.ehlo_name)
    here = Resolution(hosts=(host_of_address(target.address),))
    return Openings(plan_endpoints(target, here, options)[: options.concurrency])
