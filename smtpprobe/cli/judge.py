"""``smtpprobe judge``: report again on evidence that was saved. Nothing here touches the network."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from smtpprobe.cli.options import EXIT_STATUS, SectionedCommand, report_options
from smtpprobe.errors import EvidenceError

if TYPE_CHECKING:
    from smtpprobe.evidence import Evidence


@click.command(
    cls=SectionedCommand,
    short_help="Report again on evidence that was saved, without the network.",
    epilog=EXIT_STATUS,
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@report_options
def command(files: tuple[str, ...], format: str, lang: str | None, fail_on: str, verbose: int, quiet: bool) -> int:
    """Report again on evidence that was saved: another time, elsewhere, in another language or format.

    A FILE is what 'smtpprobe check --save' wrote, or the output of 'smtpprobe check --format json'; '-' is the
    standard input. The judgement is that of this version; the facts are those of then.

    \b
    Examples:
      smtpprobe check --save evidence.json example.org
      smtpprobe judge -v evidence.json
      smtpprobe judge --format json - < evidence.json
    """
    from smtpprobe.cli.options import style
    from smtpprobe.cli.reporting import report_on

    shown = style(lang=lang, fail_on=fail_on, verbose=verbose, quiet=quiet)
    evidence = [each for file in files for each in read_evidence(file)]
    return report_on(evidence, format, shown)


def read_evidence(file: str) -> list[Evidence]:
    """Read all evidence of a file; ``-`` is the standard input.

    Raises:
        EvidenceError: it cannot be read, holds none, or holds something else; the message names file and line.
    """
    name = "standard input" if file == "-" else file
    try:
        if file == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(file, "rb") as stream:
                data = stream.read()
    except OSError as error:
        raise EvidenceError(f"{name}: {error.strerror}") from error
    try:
        return _documents(data)
    except EvidenceError as error:
        raise EvidenceError(f"{name}: {error}") from error


def _documents(data: bytes) -> list[Evidence]:
    """Read one document, however it is laid out, or else one a line."""
    import msgspec

    from smtpprobe.evidence import decode

    class Holder(msgspec.Struct):
        evidence: msgspec.Raw

    class Head(msgspec.Struct):
        """What is common to evidence (which has neither), a report, and several reports."""

        evidence: msgspec.Raw = msgspec.Raw()
        reports: list[Holder] = []

    def evidence_in(document: bytes) -> list[Evidence]:
        try:
            head = msgspec.json.decode(document, type=Head)
        except (msgspec.DecodeError, UnicodeError):
            return [decode(document)]  # which says what is wrong
        held = [each.evidence for each in head.reports] or [head.evidence]
        return [decode(bytes(each)) for each in held if each] or [decode(document)]

    lines = [(number, line) for number, line in enumerate(data.splitlines(), 1) if line.strip()]
    if not lines:
        raise EvidenceError("there is no evidence in it")
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeError):
        found = []
        for number, line in lines:
            try:
                found.extend(evidence_in(line))
            except EvidenceError as error:
                raise EvidenceError(f"line {number}: {error}" if len(lines) > 1 else str(error)) from error
        return found
    return evidence_in(data)
