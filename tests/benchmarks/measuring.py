"""How a benchmark measures: programs that run alternately, each on one core, and the servers that they talk to.

Seconds of CPU are those of a program and all that it started. On a machine that others use too they say more than
seconds on the clock.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, Final, NamedTuple

INSTRUMENTS: Final = Path(__file__).parent / "instruments"
LIBRARIES: Final = {"smtp_server": ("-lssl", "-lcrypto"), "smtp_client": ("-lssl", "-lcrypto")}
PATIENCE_S: Final = 900
"""A program that has not ended after so long is killed."""

CLIENT, SERVER = 0, 1
"""Cores."""


class MissingError(Exception):
    """Something that is measured against is not on this machine."""


class Usage(NamedTuple):
    """What one run of a program took."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    output: str


class Ratios(NamedTuple):
    """How one thing compares with another: medians over the rounds, above 1 where the first takes more."""

    wall: float
    cpu: float


def needs(*programs: str) -> list[str]:
    """The paths of programs that Debian keeps in different places.

    Raises:
        MissingError: one is not installed.
    """
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", "/usr/lib/nagios/plugins"))
    found = [(each, shutil.which(each, path=places)) for each in programs]
    missing = [name for name, path in found if path is None]
    if missing:
        raise MissingError(f"needs {', '.join(missing)}")
    return [path for _, path in found if path is not None]


def on_core(core: int | None) -> list[str]:
    """What stands before a command so that it runs on one core; None: on all."""
    return [] if core is None else ["taskset", "-c", str(core % (os.cpu_count() or 1))]


def run(argv: Sequence[str], core: int | None = None, *, allowed: Iterable[int] = (0,)) -> Usage:
    """Run a program to its end.

    Args:
        allowed: exit statuses that are no surprise.

    Raises:
        RuntimeError: it ended in another way.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = perf_counter()
        process = subprocess.Popen([*on_core(core), *argv], stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        killer = threading.Timer(PATIENCE_S, process.kill)
        killer.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
        finally:
            killer.cancel()
        wall_s = perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        said = output.read().decode(errors="replace")
        if process.returncode not in allowed:
            complaint = errors.read().decode(errors="replace") or said
            raise RuntimeError(f"{' '.join(argv)} ended with {process.returncode}: {complaint[-1000:]}")
        return Usage(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, said)


def alternate(rounds: int, programs: Mapping[str, Callable[[], Usage]]) -> dict[str, list[Usage]]:
    """Run several things in turns, each round beginning with another one."""
    names = list(programs)
    taken: dict[str, list[Usage]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            taken[name].append(programs[name]())
    return taken


def ratios(first: Sequence[Usage], second: Sequence[Usage], first_units: float = 1, second_units: float = 1) -> Ratios:
    """Compare round by round what one unit of the first takes with what one of the second takes."""
    scale = second_units / first_units
    pairs = list(zip(first, second, strict=True))
    return Ratios(
        statistics.median(one.wall_s / other.wall_s for one, other in pairs) * scale,
        statistics.median(one.cpu_s / other.cpu_s for one, other in pairs) * scale,
    )


def median_cpu_s(taken: Iterable[Usage]) -> float:
    """The median of the CPU times."""
    return statistics.median(each.cpu_s for each in taken)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody uses now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("0.0.0.0", 0))
        port: int = probe.getsockname()[1]
        return port


def await_port(port: int, patience_s: float = 10) -> None:
    """Wait until somebody listens there.

    Raises:
        RuntimeError: nobody does.
    """
    ends_s = perf_counter() + patience_s
    while perf_counter() < ends_s:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        sleep(0.05)
    raise RuntimeError(f"nobody listens on port {port}")


class Server:
    """A program that serves until it is told to end, and then says in JSON what it has seen."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self._output = self.process.stdout
        line = self._output.readline()
        if line != "ready\n":
            self.stop()
            raise RuntimeError(f"{' '.join(argv)} does not begin: {line!r}")

    def stop(self) -> dict[str, Any]:
        """End it; what it has seen, nothing where it does not tell."""
        if self.process.poll() is None:
            self.process.terminate()
        said = self._output.read().strip()
        self.process.wait(PATIENCE_S)
        self._output.close()
        seen: dict[str, Any] = json.loads(said) if said else {}
        return seen


class Arena:
    """A folder with the instruments, built, and the servers. `arena` makes one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._outputs = 0

    @property
    def identity(self) -> tuple[Path, Path]:
        """The server's certificate and key: P-256, signed by itself."""
        certificate, key = self.folder / "certificate.pem", self.folder / "key.pem"
        if not certificate.exists():
            kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "90")
            names = ("-subj", "/CN=mx.bench.test", "-addext", "subjectAltName=DNS:*.bench.test")
            files = ("-keyout", str(key), "-out", str(certificate))
            subprocess.run(("openssl", "req", "-x509", *kind, *names, *files), check=True, capture_output=True)
        return certificate, key

    def instrument(self, name: str) -> str:
        """The path of a program in C, which is built when it is first asked for.

        Raises:
            MissingError: it cannot be built.
        """
        built = self.folder / name
        if not built.exists():
            (compiler,) = needs("gcc")
            source = INSTRUMENTS / f"{name}.c"
            made = subprocess.run(
                (compiler, "-O2", "-o", str(built), str(source), *LIBRARIES.get(name, ())),
                capture_output=True,
                text=True,
            )
            if made.returncode != 0:
                raise MissingError(f"{source.name} cannot be built: {made.stderr.strip()[:200]}")
        return str(built)

    def smtp_argv(self, port: int, *, is_secure: bool, delay_ms: float = 0) -> list[str]:
        """How the mail server is started."""
        argv = [self.instrument("smtp_server"), str(port), "--delay", str(delay_ms)]
        if is_secure:
            certificate, key = self.identity
            argv += ["--cert", str(certificate), "--key", str(key)]
        return argv

    @contextmanager
    def mail(
        self, *, is_secure: bool, delay_ms: float = 0, core: int | None = SERVER
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Run the mail server; its port, and a place for what it has seen, which is filled in the end."""
        port, seen = free_port(), dict[str, Any]()
        server = Server([*on_core(core), *self.smtp_argv(port, is_secure=is_secure, delay_ms=delay_ms)])
        try:
            yield port, seen
        finally:
            seen.update(server.stop())

    @contextmanager
    def names(self) -> Iterator[int]:
        """Run the name server; its port."""
        port = free_port(socket.SOCK_DGRAM)
        server = Server([*on_core(SERVER), self.instrument("dns_server"), str(port)])
        try:
            yield port
        finally:
            server.stop()

    def targets(self, name: str, lines: Iterable[str]) -> Path:
        """Write a list of targets."""
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
        return path

    def output(self) -> Path:
        """A place for results where nothing is."""
        self._outputs += 1
        return self.folder / f"results-{self._outputs}.ndjson"


@contextmanager
def arena() -> Iterator[Arena]:
    """Make one, and take it away. Programs in Python keep their compiled modules there, whatever is usual here."""
    with tempfile.TemporaryDirectory(prefix="smtpprobe-bench-") as folder:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "bytecode")
        yield Arena(Path(folder))
