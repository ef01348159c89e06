"""What is said to a server, in which order, and what is not said any more."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

import pytest

from smtpprobe.conversation import Step, Talk, converse, next_step
from smtpprobe.evidence import (
    Conversation,
    Exchange,
    Failure,
    FailureKind,
    Handshake,
    Options,
    Phase,
    Reply,
    TlsMode,
    TlsSession,
)
from smtpprobe.lab.certificates import CertificateKind, make_identity, server_context
from smtpprobe.lab.scripted import (
    Answer,
    Close,
    Dribble,
    Expect,
    Flood,
    Hold,
    Reset,
    Script,
    ScriptedServer,
    Stall,
    StartTls,
    Swallow,
    ehlo_reply,
    greeting,
    serve,
)
from smtpprobe.replies import parse_reply
from tests.loopback import MX, clock, closed_port, endpoint, until

EHLO_NAME = "client.example.org"
PATIENT = Options(timeout_s=30.0, greeting_timeout_s=30.0, deadline_s=60.0)
"""For conversations that are to end by themselves."""


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return server_context(make_identity(CertificateKind.TRUSTED, MX), tmp_path_factory.mktemp("keys"))


async def talk_to(
    *script: Script, mode: TlsMode = TlsMode.STARTTLS, options: Options = PATIENT
) -> tuple[Conversation, ScriptedServer]:
    """Hold a conversation with a server that plays a script, and hold the client to the rules."""
    async with ScriptedServer(*script) as server:
        conversation, _ = await converse(endpoint(server, mode), options=options, ehlo_name=EHLO_NAME, clock=clock())
        await server.idle()
    assert server.rudeness == []
    assert len(server.visits) == 1
    return conversation, server


def passed(conversation: Conversation) -> list[tuple[str, int | str]]:
    """Phase and code of each exchange, or the kind of its failure; ``+`` marks those inside TLS."""
    return [
        (
            each.phase.value + ("+" if each.over_tls else ""),
            each.outcome.kind.value if isinstance(each.outcome, Failure) else (each.outcome.code or 0),
        )
        for each in conversation.exchanges
    ]


# --- what comes next ------------------------------------------------------------------------------------------------

SESSION = Handshake(outcome=TlsSession(version="TLSv1.3", cipher="x"), started_s=0.0, ended_s=0.0)
NO_SESSION = Handshake(outcome=Failure(phase=Phase.TLS, kind=FailureKind.TLS_ALERT), started_s=0.0, ended_s=0.0)
OFFER = b"250-mx.example.org\r\n250 StartTLS\r\n"


def exchange(phase: Phase, outcome: bytes | FailureKind, *, over_tls: bool = False) -> Exchange:
    told = Failure(phase=phase, kind=outcome) if isinstance(outcome, FailureKind) else parse_reply(outcome)
    return Exchange(phase=phase, outcome=told, over_tls=over_tls, started_s=0.0, ended_s=0.0)


@pytest.mark.parametrize(
    ("mode", "handshake", "last", "step"),
    [
        (TlsMode.STARTTLS, None, None, Step.GREETING),
        (TlsMode.NONE, None, None, Step.GREETING),
        (TlsMode.IMPLICIT, None, None, Step.HANDSHAKE),
        (TlsMode.IMPLICIT, SESSION, None, Step.GREETING),
        (TlsMode.IMPLICIT, NO_SESSION, None, Step.CLOSE),
        (TlsMode.STARTTLS, None, (Phase.GREETING, b"220 hi\r\n"), Step.EHLO),
        (TlsMode.STARTTLS, None, (Phase.GREETING, b"421 busy\r\n"), Step.QUIT),
        (TlsMode.STARTTLS, None, (Phase.GREETING, b"554 no\r\n"), Step.QUIT),
        (TlsMode.STARTTLS, None, (Phase.GREETING, b"999 what\r\n"), Step.QUIT),
        (TlsMode.STARTTLS, None, (Phase.GREETING, FailureKind.TIMEOUT), Step.CLOSE),
        (TlsMode.STARTTLS, None, (Phase.GREETING, b"220-" + b"x" * 70_000), Step.CLOSE),
        (TlsMode.STARTTLS, None, (Phase.EHLO, OFFER), Step.STARTTLS),
        (TlsMode.STARTTLS, None, (Phase.EHLO, b"250 mx.example.org\r\n"), Step.QUIT),
        (TlsMode.NONE, None, (Phase.EHLO, OFFER), Step.QUIT),
        (TlsMode.IMPLICIT, SESSION, (Phase.EHLO, OFFER), Step.QUIT),
        (TlsMode.STARTTLS, SESSION, (Phase.EHLO, OFFER), Step.QUIT),
        (TlsMode.STARTTLS, None, (Phase.EHLO, b"502 no\r\n"), Step.HELO),
        (TlsMode.STARTTLS, None, (Phase.EHLO, b"421 bye\r\n"), Step.QUIT),
        (TlsMode.STARTTLS, None, (Phase.EHLO, b"451 later\r\n"), Step.QUIT),
        (TlsMode.STARTTLS, None, (Phase.EHLO, b"354 what\r\n"), Step.QUIT),
        (TlsMode.STARTTLS, None, (Phase.HELO, b"250 mx.example.org\r\n"), Step.QUIT),
        (TlsMode.STARTTLS, None, (Phase.HELO, b"550 no\r\n"), Step.QUIT),
        (TlsMode.STARTTLS, None, (Phase.STARTTLS, b"220 go\r\n"), Step.HANDSHAKE),
        (TlsMode.STARTTLS, SESSION, (Phase.STARTTLS, b"220 go\r\n"), Step.EHLO),
        (TlsMode.STARTTLS, NO_SESSION, (Phase.STARTTLS, b"220 go\r\n"), Step.CLOSE),
        (TlsMode.STARTTLS, None, (Phase.STARTTLS, b"454 no\r\n"), Step.QUIT),
        (TlsMode.STARTTLS, None, (Phase.STARTTLS, b"250 what\r\n"), Step.QUIT),
        (TlsMode.STARTTLS, None, (Phase.QUIT, b"221 bye\r\n"), Step.CLOSE),
        (TlsMode.STARTTLS, None, (Phase.QUIT, b"421 what\r\n"), Step.CLOSE),
    ],
)
def test_what_comes_next_follows_from_what_passed(
    mode: TlsMode, handshake: Handshake | None, last: tuple[Phase, bytes | FailureKind] | None, step: Step
) -> None:
    exchanges: Sequence[Exchange] = () if last is None else (exchange(*last),)
    assert next_step(mode, exchanges, handshake) is step


# --- whole conversations --------------------------------------------------------------------------------------------


async def test_a_server_with_starttls_is_talked_to_in_one_connection(context: ssl.SSLContext) -> None:
    conversation, server = await talk_to((greeting(MX), serve(MX, "SIZE 1000", tls=context)))
    assert passed(conversation) == [
        ("greeting", 220), ("ehlo", 250), ("starttls", 220), ("ehlo+", 250), ("quit+", 221),
    ]  # fmt: skip
    assert server.visits[0].verbs == ["EHLO", "STARTTLS", "EHLO", "QUIT"]
    assert conversation.exchanges[1].sent == b"EHLO client.example.org\r\n"
    assert conversation.session is not None
    assert conversation.session.version == "TLSv1.3"
    assert conversation.failure is None
    assert not conversation.is_closed_by_peer
    assert conversation.connected_s is not None
    assert conversation.started_s <= conversation.connected_s <= conversation.ended_s


async def test_the_certificates_come_with_the_conversation(context: ssl.SSLContext) -> None:
    async with ScriptedServer((greeting(MX), serve(MX, tls=context))) as server:
        conversation, chain = await converse(endpoint(server), options=PATIENT, ehlo_name=EHLO_NAME, clock=clock())
        await server.idle()
    assert conversation.session is not None
    assert len(chain) == len(conversation.session.chain) == 2


async def test_a_server_without_starttls_is_not_asked_for_it() -> None:
    conversation, _ = await talk_to((greeting(MX), serve(MX)))
    assert passed(conversation) == [("greeting", 220), ("ehlo", 250), ("quit", 221)]


async def test_without_tls_wanted_an_offer_is_left_alone(context: ssl.SSLContext) -> None:
    conversation, _ = await talk_to((greeting(MX), serve(MX, tls=context)), mode=TlsMode.NONE)
    assert passed(conversation) == [("greeting", 220), ("ehlo", 250), ("quit", 221)]


async def test_implicit_tls_comes_first(context: ssl.SSLContext) -> None:
    script: Script = (StartTls(context, saying=b""), greeting(MX), serve(MX, "STARTTLS"))
    conversation, _ = await talk_to(script, mode=TlsMode.IMPLICIT)
    assert passed(conversation) == [("greeting+", 220), ("ehlo+", 250), ("quit+", 221)]


async def test_helo_stands_in_where_ehlo_is_refused_for_good() -> None:
    changes: dict[str, Answer] = {"EHLO": b"502 5.5.1 unknown\r\n"}
    conversation, server = await talk_to((greeting(MX), serve(MX, changes=changes)))
    assert passed(conversation) == [("greeting", 220), ("ehlo", 502), ("helo", 250), ("quit", 221)]
    assert server.visits[0].lines[1] == b"HELO client.example.org"


async def test_helo_is_no_answer_to_a_temporary_refusal() -> None:
    changes: dict[str, Answer] = {"EHLO": b"451 4.3.0 later\r\n"}
    conversation, _ = await talk_to((greeting(MX), serve(MX, changes=changes)))
    assert passed(conversation) == [("greeting", 220), ("ehlo", 451), ("quit", 221)]


@pytest.mark.parametrize("code", [421, 450, 521, 554])
async def test_after_a_refused_greeting_only_quit_is_said(code: int) -> None:
    conversation, _ = await talk_to((b"%d no\r\n" % code, serve(MX)))
    assert passed(conversation) == [("greeting", code), ("quit", 221)]


async def test_a_greeting_in_several_lines_is_waited_for_to_its_end() -> None:
    conversation, _ = await talk_to((b"220-wait\r\n", Hold(at_most_s=0.05), Dribble(b"220 now\r\n"), serve(MX)))
    assert passed(conversation) == [("greeting", 220), ("ehlo", 250), ("quit", 221)]


async def test_after_a_refused_starttls_quit_is_said_in_plain_text(context: ssl.SSLContext) -> None:
    changes: dict[str, Answer] = {"STARTTLS": b"454 4.7.0 TLS not available\r\n"}
    conversation, _ = await talk_to((greeting(MX), serve(MX, tls=context, changes=changes)))
    assert passed(conversation) == [("greeting", 220), ("ehlo", 250), ("starttls", 454), ("quit", 221)]
    assert conversation.handshake is None


async def test_after_a_failed_handshake_nothing_is_said(context: ssl.SSLContext) -> None:
    changes: dict[str, Answer] = {"STARTTLS": (b"220 go\r\n", Swallow(), b"what?\r\n", Stall())}
    conversation, _ = await talk_to((greeting(MX), serve(MX, tls=context, changes=changes)))
    assert passed(conversation) == [("greeting", 220), ("ehlo", 250), ("starttls", 220)]
    assert conversation.handshake is not None
    assert conversation.failure is conversation.handshake.outcome
    assert conversation.connections == 1


async def test_a_refused_connect_is_the_whole_conversation() -> None:
    with closed_port() as where:
        conversation, chain = await converse(endpoint(where), options=PATIENT, ehlo_name=EHLO_NAME, clock=clock())
    assert conversation.connected_s is None
    assert conversation.failure is not None
    assert (conversation.failure.phase, conversation.failure.kind) == (Phase.CONNECT, FailureKind.REFUSED)
    assert (conversation.exchanges, chain) == ((), ())


@pytest.mark.parametrize(
    ("last", "outcome"),
    [((Close(),), "closed"), ((Reset(),), "reset"), ((b"421 4.4.2 timeout\r\n", Close()), 421)],
)
async def test_a_221_is_recorded_only_if_it_came(last: Script, outcome: str | int) -> None:
    conversation, _ = await talk_to((greeting(MX), serve(MX, changes={"QUIT": last})))
    assert passed(conversation)[-1] == ("quit", outcome)
    if isinstance(outcome, str):
        assert conversation.failure is not None
        assert conversation.failure.phase is Phase.QUIT
        assert conversation.is_closed_by_peer
    else:
        assert conversation.failure is None


@pytest.mark.parametrize("verb", ["EHLO", "STARTTLS"])
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [((b"421 4.3.2 shutting down\r\n", Close()), 421), ((Close(),), "closed"), ((b"\0\1\n", Stall()), "garbage")],
)
async def test_a_server_may_end_it_anywhere(
    context: ssl.SSLContext, verb: str, answer: Script, outcome: str | int
) -> None:
    conversation, _ = await talk_to((greeting(MX), serve(MX, tls=context, changes={verb: answer})))
    at = [each for each in passed(conversation) if each[0] == verb.lower()]
    assert at == [(verb.lower(), outcome)]
    assert all(phase == "quit" for phase, _ in passed(conversation)[passed(conversation).index(at[0]) + 1 :])


async def test_a_421_inside_tls_ends_it_there(context: ssl.SSLContext) -> None:
    inside: Answer = (StartTls(context), Expect("EHLO"), b"421 4.7.0 too much\r\n", Expect("QUIT"), b"221 bye\r\n")
    conversation, _ = await talk_to((greeting(MX), serve(MX, tls=context, changes={"STARTTLS": inside})))
    assert passed(conversation)[3:] == [("ehlo+", 421), ("quit+", 221)]


async def test_a_reply_without_end_ends_it_without_another_word() -> None:
    conversation, server = await talk_to((greeting(MX), Expect("EHLO"), Flood(b"250-x\r\n" * 500)))
    assert passed(conversation) == [("greeting", 220), ("ehlo", 250)]
    assert server.visits[0].verbs == ["EHLO"]


async def test_out_of_step_replies_are_kept_apart() -> None:
    script: Script = (
        b"220 hi\r\n250 surprise\r\n", Expect("EHLO"), ehlo_reply(MX, "SIZE 1"), Expect("QUIT"), b"221 bye\r\n",
    )  # fmt: skip
    conversation, _ = await talk_to(script)
    assert passed(conversation) == [("greeting", 220), ("ehlo", 250), ("quit", 221)]
    assert [each.raw for each in conversation.unsolicited] == [b"250 surprise\r\n"]


async def test_quit_is_not_said_to_a_line_that_is_closed() -> None:
    """The server goes with its reply; whether QUIT is still said depends on which of the two is known first."""
    conversation, _ = await talk_to((b"554 no\r\n", Close()))
    assert passed(conversation)[0] == ("greeting", 554)
    for phase, outcome in passed(conversation)[1:]:
        assert phase == "quit"
        assert outcome in ("closed", "reset")


async def test_each_step_has_its_time_and_the_greeting_its_own() -> None:
    hasty = Options(timeout_s=0.1, greeting_timeout_s=30.0, deadline_s=60.0)
    conversation, _ = await talk_to((Hold(at_most_s=0.3), greeting(MX), Stall()), options=hasty)
    assert passed(conversation) == [("greeting", 220), ("ehlo", "timeout")]
    assert conversation.failure is conversation.exchanges[-1].outcome


async def test_the_deadline_ends_everything() -> None:
    hurried = Options(timeout_s=30.0, greeting_timeout_s=30.0, deadline_s=0.3)
    conversation, _ = await talk_to((Stall(),), options=hurried)
    assert passed(conversation) == [("greeting", "deadline")]


# --- while it lasts -------------------------------------------------------------------------------------------------


async def test_all_but_the_reply_to_quit_is_known_before_it_comes(context: ssl.SSLContext) -> None:
    go = asyncio.Event()
    changes: dict[str, Answer] = {"QUIT": (Hold(until=go), b"221 bye\r\n")}
    known: list[Conversation] = []

    def decide() -> None:
        known.append(talk.so_far())
        go.set()

    async with ScriptedServer((greeting(MX), serve(MX, changes=changes))) as server:
        talk = Talk(endpoint(server), options=PATIENT, ehlo_name=EHLO_NAME, clock=clock(), on_decided=decide)
        await talk.run()
        await server.idle()
    assert [passed(each) for each in known] == [[("greeting", 220), ("ehlo", 250)]]
    assert passed(talk.so_far()) == [("greeting", 220), ("ehlo", 250), ("quit", 221)]


async def test_a_conversation_without_quit_is_decided_once_too() -> None:
    decided: list[bool] = []
    async with ScriptedServer((Close(),)) as server:
        talk = Talk(
            endpoint(server),
            options=PATIENT,
            ehlo_name=EHLO_NAME,
            clock=clock(),
            on_decided=lambda: decided.append(True),
        )
        await talk.run()
        await server.idle()
    assert decided == [True]


async def test_a_cancelled_conversation_keeps_what_passed() -> None:
    async with ScriptedServer((greeting(MX), Expect("EHLO"), Stall())) as server:
        talk = Talk(endpoint(server), options=PATIENT, ehlo_name=EHLO_NAME, clock=clock())
        running = asyncio.create_task(talk.run())
        await until(lambda: bool(server.visits) and server.visits[0].verbs == ["EHLO"])
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await server.idle()
    conversation = talk.so_far()
    assert passed(conversation) == [("greeting", 220), ("ehlo", "interrupted")]
    assert conversation.failure is conversation.exchanges[-1].outcome


async def test_a_defect_of_ours_is_raised_and_recorded() -> None:
    async with ScriptedServer((greeting(MX), Stall())) as server:
        talk = Talk(endpoint(server), options=PATIENT, ehlo_name="client\r\nRSET", clock=clock())
        with pytest.raises(ValueError, match="control character"):
            await talk.run()
        await server.idle()
        assert not server.visits[0].received
    failure = talk.so_far().failure
    assert failure is not None
    assert (failure.phase, failure.kind) == (Phase.EHLO, FailureKind.INTERNAL)
    assert failure.detail.startswith("ValueError: ")


async def test_a_reply_of_several_lines_is_whole_in_the_record() -> None:
    conversation, _ = await talk_to((greeting(MX), serve(MX, "PIPELINING", "SIZE 1000", "8BITMIME")))
    reply = conversation.reply(Phase.EHLO)
    assert isinstance(reply, Reply)
    assert reply.raw == ehlo_reply(MX, "PIPELINING", "SIZE 1000", "8BITMIME")
