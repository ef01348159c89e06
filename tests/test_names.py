"""Names in their one form, and the name that we give ourselves."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpprobe.errors import OptionError
from smtpprobe.names import (
    MAX_SHOWN,
    NameSyntaxError,
    address_literal,
    find_fqdn,
    find_own_address,
    is_hostname,
    is_localhost,
    own_ehlo_name,
    quoted,
    to_ascii,
)

LABEL_63 = "a" * 63
NAME_253 = f"{LABEL_63}.{LABEL_63}.{LABEL_63}.{'a' * 61}"


@pytest.mark.parametrize(
    ("typed", "ascii_form"),
    [
        ("example.org", "example.org"),
        ("Example.ORG.", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example.", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),  # IDNA 2008 keeps what IDNA 2003 turned into "ss"
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("ｅｘａｍｐｌｅ.org", "example.org"),
        ("_smtp._tls.example.org", "_smtp._tls.example.org"),
        ("localhost", "localhost"),
        ("1and1.example", "1and1.example"),
        (LABEL_63 + ".example", LABEL_63 + ".example"),
        (NAME_253, NAME_253),
        (NAME_253 + ".", NAME_253),
    ],
)
def test_a_name_has_one_ascii_form(typed: str, ascii_form: str) -> None:
    assert to_ascii(typed) == ascii_form


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "missing"),
        (".", "missing"),
        ("a..example", "two dots"),
        (".example", "at the beginning"),
        ("example..", "two dots"),
        ("a b.example", "' ' cannot stand"),
        ("a/b.example", "'/' cannot stand"),
        ("*.example.org", "'*' cannot stand"),
        ("-a.example", "hyphen"),
        ("a-.example", "hyphen"),
        (LABEL_63 + "a.example", "63 octets"),
        (NAME_253 + "a", "253 octets"),
        ("ü" * 300, "253 octets"),
        ("ü" * 64 + ".example", "IDNA"),
        ("i❤.example", "IDNA"),
        ("a\u202eü.example", "IDNA"),
        ("\udcff.example", "IDNA"),
        ("℀.example", "IDNA"),
        ("192.0.2.256", "no IPv4 address"),
        ("192.0.2", "no IPv4 address"),
        ("１９２.0.2.1", "no IPv4 address"),
    ],
)
def test_what_is_no_name_is_refused_with_the_reason(typed: str, reason: str) -> None:
    with pytest.raises(NameSyntaxError, match=reason) as refused:
        to_ascii(typed)
    assert str(refused.value).isprintable()


def attempt(text: str) -> tuple[str | None, str]:
    try:
        return to_ascii(text), ""
    except NameSyntaxError as error:
        return None, str(error)


@given(st.text(max_size=300))
def test_a_name_is_refused_or_fit_for_the_dns(text: str) -> None:
    name, reason = attempt(text)
    assert reason.isprintable()
    if name is None:
        return
    assert to_ascii(name) == name == name.lower()
    assert name.isascii()
    assert 0 < len(name) <= 253
    assert all(0 < len(label) <= 63 for label in name.split("."))


@pytest.mark.parametrize("text", ["example.org", "MX1.example.org", "a", "1a.b2", "xn--bcher-kva.example", NAME_253])
def test_host_names_are_recognised(text: str) -> None:
    assert is_hostname(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a_b.example",
        "example.org.",
        "-a.example",
        "a-.example",
        "a..b",
        "bücher.example",
        "1.2.3.4",
        "a b",
        "ſ.example",  # a long s, which is an s only where case is ignored
        "example.org\n",
        LABEL_63 + "a.example",
        NAME_253 + "a",
    ],
)
def test_other_texts_are_no_host_names(text: str) -> None:
    assert not is_hostname(text)


def test_localhost_is_a_domain_of_its_own() -> None:
    assert is_localhost("localhost")
    assert is_localhost("mail.localhost")
    assert not is_localhost("mylocalhost")
    assert not is_localhost("localhost.example")


@pytest.mark.parametrize(
    ("address", "literal"),
    [("192.0.2.1", "[192.0.2.1]"), ("2001:DB8::0:1", "[IPv6:2001:db8::1]"), ("::1", "[IPv6:::1]")],
)
def test_an_address_literal_names_its_version_only_for_ipv6(address: str, literal: str) -> None:
    assert address_literal(address) == literal


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("probe.example.org", "probe.example.org"),
        (" Probe.Example.ORG. ", "probe.example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("localhost", "localhost"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("[ipv6:2001:DB8::1]", "[IPv6:2001:db8::1]"),
    ],
)
def test_a_chosen_ehlo_name_comes_before_all_others(chosen: str, said: str) -> None:
    assert own_ehlo_name(chosen, host_name="mail.example.org", address="192.0.2.9") == said


@pytest.mark.parametrize(
    ("chosen", "hint"),
    [
        ("", "missing"),
        ("  ", "missing"),
        ("my_host.example.org", "underscore"),
        ("a b", "cannot stand"),
        ("mail.example.org\r\nMAIL FROM:<>", "cannot stand"),
        ("192.0.2.1", r"\[192\.0\.2\.1\]"),
        ("2001:db8::1", r"\[IPv6:2001:db8::1\]"),
        ("[2001:db8::1]", "no address literal"),
        ("[IPv6:192.0.2.1]", "no address literal"),
        ("[IPv6:fe80::1%eth0]", "no address literal"),
        ("[mail.example.org]", "no address literal"),
        ("[", "cannot stand"),
    ],
)
def test_a_bad_ehlo_name_is_refused_on_one_line(chosen: str, hint: str) -> None:
    with pytest.raises(OptionError, match=hint) as refused:
        own_ehlo_name(chosen)
    assert str(refused.value).isprintable()


def test_the_full_name_of_the_host_is_the_default() -> None:
    assert own_ehlo_name(host_name="Mail.Example.ORG", address="192.0.2.9") == "mail.example.org"


@pytest.mark.parametrize(
    "host_name",
    ["my_host.example.org", "", "host.localdomain", "mac.local", "localhost", "-.example.org", "bücher.org"],
)
def test_a_host_without_a_name_for_others_gives_its_address(host_name: str) -> None:
    assert own_ehlo_name(host_name=host_name, address="192.0.2.9") == "[192.0.2.9]"
    assert own_ehlo_name(host_name=host_name, address="2001:db8::9") == "[IPv6:2001:db8::9]"


def test_the_hosts_file_knows_the_full_name(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(
        "127.0.0.1 localhost example.net\n"
        "# 192.0.2.7 box.old.example box\n"
        "\n"
        "127.0.1.1\tBox box.localdomain\n"
        "192.0.2.9 Box.Example.ORG box # comment\n"
        "192.0.2.10 other.example.org other\n"
    )
    assert find_fqdn("box", hosts) == "box.example.org"
    assert find_fqdn("other", hosts) == "other.example.org"
    assert find_fqdn("unknown", hosts) is None
    assert find_fqdn("localhost", hosts) is None
    assert find_fqdn("", hosts) is None
    assert find_fqdn("box", tmp_path / "missing") is None


def test_a_host_name_with_a_domain_needs_no_file(tmp_path: Path) -> None:
    assert find_fqdn("box.example.org.", tmp_path / "missing") == "box.example.org"


def test_what_this_machine_says_is_valid_whatever_it_is_called() -> None:
    name = own_ehlo_name()
    assert name
    assert "_" not in name
    assert is_hostname(name) or name.startswith("[")


def test_our_own_address_is_one() -> None:
    address = ipaddress.ip_address(find_own_address())
    assert not address.is_unspecified


def test_what_was_typed_is_quoted_short_and_harmless() -> None:
    assert quoted("example.org") == "'example.org'"
    assert quoted("\x1b[31m\u202e\n") == r"'\x1b[31m\u202e\n'"
    assert len(quoted("a" * 1000)) == MAX_SHOWN + 2
