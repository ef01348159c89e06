"""The pytest plugin, in test suites of its own that are run here."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import pytest

# What each suite needs is imported here once; what a suite imports itself is forgotten after it.
import smtpprobe.certificates
import smtpprobe.checks
import smtpprobe.probing
import smtpprobe.render.words  # noqa: F401
from smtpprobe.integrations.pytest_plugin import Health, SmtpHealth
from tests.cli.small_world import BUSY, HEALTHY, REFUSING, SmallWorld, small_world

PLUGIN = "smtpprobe.integrations.pytest_plugin"
RECORDS = "example.org MX 10 mx.example.org\nmx.example.org A {healthy}\n"


@pytest.fixture(scope="module")
def world() -> Iterator[SmallWorld]:
    with small_world(RECORDS, healthy=HEALTHY, refusing=REFUSING, busy=BUSY) as servers:
        yield servers


@pytest.fixture
def suite(pytester: pytest.Pytester, world: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder for a suite that asks our resolver."""
    pytester.makepyprojecttoml(
        f"""
        [tool.pytest.ini_options]
        smtp_resolver = "{world.dns.resolver}"
        smtp_timeout = "5s"
        addopts = "--strict-markers"
        filterwarnings = ["error"]
        """
    )
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return pytester


def run(suite: pytest.Pytester, code: str) -> pytest.RunResult:
    suite.makepyfile(code)
    return suite.runpytest_inprocess("-p", PLUGIN, "-p", "no:cacheprovider")


# --- what it costs --------------------------------------------------------------------------------------------------


def test_loading_it_imports_nothing_that_talks_to_the_network() -> None:
    program = (
        f"import sys, pytest; before = set(sys.modules); import {PLUGIN};"
        "print(*sorted(name.partition('.')[0] for name in set(sys.modules) - before))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert set(ended.stdout.split()) == {"smtpprobe"}


def test_pytest_finds_it_by_its_entry_point() -> None:
    from importlib.metadata import entry_points

    (found,) = entry_points(group="pytest11", name="smtpprobe")
    assert found.value == PLUGIN


def test_a_suite_without_it_is_not_touched(suite: pytest.Pytester) -> None:
    run(suite, "def test_nothing():\n    pass").assert_outcomes(passed=1)


# --- health ---------------------------------------------------------------------------------------------------------


def test_a_healthy_server_passes(suite: pytest.Pytester, world: SmallWorld) -> None:
    code = f"""
    def test_mail(smtp_health):
        health = smtp_health("{world.target("healthy")}")
        assert health.ok
        assert health
        assert "starttls-missing" in health.ids
        assert not health.problems
        assert health.report.status == "warning"
        assert repr(health) == "<{world.target("healthy")}: ok>"
    """
    run(suite, code).assert_outcomes(passed=1)


def test_a_domain_is_asked_of_the_resolver_of_the_configuration(suite: pytest.Pytester, world: SmallWorld) -> None:
    code = f"""
    def test_mail(smtp_health):
        health = smtp_health("example.org", ports="smtp:{world.servers["healthy"].port}")
        assert health.ok
        assert health.report.evidence.options.timeout_s == 5
    """
    run(suite, code).assert_outcomes(passed=1)


def test_a_failure_says_what_is_wrong_and_how_to_mend_it(suite: pytest.Pytester, world: SmallWorld) -> None:
    target = world.target("refusing")
    result = run(suite, f"def test_mail(smtp_health):\n    assert smtp_health('{target}').ok")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            f"*where False = <{target}: greeting-refused>.ok",
            f"*- smtp_health {target} -*",
            f"{target}: findings",
            "error: *[[]greeting-refused[]]",
            f"  Where: {target.partition(':')[0]} {target}",
            "  1. *",
        ]
    )


