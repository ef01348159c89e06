"""SPF and DMARC by checkdmarc: what is asked for and kept, and what happens where the library fails or is missing."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from smtpprobe.checks import judge
from smtpprobe.cli import main
from smtpprobe.errors import MissingExtraError
from smtpprobe.evidence import DmarcRecord, Options, Posture, SpfRecord, encode
from smtpprobe.integrations import posture
from smtpprobe.lab.certificates import CertificateKind, make_identity, server_context, trusted_root
from smtpprobe.lab.dns import SILENT, DnsServer
from smtpprobe.loading import decode
from smtpprobe.probing import collect
from smtpprobe.render import renderer
from smtpprobe.render.style import Style
from tests.checks.evidence_builder import evidence, healthy
from tests.loopback import closed_port

RECORDS = """
    example.org        MX  0 .
    example.org        TXT "v=spf1 ip4:192.0.2.0/24 -all"
    _dmarc.example.org TXT "v=DMARC1; p=reject"
"""
Fake = Callable[..., None]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Put functions in place of the library's."""

    def put(
        spf: Callable[..., dict[str, Any]] = lambda *_, **__: {},
        dmarc: Callable[..., dict[str, Any]] = lambda *_, **__: {},
    ) -> None:
        contents = {"": {}, ".spf": {"check_spf": spf}, ".dmarc": {"check_dmarc": dmarc}, ".utils": {}}
        for name, functions in contents.items():
            module = ModuleType(f"checkdmarc{name}")
            module.__spec__ = ModuleSpec(module.__name__, None)
            vars(module).update(functions)
            monkeypatch.setitem(sys.modules, module.__name__, module)

    return put


def options(dns: DnsServer, **more: Any) -> Options:
    values: dict[str, Any] = {"resolvers": (dns.resolver,), "posture": True, "timeout_s": 5.0, "deadline_s": 20.0}
    return Options(**(values | more))


# --- the library itself ---------------------------------------------------------------------------------------------


async def test_the_real_library_asks_our_resolver_and_its_answer_is_kept() -> None:
    pytest.importorskip("checkdmarc")
    async with DnsServer(RECORDS) as dns:
        found = (await collect("example.org", options(dns))).posture
    assert found is not None
    assert (found.library.split()[0], found.failure) == ("checkdmarc", None)
    assert found.spf is not None
    assert (found.spf.record, found.spf.is_valid, found.spf.lookups, found.spf.error) == (
        "v=spf1 ip4:192.0.2.0/24 -all",
        True,
        0,
        None,
    )
    assert found.dmarc is not None
    assert (found.dmarc.record, found.dmarc.location, found.dmarc.is_valid, found.dmarc.policy) == (
        "v=DMARC1; p=reject",
        "example.org",
        True,
        "reject",
    )
    assert found.dmarc.warnings, "no address for reports is worth a word to it"


async def test_the_real_library_says_what_is_wrong() -> None:
    pytest.importorskip("checkdmarc")
    async with DnsServer('example.org MX 0 .\nexample.org TXT "v=spf1 what -all"') as dns:
        found = await posture.look_up_posture("example.org", options(dns), left_s=20.0)
    assert found.failure is None
    for each in (found.spf, found.dmarc):
        assert each is not None
        assert not each.is_valid
        assert each.error


async def test_the_real_library_does_not_remember_another_resolver() -> None:
    pytest.importorskip("checkdmarc")
    for policy in ("none", "reject"):
        async with DnsServer(RECORDS.replace("reject", policy)) as dns:
            found = await posture.look_up_posture("example.org", options(dns), left_s=20.0)
        assert found.dmarc is not None
        assert found.dmarc.policy == policy


# --- what we make of it ---------------------------------------------------------------------------------------------


async def test_what_the_library_found_is_kept_in_few_fields(fake: Fake) -> None:
    fake(
        lambda *_, **__: {"record": "v=spf1 -all", "valid": True, "dns_lookups": 3, "warnings": ["hm"]},
        lambda *_, **__: {"record": None, "location": None, "valid": False, "error": "none there", "warnings": []},
    )
    async with DnsServer(RECORDS) as dns:
        found = await collect("example.org", options(dns))
    assert found.posture is not None
    assert found.posture.spf == SpfRecord(record="v=spf1 -all", is_valid=True, lookups=3, warnings=("hm",))
    assert found.posture.dmarc == DmarcRecord(error="none there")
    assert decode(encode(found)) == found


@pytest.mark.parametrize("tls", [False, True])
async def test_the_library_is_given_a_resolver_that_asks_ours(fake: Fake, tls: bool, tmp_path: Path) -> None:
    def check(domain: str, *, resolver: Any, **_: Any) -> dict[str, Any]:
        [record] = resolver.resolve(domain, "TXT")
        return {"record": record.strings[0].decode(), "valid": True}

    fake(check)
    roots = tmp_path / "roots.pem"
    roots.write_bytes(trusted_root())
    context = server_context(make_identity(CertificateKind.TRUSTED, "dns.example"), tmp_path)
    async with DnsServer(RECORDS, tls=context) as dns:
        resolver = f"tls://127.0.0.1:{dns.tls_port}#dns.example" if tls else dns.resolver
        asked = options(dns, resolvers=(resolver,), ca_file=str(roots))
        found = await posture.look_up_posture("example.org", asked, left_s=20.0)
    assert found.spf is not None, found
    assert found.spf.record == "v=spf1 ip4:192.0.2.0/24 -all"


