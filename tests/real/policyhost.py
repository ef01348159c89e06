"""MTA-STS: domains with their records, and the HTTPS host that serves their policies well or badly (RFC 8461).

Each domain is a label below ``example.test``, or ``example.test`` itself where the label is empty; its policy host is
``mta-sts.LABEL.example.test`` (RFC 8461 3.3), and one server answers for all of them, told apart by SNI. What it was
asked is kept, so that tests can see what was fetched.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

PATH = "/.well-known/mta-sts.txt"
"""Where a policy lies (RFC 8461 3.3)."""
MAX_POLICY_BYTES = 64 * 1024
"""What a sender may take as the most that a policy is (RFC 8461 3.3)."""


class Manner(StrEnum):
    """How the host answers."""

    PROMPT = "prompt"
    DRIP = "drip"
    """Sends the head, then one byte of the policy every fifth of a second."""
    SILENT_BEFORE_TLS = "silent-before-tls"
    """Accepts the connection and never answers the ClientHello."""
    SILENT_AFTER_REQUEST = "silent-after-request"
    CLOSE_EARLY = "close-early"
    """Closes in the middle of the policy."""


class Shown(StrEnum):
    """Which certificate the host shows."""

    GOOD = "good"
    EXPIRED = "expired"
    WRONG_NAME = "wrong-name"
    SELF_SIGNED = "self-signed"


def policy(*, mode: str = "enforce", mx: tuple[str, ...] = ("mx1.example.test",), max_age: str = "604800") -> str:
    """Write a policy in the form of RFC 8461 3.2."""
    lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {pattern}" for pattern in mx), f"max_age: {max_age}"]
    return "".join(f"{line}\r\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Site:
    """One domain with MTA-STS."""

    body: str = policy()
    txt: tuple[str, ...] = ('"v=STSv1; id=20260101T000000;"',)
    """The records at ``_mta-sts``, in master-file form."""
    mx: str = "mx1"
    """The domain's MX host, relative to ``example.test``."""
    status: str = "200 OK"
    media_type: str = "text/plain"
    manner: Manner = Manner.PROMPT
    shown: Shown = Shown.GOOD
    location: str | None = None
    """Where a redirection points."""
    has_host: bool = True
    """The policy host's name has an address."""


