"""The programs in ``examples/``, run against the embedded lab."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

import pytest

from smtpprobe.evidence import Role
from smtpprobe.lab.scenarios import SCENARIOS
from smtpprobe.lab.world import World

EXAMPLES = Path(__file__).parent.parent / "examples"
NAMES = ("healthy", "no-starttls", "certificate-expired", "greeting-421")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World([SCENARIOS[name] for name in NAMES]) as running:
        yield running


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_one_domain_is_probed_from_python(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    example = load("probe_domain")
    assert await example.main(world.domain("healthy"), world.options(Role.SMTP)) == 0
    said = capsys.readouterr().out
    assert said.startswith("healthy.lab.test: info\n")
    assert said.count(": 220") == 2
    assert "a sender of the kind 'opportunistic': encrypted (tls)" in said


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("healthy", 0, "none of 4 unwanted findings"),
        ("no-starttls", 1, "starttls-missing"),
        ("certificate-expired", 1, "certificate-expired"),
        ("greeting-421", 3, "nothing is passed for good"),
        ("domain-not-found", 3, "nothing is passed for good"),
    ],
)
async def test_a_ci_job_fails_on_chosen_findings(
    name: str, status: int, said: str, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    example = load("fail_ci_job")
    assert await example.main(world.domain(name), world.options(Role.SMTP)) == status
    assert said in capsys.readouterr().out


async def test_a_check_of_ones_own_finds_what_it_looks_for(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = load("custom_check")
    monkeypatch.setattr(example, "WANTED_BYTES", 1)
    assert await example.main(world.domain("healthy"), world.options(Role.SMTP)) == 0
    monkeypatch.setattr(example, "WANTED_BYTES", 10**12)
    assert await example.main(world.domain("healthy"), world.options(Role.SMTP)) == 1
    assert "bytes, 1000000000000 are wanted" in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_every_example_tells_how_it_is_used(path: Path) -> None:
    ended = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (1, f"usage: {path.name} TARGET\n")
