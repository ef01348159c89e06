"""The configurations in ``examples/``: each is read by a program that is not ours, and each command in them is run.

The commands run as they stand, against a mail world on this machine: a program called ``smtpprobe`` stands first in the
path and adds to each check where the DNS, the port and the roots of that world are.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml  # type: ignore[import-untyped]
from junitparser import JUnitXml
from prometheus_client.parser import text_string_to_metric_families

from smtpprobe.lab.certificates import CertificateKind, make_identity, server_context, trusted_root
from smtpprobe.lab.scripted import greeting, serve
from tests.cli.small_world import REFUSING, SmallWorld, small_world
from tests.render.test_formats import read_github, read_nagios

EXAMPLES = Path(__file__).parent.parent / "examples"
RECORDS = """
example.org MX 10 mx.example.org
example.net MX 10 mx.example.org
mx.example.org A {mx}
"""


PROGRAM = """#!/bin/sh
case $1 in
check) set -- "$@" {arguments} ;;
watch) set -- "$@" {arguments} --every 1ms --count 3 ;;
esac
exec {words} "$@"
"""


@dataclass(frozen=True)
class Surroundings:
    """A world, and how commands get there."""

    world: SmallWorld
    ca: Path
    programs: Path
    """The folder that stands first in the path."""
    folder: Path
    """Where commands run."""

    @property
    def arguments(self) -> tuple[str, ...]:
        port = self.world.servers["mx"].port
        return ("--resolver", self.world.dns.resolver, "--port", f"smtp:{port}", "--ca", str(self.ca))

    def run(self, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.programs}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, cwd=self.folder,
            env={**os.environ, "PATH": path, **environ},
        )  # fmt: skip

    def shell(self, script: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return self.run("sh", "-e", "-c", script.replace("/usr/local/bin/smtpprobe", "smtpprobe"), **environ)

    def add_program(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Surroundings]:
    with surroundings(tmp_path, broken=False) as found:
        yield found


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Surroundings]:
    """The same with a server that refuses."""
    with surroundings(tmp_path, broken=True) as found:
        yield found


@contextmanager
def surroundings(folder: Path, *, broken: bool) -> Iterator[Surroundings]:
    host = "mx.example.org"
    found = [folder / name for name in ("programs", "work", "keys")]
    for each in found:
        each.mkdir(mode=0o700)
    programs, work, keys = found
    ca = folder / "ca.pem"
    ca.write_bytes(trusted_root())
    context = server_context(make_identity(CertificateKind.TRUSTED, host), keys)
    well = (greeting(host), serve(host, "PIPELINING", "SIZE 10240000", tls=context))
    with small_world(RECORDS, mx=REFUSING if broken else well) as world:
        at = Surroundings(world, ca, programs, work)
        words, arguments = shlex.join([sys.executable, "-m", "smtpprobe"]), shlex.join(at.arguments)
        at.add_program("smtpprobe", PROGRAM.format(words=words, arguments=arguments))
        yield at


def read_yaml(name: str) -> Any:
    return yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))


def check_schema(schema: str, name: str) -> None:
    """Hold a file against a schema that check-jsonschema brings along."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    if schema.endswith("gitlab-ci"):
        command += ["--data-transform", "gitlab-ci"]
    ended = subprocess.run([*command, str(EXAMPLES / name)], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr


# --- pipelines ------------------------------------------------------------------------------------------------------


def test_the_github_workflow_is_one() -> None:
    check_schema("vendor.github-workflows", "ci/github-actions.yml")


def test_the_steps_of_the_github_workflow_work(here: Surroundings) -> None:
    steps = read_yaml("ci/github-actions.yml")["jobs"]["mail"]["steps"]
    commands = [each["run"] for each in steps if "run" in each and not each["run"].startswith("pip ")]
    assert len(commands) == 2
    summary = here.folder / "summary.md"
    ended = here.shell(commands[0])
    assert (ended.returncode, ended.stderr) == (0, "")
    read_github(ended.stdout)
    assert here.shell(commands[1], GITHUB_STEP_SUMMARY=str(summary)).returncode == 0
    assert "example.org" in summary.read_text()
    wanted = {each for step in steps for each in re.findall(r"\bmail\.\w+", " ".join(step.get("with", {}).values()))}
    assert wanted == {path.name for path in here.folder.glob("mail.*")}
    assert json.loads((here.folder / "mail.sarif").read_text())["version"] == "2.1.0"


def test_the_github_workflow_fails_where_a_server_does(broken: Surroundings) -> None:
    steps = read_yaml("ci/github-actions.yml")["jobs"]["mail"]["steps"]
    ended = broken.shell(next(each["run"] for each in steps if "smtpprobe check" in each.get("run", "")))
    assert ended.returncode == 1
    assert "::error " in ended.stdout


@pytest.mark.parametrize(("status", "job"), [(0, 0), (1, 1), (2, 1), (3, 0)])
def test_the_github_workflow_does_not_fail_for_what_is_not_known(here: Surroundings, status: int, job: int) -> None:
    steps = read_yaml("ci/github-actions.yml")["jobs"]["mail"]["steps"]
    here.add_program("smtpprobe", f"#!/bin/sh\nexit {status}\n")
    command = next(each["run"] for each in steps if "smtpprobe check" in each.get("run", ""))
    assert here.shell(command).returncode == job


def test_the_gitlab_job_is_one() -> None:
    check_schema("vendor.gitlab-ci", "ci/gitlab-ci.yml")


def test_the_script_of_the_gitlab_job_works(here: Surroundings) -> None:
    job = read_yaml("ci/gitlab-ci.yml")["mail-health"]
    for command in job["script"]:
        assert here.shell(command).returncode == 0
    kept = {*job["artifacts"]["paths"], *job["artifacts"]["reports"].values()}
    assert kept == {path.name for path in here.folder.iterdir()}
    assert list(JUnitXml.fromstring((here.folder / "mail.xml").read_bytes()))
    assert isinstance(json.loads((here.folder / "mail.json").read_text()), list)


# --- monitoring -----------------------------------------------------------------------------------------------------


def nagios_command(**macros: str) -> str:
    """The command line of the example, with its macros filled in as Nagios does."""
    text = (EXAMPLES / "monitoring" / "nagios.cfg").read_text()
    (line,) = re.findall(r"^\s*command_line\s+(.*)$", text, re.MULTILINE)
    (service,) = re.findall(r"^\s*check_command\s+(.*)$", text, re.MULTILINE)
    name, *arguments = service.split("!")
    assert re.search(rf"command_name\s+{name}$", text, re.MULTILINE)
    (domain,) = re.findall(r"^\s*_MAIL_DOMAIN\s+(.*)$", text, re.MULTILINE)
    values = {f"ARG{number}": each for number, each in enumerate(arguments, 1)} | {"_SERVICEMAIL_DOMAIN": domain}
    return re.sub(r"\$(\w+)\$", lambda found: (values | macros)[found[1]], line)


def icinga_command(**changes: str) -> list[str]:
    """The command of the example, with its arguments in order and its macros filled in as Icinga 2 does."""
    text = (EXAMPLES / "monitoring" / "icinga2.conf").read_text()
    assert text.count("{") == text.count("}")
    assert text.count("[") == text.count("]")
    values: dict[str, str] = dict(re.findall(r"^  vars\.(\w+) = \"?([^\"\n]+)", text, re.MULTILINE))
    values |= {"host.vars.mail_domain": "example.org", **changes}

    def filled(template: str) -> str:
        while found := re.search(r"\$([\w.]+)\$", template):
            template = template.replace(found[0], values[found[1]])
        return template

    (command,) = re.findall(r"^  command = (\[.*\])$", text, re.MULTILINE)
    words: list[str] = json.loads(command)
    blocks = re.findall(r"^    \"([\w-]+)\" = \{\n(.*?)^    \}", text, re.MULTILINE | re.DOTALL)
    for name, body in sorted(blocks, key=lambda each: int(re.findall(r"order = (\d+)", each[1])[0])):
        (value,) = re.findall(r"value = (.*)$", body, re.MULTILINE)
        given = json.loads(value)
        assert isinstance(given, str), "Icinga refuses an array here"
        key = dict(re.findall(r'^      (key) = "(.*)"$', body, re.MULTILINE)).get("key", name)
        words += [filled(given)] if "skip_key = true" in body else [key, filled(given)]
    return words


def test_the_nagios_command_works(here: Surroundings) -> None:
    ended = here.shell(nagios_command())
    assert (ended.returncode, ended.stderr) == (0, "")
    read_nagios(ended.stdout)
    assert here.shell(nagios_command(ARG1="0.000001")).returncode == 1
    assert here.shell(nagios_command(ARG4="3000")).returncode == 2
    assert here.shell(nagios_command(_SERVICEMAIL_DOMAIN="no..domain")).returncode == 3


def test_the_icinga_command_is_the_same(here: Surroundings) -> None:
    assert icinga_command() == shlex.split(nagios_command())
    assert here.shell(shlex.join(icinga_command(smtpprobe_critical_days="3000"))).returncode == 2


def test_a_broken_server_is_critical(broken: Surroundings) -> None:
    ended = broken.shell(nagios_command())
    assert ended.returncode == 2
    assert ended.stdout.startswith("SMTPPROBE CRITICAL")


# --- systemd --------------------------------------------------------------------------------------------------------


def unit(name: str) -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(EXAMPLES / "systemd" / name)
    return parser


def test_the_service_writes_metrics_whole(here: Surroundings) -> None:
    service = unit("smtpprobe.service")["Service"]
    folder = here.folder / "collector"
    folder.mkdir()
    command = service["ExecStart"]
    assert f"={service['ReadWritePaths']}/" in command
    ended = here.shell(command.replace(service["ReadWritePaths"], str(folder)))
    assert (ended.returncode, ended.stderr) == (0, "")
    (written,) = folder.iterdir()
    assert written.name == "smtpprobe.prom"
    assert written.stat().st_mode & 0o777 == 0o644
    names = {each.name for each in text_string_to_metric_families(written.read_text())}
    assert {"smtpprobe_status", "smtpprobe_certificate_not_after_timestamp_seconds"} <= names


def test_the_service_may_write_where_it_writes() -> None:
    """The folder of Debian's package is root's."""
    service = unit("smtpprobe.service")["Service"]
    words = service["ExecStartPre"].split()
    assert words[0] == "+/usr/bin/install", "as root, for the user of the service"
    assert words[-1] == service["ReadWritePaths"]
    assert words[words.index("-o") + 1] == service["User"]


def test_what_the_service_calls_success_is_what_is_in_the_metrics(broken: Surroundings) -> None:
    service = unit("smtpprobe.service")["Service"]
    command = service["ExecStart"].replace(service["ReadWritePaths"], str(broken.folder))
    ended = broken.shell(command)
    assert str(ended.returncode) in service["SuccessExitStatus"].split()
    assert 'smtpprobe_status{status="error",target="example.org"} 1.0' in (broken.folder / "smtpprobe.prom").read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_reads_the_units(tmp_path: Path) -> None:
    for path in (EXAMPLES / "systemd").iterdir():
        # A program has to be there, whichever.
        (tmp_path / path.name).write_text(path.read_text().replace("/usr/local/bin/smtpprobe", "/bin/true"))
    units = sorted(map(str, tmp_path.iterdir()))
    assert len(units) == 2
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, timeout=60,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
    )  # fmt: skip
    ours = [line for line in ended.stderr.splitlines() if "smtpprobe" in line]
    assert (ended.returncode, ours) == (0, [])


