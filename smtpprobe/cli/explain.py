"""``smtpprobe explain``: what a code, a reply or a keyword means and what to do.

Replies come one by one or as a stream. A stream is read and answered line by line, flushed each time, so that memory
stays the same however long it is and a pipeline gets its answer as soon as it has asked. A line that cannot be read is
answered too, with an error, since one bad line among many thousands must not end the rest.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, Final

import click

from smtpprobe.cli.options import OneOf, SectionedCommand, lang_option, option
from smtpprobe.errors import OptionError

if TYPE_CHECKING:
    from smtpprobe.reference.asked import Asked

MAX_LINE_BYTES: Final = 1024 * 1024
"""Bytes of one line of a stream; sixteen times the longest reply. A longer line is answered with an error."""

_SECTION: Final = "Options"
_MAX_WORD: Final = 60
"""Characters of a word that is not understood: so many are quoted, and compared with those that are known."""
_MAX_NEAR: Final = 4
"""Causes of one topic that are named, where that topic was typed."""
_FORMS: Final = (
    "a reply code (421), a class of them (4xx), an enhanced code (4.7.0), a reply in quotes, an EHLO keyword"
    " (CHUNKING), a cause (greylisted), a finding (starttls-missing), - or a file of replies"
)


def _phases() -> Iterable[str]:
    from smtpprobe import texts

    return texts.entry(texts.DEFAULT_LANGUAGE, "labels", "phase") or ()


@click.command(cls=SectionedCommand, short_help="Say what a reply, a code or a keyword means and what to do.")
@click.argument("what", metavar="X...", nargs=-1, required=True)
@option(
    "--phase",
    section=_SECTION,
    type=OneOf(_phases),
    metavar="STEP",
    help="Where the reply was met, as greeting, rcpt or message.",
)
@lang_option(_SECTION)
@option(
    "--format",
    section=_SECTION,
    type=click.Choice(["text", "json", "markdown", "ndjson"]),
    help="How to write it: text, or ndjson where that is what comes in.",
)
@option(
    "--input-format",
    section=_SECTION,
    type=click.Choice(["text", "ndjson"]),
    default="text",
    help='What a file or - holds: replies as they are, or one JSON object a line: {"id": ..., "reply": ..., "phase":'
    " ...}.",
)
def command(what: tuple[str, ...], phase: str | None, lang: str | None, format: str | None, input_format: str) -> None:
    """Say what a reply, a code or a keyword means, who must act, whether to try again, and what to check first.

    X is a reply code (421), a class of them (4xx), an enhanced code (4.7.0), a whole reply in quotes, an EHLO keyword
    (CHUNKING), a cause (greylisted), a finding (starttls-missing), a file of replies, one a line, or a mail log; - is
    the same on stdin. In quotes, the line of a log or the part of a bounce that quotes a reply does as well.

    \b
    Examples:
      smtpprobe explain 421 --phase greeting
      smtpprobe explain "550 5.7.1 <anna@example.org>: Relay access denied"
      smtpprobe explain --input-format ndjson --format ndjson - < replies.ndjson
    """
    if input_format == "ndjson":
        if format not in (None, "ndjson"):
            raise click.UsageError(f"--input-format ndjson is answered with --format ndjson, not {format}")
        _stream(what, phase)
        return
    from smtpprobe.reference.asked import recognise_all
    from smtpprobe.render.explanation import is_finding

    files = [word for word in what if _is_file(word, is_finding)]
    if files and len(files) < len(what):
        raise click.UsageError(f"files and questions do not go together: {files[0]}")
    if files:
        _write(_asked_in_files(files), phase, lang, format or "text")
        return
    asked = recognise_all(what, is_finding)
    if isinstance(asked, str):
        near = _near(asked)
        raise click.UsageError(
            f"{_short(asked)} is not known; {near}" if near else f"{_short(asked)} is none of: {_FORMS}"
        )
    _write(iter(asked), phase, lang, format or "text")


def _is_file(word: str, is_finding: Callable[[str], bool]) -> bool:
    """Tell whether a word names a file rather than anything of the code book."""
    if word == "-":
        return True
    from smtpprobe.reference.asked import recognise

    if len(word) > 4096 or "\n" in word or "\0" in word:
        return False
    if recognise(word, is_finding) is None:
        return os.path.sep in word or os.path.isfile(word)  # a path that leads nowhere is to be called a path
    return os.path.sep in word and os.path.isfile(word)


def _near(word: str) -> str:
    """Name the words of the tables that may have been meant, or where to look; empty for none."""
    from difflib import get_close_matches

    from smtpprobe import texts
    from smtpprobe.reference import tables

    meant = word[:_MAX_WORD].strip().lower()
    if meant in _phases():
        return f"the codes that are met there: smtpprobe codes --phase {meant}"
    causes = [each for each in tables.diagnoses() if meant in each.split("-")]
    if causes:
        return f"did you mean {' or '.join(causes[:_MAX_NEAR])}?"
    findings = texts.keys(texts.DEFAULT_LANGUAGE, "findings")
    known = {each.lower(): each for each in (*findings, *tables.diagnoses(), *tables.keywords())}
    near = get_close_matches(meant, known, n=1)
    return f"did you mean {known[near[0]]}?" if near else ""


def _short(word: str) -> str:
    from smtpprobe.render.escaping import escape

    return repr(escape(word if len(word) <= _MAX_WORD else word[:_MAX_WORD] + "..."))


# --- answers for people ---------------------------------------------------------------------------------------------


def _asked_in_files(names: list[str]) -> Iterator[Asked]:
    from smtpprobe.reference.asked import Asked, Kind, replies_of
    from smtpprobe.reference.reading import is_log_without_reply

    for name in names:
        with _opened(name) as stream:
            is_empty, others = True, 0
            for reply in replies_of(_text_lines(stream, name)):
                if is_log_without_reply(reply):
                    others += 1
                    continue
                is_empty = False
                yield Asked(Kind.REPLY, reply, reply)
            if others:
                click.echo(f"smtpprobe: {_in(name)}: lines of a log without a reply: {others}", err=True)
            if is_empty:
                click.echo(f"smtpprobe: {_in(name)}: there is no reply in it", err=True)


def _write(asked: Iterator[Asked], phase: str | None, lang: str | None, format: str) -> None:
    from smtpprobe.cli.options import language
    from smtpprobe.render import explanation_text as forms
    from smtpprobe.render.explanation import explain

    chosen = language(lang)
    blocks = (explain(each, phase, chosen) for each in asked)
    if format in ("json", "ndjson"):
        _write_json(map(forms.document, blocks), chosen, forms.SCHEMA, is_lines=format == "ndjson")
        return
    if format == "markdown":
        for number, block in enumerate(blocks):
            _say("\n".join((*([""] if number else ()), *forms.markdown(block, chosen))))
        return
    from smtpprobe.render.layout import describe_terminal

    terminal = describe_terminal(sys.stdout)
    for number, block in enumerate(blocks):
        _say("\n".join((*([""] if number else ()), *forms.text(block, terminal))))


def _write_json(documents: Iterable[dict[str, Any]], language: str, schema: str, *, is_lines: bool) -> None:
    """Write documents as they come, as lines or as the entries of one document."""
    import json

    if is_lines:
        for each in documents:
            _say(json.dumps(each, ensure_ascii=False, separators=(",", ":")))
        return
    _say(f'{{\n  "schema": {json.dumps(schema)},\n  "language": {json.dumps(language)},\n  "entries": [')
    before = ""
    for each in documents:
        entry = json.dumps(each, ensure_ascii=False, indent=2).replace("\n", "\n    ")
        click.echo(f"{before}    {entry}", nl=False)
        before = ",\n"
    _say("\n  ]\n}" if before else "  ]\n}")


def _say(text: str) -> None:
    click.echo(text)
    sys.stdout.flush()


# --- streams --------------------------------------------------------------------------------------------------------


def _stream(names: tuple[str, ...], phase: str | None) -> None:
    """Answer each line of the files with one line."""
    from smtpprobe.reference.stream import answer

    phases = frozenset(_phases())
    for name in names:
        with _opened(name) as stream:
            for number, line in enumerate(_bounded_lines(stream), start=1):
                if line is not None and not line.strip():
                    continue
                sys.stdout.write(answer(line, number, phases, phase) + "\n")
                sys.stdout.flush()


def _opened(name: str) -> IO[bytes]:
    """Open a file, or stdin for ``-``.

    Raises:
        OptionError: it cannot be read.
    """
    if name == "-":
        if sys.stdin is None:
            raise OptionError("there is no stdin to read")
        return open(sys.stdin.fileno(), "rb", closefd=False)
    try:
        return open(name, "rb")
    except OSError as error:
        raise OptionError(f"cannot read {_short(name)}: {error.strerror}") from error


def _in(name: str) -> str:
    return "standard input" if name == "-" else name


def _text_lines(stream: IO[bytes], name: str) -> Iterator[str]:
    for number, line in enumerate(_bounded_lines(stream), start=1):
        if line is None:
            limit = f"{MAX_LINE_BYTES // 1024 // 1024} MiB"
            click.echo(f"smtpprobe: {_in(name)}: line {number} is longer than {limit} and passed over", err=True)
        else:
            yield line.decode("utf-8", "backslashreplace")


def _bounded_lines(stream: IO[bytes]) -> Iterator[bytes | None]:
    """Read lines; None for one that is longer than `MAX_LINE_BYTES`, which is passed over."""
    while line := stream.readline(MAX_LINE_BYTES):
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield None
            continue
        yield line
