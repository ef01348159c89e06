"""Servers that greet well and then are odd: in EHLO, in between, and on QUIT."""

from __future__ import annotations

from typing import Final

from smtpprobe.evidence import Role
from smtpprobe.lab.scenarios.model import (
    ERROR,
    INFO,
    KEYWORDS,
    LOST,
    OPEN,
    WARNING,
    Part,
    Scenario,
    Stage,
    collect_plays,
)
from smtpprobe.lab.scripted import Close, Dribble, Expect, HalfClose, Reset, Script, Stall, StartTls, ehlo_reply, serve

TARPIT_PAUSE_S: Final = 0.1
"""Between two bytes of a reply."""

_SCENARIOS, scenario = collect_plays()


# --- EHLO -----------------------------------------------------------------------------------------------------------


@scenario(finds={"ehlo-refused": WARNING})
def ehlo_refused(stage: Stage) -> Part:
    """Knows HELO only, as servers before 1995."""
    return (stage.greeting, serve(stage.host, changes={"EHLO": b"502 Command not implemented\r\n"}))


@scenario(finds={"helo-refused": ERROR} | LOST)
def ehlo_and_helo_refused(stage: Stage) -> Part:
    """Refuses EHLO and HELO for good."""
    refusal = b"550 5.3.0 No\r\n"
    return (stage.greeting, stage.serve(changes={"EHLO": refusal, "HELO": refusal}))


@scenario(finds={"temporarily-refused": OPEN})
def ehlo_421(stage: Stage) -> Part:
    """Answers EHLO with 421 and hangs up."""
    return (stage.greeting, stage.serve(changes={"EHLO": (b"421 4.3.2 Shutting down\r\n", Close())}))


@scenario(finds={"unsolicited-reply": WARNING})
def ehlo_out_of_step(stage: Stage) -> Part:
    """Greets twice, so that each reply seems to belong to the command before."""
    return (stage.greeting + b"250 a second greeting\r\n", stage.serve())


@scenario(finds={"unsolicited-reply": WARNING})
def double_reply(stage: Stage) -> Part:
    """Answers EHLO twice."""
    twice = ehlo_reply(stage.host, *KEYWORDS, "STARTTLS") * 2
    inside: Script = (StartTls(stage.tls()), serve(stage.host, *KEYWORDS))
    return (stage.greeting, serve(stage.host, changes={"EHLO": twice, "STARTTLS": inside}))


@scenario(finds={"tarpit-suspected": OPEN}, is_stalling=True)
def ehlo_incomplete(stage: Stage) -> Part:
    """Announces another line of its reply to EHLO and falls silent."""
    return (stage.greeting, Expect("EHLO"), f"250-{stage.host}\r\n250-PIPELINING\r\n".encode(), Stall())


@scenario(finds={"tarpit-suspected": OPEN}, is_stalling=True)
def tarpit(stage: Stage) -> Part:
    """Answers EHLO byte by byte."""
    text = ehlo_reply(stage.host, *(f"XPATIENCE{number}" for number in range(20)))
    return (stage.greeting, Expect("EHLO"), Dribble(text, TARPIT_PAUSE_S), stage.serve())


@scenario(finds={"connection-closed": ERROR, "reply-incomplete": INFO} | LOST)
def ehlo_cut(stage: Stage) -> Part:
    """Closes in the middle of its reply to EHLO."""
    return (stage.greeting, Expect("EHLO"), f"250-{stage.host}\r\n250-PIPELINING\r\n".encode(), Close())


@scenario(finds={"reply-timeout": OPEN}, is_stalling=True)
def ehlo_silent(stage: Stage) -> Part:
    """Does not answer EHLO."""
    return (stage.greeting, Expect("EHLO"), Stall())


@scenario(finds={"connection-closed": ERROR} | LOST)
def reset_after_ehlo(stage: Stage) -> Part:
    """Cuts the connection with RST on EHLO."""
    return (stage.greeting, Expect("EHLO"), Reset())


