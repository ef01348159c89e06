"""Software told by its greeting, its EHLO reply and its host."""

from __future__ import annotations

import pytest

from smtpprobe.reference import banners, identify
from smtpprobe.reference.fingerprints import of_ehlo, of_greeting, of_host
from smtpprobe.reference.model import Confidence
from smtpprobe.reference.reading import read_reply
from smtpprobe.replies import parse_reply


def test_each_example_selects_its_own_row() -> None:
    wrong = []
    for row in banners().values():
        for example in row.examples:
            lines = read_reply(example).lines
            found = {"greeting": of_greeting, "ehlo": of_ehlo}.get(row.where, lambda _: of_host(example))(lines)  # noqa: B023
            if found is None or found.row.id != row.id:
                wrong.append(f"{row.id}: {example!r} selects {found and found.row.id}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("greeting", "product", "version"),
    [
        ("mx.dest.example ESMTP Postfix", "Postfix", None),
        ("mx.dest.example ESMTP Postfix (Debian/GNU)", "Postfix", None),
        ("mx.dest.example ESMTP Postfix (3.7.11)", "Postfix", "3.7.11"),
        ("mx.dest.example ESMTP Exim 4.98 Mon, 02 Jun 2025 10:00:00 +0200", "Exim", "4.98"),
        ("mx.dest.example ESMTP Sendmail 8.18.1/8.18.1; Mon, 2 Jun 2025", "Sendmail", "8.18.1"),
        ("mx.dest.example ESMTP Sendmail AIX5.3/8.11.6p2/8.11.0; Mon", "Sendmail", "8.11.6p2"),
        ("mx.google.com ESMTP ab1si2.3 - gsmtp", "Google", None),
        ("X.mail.protection.outlook.com Microsoft ESMTP MAIL Service ready at Mon", "Microsoft Exchange Online", None),
        ("mx.dest.example Microsoft ESMTP MAIL Service ready at Mon", "Microsoft Exchange", None),
        ("mx.dest.example ESMTP Service (HCL Domino Release 12.0.2FP3 HF50) ready", "HCL Domino", "12.0.2FP3 HF50"),
        ("*" * 60, "Cisco ASA (mail inspection)", None),
    ],
)
def test_the_greeting_names_product_and_version(greeting: str, product: str, version: str | None) -> None:
    found = identify(parse_reply(b"220 " + greeting.encode() + b"\r\n"))
    assert found is not None
    assert (found.product, found.version) == (product, version)


@pytest.mark.parametrize("greeting", ["mx.dest.example ESMTP", "mx.dest.example ESMTP ready", "", "postfixed.example"])
def test_a_greeting_that_says_nothing_is_not_guessed_at(greeting: str) -> None:
    assert identify(parse_reply(b"220 " + greeting.encode() + b"\r\n")) is None


def test_a_hidden_greeting_leaves_the_ehlo_reply_and_then_the_host() -> None:
    greeting = parse_reply(b"220 mx.dest.example ESMTP\r\n")
    ehlo = parse_reply(b"250-mx.dest.example Hello [192.0.2.7]\r\n250-X-ANONYMOUSTLS\r\n250 CHUNKING\r\n")
    by_ehlo = identify(greeting, ehlo, host="dest.mail.protection.outlook.com")
    by_host = identify(greeting, parse_reply(b"250 OK\r\n"), host="dest.mail.protection.outlook.com")
    assert by_ehlo is not None
    assert by_host is not None
    assert (by_ehlo.product, by_ehlo.rule) == ("Microsoft Exchange", "banner:exchange-ehlo")
    assert (by_host.product, by_host.rule) == ("Microsoft Exchange Online", "banner:exchange-host")
    assert by_host.confidence is Confidence.CERTAIN
    assert by_host.provider == "Microsoft Exchange Online"


def test_a_greeting_of_several_lines_is_read_as_one() -> None:
    found = identify(parse_reply(b"220-mx.dest.example ESMTP Postfix\r\n220 mx.dest.example ESMTP Postfix\r\n"))
    assert found is not None
    assert found.product == "Postfix postscreen"


def test_a_host_is_looked_up_by_whole_labels() -> None:
    assert of_host("notmimecast.com") is None
    assert of_host("eu.mimecast.com.") is not None
    assert of_host("") is None
    assert of_host("a." * 200 + "mimecast.com") is not None
