"""A scan on a Dask cluster: the same results as on one machine, whatever becomes of the workers."""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

pytest.importorskip("distributed", reason="the scan on a cluster needs the extra dask")

from smtpprobe.cli import main
from smtpprobe.cli.scanning import Teller
from smtpprobe.errors import MissingExtraError, OptionError
from smtpprobe.scan.cluster import connected
from smtpprobe.scan.distributed import DistributedScan, Flow
from smtpprobe.scan.lease import Terms
from smtpprobe.scan.loading import read_results
from smtpprobe.scan.pace import Limits
from smtpprobe.scan.results import Result
from smtpprobe.scan.running import Plan
from tests.scan.world import DOMAINS, NETWORKS, World, world

TARGETS = DOMAINS + 3
PATIENCE_S = 60


def scan(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "smtpprobe", "scan", *arguments], capture_output=True, text=True, timeout=PATIENCE_S
    )


def told(results: Path) -> list[dict[str, Any]]:
    """What results say but for the times, in order."""
    found = []
    for each in read_results(str(results)):
        assert isinstance(each, Result)
        plain = json.loads(msgspec.json.encode(each))
        del plain["at"]
        for host in plain["hosts"]:
            for session in host["sessions"]:
                del session["duration_s"]
        found.append(plain)
    return sorted(found, key=lambda plain: plain["line"])


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, list[dict[str, Any]]]]:
    """The world, and what a scan on one machine says of it."""
    folder = tmp_path_factory.mktemp("world")
    with world(folder) as small:
        done = scan(str(small.targets), "--out", str(folder / "local.ndjson"), *small.options)
        assert done.returncode == 0, done.stderr
        results = told(folder / "local.ndjson")
        assert len(results) == TARGETS
        yield small, results


async def test_a_cluster_of_ones_own_takes_no_port_from_others() -> None:
    """Dask has a web server in any case, and warns where somebody has the usual port for it."""
    async with connected(None, 0) as client:
        assert 8787 not in (await client.scheduler.identity())["services"].values()