# --- Prometheus -----------------------------------------------------------------------------------------------------


def test_the_alerts_ask_for_metrics_that_are_written(here: Surroundings) -> None:
    here.shell("smtpprobe check -q --output prometheus=all.prom example.org")
    written = {each.name for each in text_string_to_metric_families((here.folder / "all.prom").read_text())}
    rules = [rule for group in read_yaml("monitoring/alerts.yml")["groups"] for rule in group["rules"]]
    asked = {name for rule in rules for name in re.findall(r"smtpprobe_\w+", rule["expr"])}
    assert asked
    assert asked <= written


# --- cron and test-suites -------------------------------------------------------------------------------------------


MAIL = """#!/bin/sh
printf '%s\\n' "$@" >"$MAIL_SEEN"
cat >>"$MAIL_SEEN"
"""


def cron(at: Surroundings, **environ: str) -> tuple[int, str]:
    """Run the cron script; give its status and the mail that it sent, empty if none."""
    at.add_program("mail", MAIL)
    seen = at.folder / "mail"
    ended = at.run("sh", str(EXAMPLES / "cron" / "mail-health.sh"), "example.org", MAIL_SEEN=str(seen), **environ)
    assert ended.stdout + ended.stderr == ""
    return ended.returncode, seen.read_text() if seen.exists() else ""


