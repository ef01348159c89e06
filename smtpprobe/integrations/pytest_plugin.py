"""A pytest plugin: mail servers as the subject of tests.

    def test_mail_can_come_in(smtp_health):
        assert smtp_health("example.org").ok

A test that fails tells in its report what is wrong and how to mend it. The plugin is loaded into every run of pytest
where smtpprobe is installed, so it imports nothing but pytest until a fixture is used.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from smtpprobe.errors import ConfigError, SmtpprobeError

if TYPE_CHECKING:
    from smtpprobe.evidence import Evidence, Options, Target
    from smtpprobe.expectations.planning import Plan
    from smtpprobe.report import Finding, Outcome, Report

MARKERS: Final = (
    "smtp(**options): options for each call of the smtp_health fixture in this test, as resolver='127.0.0.1:5353'",
    "smtp_target(*targets, **options): run the test once for each target; the smtp_target fixture gives its health",
)
SHOWN: Final = 3
"""So many problems are named where there is one line only."""

_failing = pytest.StashKey[list["Health"]]()
"""What a test has seen that was not ok."""


# --- what a test gets -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Health:
    """How one target is. True where it is ok."""

    target: str
    report: Report
    """Everything: evidence, findings, and how mail would fare."""
    problems: tuple[Finding, ...]
    """The findings for which it is not ok: those at or above `fail_on` and what is not known, without those that are
    allowed or expected."""
    missing: tuple[str, ...]
    """Ids of findings that were expected and not made."""
    outcome: Outcome
    """``passed``, ``findings``, or ``inconclusive`` where nothing is wrong but something that matters is not known."""

    @property
    def ok(self) -> bool:
        """Nothing fails it, nothing that matters is unknown, and everything that was expected is there."""
        return self.outcome == "passed"

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, notes and passes too."""
        return self.report.findings

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all findings."""
        return frozenset(each.id for each in self.report.findings)

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        named = list(dict.fromkeys(each.id for each in self.problems))
        parts = [", ".join(named[:SHOWN]) + (f" and {len(named) - SHOWN} more" if len(named) > SHOWN else "")]
        if self.missing:
            parts.append(f"not found: {', '.join(self.missing)}")
        said = "; ".join(filter(None, parts)) or "ok"
        return f"<{self.target}: {said}>"

    def __str__(self) -> str:
        """What is wrong, what it means, and how to mend it."""
        return "\n".join(self._explained())

    def _explained(self) -> Iterator[str]:
        from smtpprobe.render.advice import steps
        from smtpprobe.render.escaping import escape
        from smtpprobe.render.words import finding_words, label

        language = "en"
        yield f"{escape(self.target)}: {self.outcome}"
        alike: dict[tuple[str, str, str], list[Finding]] = {}
        for finding in self.problems:
            words = finding_words(finding, language)
            title = f"{label(language, 'severity', finding.severity)}: {words.title} [{escape(finding.id)}]"
            alike.setdefault((title, words.meaning, words.fix), []).append(finding)
        for (title, meaning, fix), members in alike.items():
            places = [escape(" ".join(filter(None, (each.where.host, each.where.endpoint)))) for each in members]
            yield ""
            yield title
            if any(places):
                yield f"  {label(language, 'finding', 'where')}: {', '.join(filter(None, places))}"
            if meaning:
                yield f"  {meaning}"
            for number, step in enumerate(steps(fix, [(self.report.evidence, each) for each in members]), start=1):
                yield f"  {number}. {step}"
        for id_ in self.missing:
            yield ""
            yield f"expected, but not found: {escape(id_)} ('smtpprobe explain {escape(id_)}' says what it is)"


class SmtpHealth:
    """The fixture ``smtp_health``: call it with a target."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._node = request.node
        self._defaults = _from_ini(request.config)
        for marker in reversed(list(request.node.iter_markers("smtp"))):  # the closest one wins
            if marker.args:
                raise pytest.UsageError("the marker smtp takes options by name only, as smtp(timeout=5)")
            self._defaults.update(marker.kwargs)

    def __call__(
        self,
        target: str,
        *,
        fail_on: str | None = None,
        allow: Iterable[str] | None = None,
        expect: Mapping[str, Any] | Iterable[str] | None = None,
        **options: Any,
    ) -> Health:
        """Probe a target.

        What is not given comes from the marker ``smtp``, then from the configuration, then from the defaults of
        ``smtpprobe check``.

        Args:
            target: what ``smtpprobe check`` takes: a domain, a host, ``host:port``, a URL ...
            fail_on: ``error`` (default), ``warning`` or ``info``: what makes it not ok.
            allow: ids of findings that are put up with.
            expect: what the server is to be like, with the keys of ``[targets.NAME.expect]`` in ``smtpprobe.toml``, as
                ``{"min-tls": "1.2", "certificate-days": 14}``; or ids of findings that must be made, as in a test of a
                server that is meant to have a fault, and that are put up with too.
            options: ``ports`` (a number, or ``smtp:2525``, or several), ``resolver`` (one or several), ``resolve``
                (name -> address), ``ca`` (a PEM file), ``ehlo``, ``timeout`` and ``deadline`` (seconds, or
                ``"500ms"``), and the other options of ``smtpprobe check`` with ``_`` for ``-``.

        Raises:
            TargetError: it is no target.
            OptionError: an option or an id is none.
            ConfigError: what is expected is nothing that can be.
        """
        __tracebackhide__ = True
        asked = {"fail_on": fail_on, "allow": allow, "expect": expect}
        given = {**self._defaults, **{name: value for name, value in asked.items() if value is not None}, **options}
        expected = given.pop("expect", ())
        try:
            health = _judged(
                target,
                fail_on=str(given.pop("fail_on", "error")),
                allow=_several(given.pop("allow", ())),
                expect=() if isinstance(expected, Mapping) else _several(expected),
                plan=_plan(target, expected) if isinstance(expected, Mapping) else None,
                options=_options(**given),
            )
        except SmtpprobeError as error:
            raise error.with_traceback(None) from None  # the mistake is in the test's line, and not below
        if not health.ok:
            self._node.stash.setdefault(_failing, []).append(health)
        return health


