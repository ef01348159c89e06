"""What a scan is compared with: a client in C, blackbox_exporter, and a script.

Each does the same to the same servers, and a run counts only where all of it succeeded.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.benchmarks.measuring import (
    CLIENT,
    INSTRUMENTS,
    SERVER,
    Arena,
    Usage,
    await_port,
    free_port,
    needs,
    on_core,
    run,
)

CONCURRENCY: Final = 200
"""Sessions at once, of a scan and of the client in C."""


def c_client(place: Arena, count: int, port: int, *, is_secure: bool) -> Usage:
    argv = [place.instrument("smtp_client"), str(count), str(CONCURRENCY), str(int(is_secure)), str(port)]
    taken = run(argv, CLIENT)
    if json.loads(taken.output)["sessions"] != count:
        raise RuntimeError(f"the client in C failed: {taken.output}")
    return taken


def script(place: Arena, source: Path, port: int, names: int, *, is_secure: bool) -> Usage:
    out = place.output()
    arguments = (str(source), str(out), str(port), str(names), str(int(is_secure)))
    taken = run([sys.executable, str(INSTRUMENTS / "naive.py"), *arguments], CLIENT)
    with source.open("rb") as lines, out.open("rb") as results:
        wanted, good = sum(1 for _ in lines), sum(b'"error": null' in line for line in results)
    if good != wanted:
        raise RuntimeError(f"the script succeeded with only {good} of {wanted} domains")
    return taken


EXPECTED: Final = ('expect: "^220 "', r'send: "EHLO probe.test\r"', 'expect: "^250 "')
ENDING: Final = (r'send: "QUIT\r"', 'expect: "^221 "')
SECURING: Final = (r'send: "STARTTLS\r"', 'expect: "^220 "', "starttls: true", *EXPECTED[1:])


def exporter_configuration() -> str:
    lines = ["modules:"]
    for name, dialogue in (("plain", (*EXPECTED, *ENDING)), ("starttls", (*EXPECTED, *SECURING, *ENDING))):
        lines += [f"  {name}:", "    prober: tcp", "    timeout: 30s", "    tcp:", "      preferred_ip_protocol: ip4"]
        lines += ["      tls_config: {insecure_skip_verify: true}", "      query_response:"]
        lines += [f"        - {step}" for step in dialogue]
    return "\n".join(lines) + "\n"


@contextmanager
def exporter(place: Arena) -> Iterator[Callable[[str, int, int], Usage]]:
    """Run blackbox_exporter; gives how to have it probe: module, port, count."""
    (program,) = needs("prometheus-blackbox-exporter")
    configuration = place.folder / "exporter.yml"
    configuration.write_text(exporter_configuration(), encoding="ascii")
    port = free_port()
    listening = ("--config.file", str(configuration), "--web.listen-address", f"127.0.0.1:{port}")
    process = subprocess.Popen([*on_core(CLIENT), program, *listening, "--log.level=error"], stderr=subprocess.DEVNULL)

    def ask(module: str, smtp_port: int, count: int) -> Usage:
        loader = [sys.executable, str(INSTRUMENTS / "asking_exporter.py")]
        said = run([*loader, str(port), module, str(smtp_port), str(count), str(process.pid)], SERVER).output
        took = json.loads(said)
        return Usage(took["wall_s"], took["cpu_s"], 0, said)

    try:
        await_port(port)
        yield ask
    finally:
        process.terminate()
        process.wait()
