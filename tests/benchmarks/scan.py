"""How `scan` and `check` compare with others. Run it by hand; no test depends on a clock.

    python -m tests.benchmarks.scan [--count N] [--rounds N] [--json FILE] [ROW ...]

start      the CPU of starting and ending, as part of a scan of COUNT addresses
plain      addresses whose servers have no TLS, against a client in C and blackbox_exporter
starttls   the same with STARTTLS and the facts of the certificate
domains    MX, A, AAAA and a session, against a script of dnspython and aiosmtplib; plain and STARTTLS
memory     what 1000 open sessions take, on uvloop and asyncio; and what twenty times as many targets add
jobs       two processes against one, the server beside them on the same cores
shared     connections where many domains share few mail hosts
writing    the CPU of building and writing a result, as part of that of a session; beside it that of the journal
check      one check over a wire of 50 ms, against check_smtp and swaks (root)

Every program runs on the first core, alternately with what it is compared with, the servers on the second. RATE is
sessions a second, CPU sessions for a second of CPU, both as multiples of the other's, starting included; medians over
the rounds. Where others use the machine too, CPU is what to look at. Linux with gcc, libssl-dev and openssl; what else
is not there is not compared.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import resource
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from tests.benchmarks.measuring import (
    CLIENT,
    INSTRUMENTS,
    SERVER,
    Arena,
    MissingError,
    Server,
    Usage,
    alternate,
    arena,
    free_port,
    median_cpu_s,
    needs,
    on_core,
    ratios,
    run,
)
from tests.benchmarks.rivals import CONCURRENCY, c_client, exporter, script
from tests.benchmarks.wire import FAR, inside, slow_wire

COUNT: Final = 60_000
ROUNDS: Final = 3
JOBS_CONCURRENCY: Final = 1000
"""So that each process always has something to do."""
CHECKS_A_ROUND: Final = 5
"""A check is short: so many of each a round."""
SLOWER: Final = 3
"""STARTTLS and domains take so much longer that a part of the targets is enough."""
EXPORTER_SLOWER: Final = 10
FOUND: Final = 1
"""The exit status of a check that finds something, as that a certificate is signed by itself."""


class Row(NamedTuple):
    """One line of the table."""

    name: str
    is_at_least: bool
    goal: float
    rate: float | None
    """The ratio on the clock; None where that is not what is asked."""
    other: float | None
    """The ratio of CPU, or whatever else is asked."""
    note: str

    @property
    def goal_text(self) -> str:
        return f"{'>=' if self.is_at_least else '<='} {self.goal:g}"

    @property
    def verdict(self) -> str:
        """Whether the goal is met, by both figures where there are two."""
        known = {
            what: value >= self.goal if self.is_at_least else value <= self.goal
            for what, value in (("by rate", self.rate), ("by CPU", self.other))
            if value is not None
        }
        if not known:
            return "not measured"
        met = [what for what, is_met in known.items() if is_met]
        return "yes" if len(met) == len(known) else f"only {met[0]}" if met else "no"


def missing(name: str, goal: float, error: MissingError, *, is_at_least: bool = True) -> Row:
    return Row(name, is_at_least, goal, None, None, str(error))


class Size(NamedTuple):
    """How much is measured."""

    targets: int
    rounds: int


# --- what is run ----------------------------------------------------------------------------------------------------


def addresses(count: int) -> Iterator[str]:
    return (f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}" for number in range(count))


def scan_argv(source: Path, out: Path, port: int, *more: str, concurrency: int = CONCURRENCY) -> list[str]:
    """A scan that is held up by nothing but the machine."""
    paceless = ("--per-host-interval", "0", "--per-network", "10000", "--per-provider", "10000")
    whom = ("--allow-private", "--ehlo", "probe.test", "--port", f"smtp:{port}")
    return ["scan", str(source), "--out", str(out), *whom, *paceless, "--concurrency", str(concurrency), "-q", *more]


def scan(
    place: Arena,
    source: Path,
    port: int,
    *more: str,
    core: int | None = CLIENT,
    concurrency: int = CONCURRENCY,
    program: tuple[str, ...] = ("-m", "smtpprobe"),
) -> Usage:
    """Scan, and see that every server was talked to until QUIT."""
    out = place.output()
    taken = run([sys.executable, *program, *scan_argv(source, out, port, *more, concurrency=concurrency)], core)
    with source.open("rb") as lines, out.open("rb") as results:
        wanted, bad = sum(1 for _ in lines), [line for line in results if b'"reached":"quit"' not in line]
    out.unlink()
    if bad:
        raise RuntimeError(f"{len(bad)} of {wanted} targets were not talked to until QUIT, as {bad[0].decode()}")
    return taken


# --- rows -----------------------------------------------------------------------------------------------------------


def faster(name: str, goal: float, ours: list[Usage], theirs: list[Usage], units: tuple[int, int]) -> Row:
    """How many times as many units the first does."""
    found = ratios(theirs, ours, units[1], units[0])
    per_ms = [median_cpu_s(taken) / count * 1000 for taken, count in zip((ours, theirs), units, strict=True)]
    return Row(name, True, goal, found.wall, found.cpu, f"{per_ms[0]:.3f} against {per_ms[1]:.3f} ms of CPU each")


def start(place: Arena, size: Size) -> Iterator[Row]:
    one, all_ = place.targets("one", addresses(1)), place.targets("all", addresses(size.targets))
    with place.mail(is_secure=False) as (port, _):
        taken = alternate(size.rounds, {"one": lambda: scan(place, one, port), "all": lambda: scan(place, all_, port)})
    found = ratios(taken["one"], taken["all"])
    note = f"{median_cpu_s(taken['one']):.2f} s of CPU"
    yield Row(f"scan: start-up, part of {size.targets} addresses", False, 0.15, None, found.cpu, note)


def of_addresses(place: Arena, size: Size, *, is_secure: bool, goals: tuple[float, float]) -> Iterator[Row]:
    what = "STARTTLS" if is_secure else "plain"
    count = max(1, size.targets // (SLOWER if is_secure else 1))
    asked = max(1, count // EXPORTER_SLOWER)
    source = place.targets(f"addresses-{what}", addresses(count))
    names = (f"scan: {what}, against C", f"scan: {what}, against blackbox_exporter")
    with ExitStack() as stack:
        port, _ = stack.enter_context(place.mail(is_secure=is_secure))
        programs: dict[str, Callable[[], Usage]] = {
            "ours": lambda: scan(place, source, port),
            "C": lambda: c_client(place, count, port, is_secure=is_secure),
        }
        lacking = None
        try:
            ask = stack.enter_context(exporter(place))
            programs["exporter"] = lambda: ask(what.lower(), port, asked)
        except MissingError as error:
            lacking = error
        taken = alternate(size.rounds, programs)
    yield faster(names[0], goals[0], taken["ours"], taken["C"], (count, count))
    if lacking is not None:
        yield missing(names[1], goals[1], lacking)
    else:
        yield faster(names[1], goals[1], taken["ours"], taken["exporter"], (count, asked))


def plain(place: Arena, size: Size) -> Iterator[Row]:
    yield from of_addresses(place, size, is_secure=False, goals=(0.40, 4))


def starttls(place: Arena, size: Size) -> Iterator[Row]:
    yield from of_addresses(place, size, is_secure=True, goals=(0.70, 1.5))


def domains(place: Arena, size: Size) -> Iterator[Row]:
    count = max(1, size.targets // SLOWER)
    source = place.targets("domains", (f"d{number}.bench.test" for number in range(count)))

    for is_secure, goal in ((False, 6), (True, 2)):
        with place.mail(is_secure=is_secure) as (port, _), place.names() as names:
            resolver = ("--resolver", f"127.0.0.1:{names}")
            programs = {
                "ours": partial(scan, place, source, port, *resolver),
                "naive": partial(script, place, source, port, names, is_secure=is_secure),
            }
            taken = alternate(size.rounds, programs)
        what = "STARTTLS" if is_secure else "plain"
        yield faster(f"scan: domains, {what}, against a script", goal, taken["ours"], taken["naive"], (count, count))


def memory(place: Arena, size: Size) -> Iterator[Row]:
    held = max(10, size.targets // 60)
    few = max(1, held // 20)
    source = place.targets("held", addresses(held))
    loops = {"uvloop": ("-m", "smtpprobe"), "asyncio": (str(INSTRUMENTS / "asyncio_scan.py"),)}
    for what, is_secure, goal in (("plain", False, 15), ("STARTTLS", True, 80)):
        # Long enough for all handshakes to be over before the first session is.
        delay_ms = (4000 if is_secure else 1000) * held / 1000
        for loop, program in loops.items():
            name = f"scan: MB for 1000 open sessions, {what}, {loop}"
            if loop == "uvloop" and importlib.util.find_spec("uvloop") is None:
                yield missing(name, goal, MissingError("needs uvloop"), is_at_least=False)
                continue
            with place.mail(is_secure=is_secure, delay_ms=delay_ms) as (port, seen):
                many = scan(place, source, port, concurrency=held, program=program)
            with place.mail(is_secure=is_secure) as (port, _):
                base = scan(place, source, port, concurrency=few, program=program)
            more_mb = many.peak_mb - base.peak_mb
            at_once = seen["most_at_once"]
            yield Row(name, False, goal, None, more_mb / max(1, at_once - few) * 1000, f"{at_once} were open at once")
    few_, many_ = max(1, size.targets // 6), max(20, size.targets * 10 // 3)
    peaks = []
    with place.mail(is_secure=False) as (port, _):
        for count in (few_, many_):
            source = place.targets(f"flat-{count}", addresses(count))
            peaks.append(scan(place, source, port).peak_mb)
    note = f"{peaks[0]:.0f} and {peaks[1]:.0f} MB"
    yield Row(f"scan: memory of {many_} targets against {few_}", False, 1.10, None, peaks[1] / peaks[0], note)


def jobs(place: Arena, size: Size) -> Iterator[Row]:
    source = place.targets("jobs", addresses(size.targets))
    with place.mail(is_secure=False, core=None) as (port, _):
        run_with = partial(scan, place, source, port, core=None, concurrency=JOBS_CONCURRENCY)
        programs = {number: partial(run_with, "--jobs", number) for number in ("1", "2")}
        taken = alternate(size.rounds, programs)
    found = ratios(taken["1"], taken["2"])
    more = 1 / found.cpu
    yield Row("scan: two jobs against one", True, 1.4, found.wall, None, f"they take {more:.2f} times the CPU")


def shared(place: Arena, size: Size) -> Iterator[Row]:
    """A provider's share falls with its rank, as that of words does."""
    count = max(10, size.targets // 3)
    providers = max(2, count // 40)
    chance = random.Random(5321)  # noqa: S311 - which domain is where matters to nobody
    weights = [1 / rank for rank in range(1, providers + 1)]
    hosts = chance.choices(range(providers), weights, k=count)
    source = place.targets("shared", (f"d{number}-{host}.bench.test" for number, host in enumerate(hosts)))
    with place.mail(is_secure=False) as (port, seen), place.names() as names:
        taken = scan(place, source, port, "--resolver", f"127.0.0.1:{names}")
    distinct, connections = len(set(hosts)), seen["sessions"]
    note = f"{count} domains, {distinct} endpoints, {connections} connections; {taken.cpu_s / count * 1000:.3f} ms each"
    yield Row("scan: connections for each endpoint", False, 1, None, connections / distinct, note)


def writing(place: Arena, size: Size) -> Iterator[Row]:
    source = place.targets("written", addresses(size.targets))
    program = [sys.executable, str(INSTRUMENTS / "writing.py")]

    def write(port: int) -> Usage:
        folder = place.output()
        folder.mkdir()
        return run([*program, str(size.targets), str(port), str(folder)], CLIENT)

    with place.mail(is_secure=False) as (port, _):
        taken = alternate(size.rounds, {"session": lambda: scan(place, source, port), "write": lambda: write(port)})
    session_s = median_cpu_s(taken["session"]) / size.targets
    told = [json.loads(each.output) for each in taken["write"]]
    write_s, journal_s = (statistics.median(each[what] for each in told) for what in ("results_s", "journal_s"))
    note = f"{write_s * 1000:.4f} of {session_s * 1000:.4f} ms; keeping the journal {journal_s * 1000:.4f}"
    yield Row("scan: writing, part of a plain session", False, 0.10, None, write_s / session_s, note)


# --- one check ------------------------------------------------------------------------------------------------------


def check(place: Arena, size: Size) -> Iterator[Row]:
    goals = {"check_smtp": ("check: against check_smtp -S", 1.0), "swaks": ("check: against swaks -tls", 0.75)}
    with ExitStack() as stack:
        try:
            near, far = stack.enter_context(slow_wire(place))
        except MissingError as error:
            for name, goal in goals.values():
                yield missing(name, goal, error, is_at_least=False)
            return
        smtp_port, dns_port = free_port(), free_port()
        for argv in (
            place.smtp_argv(smtp_port, is_secure=True),
            [place.instrument("dns_server"), str(dns_port)],
        ):
            stack.callback(Server([*inside(far), *on_core(SERVER), *argv]).stop)
        ours = (sys.executable, "-m", "smtpprobe", "check", "--resolver", f"{FAR}:{dns_port}", "--ehlo", "probe.test")
        commands = {"ours": [*ours, f"{FAR}:{smtp_port}"]}
        lacking: dict[str, MissingError] = {}
        for name, options in (
            ("check_smtp", ("-H", FAR, "-p", str(smtp_port), "-S", "-F", "probe.test")),
            ("swaks", ("-s", FAR, "-p", str(smtp_port), "-tls", "--quit-after", "HELO", "--helo", "probe.test")),
        ):
            try:
                commands[name] = [*needs(name), *options]
            except MissingError as error:
                lacking[name] = error
        programs = {
            name: partial(run, [*inside(near), *argv], CLIENT, allowed=(0, FOUND)) for name, argv in commands.items()
        }
        taken = alternate(size.rounds * CHECKS_A_ROUND, programs)
    for name, (title, goal) in goals.items():
        if name in lacking:
            yield missing(title, goal, lacking[name], is_at_least=False)
            continue
        found = ratios(taken["ours"], taken[name])
        wall_ms = [statistics.median(each.wall_s for each in taken[which]) * 1000 for which in ("ours", name)]
        cpu_ms = [median_cpu_s(taken[which]) * 1000 for which in ("ours", name)]
        yield Row(f"{title}, time", False, goal, found.wall, None, f"{wall_ms[0]:.0f} against {wall_ms[1]:.0f} ms")
        if name == "swaks":
            yield Row(f"{title}, CPU", False, 1.0, None, found.cpu, f"{cpu_ms[0]:.0f} against {cpu_ms[1]:.0f} ms")


# --- the table ------------------------------------------------------------------------------------------------------

ROWS: Final[dict[str, Callable[[Arena, Size], Iterable[Row]]]] = {
    "start": start,
    "plain": plain,
    "starttls": starttls,
    "domains": domains,
    "memory": memory,
    "jobs": jobs,
    "shared": shared,
    "writing": writing,
    "check": check,
}


def shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="only these")
    parser.add_argument("--count", type=int, default=COUNT, metavar="N", help=f"targets; by default {COUNT}")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"by default {ROUNDS}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    given = parser.parse_args()
    unknown = [name for name in given.rows if name not in ROWS]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}")
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers and namespaces are taken away
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}", flush=True)
    print(f"{'':48} {'goal':>8} {'rate':>7} {'CPU':>7}  met")
    done = []
    began_s = time.monotonic()
    broken = []
    with arena() as place:
        for name in given.rows or ROWS:
            try:
                for row in ROWS[name](place, Size(given.count, given.rounds)):
                    done.append(row)
                    figures = f"{row.goal_text:>8} {shown(row.rate):>7} {shown(row.other):>7}"
                    print(f"{row.name:48} {figures}  {row.verdict:12} {row.note}", flush=True)
            except RuntimeError as error:  # what is wrong there hides no other figure
                broken.append(name)
                print(f"{name}: {error}", flush=True)
    print(f"load {os.getloadavg()[0]:.1f}, {time.monotonic() - began_s:.0f} s")
    if given.json is not None:
        rows = [{**row._asdict(), "met": row.verdict} for row in done]
        given.json.write_text(json.dumps({"count": given.count, "rounds": given.rounds, "rows": rows}, indent=1))
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
