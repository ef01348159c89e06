"""What is expected of one session, held against the conversation with one endpoint.

Where a conversation did not get as far as what an expectation is about, it does not hold if the server is to blame, and
is not known otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from smtpprobe.checks.reading import Service, is_success, is_temporary, keywords, service
from smtpprobe.evidence import (
    Asked,
    Conversation,
    Evidence,
    Failure,
    FailureKind,
    Phase,
    Reply,
    TlsMode,
    TlsSession,
)
from smtpprobe.expectations.model import Session
from smtpprobe.expectations.patterns import find
from smtpprobe.expectations.verdict import NOTHING, Holds, Verdict, listed, verdict
from smtpprobe.expectations.wording import fits, parse_reply_wanted, reply_text, seconds

DAY_S: Final = 86_400
MAX_SHOWN: Final = 200
"""Characters of a greeting that are shown."""
_VERSIONS: Final = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
"""As OpenSSL names them, oldest first."""
_SHORT: Final = {"1.0": "TLSv1", "1.1": "TLSv1.1", "1.2": "TLSv1.2", "1.3": "TLSv1.3"}


def session_verdicts(evidence: Evidence, conversation: Conversation, wanted: Session) -> Iterator[Verdict]:
    """Hold one conversation against all that is expected of it, in the order of `Session`."""
    for field in msgspec.structs.fields(Session):
        value = getattr(wanted, field.name)
        if value is None:
            continue
        key = field.encode_name
        if key.endswith("before-tls") and conversation.endpoint.tls is TlsMode.IMPLICIT:
            continue  # there is nothing before it
        yield from _JUDGES[field.name](evidence, conversation, key, value)


def _missing(conversation: Conversation, key: str, wanted: str) -> Verdict:
    """Say that the conversation did not get so far."""
    failure = conversation.failure
    if failure is not None and failure.phase is Phase.QUIT:
        failure = None  # it came after what stopped us: who says 421 hangs up
    if conversation.handshake is not None and isinstance(conversation.handshake.outcome, Failure):
        failure = conversation.handshake.outcome
    reason = f"{failure.phase.value}: {failure.kind.value}" if failure is not None else NOTHING
    if failure is None:
        refused = next(
            (
                each
                for each in conversation.exchanges
                if isinstance(each.outcome, Reply) and not is_success(each.outcome)
            ),
            None,
        )
        if refused is not None and isinstance(refused.outcome, Reply):
            reason = f"{refused.phase.value}: {refused.outcome.code or NOTHING}"
    holds = Holds.UNKNOWN if service(conversation) is Service.UNKNOWN else Holds.NO
    return Verdict(key, wanted, holds, reason)


def _last_ehlo(conversation: Conversation) -> Reply | None:
    """The EHLO reply that counts: inside TLS where there is TLS; None without one that lists anything."""
    reply = conversation.reply(Phase.EHLO, over_tls=conversation.session is not None)
    return reply if reply is not None and is_success(reply) else None


# --- the greeting ---------------------------------------------------------------------------------------------------


def _greeting_code(_: Evidence, conversation: Conversation, key: str, wanted: int) -> Iterator[Verdict]:
    reply = conversation.reply(Phase.GREETING)
    if reply is None:
        yield _missing(conversation, key, str(wanted))
    else:
        held = _greeted(conversation, verdict(key, str(wanted), reply.code == wanted, str(reply.code or NOTHING)))
        yield held._replace(reply=reply, phase=Phase.GREETING)


def _greeting_matches(_: Evidence, conversation: Conversation, key: str, wanted: str) -> Iterator[Verdict]:
    reply = conversation.reply(Phase.GREETING)
    if reply is None:
        yield _missing(conversation, key, wanted)
    else:
        yield _greeted(conversation, verdict(key, wanted, find(wanted, reply.text), reply.text[:MAX_SHOWN]))


def _greeted(conversation: Conversation, held: Verdict) -> Verdict:
    """Take back that a greeting is wrong where it only put us off, or turned this machine alone away."""
    is_put_off = held.holds is Holds.NO and service(conversation) is Service.UNKNOWN
    return _missing(conversation, held.key, held.wanted) if is_put_off else held


def _greeting_within(_: Evidence, conversation: Conversation, key: str, wanted: float | str) -> Iterator[Verdict]:
    exchange, limit_s = conversation.exchange(Phase.GREETING), seconds(wanted)
    if exchange is None or not isinstance(exchange.outcome, Reply):
        yield _missing(conversation, key, f"<= {limit_s:g} s")
        return
    took_s = max(0.0, exchange.ended_s - exchange.started_s)
    yield verdict(key, f"<= {limit_s:g} s", took_s <= limit_s, f"{took_s:.3g} s")


# --- EHLO -----------------------------------------------------------------------------------------------------------


def _offers(
    conversation: Conversation, reply: Reply | None, key: str, wanted: tuple[str, ...], *, is_offered: bool
) -> Verdict:
    if reply is None or not is_success(reply):
        return _missing(conversation, key, listed(wanted))
    offered = keywords(reply)
    wrong = [each for each in wanted if (each.upper() in offered) is not is_offered]
    return verdict(key, listed(wanted), not wrong, listed(sorted(offered) if is_offered else wrong))


def _capabilities(_: Evidence, conversation: Conversation, key: str, wanted: tuple[str, ...]) -> Iterator[Verdict]:
    yield _offers(conversation, _last_ehlo(conversation), key, wanted, is_offered=not key.startswith("no-"))


def _before_tls(_: Evidence, conversation: Conversation, key: str, wanted: tuple[str, ...]) -> Iterator[Verdict]:
    reply = conversation.reply(Phase.EHLO, over_tls=False)
    yield _offers(conversation, reply, key, wanted, is_offered=not key.startswith("no-"))


def _auth(_: Evidence, conversation: Conversation, key: str, wanted: tuple[str, ...]) -> Iterator[Verdict]:
    reply = _last_ehlo(conversation)
    if reply is None:
        yield _missing(conversation, key, listed(wanted))
        return
    offered = {each.upper() for each in keywords(reply).get("AUTH", ())}
    yield verdict(key, listed(wanted), offered == {each.upper() for each in wanted}, listed(sorted(offered)))


def _auth_before_tls(_: Evidence, conversation: Conversation, key: str, wanted: bool) -> Iterator[Verdict]:
    reply = conversation.reply(Phase.EHLO, over_tls=False)
    if reply is None or not is_success(reply):
        yield _missing(conversation, key, _truth(wanted))
        return
    is_offered = "AUTH" in keywords(reply)
    yield verdict(key, _truth(wanted), is_offered is wanted, _truth(is_offered))


def _size(_: Evidence, conversation: Conversation, key: str, wanted: int) -> Iterator[Verdict]:
    reply = _last_ehlo(conversation)
    if reply is None:
        yield _missing(conversation, key, f">= {wanted}")
        return
    offered = keywords(reply).get("SIZE")
    if offered is None:
        yield verdict(key, f">= {wanted}", False)
        return
    number = offered[0] if offered else "0"
    is_met = number.isascii() and number.isdigit() and len(number) <= 20 and (int(number) == 0 or int(number) >= wanted)
    yield verdict(key, f">= {wanted}", is_met, number)  # RFC 1870 4: 20 digits, and 0 is no limit


# --- TLS ------------------------------------------------------------------------------------------------------------


def _min_tls(_: Evidence, conversation: Conversation, key: str, wanted: str) -> Iterator[Verdict]:
    least = _VERSIONS.index(_SHORT[wanted])
    text = f">= {wanted}"
    session = conversation.session
    if session is None:
        yield _without_tls(conversation, key, text)
        return
    spoken = [each.version for each in conversation.versions if isinstance(each.outcome, TlsSession)]
    found = sorted({session.version, *spoken}, key=_rank)
    yield verdict(key, text, all(_rank(each) >= least for each in found), listed(found))


def _without_tls(conversation: Conversation, key: str, wanted: str) -> Verdict:
    """Say why there is no TLS: not known where the server only put it off, or where our own OpenSSL would not."""
    outcome = conversation.handshake.outcome if conversation.handshake is not None else None
    starttls = conversation.reply(Phase.STARTTLS)
    if isinstance(outcome, Failure) and outcome.kind is FailureKind.TLS_LOCAL:
        return Verdict(key, wanted, Holds.UNKNOWN, f"tls: {outcome.kind.value}")
    if starttls is not None and is_temporary(starttls):
        return Verdict(key, wanted, Holds.UNKNOWN, f"starttls: {starttls.code}")
    if starttls is not None and outcome is None and conversation.failure is None:
        return verdict(key, wanted, False, f"starttls: {starttls.code or NOTHING}")
    if _last_ehlo(conversation) is not None and conversation.failure is None:
        return verdict(key, wanted, False)
    return _missing(conversation, key, wanted)


def _rank(version: str) -> int:
    return _VERSIONS.index(version) if version in _VERSIONS else -1


def _certificate_trusted(_: Evidence, conversation: Conversation, key: str, wanted: bool) -> Iterator[Verdict]:
    session = conversation.session
    if session is None:
        yield _without_tls(conversation, key, _truth(wanted))
    elif session.trust is not None and not session.trust.has_roots:
        yield Verdict(key, _truth(wanted), Holds.UNKNOWN, "no trusted roots")
    else:
        is_trusted = session.trust is not None and session.trust.is_trusted
        yield verdict(key, _truth(wanted), is_trusted is wanted, _truth(is_trusted))


def _certificate_days(evidence: Evidence, conversation: Conversation, key: str, wanted: int) -> Iterator[Verdict]:
    session = conversation.session
    if session is None:
        yield _without_tls(conversation, key, f">= {wanted}")
        return
    leaf = next((each for each in evidence.certificates if each.sha256 in session.chain[:1]), None)
    if leaf is None or leaf.not_after is None:
        yield verdict(key, f">= {wanted}", False)
        return
    days = (leaf.not_after - evidence.started_at).total_seconds() / DAY_S
    yield verdict(key, f">= {wanted}", days >= wanted, str(int(days // 1)))


# --- the rest -------------------------------------------------------------------------------------------------------


def _software(_: Evidence, conversation: Conversation, key: str, wanted: str) -> Iterator[Verdict]:
    from smtpprobe.reference import identify

    greeting = conversation.reply(Phase.GREETING)
    if greeting is None:
        yield _missing(conversation, key, wanted)
        return
    known = identify(greeting, _last_ehlo(conversation), host=conversation.endpoint.name)
    found = " ".join(filter(None, (known.product, known.version))) if known is not None else ""
    is_met = f"{found} ".casefold().startswith((f"{wanted} ".casefold(), f"{wanted}.".casefold()))
    yield verdict(key, wanted, is_met, found)


def _replies(_: Evidence, conversation: Conversation, key: str, wanted: tuple[str, ...]) -> Iterator[Verdict]:
    asked = conversation.asked
    for text in wanted:
        expected = parse_reply_wanted(text)
        name, question = f"{key}: {expected.text}", expected.question
        answers = [] if asked is None else asked.answers
        answer = next(
            (
                each
                for each in answers
                if (each.question.verb, each.question.argument) == (question.verb, question.argument)
            ),
            None,
        )
        if asked is None or answer is None or answer.exchange is None:
            if asked is None and (conversation.failure is not None or service(conversation) is not Service.SERVES):
                yield _missing(conversation, name, expected.codes_text)
            else:
                yield Verdict(name, expected.codes_text, Holds.UNKNOWN, _why_unasked(asked))
            continue
        exchange = asked.exchanges[answer.exchange]
        if isinstance(exchange.outcome, Failure):
            reason = f"{exchange.phase.value}: {exchange.outcome.kind.value}"
            yield Verdict(name, expected.codes_text, Holds.UNKNOWN, reason)
            continue
        reply, is_put_off = exchange.outcome, exchange.outcome.code in (421, 450, 451)
        is_met = fits(reply, expected.codes) and exchange.phase.value == question.verb
        found = reply_text(reply, exchange.phase, question.verb)
        if not is_met and is_put_off:
            # Greylisting and the like: another try may be answered otherwise.
            held = Verdict(name, expected.codes_text, Holds.UNKNOWN, found)
        else:
            held = verdict(name, expected.codes_text, is_met, found)
        yield held._replace(reply=reply, phase=exchange.phase)


def _why_unasked(asked: Asked | None) -> str:
    """Say what came before a question could be asked."""
    if asked is not None and asked.failure is not None:
        return f"{asked.failure.phase.value}: {asked.failure.kind.value}"
    for exchange in asked.exchanges if asked is not None else ():
        if isinstance(exchange.outcome, Reply) and not is_success(exchange.outcome):
            return f"{exchange.phase.value}: {exchange.outcome.code or NOTHING}"
    return "not asked"


def _truth(value: bool) -> str:
    return "true" if value else "false"


_JUDGES: Final[dict[str, Callable[[Evidence, Conversation, str, Any], Iterator[Verdict]]]] = {
    "greeting_code": _greeting_code,
    "greeting_matches": _greeting_matches,
    "greeting_within": _greeting_within,
    "capabilities": _capabilities,
    "no_capabilities": _capabilities,
    "capabilities_before_tls": _before_tls,
    "no_capabilities_before_tls": _before_tls,
    "auth": _auth,
    "auth_before_tls": _auth_before_tls,
    "min_tls": _min_tls,
    "certificate_trusted": _certificate_trusted,
    "certificate_days": _certificate_days,
    "size": _size,
    "software": _software,
    "replies": _replies,
}
