"""MTA-STS (RFC 8461): the record that announces a policy, the policy itself, and which MX hosts it allows.

A sender that knows the policy delivers only to hosts that it names, over TLS with a certificate that web browsers would
take. Reading is as strict as the RFC: a sender ignores a policy that it cannot read, so a lenient reader would promise
protection that is not there.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

from smtpprobe.evidence import LookupStatus, Policies
from smtpprobe.names import is_hostname
from smtpprobe.policies.txt import fields, misspelt, versioned

POLICY_PATH: Final = "/.well-known/mta-sts.txt"
"""RFC 8461 3.2."""
MEDIA_TYPE: Final = "text/plain"
"""RFC 8461 3.2: the policy is served as ``text/plain``."""
MAX_AGE_LIMIT_S: Final = 31_557_600
"""RFC 8461 3.2: one year is the longest that a policy may be kept."""
SHORT_MAX_AGE_S: Final = 86_400
"""A policy that is kept for less than a day protects little: RFC 8461 3.2 expects weeks."""

_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}")
_FIELD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}=[!-:<>-~]+")
"""RFC 8461 3.1: ``sts-extension``, of which ``sts-id`` is a case; no blanks, no second ``=``."""
_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
"""RFC 8461 3.2: ``sts-policy-ext-name``, of which all keys are cases."""
_NUMBER: Final = re.compile(r"[0-9]{1,10}")


class Mode(StrEnum):
    """What a sender does with a host that the policy does not allow (RFC 8461 5)."""

    ENFORCE = "enforce"
    """It does not deliver there."""
    TESTING = "testing"
    """It delivers, and reports."""
    NONE = "none"
    """It treats the domain as one without policy."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What the TXT records at ``_mta-sts`` say (RFC 8461 3.1)."""

    id: str | None = None
    """Changes with each change of the policy; None where there is no valid record."""
    count: int = 0
    """How many records begin with ``v=STSv1;``. A sender takes any other number than one as none."""
    problem: str | None = None
    """``several-records``, ``version-invalid``, ``id-missing``, ``id-invalid``, ``syntax-invalid``; None where nothing
    is wrong or no record is there."""

    @property
    def is_valid(self) -> bool:
        """There is exactly one record, and a sender can read it."""
        return self.id is not None and self.problem is None


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The policy file, read (RFC 8461 3.2)."""

    mode: Mode | None = None
    mx: tuple[str, ...] = ()
    """Host names and patterns ``*.example.org``, lower case."""
    max_age_s: int | None = None
    problems: tuple[str, ...] = ()
    """Why a sender ignores it, as ``version-missing`` or ``mx-invalid:mail..example``; empty where it is valid."""

    @property
    def is_valid(self) -> bool:
        """A sender can read it."""
        return not self.problems


def read_record(records: tuple[str, ...]) -> Record:
    """Read the TXT records at ``_mta-sts.<domain>``; those about something else are passed over (RFC 8461 3.1)."""
    found = versioned(records, "v=STSv1")
    if not found:
        return Record(problem="version-invalid" if misspelt(records, "v=STSv1") else None)
    if len(found) > 1:
        return Record(count=len(found), problem="several-records")
    ids = [value for name, value in fields(found[0]) if name == "id"]
    if not ids:
        return Record(count=1, problem="id-missing")
    if len(ids) > 1 or not _ID.fullmatch(ids[0]):
        return Record(id=ids[0], count=1, problem="id-invalid")
    if not all(_FIELD.fullmatch(field.strip(" \t")) for field in found[0].rstrip("; \t").split(";")):
        return Record(id=ids[0], count=1, problem="syntax-invalid")
    return Record(id=ids[0], count=1)


def read_policy(body: bytes) -> Policy:
    """Read a policy file: ``key: value`` a line, ended by LF or CRLF, unknown keys allowed (RFC 8461 3.2)."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return Policy(problems=("not-utf8",))
    values: dict[str, list[str]] = {}
    problems: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line.strip(" \t"):
            continue
        name, separator, value = line.partition(":")
        if not separator or not _KEY.fullmatch(name):
            problems.append(f"not-a-field:{line.strip()[:40]}")
            continue
        # RFC 8461 3.2: of a key that must stand once the first counts; `mx` may stand again and again.
        values.setdefault(name, []).append(value.strip(" \t"))
    version = values.get("version", [None])[0]
    if version != "STSv1":
        problems.append("version-missing" if version is None else "version-unknown")
    mode = _mode(values, problems)
    max_age_s = _max_age_s(values, problems)
    mx = tuple(pattern.lower() for pattern in values.get("mx", []))
    problems += [f"mx-invalid:{pattern}" for pattern in mx if not _is_pattern(pattern)]
    if not mx and mode is not Mode.NONE:
        problems.append("mx-missing")
    return Policy(mode=mode, mx=mx, max_age_s=max_age_s, problems=tuple(problems))


def _is_pattern(text: str) -> bool:
    """RFC 8461 3.2: ``sts-policy-mx-value``, a domain of RFC 5321 4.1.2, which has no final dot."""
    return is_hostname(text.removeprefix("*.")) and not text.endswith(".")


def _mode(values: dict[str, list[str]], problems: list[str]) -> Mode | None:
    given = values.get("mode", [None])[0]
    if given in tuple(Mode):
        return Mode(given)
    problems.append("mode-missing" if given is None else "mode-unknown")
    return None


def _max_age_s(values: dict[str, list[str]], problems: list[str]) -> int | None:
    given = values.get("max_age", [None])[0]
    if given is None:
        problems.append("max-age-missing")
        return None
    if not _NUMBER.fullmatch(given) or int(given) > MAX_AGE_LIMIT_S:
        problems.append("max-age-invalid")
        return None
    return int(given)


def allows(policy: Policy, host: str) -> bool:
    """Tell whether a policy names an MX host (RFC 8461 4.1): ``*.`` stands for exactly one left-most label."""
    name = host.lower().rstrip(".")
    parent = name.partition(".")[2]
    return any(pattern == name or (pattern.startswith("*.") and pattern[2:] == parent) for pattern in policy.mx)


def effective_policy(policies: Policies) -> Policy | None:
    """The policy that a sender without one in its cache would act on; None where it would act as without policy.

    RFC 8461 3.3: only status 200 over TLS with a certificate that holds counts, and a redirect is not followed.
    RFC 8461 3.2 asks for the media type ``text/plain``.
    """
    found, fetched = policies.mta_sts, policies.policy
    if found is None or found.status is not LookupStatus.ANSWERED or not read_record(found.records).is_valid:
        return None
    if fetched is None or fetched.failure is not None or fetched.status != 200 or fetched.is_cut:
        return None
    if fetched.trust is None or not fetched.trust.is_trusted:
        return None
    if (fetched.media_type or "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        return None
    policy = read_policy(fetched.body)
    return policy if policy.is_valid else None
