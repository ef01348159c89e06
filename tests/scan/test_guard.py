"""Who is left alone: what the exclude file names, and addresses that are nobody's in public."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpprobe.errors import OptionError
from smtpprobe.evidence import EXCLUDED, NOT_PUBLIC
from smtpprobe.scan.guard import Guard, read_exclusions

FILE = """\
# asked to be left alone
Example.ORG.
*.foo.test   # and all below
.bar.test
bücher.example

198.51.100.7
192.0.2.0/24
203.0.113.9/28
[2001:db8::1]
2001:db8:1::/48
"""


@pytest.fixture(scope="module")
def guard() -> Guard:
    return read_exclusions(FILE.splitlines(), is_private_allowed=True)


@pytest.mark.parametrize(
    ("name", "is_excluded"),
    [
        ("example.org", True),
        ("mx.example.org", True),
        ("a.b.c.example.org", True),
        ("notexample.org", False),
        ("org", False),
        ("example.org.evil.test", False),
        ("foo.test", True),
        ("x.foo.test", True),
        ("xfoo.test", False),
        ("mail.bar.test", True),
        ("xn--bcher-kva.example", True),
        (None, False),
    ],
)
def test_a_name_stands_for_all_below_it(guard: Guard, name: str | None, is_excluded: bool) -> None:
    assert guard.objection_to_name(name) == (EXCLUDED if is_excluded else None)


@pytest.mark.parametrize(
    ("address", "is_excluded"),
    [
        ("198.51.100.7", True),
        ("198.51.100.8", False),
        ("192.0.2.255", True),
        ("192.0.3.0", False),
        ("203.0.113.0", True),
        ("203.0.113.16", False),
        ("2001:db8::1", True),
        ("2001:db8::2", False),
        ("2001:db8:1:ffff::1", True),
        ("::ffff:192.0.2.1", True),
        ("64:ff9b::192.0.2.1", True),
        ("2002:c000:0201::1", True),
        ("127.0.0.1", False),
    ],
)
def test_an_address_is_held_against_all_networks_in_each_of_its_forms(
    guard: Guard, address: str, is_excluded: bool
) -> None:
    assert guard.objection_to_address(address) == (EXCLUDED if is_excluded else None)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.1.1", "0.0.0.0", "100.64.0.1", "192.0.0.1"),
        *("192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd12::1", "ff02::1", "ff0e::1", "2001:db8::1", "100::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::1"),
    ],
)
def test_addresses_that_are_not_public_are_left_alone_unless_allowed(address: str) -> None:
    assert Guard().objection_to_address(address) == NOT_PUBLIC
    assert Guard(is_private_allowed=True).objection_to_address(address) is None
    assert Guard(is_private_allowed=True, networks=("9.9.9.9/32",)).objection_to_address(address) is None


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2001:4860:4860::8888", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8"]
)
def test_public_addresses_are_talked_to(address: str) -> None:
    expected = NOT_PUBLIC if address.startswith("::ffff") and not ip_address(address).is_global else None
    assert Guard().objection_to_address(address) == expected


@pytest.mark.parametrize("line", ["a b", "*", ".", "1.2.3.4/33", "10.0.0.0/8, 1.1.1.1", "exa mple.org", "http://a.b/"])
def test_a_typing_error_is_told_with_its_line(line: str) -> None:
    with pytest.raises(OptionError, match=r"exclude file, line 3: "):
        read_exclusions(["a.example", "# x", line])


@given(st.ip_addresses(), st.integers(0, 128))
def test_a_network_is_excluded_whole_and_nothing_else(address: object, bits: int) -> None:
    network = ip_network(f"{address}/{min(bits, ip_address(str(address)).max_prefixlen)}", strict=False)
    guard = read_exclusions([str(network)], is_private_allowed=True)
    assert guard.objection_to_address(str(network[0])) == EXCLUDED
    assert guard.objection_to_address(str(network[-1])) == EXCLUDED
    beyond = int(network[-1]) + 1
    if network.version == 4 and beyond < 2**32:
        assert guard.objection_to_address(str(ip_address(beyond))) is None