def test_a_cluster_of_ones_own_gives_the_results_of_one_machine(
    expected: tuple[World, list[dict[str, Any]]], tmp_path: Path
) -> None:
    small, results = expected
    small.forget()
    out, evidence = tmp_path / "out", tmp_path / "evidence"
    done = scan(
        *(str(small.targets), "--out", str(out), "--engine", "dask", "--jobs", "2", "--partition-size", "7"),
        *("--save-evidence", str(evidence), *small.options),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert told(out) == results
    # Each server was talked to once, however many partitions needed it.
    assert small.visits == [1] * NETWORKS
    # Nothing is left of the way there, and the manifest says what there is.
    names = [f"part-{number:05}.parquet" for number in range(7)]
    assert sorted(each.name for each in out.iterdir()) == ["_SUCCESS", *names]
    manifest = json.loads((out / "_SUCCESS").read_text(encoding="utf-8"))
    assert manifest["targets"] == TARGETS
    assert [each["file"] for each in manifest["parts"]] == names
    # About the name that is excluded there is nothing to be known.
    assert sum(each.read_bytes().count(b"\n") for each in evidence.glob("part-*.ndjson")) == TARGETS - 1


def test_ctrl_c_ends_a_cluster_of_ones_own_in_good_order(
    expected: tuple[World, list[dict[str, Any]]], tmp_path: Path
) -> None:
    small, _ = expected
    small.forget(hold_s=1.0)
    out = tmp_path / "out"
    arguments = (str(small.targets), "--out", str(out), "--engine", "dask", "--concurrency", "4", *small.options)
    with subprocess.Popen(
        [sys.executable, "-m", "smtpprobe", "scan", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        small.wait_for(lambda: sum(small.visits) > 0)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: the workers are sent it too
        assert process.communicate(timeout=PATIENCE_S) == ("", "")
    assert process.returncode == 130
    assert sum(small.visits) < NETWORKS
    assert [each.name for each in out.iterdir()] == ["_scan"]


# --- a cluster of several processes ---------------------------------------------------------------------------------


class Cluster:
    """A scheduler and workers, each a process."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.workers: list[subprocess.Popen[str]] = []
        self._listener: threading.Thread | None = None
        stack.callback(self._close)
        self._scheduler = self._start("scheduler", "--port", "0", "--no-dashboard", stderr=subprocess.PIPE)
        self.address = self._hear("Scheduler at:").split()[-1]

    def _start(self, what: str, *arguments: str, stderr: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", what, "--host", "127.0.0.1", *arguments],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            text=True,
        )
        self._stack.callback(process.wait, 20)
        self._stack.callback(process.kill)
        return process

    def _hear(self, words: str) -> str:
        """Wait for a line of the scheduler's log."""
        assert self._scheduler.stderr is not None
        for line in self._scheduler.stderr:
            if words in line:
                return line
        raise AssertionError(f"the scheduler has ended without a word of {words!r}")

    def add_workers(self, count: int) -> None:
        """Start workers, and wait until the scheduler knows them."""
        for number in range(count):
            options = ("--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", f"worker-{number}")
            self.workers.append(self._start("worker", self.address, *options))
        for _ in range(count):
            self._hear("Register worker")

    def listen(self) -> None:
        """Let the scheduler say what it likes from now on."""
        self._listener = threading.Thread(target=lambda: list(self._scheduler.stderr or ()), daemon=True)
        self._listener.start()

    def _close(self) -> None:
        """Once the processes have ended."""
        if self._listener is not None:
            self._listener.join(20)
        if self._scheduler.stderr is not None:
            self._scheduler.stderr.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        started = Cluster(tmp_path, stack)
        started.add_workers(2)
        started.listen()
        yield started


def test_a_scan_that_was_stopped_is_gone_on_with_and_talks_to_nobody_twice(
    expected: tuple[World, list[dict[str, Any]]], cluster: Cluster, tmp_path: Path
) -> None:
    small, results = expected
    small.forget(hold_s=1.0)
    plan = msgspec.structs.replace(
        small.plan(str(tmp_path / "out")), limits=Limits(per_host_interval_s=0, concurrency=2)
    )

    def stop(flow: Flow) -> None:
        if flow.stage == "probe" and flow.parts_done > 0 and not first.is_stopped:
            first.stop()

    with DistributedScan(plan, scheduler=cluster.address, partition_size=20, on_tick=stop) as first:
        first.take_targets()
        assert not first.run().is_complete
    visits = small.visits
    assert 0 < sum(visits) < NETWORKS
    with pytest.raises(OptionError, match="not finished; go on with --resume"), DistributedScan(plan):
        pass
    again = msgspec.structs.replace(plan, is_resumed=True)
    with pytest.raises(OptionError, match="begun with other"), DistributedScan(again, partition_size=7):
        pass
    small.forget()
    with DistributedScan(again, scheduler=cluster.address, partition_size=20) as second:
        assert second.take_targets().targets == TARGETS
        assert second.run().is_complete
    assert [now + before for now, before in zip(small.visits, visits, strict=True)] == [1] * NETWORKS
    assert told(tmp_path / "out") == results
    with pytest.raises(OptionError, match="has results"), DistributedScan(plan):
        pass


def test_what_a_killed_worker_had_begun_is_done_again_by_the_others(
    expected: tuple[World, list[dict[str, Any]]], cluster: Cluster, tmp_path: Path
) -> None:
    small, results = expected
    victim = psutil.Process(cluster.workers[0].pid)
    killed: list[Flow] = []

    def kill(flow: Flow) -> None:
        if flow.stage != "probe" or flow.parts_done == 0 or killed:
            return
        victim.suspend()  # so that what it is in the middle of stays so until it is killed
        if any(each.raddr and each.raddr.port == small.port for each in victim.net_connections("tcp4")):
            victim.kill()
            killed.append(msgspec.structs.replace(flow))
        else:
            victim.resume()

    small.forget(hold_s=2.0)
    plan = small.plan(str(tmp_path / "out"))
    terms = Terms(lasts_s=1.5)
    with DistributedScan(plan, scheduler=cluster.address, partition_size=7, on_tick=kill, terms=terms) as distributed:
        distributed.take_targets()
        outcome = distributed.run()
    assert outcome.is_complete
    assert killed
    assert killed[0].parts_done < killed[0].parts
    assert told(tmp_path / "out") == results
    # Somebody did again what the killed one had begun, and not for a moment did two talk to one address.
    assert sum(small.visits) > NETWORKS
    assert max(small.visits) == 2
    assert [server.most_at_once for server in small.servers.values()] == [1] * NETWORKS


# --- what cannot be done --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--engine", "dask"), "writes a folder of Parquet files: --out FOLDER"),
        (("--engine", "dask", "--out", "results.csv"), "writes a folder of Parquet files: --out FOLDER"),
        (("--engine", "dask", "--out", "new", "--resume"), "there is nothing to go on with in 'new'"),
        (("--engine", "dask", "--out", "domains.txt/"), "'domains.txt/' is a file"),
        (("--engine", "dask", "--out", "nowhere://x/y"), "cannot write to 'nowhere://x/y'"),
        (("--scheduler", "nonsense", "--out", "new"), "no Dask scheduler answers at 'nonsense'"),
        (("--partition-size", "5"), "--partition-size is for --engine dask"),
    ],
)
def test_what_cannot_be_carried_out_is_said_in_one_line(
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("domains.txt").write_text("example.com\n", encoding="ascii")
    assert main(["scan", "domains.txt", *arguments]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert [each.name for each in tmp_path.iterdir()] == ["domains.txt"]


def test_without_dask_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"smtpprobe\[dask\]"):
        DistributedScan(Plan(source="-", out=str(tmp_path / "out")))


def test_what_is_missing_on_a_worker_comes_over_in_words() -> None:
    error = pickle.loads(pickle.dumps(MissingExtraError("writing Parquet", "parquet")))  # noqa: S301 - our own
    assert str(error) == "writing Parquet needs: pip install 'smtpprobe[parquet]'"
    assert error.extra == "parquet"


def test_a_scan_on_one_machine_does_not_import_dask(tmp_path: Path) -> None:
    (tmp_path / "none.txt").write_text("", encoding="ascii")
    code = (
        "import sys; from smtpprobe.cli import main;"
        f"main(['scan', {str(tmp_path / 'none.txt')!r}, '-q']);"
        "sys.exit(any(name in sys.modules for name in ('dask', 'distributed', 'fsspec')))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=PATIENCE_S).returncode == 0


# --- what a person is told ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flow", "said"),
    [
        (Flow(), "Dask has no workers at the moment; waiting for one"),
        (Flow(workers=3), ""),
        (Flow(workers=3, stage="resolve", parts=1200, parts_done=7), "resolving: 7 of 1,200 partitions; workers: 3"),
        (Flow(workers=3, stage="probe", parts=16), "talking to servers: 0 of 16 buckets; workers: 3"),
        (Flow(workers=3, stage="join", parts=9, parts_done=9), "writing results: 9 of 9 partitions; workers: 3"),
        (Flow(workers=3, stage="probe", is_draining=True), "ending: what 3 workers have begun"),
    ],
)
def test_progress_names_the_stage_and_the_workers(flow: Flow, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smtpprobe.cli.scanning.LINE_EVERY_S", 0.0)
    stream = io.StringIO()
    Teller("en", stream=stream).flow(flow)
    assert stream.getvalue().startswith(said)
    assert bool(stream.getvalue()) == bool(said)
