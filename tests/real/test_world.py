"""The real servers are what the other tests take them for: seen with the standard library and dnspython alone."""

from __future__ import annotations

import http.client
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Self

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.reversename
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.real import exim, finger, policyhost, world
from tests.real.cases import CASES
from tests.real.world import World

pytestmark = pytest.mark.real

PATIENCE_S = 10.0
"""For what answers at once when it works at all."""


# --- a bare client --------------------------------------------------------------------------------------------------


class Line:
    """A connection on which one may speak SMTP."""

    def __init__(self, address: str, port: int) -> None:
        self.socket: socket.socket = socket.create_connection((address, port), timeout=PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def reply(self) -> str:
        """Read one whole reply, byte by byte so that nothing behind it is taken."""
        text = b""
        while not (text.endswith(b"\r\n") and text.splitlines()[-1][3:4] == b" "):
            byte = self.socket.recv(1)
            assert byte, f"closed after {text!r}"
            text += byte
        return text.decode()

    def ask(self, command: str) -> str:
        self.socket.sendall(f"{command}\r\n".encode())
        return self.reply()

    def secure(self, context: ssl.SSLContext, name: str) -> ssl.SSLSocket:
        secured = context.wrap_socket(self.socket, server_hostname=name)
        self.socket = secured
        return secured

    def start_tls(self, context: ssl.SSLContext, name: str) -> ssl.SSLSocket:
        assert self.reply().startswith("220")
        assert "STARTTLS" in self.ask("EHLO client.example.org")
        assert self.ask("STARTTLS").startswith("220")
        return self.secure(context, name)


def trusting(real: World) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(real.ca_file))


def unverified(*, only: ssl.TLSVersion | None = None, ciphers: str | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if only is not None:
        with warnings.catch_warnings():  # naming TLS 1.0 warns, and here it is meant
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = only
    if ciphers is not None:
        context.set_ciphers(ciphers)
    return context


def look_up(
    real: World, name: str, rrtype: str, *, at: str = "validating", edns: bool = True, tcp: bool = False
) -> dns.message.Message:
    question = dns.message.make_query(name, rrtype, use_edns=edns)
    question.flags |= dns.flags.AD  # RFC 6840 5.7: asks for the AD bit without the signatures
    ask = dns.query.tcp if tcp else dns.query.udp
    return ask(question, real.address(at), port=real.ports["dns"], timeout=PATIENCE_S)


# --- mail servers ---------------------------------------------------------------------------------------------------

SERVERS = {"mx1": "ESMTP Postfix", "mx2": "ESMTP Exim", "mx3": "ESMTP OpenSMTPD"}


@pytest.mark.parametrize("host", SERVERS)
def test_each_server_greets_as_itself_and_starts_tls_that_verifies(real: World, host: str) -> None:
    with Line(real.address(host), real.ports["smtp"]) as line:
        greeting = line.reply()
        assert greeting.startswith(f"220 {real.name(host)} {SERVERS[host]}")
        line.ask("QUIT")
    with Line(real.address(host), real.ports["smtp"]) as line:
        line.start_tls(trusting(real), real.name(host))
        assert "STARTTLS" not in line.ask("EHLO client.example.org")
        assert line.ask("QUIT").startswith("221")


@pytest.mark.parametrize("host", SERVERS)
def test_each_server_offers_logins_on_both_ports_for_users(real: World, host: str) -> None:
    with Line(real.address(host), real.ports["submission"]) as line:
        line.start_tls(trusting(real), real.name(host))
        assert "AUTH PLAIN" in line.ask("EHLO client.example.org")
    with Line(real.address(host), real.ports["submissions"]) as line:
        line.secure(trusting(real), real.name(host))
        assert SERVERS[host] in line.reply()
        assert "AUTH PLAIN" in line.ask("EHLO client.example.org")
        assert line.ask("AUTH PLAIN AHByb2JlAG5vdC1hLXNlY3JldA==").startswith("235")  # \0probe\0not-a-secret


def test_postfix_also_listens_on_ipv6(real: World) -> None:
    with Line("::1", real.ports["smtp"]) as line:
        line.start_tls(trusting(real), real.name("mx1"))


def test_the_broken_opensmtpd_accepts_starttls_and_then_fails(real: World) -> None:
    with (
        Line(real.address("mx-broken"), real.ports["smtp"]) as line,
        pytest.raises(ssl.SSLError, match="INTERNAL_ERROR"),
    ):
        line.start_tls(unverified(), real.name("mx-broken"))


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("reject", "554 5.7.1"),
        ("plain", "220 mx-plain.example.test ESMTP Postfix"),
        ("postscreen", "220-mx-postscreen.example.test ESMTP Postfix\r\n220 "),
    ],
)
def test_some_greet_in_their_own_way(real: World, case: str, said: str) -> None:
    with Line(real.address(f"mx-{case}"), real.ports["smtp"]) as line:
        assert line.reply().startswith(said)


