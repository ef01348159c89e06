"""Where the servers listen: in the network of this machine, or in one of their own.

In a network namespace every port is free, so that the servers stand on 25, 53, 443, 465 and 587 as in the world, and
nothing of this machine is seen there. A thread can step into it while the rest of the process stays outside: sockets
that it opens, and threads that it starts, belong inside.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from tests.real import debian

Result = TypeVar("Result")

DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""Runs a command that the kernel ends when this process ends, however that comes about."""
CLONE_NEWNET = 0x40000000
"""From <sched.h>: the kind of namespace that a file descriptor must be of."""

_HOLD = """\
import fcntl, socket, struct, sys
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP | IFF_RUNNING))
print("up", flush=True)
sys.stdin.read()
"""
"""Brings the loopback interface up and keeps the namespace until its input ends."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network to start servers in and to probe from."""

    holder: int | None = None
    """The process that keeps the namespace; None for the network of this machine."""

    def command(self, *words: str) -> list[str]:
        """Make a command line that runs inside."""
        if self.holder is None:
            return list(words)
        return ["nsenter", f"--net={self._path}", "--", *words]

    def call(self, function: Callable[[], Result]) -> Result:
        """Call a function inside, in a thread of its own unless that is where we are, and return what it returns."""
        if self.holder is None:
            return function()
        with ThreadPoolExecutor(1, initializer=self._step_in) as inside:
            return inside.submit(function).result()

    @property
    def _path(self) -> str:
        return f"/proc/{self.holder}/ns/net"

    def _step_in(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        namespace = os.open(self._path, os.O_RDONLY)
        try:
            if libc.setns(namespace, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "cannot step into the network of the servers")
        finally:
            os.close(namespace)


HOST = Network()
"""The network of this machine."""


@contextlib.contextmanager
def sealed() -> Iterator[Network]:
    """Make a network with nothing but a loopback interface; it ends with the context.

    Raises:
        debian.UnavailableError: the machine does not allow it.
    """
    with subprocess.Popen(
        [*DIES_WITH_US, "unshare", "--net", sys.executable, "-S", "-E", "-c", _HOLD],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        assert holder.stderr is not None
        if holder.stdout.readline() != b"up\n":
            raise debian.UnavailableError(f"no network of one's own here: {holder.stderr.read().decode()[-300:]}")
        try:
            yield Network(holder.pid)
        finally:
            holder.kill()
