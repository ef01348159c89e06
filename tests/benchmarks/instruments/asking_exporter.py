"""Has blackbox_exporter probe many addresses, and says what that took of its process, as JSON.

    python asking_exporter.py PORT MODULE SMTP_PORT COUNT PROCESS

It asks over connections that stay open, several at once, and reads no more of an answer than it must.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator

CONNECTIONS = 64


def cpu_s(process: int) -> float:
    """Seconds of CPU that a process has taken so far, from proc(5)."""
    with open(f"/proc/{process}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def ask(port: int, module: str, smtp_port: int, numbers: Iterator[int]) -> int:
    """Have it probe; how many probes succeeded."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    succeeded = 0
    for number in numbers:
        target = f"127.1.{number >> 8 & 255}.{number & 255}:{smtp_port}"
        writer.write(f"GET /probe?module={module}&target={target} HTTP/1.1\r\nHost: exporter\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"\r\ncontent-length:" in head:
            body = await reader.readexactly(int(head.partition(b"\r\ncontent-length:")[2].split()[0]))
        else:
            body = b""
            while size := int(await reader.readline(), 16):
                body += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        succeeded += b"\nprobe_success 1\n" in body
    writer.close()
    return succeeded


async def main(port: int, module: str, smtp_port: int, count: int, process: int) -> None:
    numbers = iter(range(count))
    before_s, began_s = cpu_s(process), time.perf_counter()
    succeeded = sum(await asyncio.gather(*(ask(port, module, smtp_port, numbers) for _ in range(CONNECTIONS))))
    wall_s = time.perf_counter() - began_s
    if succeeded < count:
        raise SystemExit(f"only {succeeded} of {count} probes succeeded")
    print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s(process) - before_s}))


if __name__ == "__main__":
    port, module, smtp_port, count, process = sys.argv[1:]
    asyncio.run(main(int(port), module, int(smtp_port), int(count), int(process)))