@scenario(finds={"reply-not-smtp": ERROR} | LOST)
def ehlo_garbage(stage: Stage) -> Part:
    """Answers EHLO with something that is no reply."""
    return (stage.greeting, Expect("EHLO"), b"Hello to you too!\r\n", Stall())


@scenario(finds={"extensions-missing": INFO})
def extensions_missing(stage: Stage) -> Part:
    """Offers STARTTLS and nothing else."""
    return (stage.greeting, serve(stage.host, tls=stage.tls()))


@scenario(finds={"server-name-not-public": INFO})
def ehlo_private_name(stage: Stage) -> Part:
    """Calls itself by its public name in the greeting and by a private one in EHLO."""
    return (stage.greeting, serve("mail.local", *KEYWORDS, tls=stage.tls()))


# --- in between -----------------------------------------------------------------------------------------------------


@scenario(finds={"closed-unasked": WARNING, "connection-closed": WARNING})
def unsolicited_421(stage: Stage) -> Part:
    """Answers EHLO, then says 421 without being asked, and hangs up."""
    offer = ehlo_reply(stage.host, *KEYWORDS, "STARTTLS")
    return (stage.greeting, Expect("EHLO"), offer + b"421 4.4.2 Timeout exceeded\r\n", Close())


# --- submission -----------------------------------------------------------------------------------------------------


@scenario(finds={"auth-without-tls": WARNING}, role=Role.SUBMISSION)
def auth_before_tls(stage: Stage) -> Part:
    """Offers to take passwords before TLS."""
    return (stage.greeting, serve(stage.host, *KEYWORDS, "AUTH PLAIN LOGIN", tls=stage.tls()))


@scenario(finds={"auth-not-offered": WARNING}, role=Role.SUBMISSION)
def submission_without_auth(stage: Stage) -> Part:
    """A submission port where nobody can log in."""
    return (stage.greeting, stage.serve())


@scenario(finds={"starttls-missing": ERROR, "auth-without-tls": WARNING}, role=Role.SUBMISSION)
def submission_without_tls(stage: Stage) -> Part:
    """A submission port that takes passwords in clear text and has no TLS."""
    return (stage.greeting, serve(stage.host, *KEYWORDS, "AUTH PLAIN LOGIN"))


# --- QUIT -----------------------------------------------------------------------------------------------------------


@scenario(finds={"quit-unanswered": INFO}, is_stalling=True)
def quit_silent(stage: Stage) -> Part:
    """Does not answer QUIT and keeps the connection open."""
    return (stage.greeting, stage.serve(changes={"QUIT": (Stall(),)}))


@scenario(finds={"quit-unanswered": INFO})
def quit_closed(stage: Stage) -> Part:
    """Closes on QUIT without a 221."""
    return (stage.greeting, stage.serve(changes={"QUIT": (Close(),)}))


@scenario(finds={"quit-unusual-reply": INFO})
def quit_421(stage: Stage) -> Part:
    """Answers QUIT with 421."""
    return (stage.greeting, stage.serve(changes={"QUIT": b"421 4.4.2 Bye\r\n"}))


@scenario(finds={})
def quit_half_closed(stage: Stage) -> Part:
    """Answers QUIT, and leaves it to the client to close the connection."""
    ending = (b"221 2.0.0 Bye\r\n", HalfClose(), Stall())
    return (stage.greeting, stage.serve(changes={"QUIT": ending}))


@scenario(finds={"unsolicited-reply": WARNING})
def quit_and_more(stage: Stage) -> Part:
    """Answers QUIT, and says something more."""
    return (stage.greeting, stage.serve(changes={"QUIT": b"221 2.0.0 Bye\r\n250 2.0.0 Bye bye\r\n"}))


SCENARIOS: Final[tuple[Scenario, ...]] = tuple(_SCENARIOS)
