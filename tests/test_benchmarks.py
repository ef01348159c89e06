"""The benchmarks run; how fast anything is, is no matter of a test."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

TITLES = (
    "start-up",
    "plain, against C",
    "plain, against blackbox_exporter",
    "STARTTLS, against C",
    "STARTTLS, against blackbox_exporter",
    "domains, plain",
    "domains, STARTTLS",
    "1000 open sessions, plain, uvloop",
    "1000 open sessions, plain, asyncio",
    "1000 open sessions, STARTTLS, uvloop",
    "1000 open sessions, STARTTLS, asyncio",
    "memory of",
    "two jobs against one",
    "connections for each endpoint",
    "writing",
    "check: against check_smtp",
    "check: against swaks",
)


@pytest.mark.skipif(
    sys.platform != "linux" or not all(map(shutil.which, ("gcc", "openssl", "taskset"))),
    reason="the benchmark of scans needs Linux, gcc, openssl and taskset",
)
def test_the_benchmark_of_scans_prints_every_row(tmp_path: Path) -> None:
    has_headers = subprocess.run(
        ("gcc", "-E", "-o", "/dev/null", "-"), input=b"#include <openssl/ssl.h>\n", capture_output=True
    )
    if has_headers.returncode != 0:
        pytest.skip("the benchmark of scans needs the headers of OpenSSL")
    figures = tmp_path / "figures.json"
    ended = subprocess.run(
        (sys.executable, "-m", "tests.benchmarks.scan", "--count", "50", "--rounds", "1", "--json", str(figures)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert ended.returncode == 0, ended.stderr
    assert [title for title in TITLES if title not in ended.stdout] == []
    rows = json.loads(figures.read_text(encoding="utf-8"))["rows"]
    assert [row["name"] for row in rows if row["name"] not in ended.stdout] == []
