"""What several commands ask for in the same way: how a probe is made, and how its report is shown.

Each group of options stands here once, as a decorator and as the function that makes a value of what was typed. Only
click is imported at the top, since every command's ``--help`` comes by here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from smtpprobe.durations import parse_duration
from smtpprobe.errors import OptionError, SmtpprobeError

if TYPE_CHECKING:
    from smtpprobe.evidence import Options
    from smtpprobe.render.style import Style

F = TypeVar("F", bound=Callable[..., Any])

EXIT_STATUS: Final = """\b
Exit status:
  0    nothing at or above --fail-on (default: error)
  1    something at or above it
  2    the command cannot be carried out as given; nothing was judged
  3    something that matters could not be found out, or nothing was probed
  130  stopped by Ctrl-C or SIGTERM; what was known by then is reported

\b
With --format nagios, as the Monitoring Plugins guidelines say:
  0 OK, 1 WARNING, 2 CRITICAL (errors), 3 UNKNOWN, also for what cannot be carried out; --fail-on has no part in it
"""


EXIT_UNKNOWN: Final = 3
"""Of monitoring: nothing could be found out, for whatever reason (Monitoring Plugins guidelines 2.2)."""

MAX_NAME_CELLS: Final = 26
"""Cells. What a longer option does is written below it."""


# --- help in sections -----------------------------------------------------------------------------------------------


class SectionOption(click.Option):
    """An option that says under which heading of the help it stands."""

    def __init__(self, *args: Any, section: str = "Options", **more: Any) -> None:
        super().__init__(*args, **more)
        self.section = section

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        if record is None or not isinstance(self.type, OneOf):
            return record
        return record[0], f"{record[1]} {self.type.describe()}"


class SectionedCommand(click.Command):
    """A command whose help groups its options, and whose last words keep their lines."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections.setdefault(getattr(parameter, "section", "Help"), []).append(record)
        names = [name for records in sections.values() for name, _ in records if len(name) <= MAX_NAME_CELLS]
        column = max(map(len, names), default=0)
        for section in sorted(sections, key=lambda each: each == "Help"):
            with formatter.section(section):
                formatter.write_dl([(name.ljust(column), text) for name, text in sections[section]], col_max=column)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        is_watched = _asks_for_nagios(args)  # before click takes the list apart
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            if not is_watched:
                raise
            raise click.exceptions.Exit(_unknown(error.format_message())) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.UsageError, SmtpprobeError) as error:
            if ctx.params.get("format") != "nagios":
                raise
            return _unknown(error.format_message() if isinstance(error, click.UsageError) else str(error))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.epilog:
            formatter.write_paragraph()
            formatter.write_text(self.epilog)


def _asks_for_nagios(arguments: Sequence[str]) -> bool:
    """Tell whether monitoring calls, to which status 2 would be CRITICAL."""
    return "--format=nagios" in arguments or ("--format", "nagios") in pairwise(arguments)


def _unknown(message: str) -> int:
    """Say why nothing can be carried out, as monitoring reads it, and give the status for it."""
    click.echo(f"SMTPPROBE UNKNOWN - {' '.join(message.replace('|', '/').split())}")
    return EXIT_UNKNOWN


def option(*names: str, section: str, **more: Any) -> Callable[[F], F]:
    """An option under a heading of the help."""
    return click.option(*names, cls=SectionOption, section=section, **more)


