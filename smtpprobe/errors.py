"""What a caller can get wrong.

A failure of the network or of a server is a value in the evidence, never an exception. The exceptions here are for
mistakes in what was asked: each message says what is wrong, with what, and what to try, and is fit to be printed
as it is. The command line prints them on one line and exits with status 2.
"""

from __future__ import annotations


class SmtpprobeError(Exception):
    """Base of everything that smtpprobe raises on purpose."""


class TargetError(SmtpprobeError, ValueError):
    """The text is not a target: neither a domain, a host, an address, ``host:port`` nor a URL."""


class OptionError(SmtpprobeError, ValueError):
    """An option has a value that cannot be used."""


class EvidenceError(SmtpprobeError, ValueError):
    """A file is not evidence that this version can read."""


class ConfigError(SmtpprobeError, ValueError):
    """A file of expectations has a mistake; the message names file, line and key, and what was meant."""


class UnknownLanguageError(SmtpprobeError, LookupError):
    """No texts are shipped in that language."""


class MissingExtraError(SmtpprobeError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs: pip install 'smtpprobe[{extra}]'")
        self.what = what
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        """Come over whole from another process."""
        return MissingExtraError, (self.what, self.extra)