async def test_a_defect_of_the_library_ends_this_section_only(fake: Fake) -> None:
    def check(*_: Any, **__: Any) -> dict[str, Any]:
        raise KeyError("of the test")

    fake(dmarc=check)
    async with DnsServer(RECORDS) as dns:
        found = await collect("example.org", options(dns))
    assert found.posture is not None
    assert found.posture.spf is not None
    assert (found.posture.dmarc, found.posture.failure) == (None, "KeyError: 'of the test'")
    assert found.resolution.is_null_mx


async def test_a_library_that_does_not_end_is_left_behind_at_the_deadline(fake: Fake) -> None:
    is_over = threading.Event()

    def check(*_: Any, **__: Any) -> dict[str, Any]:
        is_over.wait(60)
        return {}

    fake(check)
    async with DnsServer(RECORDS) as dns:
        found = await collect("example.org", options(dns, deadline_s=0.3))
    is_over.set()
    assert found.posture is not None
    assert (found.posture.spf, found.posture.failure) == (None, "the time for the whole probe is up")


async def test_after_the_end_no_more_questions_go_out(fake: Fake) -> None:
    asked = threading.Event()
    ended: list[BaseException] = []

    def check(domain: str, *, resolver: Any, **_: Any) -> dict[str, Any]:
        asked.wait(60)
        try:
            resolver.resolve(domain, "TXT")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
            ended.append(error)
        finally:
            asked.clear()
        return {}

    fake(check)
    async with DnsServer(RECORDS) as dns:
        await posture.look_up_posture("example.org", options(dns), left_s=0.05)
        asked.set()
        for _ in range(10_000):
            if ended:
                break
            await asyncio.to_thread(ended.__len__)
        assert [type(each).__name__ for each in ended] == ["LifetimeTimeout"]
        assert dns.questions == []


async def test_a_silent_resolver_is_told_by_the_library(fake: Fake) -> None:
    pytest.importorskip("checkdmarc")
    faults = {(name, "ANY"): SILENT for name in ("example.org", "_dmarc.example.org")}
    async with DnsServer(RECORDS, faults=faults) as dns:
        found = await posture.look_up_posture("example.org", options(dns, timeout_s=0.1), left_s=5.0)
    assert found.spf is not None
    assert not found.spf.is_valid
    assert found.spf.error


@pytest.mark.parametrize("host", ["127.0.0.1", "example.org"])
async def test_a_target_that_is_no_domain_has_no_posture(fake: Fake, host: str) -> None:
    fake()
    async with DnsServer(RECORDS) as dns:
        with closed_port() as (_, port):
            assert (await collect(f"{host}:{port}", options(dns))).posture is None
        assert (await collect("example.org", options(dns, posture=False))).posture is None


# --- where it is missing --------------------------------------------------------------------------------------------


async def test_without_the_library_it_is_said_before_anybody_is_bothered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(posture, "find_spec", lambda _: None)
    async with DnsServer(RECORDS) as dns:
        with pytest.raises(MissingExtraError, match=r"pip install 'smtpprobe\[posture\]'"):
            await collect("example.org", options(dns))
        assert dns.questions == []
        status = await asyncio.to_thread(main, ["check", "--posture", "--resolver", dns.resolver, "example.org"])
    assert status == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "smtpprobe: --posture needs: pip install 'smtpprobe[posture]'\n"


# --- shown ----------------------------------------------------------------------------------------------------------

SEEN = Posture(
    library="checkdmarc 6.0",
    spf=SpfRecord(record="v=spf1 \x1b[31m <b> -all", is_valid=True, lookups=2),
    dmarc=DmarcRecord(record="v=DMARC1; p=none", is_valid=True, policy="none", warnings=("no | rua",)),
)


def shown(format: str, seen: Posture | None) -> str:
    report = judge(msgspec.structs.replace(evidence(healthy()), posture=seen))
    return "".join(renderer(format).render([report], Style()))


def test_the_text_has_each_record_with_what_is_said_of_it() -> None:
    lines = shown("text", SEEN).splitlines()
    start = lines.index("Who may send for the domain (checkdmarc 6.0, in its own words)")
    assert [line.strip() for line in lines[start + 1 : start + 6]] == [
        "✔ SPF    valid, DNS questions: 2 of 10",
        r"v=spf1 \x1b[31m <b> -all",
        "▲ DMARC  valid, policy: none",
        "v=DMARC1; p=none",
        "no | rua",
    ]


@pytest.mark.parametrize("format", ["markdown", "html"])
def test_other_formats_for_people_have_it_too_and_stay_whole(format: str) -> None:
    text = shown(format, SEEN)
    assert "Who may send for the domain" in text
    assert "policy: none" in text
    assert "\x1b" not in text
    assert format == "markdown" or "<b>" not in text


def test_json_has_it_among_the_evidence() -> None:
    [report] = json.loads(shown("json", SEEN))["reports"]
    assert report["evidence"]["posture"]["dmarc"]["policy"] == "none"


@pytest.mark.parametrize("format", ["text", "markdown", "html"])
def test_nothing_is_said_where_nobody_asked(format: str) -> None:
    assert "Who may send" not in shown(format, None)


def test_what_could_not_be_found_out_is_said_with_the_reason() -> None:
    text = shown("text", Posture(library="checkdmarc", spf=SpfRecord(error="SPF: none"), failure="out of time"))
    assert "▲ SPF    no record\n" in text
    assert "? DMARC  could not be found out\n" in text
    assert "out of time" in text


def test_it_counts_neither_for_the_status_nor_as_a_finding() -> None:
    plain = judge(evidence(healthy()))
    assert judge(msgspec.structs.replace(plain.evidence, posture=SEEN)).findings == plain.findings
