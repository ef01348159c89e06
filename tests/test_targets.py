"""What a person may type, and what comes of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpprobe.errors import OptionError, TargetError
from smtpprobe.evidence import Override, Role, Target, TargetKind
from smtpprobe.targets import (
    NameServer,
    Transport,
    parse_name_server,
    parse_override,
    parse_resolver,
    parse_target,
)


def name(text: str, name: str, **more: Any) -> Target:
    return Target(text=text, kind=TargetKind.NAME, name=name, **more)


def endpoint(text: str, **more: Any) -> Target:
    return Target(text=text, kind=TargetKind.ENDPOINT, **more)


@pytest.mark.parametrize(
    ("typed", "domain"),
    [
        ("example.org", "example.org"),
        ("mail.example.org", "mail.example.org"),
        ("  Example.ORG.\n", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("_dmarc.example.org", "_dmarc.example.org"),
        ("localhost", "localhost"),
        ("me@example.org", "example.org"),
        ("<me@Example.org>", "example.org"),
        ("first.last+tag@bücher.example", "xn--bcher-kva.example"),
        ('"a b@c"@example.org', "example.org"),
        ("用户@例え.テスト", "xn--r8jz45g.xn--zckzah"),
    ],
)
def test_a_bare_name_or_a_mail_address_is_a_domain(typed: str, domain: str) -> None:
    assert parse_target(typed) == name(typed.strip(), domain)


@pytest.mark.parametrize(
    ("typed", "target"),
    [
        ("mx1.example.org:2525", {"name": "mx1.example.org", "port": 2525}),
        ("mx1.example.org.:25", {"name": "mx1.example.org", "port": 25}),
        ("localhost:1", {"name": "localhost", "port": 1}),
        ("192.0.2.1", {"address": "192.0.2.1"}),
        ("192.0.2.1:65535", {"address": "192.0.2.1", "port": 65535}),
        ("[192.0.2.1]:25", {"address": "192.0.2.1", "port": 25}),
        ("2001:DB8:0::1", {"address": "2001:db8::1"}),
        ("[2001:db8::1]", {"address": "2001:db8::1"}),
        ("[2001:db8::1]:25", {"address": "2001:db8::1", "port": 25}),
        ("[IPv6:2001:db8::1]", {"address": "2001:db8::1"}),
        ("me@[192.0.2.1]", {"address": "192.0.2.1"}),
        ("me@[IPv6:2001:db8::1]", {"address": "2001:db8::1"}),
    ],
)
def test_an_address_or_a_port_makes_an_endpoint(typed: str, target: dict[str, Any]) -> None:
    assert parse_target(typed) == endpoint(typed, **target)


@pytest.mark.parametrize(
    ("typed", "target"),
    [
        ("smtp://mx1.example.org", {"name": "mx1.example.org", "port": 25, "role": Role.SMTP}),
        ("smtp://mx1.example.org/", {"name": "mx1.example.org", "port": 25, "role": Role.SMTP}),
        ("smtps://mail.example.org", {"name": "mail.example.org", "port": 465, "role": Role.SUBMISSIONS}),
        ("submissions://mail.example.org", {"name": "mail.example.org", "port": 465, "role": Role.SUBMISSIONS}),
        ("submission://mail.example.org", {"name": "mail.example.org", "port": 587, "role": Role.SUBMISSION}),
        ("SMTP://MX1.example.org:2525", {"name": "mx1.example.org", "port": 2525, "role": Role.SMTP}),
        ("smtps://192.0.2.1:25", {"address": "192.0.2.1", "port": 25, "role": Role.SUBMISSIONS}),
        ("submission://[2001:db8::1]", {"address": "2001:db8::1", "port": 587, "role": Role.SUBMISSION}),
        ("smtp://[2001:db8::1]:2525/", {"address": "2001:db8::1", "port": 2525, "role": Role.SMTP}),
        ("smtp://bücher.example", {"name": "xn--bcher-kva.example", "port": 25, "role": Role.SMTP}),
    ],
)
def test_a_url_names_the_role_and_its_port(typed: str, target: dict[str, Any]) -> None:
    assert parse_target(typed) == endpoint(typed, **target)


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "empty"),
        (" \t\n", "empty"),
        ("example org", "blank"),
        ("me@example org", "blank"),
        ("a.example,b.example", "comma"),
        ("mx1.example.org:", "port after the colon is missing"),
        ("mx1.example.org:0", "1 to 65535"),
        ("mx1.example.org:70000", "1 to 65535"),
        ("mx1.example.org:" + "9" * 5000, "1 to 65535"),
        ("mx1.example.org:-1", "'-1' is no port number"),
        ("mx1.example.org:smtp", "'smtp' is no port number"),
        ("mx1.example.org:٢٥", "no port number"),
        (":25", "before the colon"),
        ("a:b:c", "no IPv6 address"),
        ("[2001:db8::1", "not closed"),
        ("[2001:db8::1]25", "after the bracket"),
        ("[2001:db8::1]:", "port after the colon is missing"),
        ("[]", "no IP address"),
        ("[mx1.example.org]:25", "'mx1.example.org' in brackets is no IP address"),
        ("fe80::1%eth0", "zone"),
        ("[fe80::1%eth0]:25", "zone"),
        ("192.0.2.0/24", "network"),
        ("2001:db8::/32", "network"),
        ("example.org/", "slash"),
        ("192.0.2.256", "no IPv4 address"),
        ("192.0.2", "no IPv4 address"),
        ("25", "no IPv4 address"),
        ("http://example.org", "does not lead to a mail server"),
        ("imap://example.org:25", "does not lead to a mail server"),
        ("smtp://", "name is missing"),
        ("smtp:///", "name is missing"),
        ("smtp://:25", "before the colon"),
        ("smtp://mx1.example.org/path", "nothing more"),
        ("smtp://mx1.example.org?starttls", "nothing more"),
        ("smtp://mx1.example.org#x", "nothing more"),
        ("smtp://me@mx1.example.org", "user name"),
        ("me@", "after the @"),
        ("@example.org", "before the @"),
        ("me@you@example.org", "no mail address"),
        ("mailto:me@example.org", "no mail address"),
        ("me@example.org:25", "no port"),
        ("me@[192.0.2.1]:25", "no port"),
        ("me@192.0.2.1", "in brackets"),
        ("a..b", "two dots"),
        ("-", "hyphen"),
        ("*.example.org", r"'\*' cannot stand"),
        ("example.org\x00", "cannot be printed"),
        ("\x1b[31mexample.org", "cannot be printed"),
        ("exam\u202eple.org", "cannot be printed"),
        ("\udcffexample.org", "cannot be printed"),
    ],
)
def test_anything_else_is_refused_on_one_line_with_examples(typed: str, reason: str) -> None:
    with pytest.raises(TargetError, match=reason) as refused:
        parse_target(typed)
    message = str(refused.value)
    assert message.isprintable()
    assert len(message) < 400
    assert "A target looks like example.org, " in message


@pytest.mark.parametrize(
    "typed", ["smtp://me:s3cret@mx1.example.org", "smtp://me:s3/cret@mx1.example.org", "me:s3cret@mx1.example.org:25"]
)
def test_a_password_that_was_pasted_is_not_repeated(typed: str) -> None:
    with pytest.raises(TargetError) as refused:
        parse_target(typed)
    assert "cret" not in str(refused.value)
    assert "mx1.example.org" in str(refused.value)


PIECES = tuple('[]@/%_- \n\x00"<>,=.:。\udcff\u202eü')
WORDS = ("example", "::", "smtp", "://", "25", "65536", "2001:db8::1", "192.0.2.1", "xn--", "IPv6:")


def attempt(text: str) -> tuple[Target | None, str]:
    try:
        return parse_target(text), ""
    except TargetError as error:
        return None, str(error)


@given(st.one_of(st.text(max_size=80), st.lists(st.sampled_from(PIECES + WORDS), max_size=12).map("".join)))
def test_no_text_does_anything_but_make_a_target_or_be_refused(text: str) -> None:
    target, refusal = attempt(text)
    assert refusal.isprintable()
    if target is None:
        return
    assert target.text == text.strip()
    assert (target.name is None) is (target.address is not None)
    assert target.port is None or 1 <= target.port <= 65535
    assert target.kind is TargetKind.ENDPOINT or (target.name is not None and target.port is None)
    assert parse_target(target.name or target.address or "").name == target.name


@given(st.ip_addresses(), st.integers(min_value=1, max_value=65535))
def test_every_address_can_be_written_with_and_without_a_port(address: object, port: int) -> None:
    assert parse_target(str(address)).address == str(address)
    assert parse_target(f"[{address}]:{port}") == endpoint(f"[{address}]:{port}", address=str(address), port=port)


@pytest.mark.parametrize(
    ("typed", "resolver"),
    [
        ("192.0.2.53", ("192.0.2.53", 53)),
        (" 192.0.2.53:5353 ", ("192.0.2.53", 5353)),
        ("2001:DB8::53", ("2001:db8::53", 53)),
        ("[2001:db8::53]", ("2001:db8::53", 53)),
        ("[2001:db8::53]:5353", ("2001:db8::53", 5353)),
    ],
)
def test_a_resolver_is_an_address_with_or_without_port(typed: str, resolver: tuple[str, int]) -> None:
    assert parse_resolver(typed) == resolver


@pytest.mark.parametrize(
    "typed", ["", "dns.example.org", "192.0.2.53:", "192.0.2.53:0", "[::1", "a:b:c", "[::1%lo]:53"]
)
def test_another_resolver_is_refused_on_one_line(typed: str) -> None:
    with pytest.raises(OptionError, match="write it as") as refused:
        parse_resolver(typed)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("typed", "server", "written"),
    [
        ("192.0.2.53", NameServer("192.0.2.53"), "192.0.2.53:53"),
        ("[2001:db8::53]:5353", NameServer("2001:db8::53", 5353), "[2001:db8::53]:5353"),
        ("tls://192.0.2.53", NameServer("192.0.2.53", 853, Transport.TLS), "tls://192.0.2.53:853"),
        (
            "TLS://[2001:DB8::53]:8853#DNS.example",
            NameServer("2001:db8::53", 8853, Transport.TLS, "dns.example"),
            "tls://[2001:db8::53]:8853#dns.example",
        ),
        (
            "https://192.0.2.53",
            NameServer("192.0.2.53", 443, Transport.HTTPS, None, "/dns-query"),
            "https://192.0.2.53:443/dns-query",
        ),
        (
            " https://192.0.2.53:8443/me/dns?x=%20#bücher.example ",
            NameServer("192.0.2.53", 8443, Transport.HTTPS, "xn--bcher-kva.example", "/me/dns?x=%20"),
            "https://192.0.2.53:8443/me/dns?x=%20#xn--bcher-kva.example",
        ),
    ],
)
def test_a_resolver_may_be_a_url(typed: str, server: NameServer, written: str) -> None:
    assert parse_name_server(typed) == server
    assert str(server) == written
    assert parse_name_server(written) == server


@pytest.mark.parametrize(
    "typed",
    [
        "dns.example.org",
        "quic://192.0.2.53",
        "tls://dns.example.org",
        "tls://",
        "tls://192.0.2.53:0",
        "tls://192.0.2.53/dns-query",
        "tls://192.0.2.53#",
        "tls://192.0.2.53#a_b.example",
        "tls://me@192.0.2.53",
        "https://192.0.2.53/a b",
        "https://192.0.2.53/dns\r\nHost: x",
        "https://192.0.2.53/grüße",
    ],
)
def test_another_url_is_no_resolver(typed: str) -> None:
    with pytest.raises(OptionError, match="write it as") as refused:
        parse_name_server(typed)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("typed", "override"),
    [
        ("mx1.example.org=192.0.2.1", Override(name="mx1.example.org", address="192.0.2.1")),
        (" MX1.Example.org. = [2001:DB8::1] ", Override(name="mx1.example.org", address="2001:db8::1")),
        ("bücher.example=::1", Override(name="xn--bcher-kva.example", address="::1")),
    ],
)
def test_an_override_is_a_name_and_its_address(typed: str, override: Override) -> None:
    assert parse_override(typed) == override


@pytest.mark.parametrize("typed", ["", "=", "mx1.example.org", "=192.0.2.1", "mx1.example.org=mx2", "a b=192.0.2.1"])
def test_another_override_is_refused_on_one_line(typed: str) -> None:
    with pytest.raises(OptionError, match="write it as") as refused:
        parse_override(typed)
    assert str(refused.value).isprintable()
