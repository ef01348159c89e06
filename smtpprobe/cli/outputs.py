"""Reports in files, several formats at once: ``--output FORMAT=FILE``, beside what goes to stdout.

A file is opened before anything is probed, so that one that cannot be written costs nothing, and takes its place when
all formats are written whole: nobody ever finds half a report, nor one of yesterday's beside one of today's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from smtpprobe.errors import OptionError

if TYPE_CHECKING:
    from smtpprobe.render.style import Style
    from smtpprobe.report import Report


class Output(NamedTuple):
    """One more form of the report, and the file that it goes to."""

    format: str
    path: str


def parse_outputs(typed: Sequence[str], taken: Iterable[str | None] = ()) -> tuple[Output, ...]:
    """Read ``FORMAT=FILE``, once for each that was typed.

    Args:
        taken: files that something else is written to; None is none.

    Raises:
        OptionError: there is no such format, the file is missing, or one file is to hold two things.
    """
    from smtpprobe.render import FORMATS

    outputs = []
    used = {os.path.realpath(path) for path in taken if path is not None}
    for text in typed:
        name, separator, path = text.partition("=")
        if not separator or not path:
            raise OptionError(f"--output {text!r}: write it as FORMAT=FILE, as in junit=report.xml")
        if name not in FORMATS:
            raise OptionError(f"--output {text!r}: {name!r} is not one of {', '.join(FORMATS)}")
        real = os.path.realpath(path)
        if real in used and (os.path.isfile(real) or not os.path.exists(real)):
            raise OptionError(f"--output {text!r}: that file is written to already; give each its own")
        used.add(real)
        outputs.append(Output(name, path))
    return tuple(outputs)


class Written:
    """The reports so far, for the files that they go to in the end."""

    def __init__(self) -> None:
        self._reports: list[Report] = []

    def passing(self, reports: Iterable[Report]) -> Iterator[Report]:
        """Hand reports on, and remember them."""
        for report in reports:
            self.take(report)
            yield report

    def take(self, report: Report) -> None:
        """Remember one report."""
        self._reports.append(report)

    @property
    def reports(self) -> tuple[Report, ...]:
        """All that were remembered."""
        return tuple(self._reports)


@contextmanager
def writing(outputs: Sequence[Output], style: Style) -> Iterator[Written]:
    """Open all files; at the end of the context, write what was remembered to each.

    Raises:
        SmtpprobeError: a file cannot be written; all of them are as they were.
        MissingExtraError: a format needs what is not installed.
    """
    from smtpprobe.cli.files import blaming, replacing
    from smtpprobe.render import renderer
    from smtpprobe.render.layout import Terminal

    plain = style._replace(terminal=Terminal())
    for output in outputs:
        for _ in renderer(output.format).render((), plain):
            pass  # what a format needs is imported now, and missed now
    written = Written()
    with ExitStack() as stack:
        streams = [stack.enter_context(replacing(output.path)) for output in outputs]
        yield written
        for output, stream in zip(outputs, streams, strict=True):
            with blaming(output.path):
                for piece in renderer(output.format).render(written.reports, plain):
                    stream.write(piece.encode("utf-8", "backslashreplace"))
                stream.flush()