# --- kinds of values ------------------------------------------------------------------------------------------------


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """Seconds, written with a unit or without."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return parse_duration(str(value))
        except OptionError as error:
            self.fail(str(error), param, ctx)


MAX_EXPIRY_DAYS: Final = 3650
"""Days. No certificate of a public authority is issued for longer."""


def parse_expiry_days(text: str) -> tuple[int, int]:
    """Read how many days before its end a certificate is worth a warning, and how many an alarm: ``30`` or ``30,10``.

    Without the second number the alarm stays where it is by default, but never before the warning.

    Raises:
        OptionError: it is none of these, or the alarm would come before the warning.
    """
    from smtpprobe.evidence import Options

    warning, comma, alarm = (part.strip() for part in text.partition(","))
    numbers = (warning, alarm) if comma else (warning,)
    if not all(each.isascii() and each.isdigit() and int(each[:9]) <= MAX_EXPIRY_DAYS for each in numbers):
        raise OptionError(
            f"{text!r} are no days; write them as 30, or as 30,10 with those of the alarm (at most {MAX_EXPIRY_DAYS})"
        )
    warning_days = int(warning)
    alarm_days = int(alarm) if comma else min(Options().expiry_alarm_days, warning_days)
    if alarm_days > warning_days:
        raise OptionError(f"{text!r}: the alarm would come before the warning; the larger number stands first")
    return warning_days, alarm_days


class OneOf(click.ParamType):  # type: ignore[type-arg]
    """One of several words, in any case; they are looked up when needed: in the help, and for what was typed."""

    name = "word"

    def __init__(self, words: Callable[[], Iterable[str]]) -> None:
        self._words = words

    def get_metavar(self, *_: Any, **__: Any) -> str:
        return "NAME"

    def describe(self) -> str:
        """Name the words, for the help."""
        return f"One of {', '.join(self._words())}."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        words = {word.lower(): word for word in self._words()}
        found = words.get(str(value).lower())
        if found is None:
            self.fail(f"{value!r} is not one of {', '.join(words.values())}", param, ctx)
        return found


def _formats() -> Iterable[str]:
    from smtpprobe.render import FORMATS

    return FORMATS


# --- how a report is shown ------------------------------------------------------------------------------------------

_SHOWN: Final = "Report"


def report_options(function: F) -> F:
    """Add --format and --output, and --lang, --fail-on, -v, -q, -w and -c: the other arguments of `style`."""
    for decorate in reversed(
        (
            option("--format", section=_SHOWN, type=OneOf(_formats), default="text", help="How to write it."),
            option(
                "--output",
                "outputs",
                section=_SHOWN,
                metavar="FORMAT=FILE",
                multiple=True,
                help="Write it to a file too, in one of these formats, as in junit=report.xml. Repeatable.",
            ),
            lang_option(_SHOWN),
            option(
                "--fail-on",
                section=_SHOWN,
                metavar="LEVEL",
                type=OneOf(lambda: ("error", "warning", "info")),
                default="error",
                help="What makes the exit status 1.",
            ),
            option(
                "-v",
                "--verbose",
                section=_SHOWN,
                count=True,
                help="Show the name system and the conversations, explained; -vv the very bytes and times.",
            ),
            option("-q", "--quiet", section=_SHOWN, is_flag=True, help="One line a target."),
            option(
                "-w",
                "--warning",
                section=_SHOWN,
                metavar="RANGE",
                multiple=True,
                help="For --format nagios: a warning if the slowest endpoint takes more than so many seconds (5), or,"
                " as days=21:, if a certificate has fewer days left. All ranges of the Monitoring Plugins guidelines:"
                " 10, 10:, ~:10, 10:20, @10:20. Repeatable.",
            ),
            option(
                "-c",
                "--critical",
                section=_SHOWN,
                metavar="RANGE",
                multiple=True,
                help="The same for a critical state.",
            ),
        )
    ):
        function = decorate(function)
    return function


def lang_option(section: str = _SHOWN) -> Callable[[F], F]:
    """Add --lang: the argument of `language`."""
    return option(
        "--lang",
        section=section,
        metavar="TAG",
        help="Language of the words, as en or zh-Hans; by default that of SMTPPROBE_LANG or the locale.",
    )


def language(lang: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Choose the language; what is asked for in vain is said on stderr, and English is taken."""
    from smtpprobe import texts
    from smtpprobe.errors import UnknownLanguageError

    try:
        chosen, missing = texts.choose_language(lang, environ)
    except UnknownLanguageError as error:
        click.echo(f"smtpprobe: {error}; using {texts.DEFAULT_LANGUAGE!r}", err=True)
        return texts.DEFAULT_LANGUAGE
    if missing is not None:
        variable = next(name for name in texts.ENVIRONMENT if environ.get(name))
        click.echo(f"smtpprobe: no texts in {missing!r} ({variable}); using {chosen!r}", err=True)
    return chosen


def style(
    *,
    lang: str | None,
    fail_on: str,
    verbose: int,
    quiet: bool,
    warning: tuple[str, ...] = (),
    critical: tuple[str, ...] = (),
) -> Style:
    """Say how reports are to be shown on stdout.

    Raises:
        OptionError: a threshold is none.
        click.UsageError: both more and less is wanted.
    """
    from smtpprobe.render.layout import describe_terminal
    from smtpprobe.render.style import Style
    from smtpprobe.render.thresholds import parse_thresholds
    from smtpprobe.report import Severity

    if quiet and verbose:
        raise click.UsageError("-q and -v exclude each other")
    return Style(
        language=language(lang),
        terminal=describe_terminal(sys.stdout),
        verbosity=-1 if quiet else min(verbose, 2),
        fail_on=Severity(fail_on),
        thresholds=parse_thresholds(warning, critical),
    )


STYLE_OPTIONS: Final = ("lang", "fail_on", "verbose", "quiet", "warning", "critical")
"""The options of `report_options` that `style` takes."""


def report_style(format: str, outputs: Sequence[str], **shown: Any) -> Style:
    """Make the style of `STYLE_OPTIONS`, once it is certain that somebody reads the thresholds.

    Raises:
        OptionError: a threshold is none.
        click.UsageError: two options do not go together.
    """
    has_thresholds = shown["warning"] or shown["critical"]
    if has_thresholds and format != "nagios" and not any(each.startswith("nagios=") for each in outputs):
        raise click.UsageError("-w and -c are thresholds of monitoring: they go with --format nagios")
    return style(**shown)


# --- how a probe is made --------------------------------------------------------------------------------------------

_PORTS: Final = "Where to connect"
_NAMES: Final = "Names and trust"
_MORE: Final = "Further connections and questions"
_TIMES: Final = "Time"


