"""The Dask cluster that a distributed scan runs on: one that is there, or one of our own; the one importer of Dask.

What goes wrong with it is told in words that say what to do. It knows nothing of scans but what a piece of work gives.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from multiprocessing import resource_tracker
from typing import Any, Final

from smtpprobe.errors import MissingExtraError, OptionError
from smtpprobe.names import quoted
from smtpprobe.scan.staging import Part

CONNECT_S: Final = 10.0
"""How long a scheduler may take to answer."""

WORKERS_S: Final = 60.0
"""How long the first worker may take to come."""

THREADS: Final = 4
"""Of each process of a cluster of our own: while one waits for the last slow servers of its bucket, others go on."""


def require_dask() -> None:
    """See to it that Dask is there, and what writes the results.

    Raises:
        MissingExtraError: it is not.
    """
    try:
        import distributed  # noqa: F401
        import pyarrow  # noqa: F401
    except ImportError:
        raise MissingExtraError("scanning with Dask", "dask") from None


async def result_of(future: Any) -> Part:
    """Wait for a piece of work; give it up where nobody waits any more.

    Raises:
        OSError: the scheduler is gone. Whatever else the work raised comes as it is; `explained` has words for it.
    """
    import distributed

    try:
        part: Part = await future
    except asyncio.CancelledError:
        future.release()
        raise
    except distributed.CancelledError as error:
        raise OSError("the connection to Dask's scheduler was lost; --resume goes on") from error
    return part


def explained(stage: str, number: int, error: BaseException) -> str:
    """Say in one line why a piece of work failed."""
    import distributed

    what = f"{stage} {number}"
    if isinstance(error, distributed.KilledWorker):
        return f"{what}: every worker that tried it was lost; --resume goes on"
    return f"{what}: {type(error).__name__}: {error}"


@asynccontextmanager
async def connected(scheduler: str | None, jobs: int) -> AsyncIterator[Any]:
    """A client of a cluster.

    Args:
        scheduler: where that of the cluster is; None: make a cluster here, which ends with the block.
        jobs: processes of a cluster of our own.

    Raises:
        OptionError: no scheduler answers there, or it has no workers.
    """
    dask: Any = import_module("distributed")

    if scheduler is None:
        with tempfile.TemporaryDirectory(prefix="smtpprobe-dask-") as folder:
            with _deaf_children():
                cluster = await dask.LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=THREADS,
                    processes=True,
                    host="127.0.0.1",
                    scheduler_port=0,
                    dashboard_address=None,
                    # There is a web server all the same, by default on a port that others want too.
                    scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                    local_directory=folder,
                    silence_logs=logging.CRITICAL,
                    asynchronous=True,
                )
            async with cluster, dask.Client(cluster, asynchronous=True, set_as_default=False) as client:
                yield client
        return
    client = dask.Client(scheduler, asynchronous=True, set_as_default=False, timeout=CONNECT_S, name="smtpprobe")
    try:
        try:
            await client
        except (OSError, ValueError, TypeError) as error:
            raise OptionError(
                f"no Dask scheduler answers at {quoted(scheduler)}: {_first_line(error)}; to start one: dask scheduler"
            ) from error
        try:
            await client.wait_for_workers(1, timeout=WORKERS_S)
        except TimeoutError as error:
            raise OptionError(
                f"the scheduler at {quoted(scheduler)} has no workers; to start one: dask worker {scheduler}"
            ) from error
        yield client
    finally:
        await client.close()


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Let the processes that are started meanwhile not hear Ctrl-C, which is for us to hear, and be it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # which would take the block away when the first process is started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Keep Dask's own words away from those that we say to the person."""
    names = ["distributed", *(name for name in logging.root.manager.loggerDict if name.startswith("distributed."))]
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
