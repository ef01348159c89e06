"""What it costs to build and write the results of a scan, and to keep a journal, as JSON: seconds of CPU a target.

    python writing.py COUNT PORT FOLDER

It talks once to the server on PORT of this machine. Then COUNT targets get what was learnt there, as a scan does it:
the facts of each endpoint go into a journal; the result is put together, judged, and written as a line; the journal
takes note of that, and all is committed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from smtpprobe.endpoints import parse_port
from smtpprobe.evidence import Options, Role, Target
from smtpprobe.probing import runtime
from smtpprobe.scan.joining import Joiner, facts_of_address
from smtpprobe.scan.journal import Journal
from smtpprobe.scan.loops import spare_the_collector
from smtpprobe.scan.results import Session
from smtpprobe.scan.running import target_key
from smtpprobe.scan.sinks import Lines
from smtpprobe.scan.worker import Depth, Probed, Worker, probed
from smtpprobe.targets import parse_target

AT_A_TIME: Final = 300
"""Targets that are written down together: what comes in within a tenth of a second."""
EHLO: Final = "probe.test"


async def talk_once(options: Options, target: Target, joiner: Joiner) -> Probed:
    worker = Worker(options, Depth.LIGHT, EHLO)
    loop = asyncio.get_running_loop()
    told: asyncio.Future[Probed] = loop.create_future()
    assert target.address is not None
    (endpoint,) = joiner.planned(1, target, facts_of_address(target.address)).endpoints
    worker.probe(endpoint, told.set_result)
    try:
        return await told
    finally:
        await worker.close()


def write(count: int, port: int, folder: Path) -> dict[str, float]:
    """What results and journal take."""
    options = Options(policies=False, ports=(parse_port(f"{Role.SMTP.value}:{port}"),), ehlo_name=EHLO)
    targets = [parse_target(f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}") for number in range(count)]
    journal = Journal(str(folder / "writing.journal"))
    sink = Lines.to_file(str(folder / "writing.ndjson"))
    joiner = Joiner(journal, options, Depth.LIGHT, ehlo_name=EHLO, started_at=datetime.now(UTC), runtime=runtime())
    learnt = asyncio.run(talk_once(options, targets[0], joiner))
    conversation, pack = learnt.conversation, msgspec.msgpack.encode
    session = msgspec.json.decode(learnt.session, type=Session)
    journal.add_targets([(number, target_key(each), True, pack(each)) for number, each in enumerate(targets, 1)])
    understood = [
        joiner.planned(number, each, facts_of_address(str(each.address))) for number, each in enumerate(targets, 1)
    ]
    journal.commit()
    spare_the_collector()
    results_s = journal_s = 0.0
    for first in range(0, count, AT_A_TIME):
        batch = range(first, min(first + AT_A_TIME, count))
        began_s = time.process_time()
        rows = []
        for index in batch:
            key, found = understood[index].keys[0], probed(conversation, session, learnt.shape)
            rows.append((key, found.facts, found.session, found.shape))
            joiner.remember(key, found)
        journal.probed(rows)
        probed_s = time.process_time()
        sink.write([joiner.join(understood[index]).line for index in batch])
        written_s = time.process_time()
        journal.written([index + 1 for index in batch])
        journal.keep("length", sink.length())
        journal.commit()
        results_s += written_s - probed_s
        journal_s += probed_s - began_s + time.process_time() - written_s
    sink.close()
    journal.close()
    return {"results_s": results_s / count, "journal_s": journal_s / count}


if __name__ == "__main__":
    count, port, folder = sys.argv[1:]
    print(json.dumps(write(int(count), int(port), Path(folder))))