def test_one_takes_a_single_connection_at_a_time(real: World) -> None:
    place = (real.address("mx-busy"), real.ports["smtp"])
    with Line(*place) as first, Line(*place) as second:
        assert first.reply().startswith("220")
        assert second.reply().startswith("421 4.7.0")


def test_one_refuses_starttls_that_it_offered(real: World) -> None:
    with Line(real.address("mx-tlsrefused"), real.ports["smtp"]) as line:
        line.reply()
        assert "STARTTLS" in line.ask("EHLO client.example.org")
        assert line.ask("STARTTLS").startswith("454 4.7.0")


def test_recipients_get_their_replies(real: World) -> None:
    with Line(real.address("mx1"), real.ports["smtp"]) as line:
        line.reply()
        line.ask("EHLO client.example.org")
        line.ask("MAIL FROM:<>")
        replies = {
            name: line.ask(f"RCPT TO:<{name}@example.test>")[:9] for name in ("ok", "full", "greylist", "nobody")
        }
    assert replies == {"ok": "250 2.1.5", "full": "452 4.2.2", "greylist": "450 4.2.0", "nobody": "550 5.1.1"}


@pytest.mark.parametrize(
    ("case", "version", "name"),
    [
        ("tls10", ssl.TLSVersion.TLSv1, "TLSv1"),
        ("tls11", ssl.TLSVersion.TLSv1_1, "TLSv1.1"),
        ("tls12", ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
        ("tls13", ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
    ],
)
def test_servers_of_one_tls_version_speak_that_one_only(
    real: World, case: str, version: ssl.TLSVersion, name: str
) -> None:
    place = (real.address(f"mx-{case}"), real.ports["smtp"])
    with Line(*place) as line:
        secured = line.start_tls(unverified(only=version, ciphers="ALL:@SECLEVEL=0"), real.name(f"mx-{case}"))
        assert secured.version() == name
    other = ssl.TLSVersion.TLSv1_3 if version is ssl.TLSVersion.TLSv1_2 else ssl.TLSVersion.TLSv1_2
    with Line(*place) as line, pytest.raises(ssl.SSLError):
        line.start_tls(unverified(only=other), real.name(f"mx-{case}"))


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("expired", "certificate has expired"),
        ("notyet", "certificate is not yet valid"),
        ("wrongname", "Hostname mismatch"),
        ("selfsigned", "self-signed certificate"),
        ("nochain", "unable to get local issuer certificate"),
        ("sha1", "CA signature digest algorithm too weak"),
        ("rsa1024", "EE certificate key too weak"),
    ],
)
def test_bad_certificates_are_bad_in_their_own_way(real: World, case: str, reason: str) -> None:
    with Line(real.address(f"mx-{case}"), real.ports["smtp"]) as line, pytest.raises(ssl.SSLError, match=reason):
        line.start_tls(trusting(real), real.name(f"mx-{case}"))


def test_one_server_has_two_certificates(real: World) -> None:
    kinds = []
    for ciphers in ("aRSA", "aECDSA"):
        with Line(real.address("mx-both"), real.ports["smtp"]) as line:
            context = unverified(only=ssl.TLSVersion.TLSv1_2, ciphers=ciphers)
            der = line.start_tls(context, real.name("mx-both")).getpeercert(binary_form=True)
            assert der is not None
            kinds.append(type(x509.load_der_x509_certificate(der).public_key()))
    assert issubclass(kinds[0], rsa.RSAPublicKey)
    assert issubclass(kinds[1], ec.EllipticCurvePublicKey)


