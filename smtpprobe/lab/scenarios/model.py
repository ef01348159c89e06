"""What a scenario is: a domain of the lab whose mail hosts do one thing in particular, and what a check finds there.

Most scenarios are one function, registered by the decorator of `collect_plays`: its name is the scenario's, its
docstring says what the server does, its result is the script. Where the point is in the DNS, there are records instead.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from smtpprobe.evidence import Role
from smtpprobe.lab.certificates import CertificateKind, make_identity, server_context
from smtpprobe.lab.dns import Fault
from smtpprobe.lab.scripted import Answer, Script, Serve, greeting, serve
from smtpprobe.report import Severity

ERROR, WARNING, INFO, OPEN = Severity.ERROR, Severity.WARNING, Severity.INFO, Severity.INCONCLUSIVE

LOST: Final = {"mx-all-unreachable": ERROR}
"""What is found besides where the only host fails."""

KEYWORDS: Final = ("PIPELINING", "SIZE 10240000", "8BITMIME", "ENHANCEDSTATUSCODES")
"""What the scripted servers offer unless that is the point: as common servers do."""


class Conduct(Enum):
    """How a host behaves on a port where no script is played."""

    WELL = "well"
    """A well-made server for the role of the port."""
    CLOSED = "closed"
    """Nobody listens."""
    SILENT = "silent"
    """Connects remain unanswered."""


Part = Script | Conduct
"""What is on one port of a host."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a part is played."""

    domain: str
    host: str
    folder: Path
    """Private; for keys, which OpenSSL reads from files only."""

    def tls(
        self,
        kind: CertificateKind = CertificateKind.TRUSTED,
        *,
        minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
        maximum: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED,
    ) -> ssl.SSLContext:
        """Make the server's side of TLS, with a certificate for the host."""
        return server_context(make_identity(kind, self.host), self.folder, minimum=minimum, maximum=maximum)

    def serve(self, *, context: ssl.SSLContext | None = None, changes: Mapping[str, Answer] | None = None) -> Serve:
        """Answer commands well apart from the changes, with STARTTLS.

        Args:
            context: None: a good one.
        """
        return serve(self.host, *KEYWORDS, tls=self.tls() if context is None else context, changes=changes)

    @property
    def greeting(self) -> bytes:
        """The usual greeting."""
        return greeting(self.host)


Play = Callable[[Stage], Part]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One domain of the lab."""

    name: str
    """Kebab-case; its domain is this label in the lab's zone."""
    description: str
    """What is there, in one line."""
    hosts: tuple[Play, ...] = ()
    """What each mail host does on the port of `role`; on the other two it behaves."""
    role: Role = Role.SMTP
    records: str | None = None
    """Of the domain, as a template with ``{domain}``, ``{hosts[0]}``, ``{addresses[0]}``; None: an MX for each host."""
    faults: Mapping[tuple[str, str], Fault] = field(default_factory=dict)
    """What goes wrong in the DNS, by the template of a name and the type."""
    finds: Mapping[str, Severity] = field(default_factory=dict)
    """What a check of the domain, on the port of `role`, finds that is not in order: finding id -> severity."""
    is_stalling: bool = False
    """Nothing but the patience of whoever checks ends the wait."""
    needs: ssl.TLSVersion | None = None
    """The TLS version that the local OpenSSL has to be able to serve."""


def collect_plays() -> tuple[list[Scenario], Callable[..., Callable[[Play], Play]]]:
    """Begin a list of scenarios, and give the decorator that adds to it.

    The decorator takes what a `Scenario` takes besides name, description and hosts.
    """
    scenarios: list[Scenario] = []

    def scenario(
        *,
        finds: Mapping[str, Severity],
        role: Role = Role.SMTP,
        is_stalling: bool = False,
        needs: ssl.TLSVersion | None = None,
    ) -> Callable[[Play], Play]:
        def register(play: Play) -> Play:
            scenarios.append(
                Scenario(
                    name=play.__name__.replace("_", "-"),
                    description=(play.__doc__ or "").strip().rstrip("."),
                    hosts=(play,),
                    role=role,
                    finds=finds,
                    is_stalling=is_stalling,
                    needs=needs,
                )
            )
            return play

        return register

    return scenarios, scenario


def well(stage: Stage) -> Part:
    """Behave."""
    return Conduct.WELL


def closed(stage: Stage) -> Part:
    """Do not listen."""
    return Conduct.CLOSED


def silent(stage: Stage) -> Part:
    """Leave connects without an answer."""
    return Conduct.SILENT
