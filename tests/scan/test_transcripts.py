"""What is said, summed up: what is kept of it, and what is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from smtpprobe.evidence import Exchange, Phase
from smtpprobe.replies import parse_reply
from smtpprobe.scan import transcripts
from smtpprobe.scan.transcripts import MAX_COMMON_BYTES, transcript_of

CACHES = (transcripts._read, transcripts._read_keywords, transcripts._identified)


@pytest.fixture
def nothing_kept() -> Iterator[None]:
    for cache in CACHES:
        cache.cache_clear()
    yield
    for cache in CACHES:
        cache.cache_clear()


def said(*lines: str) -> list[Exchange]:
    replies = [
        (Phase.GREETING, "".join(f"220-{each}\r\n" for each in lines) + "220 here\r\n"),
        (Phase.EHLO, "250-mx.example.org\r\n" + "".join(f"250-{each}\r\n" for each in lines) + "250 STARTTLS\r\n"),
    ]
    return [
        Exchange(phase=phase, outcome=parse_reply(raw.encode()), over_tls=False, started_s=0.0, ended_s=0.0)
        for phase, raw in replies
    ]


@pytest.mark.usefixtures("nothing_kept")
def test_the_same_is_summed_up_once() -> None:
    assert transcript_of(said("mx.example.org ESMTP Postfix")) is transcript_of(said("mx.example.org ESMTP Postfix"))


@pytest.mark.usefixtures("nothing_kept")
def test_nothing_is_kept_of_what_is_very_long() -> None:
    exchanges = said("mx.example.org ESMTP Postfix", *["x" * 500] * (MAX_COMMON_BYTES // 500 + 1))
    found = transcript_of(exchanges)
    assert (found.starttls, found.software) == (True, "Postfix")
    assert [each.cache_info().currsize for each in CACHES] == [0, 0, 0]
    assert transcript_of(exchanges) == found
