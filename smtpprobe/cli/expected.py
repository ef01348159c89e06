"""What the command line asks for, joined with what a file expects: the jobs of a run."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from smtpprobe.cli.options import option
from smtpprobe.errors import ConfigError, TargetError

if TYPE_CHECKING:
    from smtpprobe.evidence import Evidence, Options, Target
    from smtpprobe.expectations.model import Config
    from smtpprobe.expectations.planning import Plan
    from smtpprobe.report import Report, Severity

F = TypeVar("F", bound=Callable[..., Any])

SECTION: Final = "Expectations"

MAX_LINE: Final = 4096
"""Characters of a line of the standard input; what is longer is no target, nor what is left of it."""
MAX_TARGETS: Final = 100_000
"""Lines of the standard input, all of which are read before anything is tried."""


class Job(NamedTuple):
    """One target to probe, and how its evidence is judged."""

    target: Target
    options: Options
    judge: Callable[[Evidence], Report]


def baseline_options(function: F) -> F:
    """Add --baseline and --exit-code."""
    for decorate in reversed(
        (
            option(
                "--baseline",
                section=SECTION,
                metavar="FILE",
                help="Say what has changed since the probe that was saved in this file.",
            ),
            option(
                "--exit-code",
                section=SECTION,
                is_flag=True,
                help="Take what has changed so for as grave as --fail-on says, so that the check fails of it.",
            ),
        )
    ):
        function = decorate(function)
    return function


def config_option(function: F) -> F:
    """Add --config."""
    return option(
        "--config",
        section=SECTION,
        metavar="FILE",
        help="The file that says what is expected of which target; by default smtpprobe.toml, or the table"
        " [tool.smtpprobe] of pyproject.toml, in this folder.",
    )(function)


def jobs(arguments: tuple[str, ...], config_file: str | None, typed: Options, *, timeouts: Iterable[str]) -> list[Job]:
    """Make the jobs of a run, before any is tried, so that a mistake in the last one costs nothing.

    Args:
        arguments: targets and names of the file; none: all that the file has.
        typed: the options of the command line, which go before those of the file.
        timeouts: the fields of times among them that were typed.

    Raises:
        ConfigError: the file has a mistake, or no target.
        TargetError: an argument is neither a name of the file nor a target.
        click.UsageError: there is nothing to check.
    """
    from smtpprobe.targets import parse_target

    file, config = _config(config_file)
    names = () if config is None else tuple(config.targets)
    if not arguments:
        if config is None:
            raise click.UsageError(
                "name a TARGET, or say in smtpprobe.toml what you expect of which"
                " ('smtpprobe init TARGET' writes one to begin with)"
            )
        if not names:
            raise ConfigError(f"{file}: it has no target; write one as [targets.NAME]")
        arguments = names
    found = []
    plans: dict[str, Plan] = {}
    for argument in arguments:
        if config is not None and argument in names:
            plan = plans[argument] = plans.get(argument) or _plan(config, argument, file)
            found.append(Job(plan.target, _over(plan.options, typed, frozenset(timeouts)), plan.judge))
        elif argument == "-":
            found.extend(Job(each, typed, _judge) for each in _from_stdin())
        else:
            _ask_what_was_meant(argument, names, file)
            found.append(Job(parse_target(argument), typed, _judge))
    return found


def _ask_what_was_meant(argument: str, names: tuple[str, ...], file: str) -> None:
    """Say so where a host without a domain is almost a name of the file, which would pass by what is expected of it."""
    if not names or not re.fullmatch(r"[\w-]+", argument):
        return
    from difflib import get_close_matches

    near = get_close_matches(argument, names, n=1)
    if near:
        click.echo(f"smtpprobe: {argument} is taken for a host; did you mean {near[0]!r} of {file}?", err=True)


def against(run: list[Job], file: str, severity: Severity | None) -> list[Job]:
    """Have each target held against an earlier probe of it, too.

    Args:
        file: saved evidence, or a report in JSON.
        severity: what a change is worth; None: no more than a note.

    Raises:
        EvidenceError: the file has no evidence.
    """
    from smtpprobe.cli.saved import read_evidence
    from smtpprobe.expectations.baseline import with_changes

    every = read_evidence(file)
    saved = {each.target.text: each for each in every}
    alike = {(each.target.text, each.options.ports): each for each in every}

    def compared(job: Job) -> Job:
        def judge(evidence: Evidence) -> Report:
            name = evidence.target.text
            before = alike.get((name, evidence.options.ports), saved.get(name))
            return with_changes(job.judge(evidence), None if before is None else job.judge(before), severity)

        return job._replace(judge=judge)

    return [compared(job) for job in run]


def judging(config_file: str | None) -> Callable[[Evidence], Report]:
    """Give what judges saved evidence: by the file where it has the target, as typed when it was probed."""
    if config_file is None:
        return _judge
    file, config = _config(config_file)
    plans = {} if config is None else {(plan := _plan(config, name, file)).target.text: plan for name in config.targets}

    def by_target(evidence: Evidence) -> Report:
        plan = plans.get(evidence.target.text)
        return _judge(evidence) if plan is None else plan.judge(evidence)

    return by_target


def _judge(evidence: Evidence) -> Report:
    """Judge without expectations; the checks are imported when there is something to judge."""
    from smtpprobe.checks import judge

    return judge(evidence)


def _config(file: str | None) -> tuple[str, Config | None]:
    """Read the file that was named, or that there is; most runs have none, and import nothing for it."""
    if file is None:
        from smtpprobe.expectations.finding import find_config

        file = find_config()
        if file is None:
            return "", None
    from smtpprobe.expectations.reading import read_config

    return file, read_config(file)


def _plan(config: Config, name: str, file: str) -> Plan:
    from smtpprobe.expectations.planning import plan

    try:
        return plan(config, name, os.path.dirname(file))
    except TargetError as error:
        raise ConfigError(f"{file}: targets.{name}: {error}; say what is meant with target = ...") from error


def _over(file: Options, typed: Options, timeouts: frozenset[str]) -> Options:
    """The options of the file, apart from what was typed."""
    import msgspec

    usual = type(typed)()
    changed = {
        field.name: getattr(typed, field.name)
        for field in msgspec.structs.fields(type(typed))
        if field.name in timeouts or getattr(typed, field.name) != getattr(usual, field.name)
    }
    if typed.explicit_ports:
        changed["ports"] = typed.ports
    return msgspec.structs.replace(file, **changed)


def _from_stdin() -> Iterator[Target]:
    """Read targets from the standard input, one a line."""
    from smtpprobe.targets import parse_target

    is_empty = True
    for number, line in enumerate(iter(lambda: sys.stdin.readline(MAX_LINE), ""), 1):
        if number > MAX_TARGETS:
            raise TargetError(
                f"standard input: it has more than {MAX_TARGETS} lines; 'smtpprobe scan' takes any number"
            )
        text = line.partition("#")[0].strip()
        if not text:
            continue
        is_empty = False
        try:
            yield parse_target(text)
        except TargetError as error:
            raise TargetError(f"standard input, line {number}: {error}") from error
    if is_empty:
        raise TargetError("there is no target on the standard input; write one a line")
