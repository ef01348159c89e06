"""What has changed between two probes of a target: facts of the name system and of the servers, and findings.

Pure: two reports in, changes out. Only facts that both probes learnt are compared, so that a server that is down is one
change and not twenty, and nobody takes a fault for mended because a server put us off. What differs from session to
session says nothing: times, durations, the ids and the date in a greeting, and the order in which a resolver gives
records.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from smtpprobe.checks.reading import FOUND_OUT, Service, is_success, keywords, service
from smtpprobe.checks.securing import policy_of
from smtpprobe.evidence import Conversation, Endpoint, Evidence, Fact, HostOrigin, Lookup, Phase
from smtpprobe.report import GRAVITY, Report, Severity, Where

DIFFERENCES_SCHEMA: Final = "smtpprobe/differences/1"
"""Name and version of the JSON form; the number changes when a reader must change."""

Kind = Literal[
    "target",
    "mx",
    "addresses",
    "reverse",
    "service",
    "greeting",
    "software",
    "banner",
    "capabilities",
    "auth",
    "tls",
    "certificate",
    "trust",
    "mta-sts",
    "tlsa",
    "finding",
]
"""What can change."""


class Change(Fact, frozen=True, kw_only=True):
    """One thing that is otherwise than it was, in one place or in several."""

    kind: Kind
    subject: str | None = None
    """Of a finding: its id."""
    where: tuple[str, ...] = ()
    """Hosts, addresses, or ``HOST ADDR:PORT``; empty where it is about the whole target."""
    old: tuple[str, ...] = ()
    """What was there and is no more; of a list only what was taken away. Empty where nothing was."""
    new: tuple[str, ...] = ()
    """What is there now."""


class Difference(Fact, frozen=True, kw_only=True):
    """Two probes of one target."""

    target: str
    old_at: datetime | None
    """When the older probe began, in UTC; None where the target was not among the older ones."""
    new_at: datetime | None
    changes: tuple[Change, ...] = ()


class Differences(Fact, frozen=True, kw_only=True):
    """The document of ``smtpprobe diff --format json``."""

    schema: Literal["smtpprobe/differences/1"] = DIFFERENCES_SCHEMA
    targets: tuple[Difference, ...] = ()


def differences(old: Iterable[Report], new: Iterable[Report]) -> Differences:
    """Compare the probes of two times, target by target; of several probes of one target the last one counts."""
    before = {each.evidence.target.text: each for each in old}
    after = {each.evidence.target.text: each for each in new}
    targets = []
    for name in dict.fromkeys((*before, *after)):
        one, other = before.get(name), after.get(name)
        if one is not None and other is not None:
            changes = tuple(changes_between(one, other))
        else:
            changes = (Change(kind="target", old=(name,) if one else (), new=(name,) if other else ()),)
        targets.append(
            Difference(
                target=name,
                old_at=None if one is None else one.evidence.started_at,
                new_at=None if other is None else other.evidence.started_at,
                changes=changes,
            )
        )
    return Differences(targets=tuple(targets))


def changes_between(old: Report, new: Report) -> Iterator[Change]:
    """List what has changed, in the order in which mail finds its way: names, servers, policies, findings."""
    yield from _merged((*_of_names(old.evidence, new.evidence), *_of_servers(old.evidence, new.evidence)))
    yield from _of_policies(old.evidence, new.evidence)
    yield from _of_findings(old, new)


def is_certain(change: Change) -> bool:
    """Tell whether something is otherwise, and not merely unknown at one of the two times, as when a server puts us
    off."""
    values = (*change.old, *change.new)
    match change.kind:
        case "finding":
            return Severity.INCONCLUSIVE.value not in values
        case "service":
            return not any(each.startswith(Service.UNKNOWN.value) for each in values)
        case "greeting":
            return not any(each.startswith("4") for each in values)  # RFC 5321 4.2.1: come again later
        case _:
            return True


def _merged(changes: Iterable[Change]) -> Iterator[Change]:
    """Tell the same change of several places once."""
    places: dict[Change, list[str]] = {}
    for each in changes:
        places.setdefault(msgspec.structs.replace(each, where=()), []).extend(each.where)
    for each, where in places.items():
        yield msgspec.structs.replace(each, where=tuple(where))


def _lists(kind: Kind, old: Sequence[str] | None, new: Sequence[str] | None, where: str = "") -> Iterator[Change]:
    """Compare two lists whose order means nothing; None is one that is not known."""
    if old is None or new is None or set(old) == set(new):
        return
    gone = tuple(each for each in old if each not in new)
    come = tuple(each for each in new if each not in old)
    yield Change(kind=kind, where=(where,) if where else (), old=gone, new=come)


def _value(kind: Kind, old: str | None, new: str | None, where: str = "") -> Iterator[Change]:
    """Compare two values; None is one that is not known, and an empty text one that is not there."""
    if old is None or new is None or old == new:
        return
    yield Change(kind=kind, where=(where,) if where else (), old=(old,) if old else (), new=(new,) if new else ())


# --- names ----------------------------------------------------------------------------------------------------------


def _of_names(old: Evidence, new: Evidence) -> Iterator[Change]:
    yield from _lists("mx", _mx(old), _mx(new))
    before, after = _addresses(old), _addresses(new)
    for name in before:
        if name in after:
            yield from _lists("addresses", before[name], after[name], name)
    names, others = _reverse(old), _reverse(new)
    for address in names:
        if address in others:
            yield from _lists("reverse", names[address], others[address], address)


def _mx(evidence: Evidence) -> tuple[str, ...] | None:
    lookup = evidence.resolution.mx
    if lookup is None or lookup.status not in FOUND_OUT:
        return None
    if evidence.resolution.is_null_mx:
        return ("0 .",)
    hosts = (each for each in evidence.resolution.hosts if each.origin is HostOrigin.MX)
    return tuple(f"{each.preference or 0} {each.name}" for each in hosts)


def _addresses(evidence: Evidence) -> Mapping[str, tuple[str, ...] | None]:
    return {
        each.name: None if any(lookup.status not in FOUND_OUT for lookup in each.lookups) else each.addresses
        for each in evidence.resolution.hosts
    }


def _reverse(evidence: Evidence) -> Mapping[str, tuple[str, ...] | None]:
    return {each.address: _records(each.ptr) for each in evidence.resolution.reverse}


def _records(lookup: Lookup | None) -> tuple[str, ...] | None:
    return None if lookup is None or lookup.status not in FOUND_OUT else lookup.records


# --- servers --------------------------------------------------------------------------------------------------------


def _of_servers(old: Evidence, new: Evidence) -> Iterator[Change]:
    before = {_place(each.endpoint): each for each in old.conversations}
    after = {_place(each.endpoint): each for each in new.conversations}
    for kind, fact in _FACTS.items():
        for place, one in before.items():
            if place in after:
                yield from _compared(kind, fact(old, one), fact(new, after[place]), place)


def _compared(
    kind: Kind, old: str | tuple[str, ...] | None, new: str | tuple[str, ...] | None, place: str
) -> Iterator[Change]:
    if isinstance(old, tuple) or isinstance(new, tuple):
        yield from _lists(kind, old, new, place)
    else:
        yield from _value(kind, old, new, place)


def _place(endpoint: Endpoint) -> str:
    return endpoint.id if endpoint.host == endpoint.address else f"{endpoint.host} {endpoint.id}"


def _service(_: Evidence, conversation: Conversation) -> str:
    state = service(conversation)
    failure = conversation.failure
    if state is Service.SERVES or failure is None or failure.phase is Phase.QUIT:
        return state.value
    return f"{state.value} ({failure.phase.value}: {failure.kind.value})"


def _greeting(_: Evidence, conversation: Conversation) -> str | None:
    reply = conversation.reply(Phase.GREETING)
    return None if reply is None else str(reply.code or "-")


def _software(_: Evidence, conversation: Conversation) -> str | None:
    from smtpprobe.reference import identify

    greeting = conversation.reply(Phase.GREETING)
    if greeting is None or not is_success(greeting):
        return None
    found = identify(greeting, conversation.reply(Phase.EHLO), host=conversation.endpoint.name)
    return "" if found is None else " ".join(filter(None, (found.product, found.version)))


def _banner(_: Evidence, conversation: Conversation) -> str | None:
    reply = conversation.reply(Phase.GREETING)
    return None if reply is None or not is_success(reply) else masked(reply.text)


def _capabilities(_: Evidence, conversation: Conversation) -> tuple[str, ...] | None:
    offered = _offered(conversation)
    if offered is None:
        return None
    return tuple(" ".join((name, *offered[name])) for name in sorted(offered) if name != "AUTH")


def _auth(_: Evidence, conversation: Conversation) -> tuple[str, ...] | None:
    offered = _offered(conversation)
    return None if offered is None else tuple(sorted(map(str.upper, offered.get("AUTH", ()))))


def _offered(conversation: Conversation) -> Mapping[str, tuple[str, ...]] | None:
    reply = conversation.reply(Phase.EHLO, over_tls=conversation.session is not None)
    return keywords(reply) if reply is not None and is_success(reply) else None


def _tls(_: Evidence, conversation: Conversation) -> str | None:
    if conversation.session is not None:
        return conversation.session.version
    # Without a handshake there is none to be had, where the server got as far as to offer it.
    is_known = conversation.handshake is None and conversation.failure is None
    return "" if is_known and _offered(conversation) is not None else None


def _certificate(evidence: Evidence, conversation: Conversation) -> str | None:
    session = conversation.session
    if session is None:
        return None
    if not session.chain:
        return ""
    leaf = next((each for each in evidence.certificates if each.sha256 == session.chain[0]), None)
    ends = "" if leaf is None or leaf.not_after is None else f"{leaf.not_after:%Y-%m-%d} "
    issuer = "" if leaf is None else f"{leaf.issuer} "
    return f"{issuer}{ends}sha256:{session.chain[0][:16]}"


def _trust(_: Evidence, conversation: Conversation) -> str | None:
    session = conversation.session
    if session is None or session.trust is None or not session.trust.has_roots:
        return None
    return "true" if session.trust.is_trusted else "false"


_FACTS: Final[dict[Kind, Callable[[Evidence, Conversation], str | tuple[str, ...] | None]]] = {
    "service": _service,
    "greeting": _greeting,
    "software": _software,
    "banner": _banner,
    "capabilities": _capabilities,
    "auth": _auth,
    "tls": _tls,
    "certificate": _certificate,
    "trust": _trust,
}

# --- greetings ------------------------------------------------------------------------------------------------------

MASK: Final = "#"
"""Stands for what differs from session to session."""

_CALENDAR: Final = re.compile(
    r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6},?|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6},?"
    r"|utc|gmt|[ce]e?s?t|[ap]m|\(?[a-z]{3,4}\)",
    re.IGNORECASE,
)
"""Days, months and zones, which are no news beside a number."""
_VERSION: Final = re.compile(r"[(\[]?[A-Za-z/_-]*v?\d{1,4}(?:\.\d{1,4}){1,3}(?:[-_.+~][A-Za-z0-9.]{1,12})?[)\],;]?")
_NAME: Final = re.compile(r"(?:[A-Za-z0-9_-]+\.)+[A-Za-z]{2,}\.?")


def masked(text: str) -> str:
    """Mask what differs from session to session in a greeting: dates, times, queue ids and serial numbers.

    The host name and versions stay; of a name the numbers of a farm go (``BL6PEPF0001AB50.example`` ->
    ``#.example``).
    """
    words: list[str] = []
    for number, word in enumerate(text.split()):
        shown = _masked_word(word, is_name=number == 0)  # RFC 5321 4.2: first comes the host's name
        if shown != MASK or not words or words[-1] != MASK:
            words.append(shown)
    return _without_calendar(words)


def _masked_word(word: str, *, is_name: bool) -> str:
    if is_name or _NAME.fullmatch(word):
        return ".".join(MASK if sum(map(str.isdigit, label)) > 2 else label for label in word.split("."))
    if not any(map(str.isdigit, word)) or _VERSION.fullmatch(word):
        return word
    return MASK


def _without_calendar(words: Sequence[str]) -> str:
    """Drop names of days, months and zones where a number was beside them."""
    kept: list[str] = []
    for number, word in enumerate(words):
        near = (*words[max(0, number - 2) : number], *words[number + 1 : number + 3])
        if _CALENDAR.fullmatch(word) and MASK in near:
            word = MASK  # noqa: PLW2901 - what is shown of the word
        if word != MASK or not kept or kept[-1] != MASK:
            kept.append(word)
    return " ".join(kept)


# --- policies -------------------------------------------------------------------------------------------------------


def _of_policies(old: Evidence, new: Evidence) -> Iterator[Change]:
    yield from _value("mta-sts", _mode(old), _mode(new))
    before, after = _tlsa(old), _tlsa(new)
    for owner in dict.fromkeys((*before, *after)):
        yield from _lists("tlsa", before.get(owner, ()), after.get(owner, ()), owner)


def _mode(evidence: Evidence) -> str | None:
    """The mode of the policy; empty where there is none, None where it is not known."""
    lookup, fetch = evidence.policies.mta_sts, evidence.policies.policy
    policy = policy_of(evidence)
    if policy is not None and policy.mode is not None:
        return str(policy.mode)
    is_failed = fetch is not None and fetch.failure is not None
    return None if lookup is None or lookup.status not in FOUND_OUT or is_failed else ""


def _tlsa(evidence: Evidence) -> Mapping[str, tuple[str, ...] | None]:
    return {f"_{each.port}._tcp.{each.base}": _records(each.lookup) for each in evidence.policies.tlsa}


# --- findings -------------------------------------------------------------------------------------------------------


def _of_findings(old: Report, new: Report) -> Iterator[Change]:
    """Findings that appeared, were resolved, or weigh otherwise; gravest first, and of the same weight what is new."""
    before, after = _findings(old), _findings(new)
    was_visible, is_visible = _visible(old.evidence), _visible(new.evidence)
    found: dict[tuple[str, str, str], list[str]] = {}
    for id_, where in dict.fromkeys((*before, *after)):
        one, other = before.get((id_, where), ""), after.get((id_, where), "")
        is_seen = was_visible(where) if not one else is_visible(where) if not other else True
        if one == other or not (is_seen or Severity.INCONCLUSIVE.value in (one, other)):
            continue
        place = _where(where)
        found.setdefault((id_, one, other), []).extend((place,) if place else ())
    order = {severity.value: number for number, severity in enumerate(GRAVITY)}
    for (id_, one, other), places in sorted(
        found.items(), key=lambda each: (order[each[0][2] or each[0][1]], not each[0][2])
    ):
        yield Change(
            kind="finding",
            subject=id_,
            where=tuple(dict.fromkeys(places)),
            old=(one,) if one else (),
            new=(other,) if other else (),
        )


def _findings(report: Report) -> Mapping[tuple[str, Where], str]:
    """The gravest severity of each finding at each place; what is well needs no mention."""
    found: dict[tuple[str, Where], Severity] = {}
    for each in report.findings:
        if each.severity is Severity.OK:
            continue
        name = each.id + (f" {each.params['expectation']}" if "expectation" in each.params else "")
        key = (name, msgspec.structs.replace(each.where, domain=None, role=None, phase=None))
        known = found.get(key)
        if known is None or GRAVITY.index(each.severity) < GRAVITY.index(known):
            found[key] = each.severity
    return {key: severity.value for key, severity in found.items()}


def _visible(evidence: Evidence) -> Callable[[Where], bool]:
    """Tell of a place whether a finding would have been made there. That is not known where the endpoint put us off or
    was never begun, nor where it is not known which endpoints there are."""
    judged = {_place(each.endpoint) for each in evidence.conversations if service(each) is not Service.UNKNOWN}
    silent = {(each.host, each.address, each.port) for each in evidence.endpoints if _place(each) not in judged}
    lookups = [each for host in evidence.resolution.hosts for each in host.lookups]
    lookups += () if evidence.resolution.mx is None else (evidence.resolution.mx,)
    is_complete = all(each.status in FOUND_OUT for each in lookups)
    return lambda where: where.port is None or (is_complete and (where.host, where.address, where.port) not in silent)


def _where(where: Where) -> str:
    host = None if where.host == where.address else where.host
    return " ".join(filter(None, (host, where.endpoint or where.address)))