# --- what pytest calls ----------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare what the configuration may say."""
    parser.addini("smtp_resolver", "resolvers for smtp_health, as 127.0.0.1:5353; several by blanks", type="args")
    parser.addini("smtp_ports", "ports for smtp_health, as 587 or smtp:2525; several by blanks", type="args")
    parser.addini("smtp_timeout", "longest time for one step of smtp_health, as 5s")
    parser.addini("smtp_deadline", "longest time for one target of smtp_health, as 60s")
    parser.addini("smtp_ca", "PEM file of roots that smtp_health trusts too, from the folder of the configuration")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each target of its marker."""
    if "smtp_target" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("smtp_target")
        if marker is None or not marker.args:
            raise pytest.UsageError(
                f"{metafunc.definition.nodeid}: smtp_target needs a marker, as @pytest.mark.smtp_target('example.org')"
            )
        metafunc.parametrize("smtp_target", marker.args, indirect=True, ids=list(map(str, marker.args)))


@pytest.fixture
def smtp_health(request: pytest.FixtureRequest) -> SmtpHealth:
    """Probe a mail domain or server: ``smtp_health("example.org")`` gives its health, with ok, problems and report.

    It waits for the network. In an asynchronous test: ``await asyncio.to_thread(smtp_health, "example.org")``.
    """
    return SmtpHealth(request)


@pytest.fixture
def smtp_target(request: pytest.FixtureRequest, smtp_health: SmtpHealth) -> Health:
    """The health of each target of the marker ``smtp_target``, one after the other."""
    marker = request.node.get_closest_marker("smtp_target")
    return smtp_health(str(request.param), **marker.kwargs)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a test that failed what is wrong with the targets that it has seen."""
    report = yield
    if report.failed:
        for health in item.stash.get(_failing, ()):
            report.sections.append((f"smtp_health {health.target}", str(health)))
    return report


# --- the probe ------------------------------------------------------------------------------------------------------


def _from_ini(config: pytest.Config) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("resolver", "ports"):
        if values := config.getini(f"smtp_{name}"):
            found[name] = tuple(values)
    for name in ("timeout", "deadline"):
        if text := config.getini(f"smtp_{name}"):
            found[name] = text
    if ca := config.getini("smtp_ca"):
        base = config.inipath.parent if config.inipath is not None else config.rootpath
        found["ca"] = str(base / ca)
    return found


