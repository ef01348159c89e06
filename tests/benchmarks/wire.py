"""Two network namespaces with a slow wire between them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.benchmarks.measuring import Arena, MissingError, Server, needs

RTT_MS: Final = 50
NEAR, FAR = "198.18.0.1", "198.18.0.2"
"""RFC 2544 C.2.2: addresses for benchmarks."""


def inside(namespace: str) -> list[str]:
    """What stands before a command so that it runs there."""
    return ["nsenter", f"--net=/run/netns/{namespace}"]


@contextmanager
def slow_wire(place: Arena) -> Iterator[tuple[str, str]]:
    """Two network namespaces, `RTT_MS` from each other; their names.

    Raises:
        MissingError: that cannot be had here.
    """
    (ip,) = needs("ip")
    needs("nsenter")
    if os.geteuid() != 0 or not Path("/dev/net/tun").exists():
        raise MissingError("needs root and /dev/net/tun")
    names = [f"bench-{os.getpid()}-{end}" for end in ("near", "far")]
    devices = [f"sp{os.getpid()}{end}" for end in ("a", "b")]

    def tell(*words: str) -> None:
        told = subprocess.run([ip, *words], capture_output=True, text=True)
        if told.returncode != 0:
            raise MissingError(f"ip {' '.join(words)}: {told.stderr.strip()}")

    with ExitStack() as stack:
        wire = Server([place.instrument("delay"), *devices, str(RTT_MS / 2)])
        stack.callback(wire.stop)
        for name, device, address in zip(names, devices, (NEAR, FAR), strict=True):
            tell("netns", "add", name)
            stack.callback(tell, "netns", "delete", name)
            tell("link", "set", device, "netns", name)
            for words in (
                ("address", "add", f"{address}/30", "dev", device),
                ("link", "set", device, "up"),
                ("link", "set", "lo", "up"),
            ):
                tell("-netns", name, *words)
        yield names[0], names[1]