def test_a_problem_of_several_places_is_told_once(suite: pytest.Pytester, world: SmallWorld) -> None:
    code = f"""
    import msgspec

    def test_mail(smtp_health):
        health = smtp_health("{world.target("refusing")}")
        (finding,) = health.problems
        other = msgspec.structs.replace(finding, where=msgspec.structs.replace(finding.where, port=26))
        object.__setattr__(health, "problems", (finding, other))
        said = str(health).splitlines()
        (where,) = [line for line in said if line.startswith("  Where: ")]
        assert where.count(finding.where.address + ":") == 2
        assert sum(line.startswith("error: ") for line in said) == 1
    """
    run(suite, code).assert_outcomes(passed=1)


def test_what_is_not_known_is_not_ok_and_no_finding(suite: pytest.Pytester, world: SmallWorld) -> None:
    code = f"""
    def test_mail(smtp_health):
        health = smtp_health("{world.target("busy")}")
        assert not health.ok
        assert health.outcome == "inconclusive"
        assert [each.id for each in health.problems] == ["temporarily-refused"]
    """
    run(suite, code).assert_outcomes(passed=1)


def test_thresholds_and_exceptions(suite: pytest.Pytester, world: SmallWorld) -> None:
    code = f"""
    import pytest
    from smtpprobe.errors import OptionError, TargetError

    TARGET = "{world.target("healthy")}"

    def test_mail(smtp_health):
        assert not smtp_health(TARGET, fail_on="warning").ok
        assert smtp_health(TARGET, fail_on="warning", allow=["starttls-missing"]).ok
        assert smtp_health(TARGET, fail_on="warning", expect="starttls-missing").ok
        health = smtp_health(TARGET, expect=["certificate-expired"])
        assert not health.ok and health.missing == ("certificate-expired",)
        assert "expected, but not found: certificate-expired" in str(health)
        with pytest.raises(OptionError, match="no finding 'startls-missing'"):
            smtp_health(TARGET, allow=["startls-missing"])
        with pytest.raises(OptionError, match="often"):
            smtp_health(TARGET, fail_on="often")
        with pytest.raises(OptionError, match="colour"):
            smtp_health(TARGET, colour="red")
        with pytest.raises(TargetError):
            smtp_health("no target")
    """
    run(suite, code).assert_outcomes(passed=1)


def test_what_a_server_is_to_be_like(suite: pytest.Pytester, world: SmallWorld) -> None:
    code = f"""
    import pytest
    from smtpprobe.errors import ConfigError

    TARGET = "{world.target("healthy")}"

    def test_mail(smtp_health):
        assert smtp_health(TARGET, expect={{"greeting-code": 220, "capabilities": ["PIPELINING"], "size": 10**6}}).ok
        health = smtp_health(TARGET, expect={{"auth-before-tls": False, "size": 10**9, "smtp": {{"auth": ["PLAIN"]}}}})
        assert [each.id for each in health.problems] == ["expectation-not-met"] * 2
        assert {{each.params["expectation"] for each in health.problems}} == {{"auth", "size"}}
        assert smtp_health(TARGET, expect={{"replies": ["noop -> 250"]}}).ok
        with pytest.raises(ConfigError, match="^expect.sise: there is no such key; did you mean 'size'"):
            smtp_health(TARGET, expect={{"sise": 5}})
    """
    run(suite, code).assert_outcomes(passed=1)


def test_a_mistake_is_shown_at_the_line_that_makes_it_and_nothing_of_ours(suite: pytest.Pytester) -> None:
    code = """
    def test_target(smtp_health):
        smtp_health("no target")

    def test_expectation(smtp_health):
        smtp_health("127.0.0.1:1", expect={"min-tsl": "1.2"})
    """
    result = run(suite, code)
    result.assert_outcomes(failed=2)
    shown = result.stdout.str()
    assert "did you mean 'min-tls'?" in shown
    assert "'no target' is no target" in shown
    assert "targets.py" not in shown
    assert "pytest_plugin.py" not in shown


# --- markers --------------------------------------------------------------------------------------------------------


