"""A live SMTP probe and connection checker.

    >>> import asyncio, smtpprobe
    >>> report = asyncio.run(smtpprobe.probe("example.org"))    # doctest: +SKIP
    >>> report.status                                           # doctest: +SKIP
    <Severity.OK: 'ok'>

The public names are resolved when first used (PEP 562), so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from smtpprobe.checks import judge as judge
    from smtpprobe.errors import SmtpprobeError as SmtpprobeError
    from smtpprobe.evidence import Evidence as Evidence
    from smtpprobe.evidence import Options as Options
    from smtpprobe.evidence import Phase as Phase
    from smtpprobe.evidence import Reply as Reply
    from smtpprobe.probing import collect as collect
    from smtpprobe.probing import probe as probe
    from smtpprobe.reference import explain as explain
    from smtpprobe.replies import parse_reply as parse_reply
    from smtpprobe.report import Finding as Finding
    from smtpprobe.report import Report as Report
    from smtpprobe.report import Severity as Severity
    from smtpprobe.targets import parse_target as parse_target

_HOMES = {
    "Evidence": "evidence",
    "Finding": "report",
    "Options": "evidence",
    "Phase": "evidence",
    "Reply": "evidence",
    "Report": "report",
    "Severity": "report",
    "SmtpprobeError": "errors",
    "collect": "probing",
    "explain": "reference",
    "judge": "checks",
    "parse_reply": "replies",
    "parse_target": "targets",
    "probe": "probing",
}

__all__ = ["__version__", *sorted(_HOMES)]  # noqa: PLE0604 - the names are strings


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return __all__
