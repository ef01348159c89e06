"""Questions whose answers are expected: what goes over the wire, and what is written down."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from smtpprobe.asking import ask, questions_for
from smtpprobe.evidence import (
    Asked,
    Endpoint,
    FailureKind,
    HostOrigin,
    Options,
    Question,
    Reply,
    Role,
    TlsMode,
    encode,
)
from smtpprobe.lab.certificates import CertificateKind, make_identity, server_context
from smtpprobe.lab.scripted import Close, Script, ScriptedServer, greeting, serve
from smtpprobe.loading import decode
from smtpprobe.probing import collect
from tests.checks.evidence_builder import dead, endpoint, healthy
from tests.loopback import MX, clock

RCPT = Question(verb="rcpt", argument="me@example.org")
ANSWERS = {"MAIL": b"250 2.1.0 Ok\r\n", "RCPT": b"550 5.1.1 Unknown\r\n", "VRFY": b"252 2.0.0 Perhaps\r\n"}
OPTIONS = Options(timeout_s=10.0, deadline_s=30.0)


async def asked(script: Script, *questions: Question, options: Options = OPTIONS) -> tuple[Asked, list[bytes]]:
    async with ScriptedServer(script) as server:
        there = Endpoint(
            host=MX,
            address=server.host,
            port=server.port,
            role=Role.SMTP,
            tls=TlsMode.STARTTLS,
            origin=HostOrigin.GIVEN,
            name=MX,
        )
        found = await ask(there, questions, options=options, ehlo_name="me.example", clock=clock())
        await server.idle()
        assert server.rudeness == []
        return found, [line for visit in server.visits for line in visit.lines]


def codes(found: Asked) -> list[int | None]:
    outcomes = [None if each.exchange is None else found.exchanges[each.exchange].outcome for each in found.answers]
    return [each.code if isinstance(each, Reply) else None for each in outcomes]


async def test_a_question_about_mail_is_taken_back_and_nothing_is_ever_sent() -> None:
    found, lines = await asked((greeting(MX), serve(MX, changes=ANSWERS)), RCPT)
    assert lines == [
        b"EHLO me.example",
        b"MAIL FROM:<>",
        b"RCPT TO:<me@example.org>",
        b"RSET",
        b"QUIT",
    ]
    assert codes(found) == [550]
    assert found.failure is None


async def test_each_question_is_asked_in_its_turn_in_one_session_and_inside_tls(tmp_path: Path) -> None:
    context: ssl.SSLContext = server_context(make_identity(CertificateKind.TRUSTED, MX), tmp_path)
    questions = (
        Question(verb="noop"),
        Question(verb="vrfy", argument="postmaster"),
        RCPT,
        Question(verb="mail", argument="a@example.net"),
        Question(verb="help"),
    )
    options = Options(question_sender="probe@example.net")
    found, lines = await asked((greeting(MX), serve(MX, tls=context, changes=ANSWERS)), *questions, options=options)
    assert lines[3:] == [
        b"NOOP",
        b"VRFY postmaster",
        b"MAIL FROM:<probe@example.net>",
        b"RCPT TO:<me@example.org>",
        b"RSET",
        b"MAIL FROM:<a@example.net>",
        b"RSET",
        b"HELP",
        b"QUIT",
    ]
    assert codes(found) == [250, 252, 550, 250, 502]
    assert all(each.over_tls for each in found.exchanges[3:])


async def test_where_mail_is_refused_its_reply_is_the_answer() -> None:
    found, lines = await asked((greeting(MX), serve(MX, changes={"MAIL": b"530 5.7.0 TLS first\r\n"})), RCPT)
    assert codes(found) == [530]
    assert not any(line.startswith(b"RCPT") for line in lines)


async def test_after_a_421_nothing_more_is_asked() -> None:
    script: Script = (greeting(MX), serve(MX, changes={"NOOP": (b"421 4.3.2 Enough\r\n", Close())}))
    found, lines = await asked(script, Question(verb="noop"), Question(verb="help"))
    assert codes(found) == [421, None]
    assert b"HELP" not in lines


async def test_a_server_that_ends_the_session_leaves_questions_open() -> None:
    found, _ = await asked((greeting(MX), serve(MX, changes={"NOOP": (Close(),)})), Question(verb="noop"), RCPT)
    assert codes(found) == [None, None]
    assert found.failure is not None
    assert found.failure.kind is FailureKind.CLOSED


async def test_a_greeting_that_refuses_is_followed_by_quit_alone() -> None:
    found, lines = await asked((b"554 5.7.1 No\r\n", serve(MX)), RCPT)
    assert lines == [b"QUIT"]
    assert codes(found) == [None]


def test_only_those_are_asked_who_took_ehlo_and_have_the_role() -> None:
    mine = Question(verb="noop", role=Role.SUBMISSION)
    options = Options(questions=(RCPT, mine))
    assert questions_for(options, healthy()) == (RCPT,)
    assert questions_for(options, healthy(endpoint(port=587))) == (RCPT, mine)
    assert questions_for(options, dead(endpoint())) == ()


@pytest.mark.parametrize("has_questions", [False, True])
async def test_a_probe_asks_only_what_its_options_say(has_questions: bool) -> None:
    options = Options(timeout_s=10.0, questions=(RCPT,) if has_questions else ())
    async with ScriptedServer((greeting(MX), serve(MX, changes=ANSWERS))) as server:
        evidence = await collect(f"{server.host}:{server.port}", options)
        await server.idle()
    (conversation,) = evidence.conversations
    assert conversation.connections == len(server.visits) == (2 if has_questions else 1)
    assert (conversation.asked is not None) is has_questions
    assert decode(encode(evidence)) == evidence
    if conversation.asked is not None:
        assert codes(conversation.asked) == [550]
        assert "questions" in conversation.notes[0]