def _options(
    *,
    ports: int | str | Sequence[int | str] = (),
    resolver: str | Sequence[str] = (),
    resolve: Mapping[str, str] | None = None,
    ca: Any = None,
    timeout: float | str | None = None,
    deadline: float | str | None = None,
    **more: Any,
) -> Options:
    """Read options as the command line reads them."""
    from smtpprobe.cli.options import options
    from smtpprobe.errors import OptionError

    try:
        return options(
            ports=_several(ports),
            resolvers=_several(resolver),
            overrides=tuple(f"{name}={address}" for name, address in (resolve or {}).items()),
            ca=None if ca is None else str(ca),
            timeout=_seconds(timeout),
            deadline=_seconds(deadline),
            **more,
        )
    except TypeError as error:  # an option of that name is not there
        raise OptionError(f"smtp_health: {error}") from error


def _several(value: Any) -> tuple[str, ...]:
    """One value, or several."""
    return (str(value),) if isinstance(value, (str, int)) else tuple(map(str, value))


def _seconds(value: float | str | None) -> float | None:
    from smtpprobe.durations import parse_duration

    return None if value is None else parse_duration(str(value))


def _plan(target: str, expected: Mapping[str, Any]) -> Plan:
    """Read what is expected as the file of expectations is read, so that every mistake is said as there."""
    from smtpprobe.expectations.planning import plan
    from smtpprobe.expectations.reading import parse_config

    text = f"targets.this.target = {_toml(target)}\ntargets.this.expect = {_toml(expected)}\n"
    try:
        return plan(parse_config(text.encode(), "expect"), "this")
    except ConfigError as error:  # nobody wrote these lines and tables
        raise ConfigError(re.sub(r"^expect:\d+: targets\.this\.", "", str(error), flags=re.MULTILINE)) from error


def _toml(value: Any) -> str:
    """Write a value in TOML, which has strings, numbers and truth values as JSON has them."""
    import json

    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(name))} = {_toml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # TOML has no surrogates, so that what is not ASCII stands as it is.
    return json.dumps(value if isinstance(value, (bool, int, float)) else str(value), ensure_ascii=False)


def _judged(
    target: str,
    *,
    fail_on: str,
    allow: tuple[str, ...],
    expect: tuple[str, ...],
    plan: Plan | None,
    options: Options,
) -> Health:
    import msgspec

    from smtpprobe.checks import KINDS, judge
    from smtpprobe.errors import OptionError
    from smtpprobe.report import SCALE, Outcome, Severity, is_at_least
    from smtpprobe.targets import parse_target

    for id_ in (*allow, *expect):
        if id_ not in KINDS:
            raise OptionError(f"there is no finding {id_!r}; 'smtpprobe codes --findings' lists them")
    if fail_on not in SCALE[1:]:
        raise OptionError(f"fail_on={fail_on!r} is not one of {', '.join(SCALE[1:])}")
    if plan is not None:
        options = msgspec.structs.replace(options, questions=plan.options.questions)
    evidence = _collected(parse_target(target), options)
    report = judge(evidence) if plan is None else plan.judge(evidence)
    put_up_with = {*allow, *expect}
    problems = tuple(
        each
        for each in report.findings
        if each.id not in put_up_with
        and (each.severity is Severity.INCONCLUSIVE or is_at_least(each.severity, Severity(fail_on)))
    )
    made = {each.id for each in report.findings}
    missing = tuple(each for each in expect if each not in made)
    if missing or any(each.severity is not Severity.INCONCLUSIVE for each in problems):
        outcome = Outcome.FINDINGS
    elif problems or not report.findings:
        outcome = Outcome.INCONCLUSIVE
    else:
        outcome = Outcome.PASSED
    return Health(target=target, report=report, problems=problems, missing=missing, outcome=outcome)


def _collected(target: Target, options: Options) -> Evidence:
    """Probe, also where an event loop is running already."""
    import asyncio

    # pytest parses the modules of a package that has a plugin, and two threads of Python 3.11 cannot parse at once: so
    # what a probe would import in threads is imported before.
    from smtpprobe import certificates, stub  # noqa: F401
    from smtpprobe.probing import collect

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        evidence = asyncio.run(collect(target, options))
    else:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool:
            evidence = pool.submit(lambda: asyncio.run(collect(target, options))).result()
    if evidence.is_interrupted:  # by Ctrl-C, which `collect` answers with what is known
        raise KeyboardInterrupt
    return evidence