def test_nothing_listens_on_one_host_and_one_never_answers(real: World) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((real.address("mx-dead"), real.ports["smtp"]), timeout=PATIENCE_S)
    for role in ("smtp", "submission", "submissions"):
        with pytest.raises(TimeoutError):
            socket.create_connection((real.address("mx-silent"), real.ports[role]), timeout=0.2)


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rrtype", "rcode", "is_authenticated"),
    [
        ("example.test", "MX", "NOERROR", True),
        ("mx1.example.test", "AAAA", "NOERROR", True),
        ("nosuch.example.test", "MX", "NXDOMAIN", True),
        ("nothing.example.test", "MX", "NOERROR", True),
        ("nosuch.invalid", "A", "NXDOMAIN", False),
        ("insecure.example.test", "MX", "NOERROR", False),
        ("insecure-to-secure.example.test", "MX", "NOERROR", False),
        ("bogus.example.test", "MX", "SERVFAIL", False),
        ("expired-signatures.example.test", "MX", "SERVFAIL", False),
        ("lame.example.test", "MX", "SERVFAIL", False),
        ("sts-enforce.example.test", "MX", "NOERROR", True),
        ("_mta-sts.sts-enforce.example.test", "TXT", "NOERROR", True),
        ("_smtp._tls.rpt-mail.example.test", "TXT", "NOERROR", True),
        ("_submission._tcp.example.test", "SRV", "NOERROR", True),
    ],
)
def test_the_validating_resolver_tells_secure_insecure_and_bogus_apart(
    real: World, name: str, rrtype: str, rcode: str, is_authenticated: bool
) -> None:
    answer = look_up(real, name, rrtype)
    assert dns.rcode.to_text(answer.rcode()) == rcode
    assert bool(answer.flags & dns.flags.AD) is is_authenticated


@pytest.mark.parametrize("name", ["bogus.example.test", "expired-signatures.example.test"])
def test_bogus_answers_come_with_an_extended_error(real: World, name: str) -> None:
    errors = look_up(real, name, "MX").extended_errors()
    assert [error.code for error in errors] == [dns.edns.EDECode.DNSSEC_BOGUS]


def test_the_trusting_resolver_validates_nothing(real: World) -> None:
    answer = look_up(real, "bogus.example.test", "MX", at="trusting")
    assert answer.rcode() == dns.rcode.NOERROR
    assert not answer.flags & dns.flags.AD


def test_tlsa_records_stand_at_the_real_port(real: World) -> None:
    port = real.ports["smtp"]
    assert "3 1 1" in str(look_up(real, f"_{port}._tcp.mx1.example.test", "TLSA").answer)
    assert look_up(real, f"_{port}._tcp.mx-danefail.example.test", "TLSA").rcode() == dns.rcode.SERVFAIL
    assert look_up(real, "mx-danefail.example.test", "A").rcode() == dns.rcode.NOERROR
    assert "CNAME" in str(look_up(real, f"_{port}._tcp.mx-danecname.example.test", "TLSA").answer)


def test_a_long_answer_needs_tcp(real: World) -> None:
    assert look_up(real, "many.example.test", "MX").flags & dns.flags.TC
    assert len(look_up(real, "many.example.test", "MX", tcp=True).answer[0]) == 40


@pytest.mark.parametrize("host", ["mx1", "mx-expired"])
def test_addresses_have_names(real: World, host: str) -> None:
    name = dns.reversename.from_address(real.address(host)).to_text()
    assert real.name(host) in str(look_up(real, name, "PTR").answer)


def test_the_ipv6_address_has_a_name_and_one_address_has_none(real: World) -> None:
    assert real.name("mx1") in str(look_up(real, dns.reversename.from_address("::1").to_text(), "PTR").answer)
    nameless = dns.reversename.from_address(real.address("mx-plain")).to_text()
    assert look_up(real, nameless, "PTR").rcode() == dns.rcode.NXDOMAIN


# --- policies -------------------------------------------------------------------------------------------------------


def fetch(real: World, label: str, *, timeout_s: float = PATIENCE_S) -> tuple[int, dict[str, str], bytes]:
    name = f"mta-sts.{label}.example.test"
    bare = socket.create_connection((real.address("policy"), real.ports["https"]), timeout=timeout_s)
    try:
        bare = trusting(real).wrap_socket(bare, server_hostname=name)
        connection = http.client.HTTPConnection(name)
        connection.sock = bare
        connection.request("GET", policyhost.PATH)
        response = connection.getresponse()
        return response.status, {key.lower(): value for key, value in response.getheaders()}, response.read()
    finally:
        bare.close()