def test_cron_sends_nothing_where_nothing_is_wrong(here: Surroundings) -> None:
    assert cron(here) == (0, "")


def test_cron_sends_the_report_where_something_is_wrong(broken: Surroundings) -> None:
    status, sent = cron(broken, MAILTO="postmaster@example.com")
    assert status == 1
    assert sent.startswith("-s\nMail servers, status 1: example.org\npostmaster@example.com\n")
    assert "554 5.7.1 No service for you" in sent
    assert "\x1b" not in sent


def test_the_cron_script_is_executable() -> None:
    assert os.access(EXAMPLES / "cron" / "mail-health.sh", os.X_OK)


def pytest_run(at: Surroundings, file: Path) -> subprocess.CompletedProcess[str]:
    settings: Mapping[str, str] = {
        "smtp_resolver": at.world.dns.resolver,
        "smtp_ports": f"smtp:{at.world.servers['mx'].port}",
        "smtp_ca": str(at.ca),
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, *options]
    return at.run(*command, "--rootdir", str(at.folder), str(file))


def test_the_test_suite_passes(here: Surroundings) -> None:
    ended = pytest_run(here, EXAMPLES / "test_suite" / "test_mail.py")
    assert (ended.returncode, ended.stdout.splitlines()[-1].split(" in ")[0]) == (0, "6 passed"), ended.stdout


