"""How fast `explain` is and how well it judges. Run it by hand; no test depends on a clock.

    python tests/benchmarks/explain.py [start|match|hostile|quality ...]

start    CPU of ``smtpprobe explain 421`` against a bare ``import click``, in paired runs with compiled modules
match    time of judging one reply, warm
hostile  the slowest text for each expression, and lines of 64 KiB
quality  precision and recall on the made-up replies of ``tests/reference/replies.tsv``: of whole replies, and of
         their codes and steps alone, as for a text in a language that nobody knows
"""

from __future__ import annotations

import collections
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from smtpprobe.reference import banners, patterns
from smtpprobe.reference.matching import Match, match
from smtpprobe.reference.reading import ReadReply, read_reply
from smtpprobe.reference.recognition import MAX_TEXT, expression

PAIRS = 30
REPLIES = Path(__file__).parent.parent / "reference" / "replies.tsv"


def rows() -> list[tuple[str, str, str]]:
    lines = REPLIES.read_text(encoding="utf-8").splitlines()[1:]
    return [(category, phase, reply) for category, phase, reply in (line.split("\t") for line in lines)]


def start() -> None:
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)

        def cpu_s(*arguments: str) -> float:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(
                [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment, timeout=60
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

        click, explain = ("-c", "import click"), ("-m", "smtpprobe", "explain", "421")
        cpu_s(*click), cpu_s(*explain)  # fill the cache
        pairs = [(cpu_s(*click), cpu_s(*explain)) for _ in range(PAIRS)]
    ratios = [explained / bare for bare, explained in pairs]
    print(f"import click           {statistics.median(bare for bare, _ in pairs) * 1000:7.1f} ms CPU, median")
    print(f"smtpprobe explain 421  {statistics.median(each for _, each in pairs) * 1000:7.1f} ms CPU, median")
    print(f"ratio                  {statistics.median(ratios):7.2f} (at most 1.5 is wanted)")


def judge(reply: ReadReply) -> None:
    match(reply.code, reply.enhanced, None, reply.lines)


def read_and_judge(text: str) -> None:
    judge(read_reply(text))


def timed_us(what: Callable[[], object]) -> float:
    began = time.process_time()
    what()
    return (time.process_time() - began) * 1e6


def match_() -> None:
    texts = [reply for _, _, reply in rows()]
    texts += [example for row in patterns().values() for example in row.examples]
    read = [read_reply(text) for text in texts]
    for reply in read:
        judge(reply)
    best = sorted((min(timed_us(partial(judge, reply)) for _ in range(5)), reply.lines) for reply in read)
    times = [each for each, _ in best]
    print(f"replies  {len(read)}, provider patterns {len(patterns())}, fingerprints {len(banners())}")
    print(f"reading  {timed_us(lambda: [read_reply(text) for text in texts]) / len(texts):7.1f} us, mean")
    print(f"judging  {statistics.mean(times):7.1f} us, mean; {times[len(times) // 2]:.1f} median (below 200 is wanted)")
    print(f"slowest  {times[-1]:7.1f} us: {best[-1][1]}")


def hostile_texts(marker: str, example: str) -> Iterator[str]:
    text = " ".join(read_reply(example).lines)
    found = expression(marker).search(text)
    core = found[0] if found is not None else text
    for size in range(1, len(core) + 1):
        yield (core[:size] * (MAX_TEXT // size + 1))[:MAX_TEXT]
        yield ((core[:size] + " ") * (MAX_TEXT // size + 1))[:MAX_TEXT]


def hostile() -> None:
    slowest: list[tuple[float, str]] = []
    markers = [(row.id, row.marker, row.examples) for row in patterns().values()]
    markers += [(row.id, row.marker, row.examples) for row in banners().values() if row.where != "host"]
    for key, marker, examples in markers:
        for example in examples:
            texts = hostile_texts(marker, example)
            slowest += [(timed_us(partial(expression(marker).search, text)), key) for text in texts]
    slowest.sort(reverse=True)
    print(f"expressions  {len(markers)}, slowest: {slowest[0][0] / 1000:.2f} ms ({slowest[0][1]})")
    pieces = ("user ", "not ", "<", "a@", "a.", "1.", "a=", "https://", " ", "a", "spam user sender relay ", "用户不")
    quoting = ("error from remote mailer ", "said: ", "refused to talk to me: ", "550 5.", "smtp; ")
    for piece in (*pieces, *quoting):
        start = "" if piece in quoting else "550 "
        line = start + piece * (64 * 1024 // len(piece))
        read_and_judge(line)
        took = min(timed_us(partial(read_and_judge, line)) for _ in range(3))
        print(f"  64 KiB of {piece!r:28} {took / 1000:6.2f} ms")


class Tally:
    """How often each kind was wanted, given, and right."""

    def __init__(self) -> None:
        self.wanted: collections.Counter[str] = collections.Counter()
        self.given: collections.Counter[str] = collections.Counter()
        self.right: collections.Counter[str] = collections.Counter()
        self.sure_and_wrong = 0

    def add(self, wanted: str, found: Match) -> None:
        self.wanted[wanted] += 1
        self.given[found.category] += 1
        self.right[wanted] += found.category == wanted
        self.sure_and_wrong += found.category != wanted and found.confidence in ("certain", "likely")

    def precision(self, kind: str) -> str:
        """Of those that were given this kind, how many have it; a dash where none was."""
        return f"{self.right[kind] / self.given[kind]:.2f}" if self.given[kind] else "-"

    def recall(self, kind: str) -> str:
        return f"{self.right[kind] / self.wanted[kind]:.2f}"

    @property
    def summary(self) -> tuple[str, str]:
        """Which part of all is right, and which part is called certain or likely and wrong."""
        total = sum(self.wanted.values())
        return f"{sum(self.right.values()) / total:.2f}", f"{self.sure_and_wrong / total:.3f}"


def quality() -> None:
    whole, bare = Tally(), Tally()
    for category, phase, text in rows():
        reply, step = read_reply(text), None if phase == "-" else phase
        whole.add(category, match(reply.code, reply.enhanced, step, reply.lines))
        bare.add(category, match(reply.code, reply.enhanced, step))
    print(f"{'':22} {'':7}  {'whole replies':>17}  {'codes and step only':>19}")
    print(f"{'kind':22} {'replies':>7}  {'precision':>10} {'recall':>6}  {'precision':>12} {'recall':>6}")
    for kind, count in sorted(whole.wanted.items()):
        print(
            f"{kind:22} {count:7}  {whole.precision(kind):>10} {whole.recall(kind):>6}"
            f"  {bare.precision(kind):>12} {bare.recall(kind):>6}"
        )
    total = sum(whole.wanted.values())
    print(f"{'all: right':22} {total:7}  {whole.summary[0]:>17}  {bare.summary[0]:>19}")
    print(f"{'all: sure and wrong':22} {total:7}  {whole.summary[1]:>17}  {bare.summary[1]:>19}")


PARTS: dict[str, Callable[[], None]] = {"start": start, "match": match_, "hostile": hostile, "quality": quality}

if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        print(f"--- {name}")
        PARTS[name]()
