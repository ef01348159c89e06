"""The command ``smtpprobe``: a table of commands, and what they share in how they end.

A command is a module of this package with a click command named ``command``; it is imported only when it is called,
so that ``smtpprobe --help`` costs no more than click itself. A command's function returns its exit status (None is 0)
and raises `SmtpprobeError` or a click usage error for what the caller got wrong; only this module prints those and
turns them into a status. Reports go to stdout, everything else to stderr.
"""

from __future__ import annotations

import errno
import gc
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import click

from smtpprobe import __version__
from smtpprobe.errors import SmtpprobeError

COMMANDS: Final = {
    "check": ("smtpprobe.cli.check", "Check mail domains, hosts and addresses, and say what to mend."),
    "explain": ("smtpprobe.cli.explain", "Say what a reply, a code or a keyword means and what to do."),
    "compare": ("smtpprobe.cli.compare", "Set reply codes side by side: how they differ, which to use when."),
    "codes": ("smtpprobe.cli.codes", "List reply codes, enhanced codes, keywords and findings."),
    "scan": ("smtpprobe.cli.scan", "Probe very many targets: each server once, politely."),
    "init": ("smtpprobe.cli.init", "Write smtpprobe.toml: expect of servers what is found there now."),
    "diff": ("smtpprobe.cli.diff", "Say what has changed between two saved probes."),
    "report": ("smtpprobe.cli.report", "Sum up the results of a scan."),
    "judge": ("smtpprobe.cli.judge", "Report again on evidence that was saved, without the network."),
    "watch": ("smtpprobe.cli.watch", "Probe again and again, and say what changes."),
    "history": ("smtpprobe.cli.history", "Show what a watch has seen over time."),
    "schema": ("smtpprobe.cli.schema", "Print the JSON Schema of what smtpprobe writes."),
    "demo": ("smtpprobe.cli.demo", "Check a small mail world on this machine; needs no network."),
    "lab": ("smtpprobe.cli.lab", "Keep that mail world running, to try things against it."),
}
"""Name -> module and the line that stands in the help, in the order of the help."""

_LOAD_MUCH: Final = frozenset({"check"})
"""Commands that import most of the program for little work, and call `settle` when that is done."""

EXIT_OK: Final = 0
EXIT_FINDINGS: Final = 1
"""There are findings at or above the threshold."""
EXIT_USAGE: Final = 2
"""What was asked cannot be done: a wrong option or target, a file that cannot be read or written."""
EXIT_INCONCLUSIVE: Final = 3
"""Nothing at the threshold, but something that matters could not be found out."""
EXIT_INTERRUPTED: Final = 130
"""Stopped by the person: 128 + SIGINT, as shells count."""
EXIT_CLOSED_PIPE: Final = 141
"""Nobody reads our output any more: 128 + SIGPIPE, as shells count."""

HELP = """\
Check how mail reaches a domain, live: which servers it has, what they say at each step, what that means and how to
mend it.

\b
Examples:
  smtpprobe check example.org          every mail server of a domain
  smtpprobe check mx1.example.org:587  one port of one host
  smtpprobe explain "550 5.7.1 Relaying denied"
  smtpprobe demo                       see it work without a network

'smtpprobe COMMAND --help' tells more about a command.
"""


class _ClosedPipeError(Exception):
    """Our stdout or stderr was closed by its reader. Not an OSError, of which click would make status 1."""


class LazyGroup(click.Group):
    """A group that knows its commands from `COMMANDS` and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(COMMANDS[cmd_name][0]).command
        if cmd_name not in _LOAD_MUCH:
            settle()
        if not isinstance(command, click.Command):  # pragma: no cover - a defect of ours, which a test would show
            raise TypeError(f"{COMMANDS[cmd_name][0]}.command is no click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in COMMANDS or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        raise click.UsageError(f"no such command: {name!r}.{_suggestion(name)}", ctx)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        try:  # --help and --version print while the arguments are read
            return super().make_context(info_name, args, parent, **extra)
        except BrokenPipeError as error:
            raise _ClosedPipeError from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ClosedPipeError from error


def _suggestion(name: str) -> str:
    """What somebody who typed this instead of a command may have meant; empty if there is no idea."""
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, n=2)
    if near:
        return f" Did you mean {' or '.join(repr(each) for each in near)}?"
    if any(character in name for character in ".:@"):
        return f" To check it: smtpprobe check {name}"
    if name[:3].isdigit():
        return f" To have it explained: smtpprobe explain {name!r}"
    return ""


@click.group(
    cls=LazyGroup,
    help=HELP,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    options_metavar="[--help] [--version]",
    subcommand_metavar="COMMAND ...",
)
@click.version_option(__version__, prog_name="smtpprobe", message="%(prog)s %(version)s")
@click.pass_context
def group(context: click.Context) -> int | None:
    if context.invoked_subcommand is not None:
        return None
    click.echo(context.get_help(), err=True)
    return EXIT_USAGE


def settle() -> None:
    """Have garbage collected from now on, of what is not there yet; nothing changes where that is done anyway.

    The program begins without; see `smtpprobe.__main__`.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; never raises for what a caller or the environment got wrong.

    Args:
        arguments: what follows the program's name; None: `sys.argv`.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - stays open
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character gets its escape, rather than we a UnicodeEncodeError.
            stream.reconfigure(errors="backslashreplace")
    try:
        status = group.main(arguments, prog_name="smtpprobe", standalone_mode=False)
        sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        status = EXIT_INTERRUPTED
    except (_ClosedPipeError, BrokenPipeError):
        status = EXIT_CLOSED_PIPE
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx is not None else "smtpprobe"
        _complain(f"{path}: {error.format_message()}\nTry '{path} --help'.")
        status = EXIT_USAGE
    except click.ClickException as error:
        _complain(f"smtpprobe: {error.format_message()}")
        status = EXIT_USAGE
    except SmtpprobeError as error:
        _complain(f"smtpprobe: {error}")
        status = EXIT_USAGE
    except OSError as error:
        # What commands themselves do with files and the network ends as values or SmtpprobeError; what is left is
        # our own output, as on a full disk, and what is no error of the system and says itself where it happened.
        place = error.filename or ("the output" if error.errno is not None else None)
        if error.errno in (errno.EMFILE, errno.ENFILE):  # whichever file it was that met the limit
            _complain(f"smtpprobe: {error.strerror}; raise the limit, as by: ulimit -n 1024")
        else:
            _complain(f"smtpprobe: {error}" if place is None else f"smtpprobe: {place}: {error.strerror or error}")
        status = EXIT_USAGE
    except MemoryError:
        _complain("smtpprobe: not enough memory")
        status = EXIT_USAGE
    except ImportError as error:
        if error.path is None or error.path.endswith(".py"):  # a defect of ours
            raise
        _complain(f"smtpprobe: {error}")  # a library that the system cannot load, as for want of memory
        status = EXIT_USAGE
    return _finish(status if isinstance(status, int) else EXIT_OK)


def _complain(text: str) -> None:
    """Write to stderr; where that is closed too, nobody is left to tell."""
    try:
        click.echo(text, err=True)
    except OSError:
        return


def _finish(status: int) -> int:
    """Flush what is left, so that the interpreter has nothing to stumble over when it closes the streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # ValueError: it is closed already
            status = status or EXIT_CLOSED_PIPE
            _discard(stream)
    return status


def _discard(stream: Any) -> None:
    """Point a stream whose reader is gone at the null device, so that its last flush succeeds."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError, io.UnsupportedOperation):
        return