def test_the_test_suite_fails_where_a_server_does(broken: Surroundings) -> None:
    ended = pytest_run(broken, EXAMPLES / "test_suite" / "test_mail.py")
    assert ended.returncode == 1
    assert "error: " in ended.stdout
    assert "test_mail_can_come_in[example.org]" in ended.stdout
    assert "::test_every_server_offers_starttls" in ended.stdout  # nothing is known of TLS there, which is no pass


# --- the README -----------------------------------------------------------------------------------------------------


def readme() -> str:
    """The section on all this."""
    text = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    return text.partition("\n## In CI, monitoring and test-suites\n")[2].partition("\n## ")[0]


def test_the_commands_of_the_readme_work(here: Surroundings) -> None:
    commands = re.findall(r"^    (smtpprobe .*)$", readme(), re.MULTILINE)
    assert len(commands) == 7
    for command in commands:
        ended = here.shell(command)
        assert (ended.returncode, ended.stderr) == (0, ""), command
    assert {"mail.xml", "mail.sarif", "mail.md", "smtpprobe.prom", "mail.db"} == {
        path.name for path in here.folder.iterdir()
    }


def test_the_readme_names_every_metric(here: Surroundings) -> None:
    here.shell("smtpprobe check -q --output prometheus=all.prom example.org")
    written = re.findall(r"^# TYPE smtpprobe_(\S+) ", (here.folder / "all.prom").read_text(), re.MULTILINE)
    table = readme().partition("| metric, ")[2].partition("\n\n")[0]
    told = [name for row in table.splitlines()[2:] for name in re.findall("`([a-z_]+)`", row.split("|")[1])]
    assert sorted(told) == sorted(written)


def test_the_suite_of_the_readme_passes(here: Surroundings) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", readme(), re.DOTALL)
    file = here.folder / "test_readme.py"
    file.write_text(code)
    ended = pytest_run(here, file)
    assert (ended.returncode, ended.stdout.splitlines()[-1].split(" in ")[0]) == (0, "4 passed"), ended.stdout


def test_the_ids_that_examples_and_readme_name_are_those_of_findings() -> None:
    from smtpprobe.checks import KINDS
    from smtpprobe.expectations.model import Expected

    keys = {each.encode_name for each in msgspec.structs.fields(Expected)}
    texts = [readme(), *(path.read_text() for path in EXAMPLES.rglob("*") if path.suffix in (".py", ".yml"))]
    pattern = r"\b(?:starttls|ptr|domain|mx|certificate)-[a-z-]+[a-z]\b"
    named = {each for text in texts for each in re.findall(pattern, text)}
    assert named
    assert named <= {*KINDS, *keys}