def sites(special: Mapping[str, str]) -> dict[str, Site]:
    """The domains by label.

    Args:
        special: MX hosts for some of the sites, by purpose: ``plain`` without STARTTLS, ``expired`` with an expired
            certificate, ``deep`` two labels below ``example.test``.
    """
    return {
        # good
        "": Site(),
        "sts-enforce": Site(),
        "sts-testing": Site(policy(mode="testing")),
        "sts-none": Site(policy(mode="none", mx=())),
        "sts-wildcard": Site(policy(mx=("*.example.test",))),
        "sts-several": Site(policy(mx=("mx.example.org", "MX1.Example.Test"))),
        "sts-lf": Site(policy().replace("\r\n", "\n")),
        "sts-charset": Site(media_type="text/plain; charset=utf-8"),
        "sts-extension": Site(policy() + "colour: green\r\n", txt=('"v=STSv1; id=1; colour=green"',)),
        "sts-splittxt": Site(txt=('"v=STSv1; " "id=20260101;"',)),
        # the policy does not fit the MX
        "sts-unlisted": Site(policy(mx=("mx.elsewhere.example.org",))),
        "sts-unlisted-testing": Site(policy(mode="testing", mx=("mx.elsewhere.example.org",))),
        "sts-deepwildcard": Site(policy(mx=("*.example.test",)), mx=special["deep"]),
        "sts-plain": Site(policy(mx=("*.example.test",)), mx=special["plain"]),
        "sts-badmx": Site(policy(mx=("*.example.test",)), mx=special["expired"]),
        # the record is wrong
        "sts-twotxt": Site(txt=('"v=STSv1; id=1;"', '"v=STSv1; id=2;"')),
        "sts-othertxt": Site(txt=('"v=STSv1; id=1;"', '"not about MTA-STS"')),
        "sts-badid": Site(txt=('"v=STSv1; id=not_an-id!;"',)),
        "sts-noid": Site(txt=('"v=STSv1;"',)),
        "sts-badrecord": Site(txt=('"v=STSv2; id=1;"',)),
        "sts-notxt": Site(txt=()),
        # the policy is wrong
        "sts-badversion": Site(policy().replace("STSv1", "STSv2")),
        "sts-badmode": Site(policy(mode="strict")),
        "sts-nomode": Site(policy().replace("mode: enforce\r\n", "")),
        "sts-nomx": Site(policy(mx=())),
        "sts-nomaxage": Site(policy().partition("max_age")[0]),
        "sts-badmaxage": Site(policy(max_age="a week")),
        "sts-shortmaxage": Site(policy(max_age="60")),
        "sts-longmaxage": Site(policy(max_age="31557601")),
        "sts-twomodes": Site(policy() + "mode: none\r\n"),
        "sts-html": Site("<!DOCTYPE html><title>Welcome</title>\n", media_type="text/html"),
        "sts-mediatype": Site(media_type="application/octet-stream"),
        "sts-empty": Site(""),
        "sts-big": Site(policy() + "mx: filler.example.org\r\n" * (MAX_POLICY_BYTES // 20)),
        "sts-binary": Site("\x00\xff\x1b[31m" * 20),
        # the host is wrong
        "sts-nohost": Site(has_host=False),
        "sts-expiredcert": Site(shown=Shown.EXPIRED),
        "sts-wrongname": Site(shown=Shown.WRONG_NAME),
        "sts-selfsigned": Site(shown=Shown.SELF_SIGNED),
        "sts-redirect": Site("", status="302 Found", location=f"https://mta-sts.sts-enforce.example.test{PATH}"),
        "sts-404": Site("nothing here\n", status="404 Not Found"),
        "sts-500": Site("out of order\n", status="500 Internal Server Error"),
        "sts-drip": Site(manner=Manner.DRIP),
        "sts-cut": Site(manner=Manner.CLOSE_EARLY),
        "sts-silenttls": Site(manner=Manner.SILENT_BEFORE_TLS),
        "sts-silent": Site(manner=Manner.SILENT_AFTER_REQUEST),
    }


TLS_REPORTING = {
    "": ('"v=TLSRPTv1; rua=mailto:tls@example.test"',),
    "rpt-mail": ('"v=TLSRPTv1; rua=mailto:tls@example.test"',),
    "rpt-https": ('"v=TLSRPTv1;rua=https://reports.example.test/v1,mailto:tls@example.test"',),
    "rpt-two": ('"v=TLSRPTv1; rua=mailto:a@example.test"', '"v=TLSRPTv1; rua=mailto:b@example.test"'),
    "rpt-other": ('"v=TLSRPTv1; rua=mailto:a@example.test"', '"something else"'),
    "rpt-version": ('"v=TLSRPTv2; rua=mailto:tls@example.test"',),
    "rpt-norua": ('"v=TLSRPTv1;"',),
    "rpt-scheme": ('"v=TLSRPTv1; rua=ftp://reports.example.test/"',),
    "rpt-split": ('"v=TLSRPTv1; rua=mailto:" "tls@example.test"',),
}
"""Domains by label with their records at ``_smtp._tls`` (RFC 8460 3)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that the policy host saw."""

    host: str
    path: str


def host_name(label: str, domain: str) -> str:
    """The policy host of a domain."""
    return f"mta-sts.{label}.{domain}" if label else f"mta-sts.{domain}"


class PolicyHost:
    """The running server."""

    def __init__(
        self, listener: socket.socket, domain: str, served: Mapping[str, Site], files: Mapping[Shown, Path]
    ) -> None:
        self.asked: list[Asked] = []
        """What was requested, in order."""
        self._listener = listener
        self._sites = {host_name(label, domain): site for label, site in served.items()}
        self._contexts = {shown: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for shown in Shown}
        for shown, context in self._contexts.items():
            context.load_cert_chain(files[shown])
        self._contexts[Shown.GOOD].sni_callback = self._choose
        self._ending = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, name="policy host")]
        self._threads[0].start()

    def close(self) -> None:
        """End the server and every connection; wait for its threads."""
        self._ending.set()
        for sock in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=10)
        self._listener.close()

    def _accept(self) -> None:
        while not self._ending.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), name="policy host: connection")
            self._threads.append(thread)
            thread.start()

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        site = self._sites.get(name or "", Site())
        connection.context = self._contexts[site.shown]

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        with contextlib.closing(connection), contextlib.suppress(OSError, ValueError):
            if self._is_to_be_silent(connection):
                self._ending.wait()
                return
            with self._contexts[Shown.GOOD].wrap_socket(connection, server_side=True) as secured:
                self._open.add(secured)
                self._answer(secured)
                self._open.discard(secured)
        self._open.discard(connection)

    def _is_to_be_silent(self, connection: socket.socket) -> bool:
        """Look at the server name in a ClientHello that is left unread."""
        hello = connection.recv(16384, socket.MSG_PEEK)
        silent = [name for name, site in self._sites.items() if site.manner is Manner.SILENT_BEFORE_TLS]
        return any(name.encode() in hello for name in silent)

    def _answer(self, secured: ssl.SSLSocket) -> None:
        with secured.makefile("rb") as reader:
            path = reader.readline(8192).decode("latin-1").split(" ")[1]
            headers = dict(self._headers(iter(lambda: reader.readline(8192), b"")))
        host = headers.get("host", "").partition(":")[0].lower()
        self.asked.append(Asked(host, path))
        site = self._sites.get(host)
        if site is None or path != PATH:
            site = Site("not here\n", status="404 Not Found")
        body = site.body.encode("latin-1")
        head = f"HTTP/1.1 {site.status}\r\nContent-Type: {site.media_type}\r\nContent-Length: {len(body)}\r\n"
        if site.location is not None:
            head += f"Location: {site.location}\r\n"
        head += "Connection: close\r\n\r\n"
        match site.manner:
            case Manner.SILENT_AFTER_REQUEST:
                self._ending.wait()
            case Manner.DRIP:
                secured.sendall(head.encode())
                for byte in body:
                    secured.sendall(bytes([byte]))
                    if self._ending.wait(0.2):
                        return
            case Manner.CLOSE_EARLY:
                secured.sendall(head.encode() + body[: len(body) // 2])
            case _:
                secured.sendall(head.encode() + body)
                secured.unwrap()

    @staticmethod
    def _headers(lines: Iterator[bytes]) -> Iterator[tuple[str, str]]:
        for line in lines:
            name, colon, value = line.decode("latin-1").strip().partition(":")
            if not colon:
                return
            yield name.lower(), value.strip()
