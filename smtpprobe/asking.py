"""Questions to one endpoint whose answers somebody expects: RCPT for an address, VRFY, NOOP, HELP.

They are asked on a connection of their own, after the first conversation went well, and only if the caller names them.
A question about mail is MAIL and RCPT, taken back with RSET (RFC 5321 4.1.1.5); DATA is never sent, so no message is
ever begun. The session opens as the first one did, inside TLS where the server offers it. What was said and answered is
recorded; what was expected is for others to know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from smtpprobe.conversation import Step, next_step
from smtpprobe.evidence import Answer, Asked, Conversation, Endpoint, Failure, Options, Phase, Question, Reply
from smtpprobe.wire import Wire

_PHASES: Final = {"noop": Phase.NOOP, "help": Phase.HELP, "vrfy": Phase.VRFY, "mail": Phase.MAIL, "rcpt": Phase.RCPT}
"""The only commands that can be asked: none of them delivers, none changes anything that RSET does not undo."""


def questions_for(options: Options, conversation: Conversation) -> tuple[Question, ...]:
    """Choose the questions for an endpoint; none where the first conversation did not get as far as EHLO."""
    taken = conversation.reply(Phase.EHLO) or conversation.reply(Phase.HELO)
    if taken is None or (taken.code or 0) // 100 != 2:
        return ()
    return tuple(each for each in options.questions if each.role in (None, conversation.endpoint.role))


async def ask(
    endpoint: Endpoint,
    questions: Sequence[Question],
    *,
    options: Options,
    ehlo_name: str,
    clock: Callable[[], float],
) -> Asked:
    """Ask all questions, one after the other. What a server does is in the value; it raises nothing."""
    wire = Wire(endpoint, clock=clock, deadline_s=options.deadline_s)
    answers: list[Answer] = []
    try:
        await wire.connect(options.timeout_s)
        if await _open(wire, endpoint, options, ehlo_name.encode("ascii")):
            for question in questions:
                if not wire.is_open or wire.failure is not None or _is_closing(wire):
                    break
                answers.append(await _answer(wire, question, options))
            if wire.is_open and wire.failure is None:
                await wire.command(Phase.QUIT, b"QUIT", timeout_s=options.timeout_s)
    finally:
        wire.hang_up()
        await wire.wait_closed()
    missing = [Answer(question=each) for each in questions[len(answers) :]]
    return Asked(exchanges=tuple(wire.exchanges), answers=(*answers, *missing), failure=wire.failure)


async def _open(wire: Wire, endpoint: Endpoint, options: Options, name: bytes) -> bool:
    """Go as far as EHLO, in TLS where there is any; False where the server does not let us."""
    while wire.failure is None:
        match next_step(endpoint.tls, wire.exchanges, wire.handshaken):
            case Step.GREETING:
                await wire.greeting(options.greeting_timeout_s)
            case Step.EHLO:
                await wire.command(Phase.EHLO, b"EHLO", name, timeout_s=options.timeout_s)
            case Step.HELO:
                await wire.command(Phase.HELO, b"HELO", name, timeout_s=options.timeout_s)
            case Step.STARTTLS:
                await wire.command(Phase.STARTTLS, b"STARTTLS", timeout_s=options.timeout_s)
            case Step.HANDSHAKE:
                await wire.handshake(options.timeout_s)
            case Step.QUIT:
                last = wire.exchanges[-1]
                is_taken = last.phase in (Phase.EHLO, Phase.HELO) and _class(last.outcome) == 2
                if not is_taken:
                    await wire.command(Phase.QUIT, b"QUIT", timeout_s=options.timeout_s)
                return is_taken
            case Step.CLOSE:
                return False
    return False


async def _answer(wire: Wire, question: Question, options: Options) -> Answer:
    """Ask one question, and leave the session as it was."""
    phase, argument = _PHASES[question.verb], question.argument.encode("ascii")
    words: tuple[bytes, ...] = (question.verb.upper().encode("ascii"), *((argument,) if argument else ()))
    if question.verb == "mail":
        words = (b"MAIL", b"FROM:<%s>" % argument)
    elif question.verb == "rcpt":
        sender = options.question_sender.encode("ascii")
        taken = await wire.command(Phase.MAIL, b"MAIL", b"FROM:<%s>" % sender, timeout_s=options.timeout_s)
        if isinstance(taken, Failure) or _class(taken) != 2:
            return Answer(question=question, exchange=len(wire.exchanges) - 1)
        words = (b"RCPT", b"TO:<%s>" % argument)
    await wire.command(phase, *words, timeout_s=options.timeout_s)
    answer = Answer(question=question, exchange=len(wire.exchanges) - 1)
    if phase in (Phase.MAIL, Phase.RCPT) and wire.is_open and wire.failure is None and not _is_closing(wire):
        await wire.command(Phase.RSET, b"RSET", timeout_s=options.timeout_s)
    return answer


def _is_closing(wire: Wire) -> bool:
    """RFC 5321 3.8: after a 421 the server closes."""
    return isinstance(wire.exchanges[-1].outcome, Reply) and wire.exchanges[-1].outcome.code == 421


def _class(outcome: object) -> int:
    """The first digit of a reply's code; 0 where there is none."""
    return (outcome.code or 0) // 100 if isinstance(outcome, Reply) else 0
