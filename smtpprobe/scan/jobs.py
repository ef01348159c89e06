"""Several processes that ask and talk, for machines with more than one core.

The scan itself stays one: targets, politeness, journal and results are where they are without this. A job is a process
with a `worker.Worker` in it, which is told what to do over its standard input and tells what came of it over its
standard output, in batches of MessagePack behind their length. An address always goes to the same job.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import Callable
from typing import Any, Final
from zlib import crc32

import msgspec

from smtpprobe.evidence import Endpoint, Options, Target
from smtpprobe.scan.loops import loop_factory, spare_the_collector
from smtpprobe.scan.worker import Depth, Facts, Probed, Resolved, Worker

_LENGTH: Final = struct.Struct(">I")

MAX_MESSAGE: Final = 256 * 1024 * 1024
"""Bytes. A batch is far smaller; anything else is no batch."""


class Start(msgspec.Struct, frozen=True):
    """The first message to a job."""

    options: Options
    depth: Depth
    ehlo_name: str


class Order(msgspec.Struct, frozen=True, array_like=True):
    """One thing to do: ask about a target, or talk to an endpoint."""

    number: int
    target: Target | None = None
    endpoint: Endpoint | None = None


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What came of an order."""

    number: int
    facts: Facts | None = None
    certificates: tuple[tuple[str, bytes], ...] = ()
    """With the facts."""
    probed: Probed | None = None


class JobEndedError(OSError):
    """A process ended that was still needed."""


class Jobs:
    """The processes; made by `start`."""

    def __init__(self, processes: list[asyncio.subprocess.Process]) -> None:
        self._processes = processes
        self._loop = asyncio.get_running_loop()
        self._number = 0
        self._waiting: dict[int, Callable[[Answer], None]] = {}
        self._orders: list[list[Order]] = [[] for _ in processes]
        self._is_flushing = False
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(list[Answer])
        self._readers = [self._loop.create_task(self._read(process)) for process in processes]
        self._is_closing = False
        self._on_failure: Callable[[BaseException], None] = lambda error: None

    @classmethod
    async def start(cls, count: int, options: Options, depth: Depth, ehlo_name: str) -> Jobs:
        """Start the processes."""
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "smtpprobe.scan.jobs",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for us to hear, and to end in good order
            )
            for _ in range(count)
        ]
        jobs = cls(processes)
        for process in processes:
            jobs._send(process, jobs._encoder.encode(Start(options, depth, ehlo_name)))
        return jobs

    def on_failure(self, tell: Callable[[BaseException], None]) -> None:
        """Say whom to tell where a process ends before its time."""
        self._on_failure = tell

    async def resolve(self, target: Target) -> Resolved:
        """Ask about a target; raises nothing."""
        answer: asyncio.Future[Answer] = self._loop.create_future()

        def tell(found: Answer) -> None:
            if not answer.done():
                answer.set_result(found)

        number = self._give(crc32((target.name or "").encode()), tell)
        self._orders[crc32((target.name or "").encode()) % len(self._orders)].append(Order(number, target=target))
        found = await answer
        if found.facts is None:
            raise JobEndedError("a process of the scan gave no answer")
        return Resolved(found.facts, found.certificates)

    def probe(self, endpoint: Endpoint, then: Callable[[Probed], None]) -> None:
        """Talk to an endpoint; `then` is told once."""

        def tell(found: Answer) -> None:
            if found.probed is not None:
                then(found.probed)

        key = crc32(endpoint.address.encode())
        number = self._give(key, tell)
        self._orders[key % len(self._orders)].append(Order(number, endpoint=endpoint))

    async def close(self) -> None:
        """Let the processes break off what they do, and wait until they are gone."""
        self._is_closing = True
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in self._processes:
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                process.kill()
                await process.wait()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    def _give(self, key: int, then: Callable[[Answer], None]) -> int:
        self._number += 1
        self._waiting[self._number] = then
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)
        return self._number

    def _flush(self) -> None:
        self._is_flushing = False
        for process, orders in zip(self._processes, self._orders, strict=True):
            if orders:
                self._send(process, self._encoder.encode(orders))
                orders.clear()

    def _send(self, process: asyncio.subprocess.Process, data: bytes) -> None:
        if process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(_LENGTH.pack(len(data)) + data)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        stream = process.stdout
        if stream is None:
            return
        try:
            while True:
                for answer in self._decoder.decode(await _message(stream)):
                    self._waiting.pop(answer.number)(answer)
        except (asyncio.IncompleteReadError, OSError):
            if not self._is_closing:
                code = await process.wait()
                self._on_failure(JobEndedError(f"a process of the scan ended (status {code})"))


async def _message(stream: asyncio.StreamReader) -> bytes:
    (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    if length > MAX_MESSAGE:
        raise OSError("a message of a job is too long")
    return await stream.readexactly(length)


# --- the process ----------------------------------------------------------------------------------------------------


class _Job:
    """The other side: does what it is told until its standard input ends."""

    def __init__(self, worker: Worker, write: Callable[[bytes], Any]) -> None:
        self._worker = worker
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._encoder = msgspec.msgpack.Encoder()
        self._answers: list[Answer] = []
        self._is_closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, order: Order) -> None:
        if order.endpoint is not None:
            number = order.number
            self._worker.probe(
                order.endpoint,
                lambda probed: self._answer(Answer(number, probed=probed)),
            )
        elif order.target is not None:
            task = self._loop.create_task(self._resolve(order.number, order.target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _resolve(self, number: int, target: Target) -> None:
        found = await self._worker.resolve(target)
        self._answer(Answer(number, facts=found.facts, certificates=found.certificates))

    def _answer(self, answer: Answer) -> None:
        if not self._answers:
            self._loop.call_soon(self._flush)  # with all that comes of this turn of the loop
        self._answers.append(answer)

    def close(self) -> None:
        """Tell nothing more: nobody listens."""
        self._is_closed = True

    def _flush(self) -> None:
        if self._is_closed:
            return
        data = self._encoder.encode(self._answers)
        self._answers.clear()
        self._write(_LENGTH.pack(len(data)) + data)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, sys.stdout.buffer)
    start = msgspec.msgpack.decode(await _message(reader), type=Start)
    worker = Worker(start.options, start.depth, start.ehlo_name)
    job = _Job(worker, writer.write)
    orders = msgspec.msgpack.Decoder(list[Order])
    try:
        while True:
            for order in orders.decode(await _message(reader)):
                job.take(order)
    except asyncio.IncompleteReadError:
        pass
    finally:
        job.close()
        await worker.close()
        writer.abort()


def main() -> None:
    """Be a job."""
    spare_the_collector()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve())


if __name__ == "__main__":
    main()