def probe_options(function: F) -> F:
    """Add the options of a probe: the arguments of `options`."""
    for decorate in reversed(
        (
            option(
                "--port",
                "ports",
                section=_PORTS,
                metavar="PORT",
                multiple=True,
                help="A port that must answer, instead of trying 25, 465 and 587: a number, or a service and a number,"
                " as smtp:2525, submission:2587 or submissions:2465. Repeatable.",
            ),
            option("-4", "ipv4", section=_PORTS, is_flag=True, help="Use IPv4 only."),
            option("-6", "ipv6", section=_PORTS, is_flag=True, help="Use IPv6 only."),
            option(
                "--resolver",
                "resolvers",
                section=_NAMES,
                metavar="ADDR[:PORT]",
                multiple=True,
                help="Ask this resolver instead of the system's; also as tls://ADDR or https://ADDR/PATH, with #NAME"
                " where its certificate is for a name. Repeatable.",
            ),
            option(
                "--resolve",
                "overrides",
                section=_NAMES,
                metavar="NAME=ADDR",
                multiple=True,
                help="Use this address for a name; its certificate must still bear the name. Repeatable.",
            ),
            option(
                "--ca",
                section=_NAMES,
                metavar="FILE",
                type=click.Path(dir_okay=False),
                help="Trust these roots too (PEM), beside the system's.",
            ),
            option("--ehlo", section=_NAMES, metavar="NAME", help="Say this in EHLO instead of our own host name."),
            option(
                "--tls-versions", section=_MORE, is_flag=True, help="Try TLS 1.0 to 1.3 one by one: 4 more connections."
            ),
            option(
                "--security",
                section=_MORE,
                is_flag=True,
                help="Probe for known holes, up to 4 more connections; intrusive, but no mail is sent.",
            ),
            option(
                "--submission-discovery",
                section=_MORE,
                is_flag=True,
                help="Look up where mail programs find the submission service (SRV).",
            ),
            option(
                "--posture",
                section=_MORE,
                is_flag=True,
                help="Add what checkdmarc says of the domain's SPF and DMARC, where it is installed.",
            ),
            option(
                "--trust-ad",
                section=_NAMES,
                is_flag=True,
                help="Believe the resolver about DNSSEC although it is not on this machine.",
            ),
            option(
                "--certificate-days",
                section=_NAMES,
                metavar="DAYS[,DAYS]",
                help="Warn of a certificate that ends within so many days, and raise the alarm within so many;"
                " by default 21,7.",
            ),
            option("--policy-port", section=_NAMES, type=click.IntRange(1, 65535), default=443, hidden=True),
            option(
                "--timeout",
                section=_TIMES,
                type=Duration(),
                help="Longest time for one step; by default 10s, and 30s for the greeting.",
            ),
            option("--deadline", section=_TIMES, type=Duration(), help="Longest time for one target; by default 60s."),
        )
    ):
        function = decorate(function)
    return function


def options(
    *,
    ports: Sequence[str] = (),
    ipv4: bool = False,
    ipv6: bool = False,
    resolvers: Sequence[str] = (),
    overrides: Sequence[str] = (),
    ca: str | None = None,
    ehlo: str | None = None,
    timeout: float | None = None,
    deadline: float | None = None,
    tls_versions: bool = False,
    security: bool = False,
    submission_discovery: bool = False,
    posture: bool = False,
    trust_ad: bool = False,
    certificate_days: str | None = None,
    policy_port: int = 443,
) -> Options:
    """Make the options of a probe of what was typed.

    Raises:
        OptionError: a port, resolver, override or number of days is none.
        click.UsageError: both IP versions alone are wanted.
    """
    from smtpprobe.endpoints import parse_port
    from smtpprobe.evidence import DEFAULT_PORTS, Family, Options
    from smtpprobe.targets import parse_name_server, parse_override

    if ipv4 and ipv6:
        raise click.UsageError("-4 and -6 exclude each other; without both, IPv4 and IPv6 are used")
    for resolver in resolvers:
        parse_name_server(resolver)
    usual = Options()
    expiry_days = (usual.expiry_warning_days, usual.expiry_alarm_days)
    if certificate_days is not None:
        expiry_days = parse_expiry_days(certificate_days)
    return Options(
        ports=tuple(map(parse_port, dict.fromkeys(ports))) or DEFAULT_PORTS,
        explicit_ports=bool(ports),
        resolvers=tuple(resolvers),
        overrides=tuple(map(parse_override, overrides)),
        ca_file=ca,
        family=Family.IPV4 if ipv4 else Family.IPV6 if ipv6 else Family.ANY,
        ehlo_name=ehlo,
        timeout_s=usual.timeout_s if timeout is None else timeout,
        greeting_timeout_s=usual.greeting_timeout_s if timeout is None else timeout,
        deadline_s=usual.deadline_s if deadline is None else deadline,
        expiry_warning_days=expiry_days[0],
        expiry_alarm_days=expiry_days[1],
        tls_versions=tls_versions,
        security=security,
        submission_discovery=submission_discovery,
        posture=posture,
        trust_ad=trust_ad,
        policy_port=policy_port,
    )