def test_the_policy_host_serves_a_policy_and_remembers_the_request(real: World) -> None:
    status, headers, body = fetch(real, "sts-enforce")
    assert (status, headers["content-type"]) == (200, "text/plain")
    assert b"mode: enforce\r\nmx: mx1.example.test\r\n" in body
    assert policyhost.Asked("mta-sts.sts-enforce.example.test", policyhost.PATH) in real.policies.asked


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("sts-expiredcert", "certificate has expired"),
        ("sts-wrongname", "Hostname mismatch"),
        ("sts-selfsigned", "self-signed certificate"),
    ],
)
def test_the_policy_host_has_bad_certificates(real: World, label: str, reason: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        fetch(real, label)


@pytest.mark.parametrize("label", ["sts-silenttls", "sts-silent", "sts-drip"])
def test_the_policy_host_can_be_slow(real: World, label: str) -> None:
    with pytest.raises(TimeoutError):
        fetch(real, label, timeout_s=0.1)


def test_the_policy_host_can_be_wrong(real: World) -> None:
    status, headers, _ = fetch(real, "sts-redirect")
    assert (status, headers["location"]) == (302, f"https://mta-sts.sts-enforce.example.test{policyhost.PATH}")
    assert fetch(real, "sts-404")[0] == 404
    assert fetch(real, "sts-html")[1]["content-type"] == "text/html"
    assert len(fetch(real, "sts-big")[2]) > policyhost.MAX_POLICY_BYTES
    with pytest.raises(http.client.IncompleteRead):
        fetch(real, "sts-cut")


# --- on standard ports, seen by Postfix -----------------------------------------------------------------------------

VERIFIED, UNTRUSTED, TRUSTED, DEFERRED, IN_CLEAR = (
    "Verified TLS", "Untrusted TLS", "Trusted TLS", "TLSA lookup error", ""
)  # fmt: skip
DANE = {
    **dict.fromkeys(
        (
            "dane311", "dane310", "dane312", "dane301", "dane302", "dane300", "dane211", "daneroot", "danefullroot",
            "daneexpired", "danewrongname", "daneselfsigned", "danerollover", "danestale", "daneboth", "danemixed",
            "danealias", "danecname", "alias", "alias2", "alias3", "partlydane", "danekey", "danekeyroot",
            "danestronger",
        ),
        VERIFIED,
    ),
    **dict.fromkeys(
        (
            "danebad", "danemixedbad", "daneunsentroot", "danetawrongname", "danetaexpired", "danepkix", "danepkixta",
            "danewrongkey", "daneweaker", "insecure-to-bad",
        ),
        UNTRUSTED,
    ),
    # all records unusable: RFC 7672 2.2 wants TLS without authentication then
    **dict.fromkeys(("danematching", "daneselector", "daneshort", "insecure-to-secure"), TRUSTED),
    "danefail": DEFERRED,
    "daneplain": IN_CLEAR,
}  # fmt: skip


def test_postfix_as_a_client_sees_dane_as_it_was_made(sealed: World) -> None:
    said = finger.ask(sealed, [f"{label}.example.test" for label in DANE], level="dane")
    wrong = {name: text for name, text in said.items() if DANE[name.partition(".")[0]] not in text}
    assert not wrong
    assert said["daneplain.example.test"] == ""
    assert {label for label in CASES if label.startswith("dane")} <= DANE.keys()


def test_a_function_called_inside_sees_the_standard_ports(sealed: World) -> None:
    def greeting() -> str:
        with Line(sealed.address("mx1"), 25) as line:
            return line.reply()

    assert sealed.call(greeting).startswith("220 mx1.example.test")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((sealed.address("mx1"), 25), timeout=PATIENCE_S).close()


# --- beginning and end ----------------------------------------------------------------------------------------------


def processes_of(folder: Path) -> list[str]:
    """The command lines of all processes that live in a folder or name it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            root = str((process / "root").readlink())
        except OSError:
            continue
        if root.startswith(str(folder)) or str(folder) in command:
            found.append(command)
    return found


def test_two_worlds_stand_side_by_side_and_nothing_is_left_of_one_that_ended(real: World, tmp_path: Path) -> None:
    with world.run(tmp_path) as second:
        assert second.places.block != real.places.block or second.ports != real.ports
        for each in (real, second):
            with Line(each.address("mx1"), each.ports["smtp"]) as line:
                assert line.reply().startswith("220")
        assert len(processes_of(tmp_path)) > 10
    assert processes_of(tmp_path) == []
    assert processes_of(real.folder)


@pytest.mark.usefixtures("real")
def test_the_servers_die_with_the_process_that_started_them(tmp_path: Path) -> None:
    program = """
from pathlib import Path
import sys
from tests.real.jail import Jail
jail = Jail("sleeper", "dns", Path(sys.argv[1]), "sleeper.example.test")
jail.build()
process = jail.start("echo > /asleep; exec sleep 600")
while not (jail.root / "asleep").exists():
    assert process.poll() is None
print(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(), flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as starter:
        assert starter.stdout is not None
        first = os.pidfd_open(int(starter.stdout.readline()))
        starter.send_signal(signal.SIGKILL)
        ended, _, _ = select.select([first], [], [], PATIENCE_S)
        os.close(first)
    assert ended, "the jail outlived the process that started it"


@pytest.mark.usefixtures("real")  # skips where none can start
def test_a_server_that_does_not_start_is_an_error_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exim, "START", ("exim4 --no-such-option",))
    with pytest.raises(RuntimeError, match="no-such-option"), world.run(tmp_path):
        pass
    assert processes_of(tmp_path) == []