def test_the_marker_smtp_sets_options_and_the_closest_one_wins(suite: pytest.Pytester, world: SmallWorld) -> None:
    code = f"""
    import pytest

    pytestmark = pytest.mark.smtp(fail_on="warning", timeout=3)

    def test_module(smtp_health):
        health = smtp_health("{world.target("healthy")}")
        assert not health.ok and health.report.evidence.options.timeout_s == 3

    @pytest.mark.smtp(fail_on="error", timeout="1500ms", ehlo="test.example")
    def test_function(smtp_health):
        health = smtp_health("{world.target("healthy")}")
        assert health.ok and health.report.evidence.options.timeout_s == 1.5
        assert health.report.evidence.ehlo_name == "test.example"
        assert smtp_health("{world.target("healthy")}", timeout=2).report.evidence.options.timeout_s == 2
    """
    run(suite, code).assert_outcomes(passed=2)


def test_the_marker_smtp_target_runs_the_test_for_each_target(suite: pytest.Pytester, world: SmallWorld) -> None:
    code = f"""
    import pytest

    @pytest.mark.smtp_target("{world.target("healthy")}", "{world.target("refusing")}", allow="starttls-missing")
    def test_mail(smtp_target):
        assert smtp_target.ok
    """
    result = run(suite, code)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"*FAILED *::test_mail[[]{world.target('refusing')}[]]*"])


def test_mistakes_in_markers_are_said(suite: pytest.Pytester) -> None:
    result = run(suite, "def test_mail(smtp_target):\n    pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*smtp_target needs a marker*"])
    result = run(suite, "import pytest\n@pytest.mark.smtp('x')\ndef test_mail(smtp_health):\n    pass")
    result.stdout.fnmatch_lines(["*takes options by name only*"])


def test_the_markers_are_documented(suite: pytest.Pytester) -> None:
    result = suite.runpytest_inprocess("-p", PLUGIN, "--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.smtp(**", "@pytest.mark.smtp_target(*"])


def test_the_roots_of_the_configuration_are_found_beside_it(suite: pytest.Pytester, world: SmallWorld) -> None:
    file = suite.path / "pyproject.toml"
    file.write_text(file.read_text() + '\nsmtp_ca = "ours.pem"\nsmtp_deadline = "20s"\nsmtp_ports = "587 smtp:2525"\n')
    code = f"""
    import pytest
    from smtpprobe.errors import OptionError

    def test_mail(smtp_health):
        with pytest.raises(OptionError, match="ours.pem"):
            smtp_health("{world.target("healthy")}")
        health = smtp_health("{world.target("healthy")}", ca=None)
        assert health.report.evidence.options.deadline_s == 20
        assert [each.port for each in health.report.evidence.options.ports] == [587, 2525]
    """
    run(suite, code).assert_outcomes(passed=1)


# --- in this very suite ---------------------------------------------------------------------------------------------


async def test_it_can_be_used_where_a_loop_is_running(smtp_health: SmtpHealth, world: SmallWorld) -> None:
    health = smtp_health(world.target("healthy"), resolver=world.dns.resolver)
    assert isinstance(health, Health)
    assert health.ok
    assert (await asyncio.to_thread(smtp_health, world.target("healthy"), resolver=world.dns.resolver)).ok


def test_what_a_server_says_cannot_act_on_the_terminal(smtp_health: SmtpHealth) -> None:
    rude = (b"554 5.7.1 \x1b[2J\x1b]0;owned\x07 go away\r\n",)
    with small_world(rude=rude) as servers:
        health = smtp_health(servers.target("rude"), resolver=servers.dns.resolver)
    assert not health.ok
    assert "\x1b" not in str(health) + repr(health)


def test_nothing_of_ours_is_imported_by_a_thread_of_a_probe() -> None:
    """pytest parses what it imports of us, and two threads of Python 3.11 cannot parse at once."""
    code = """if True:
        import sys
        from smtpprobe import probing
        from smtpprobe.evidence import Options
        from smtpprobe.integrations import pytest_plugin
        from smtpprobe.targets import parse_target

        async def collect(target, options):
            print(sorted({"smtpprobe.certificates", "smtpprobe.stub"} - sys.modules.keys()))
            raise LookupError

        probing.collect = collect
        try:
            pytest_plugin._collected(parse_target("example.org"), Options())
        except LookupError:
            print("asked")
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\nasked\n", "")
