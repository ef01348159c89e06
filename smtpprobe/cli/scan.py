"""``smtpprobe scan``: probe very many targets, each endpoint once, politely, losing nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from smtpprobe.cli import EXIT_INTERRUPTED
from smtpprobe.cli.options import Duration, OneOf, SectionedCommand, lang_option, language, option, options

if TYPE_CHECKING:
    from smtpprobe.cli.scanning import Teller
    from smtpprobe.scan.distributed import DistributedScan
    from smtpprobe.scan.running import Plan, Scan, Taken

_INPUT = "Targets and results"
_DEPTH = "What to ask"
_PACE = "Politeness"
_WHERE = "Where to connect"
_RUN = "The run"
_CLUSTER = "More than one machine"

MAX_EXCLUDE_BYTES: Final = 256 * 1024 * 1024
"""Of the file of those that are left alone: some ten million names."""

_ASKED = (
    "ports",
    "ipv4",
    "ipv6",
    "resolvers",
    "overrides",
    "ca",
    "ehlo",
    "timeout",
    "deadline",
    "trust_ad",
    "policy_port",
)
"""The options of a probe that a scan has too."""

EXIT_STATUS = """\b
Exit status:
  0    every target has its result, whatever that is
  2    the command cannot be carried out as given, or something cannot be written
  3    it ended before every target had its result (--max-time)
  130  stopped by Ctrl-C or SIGTERM; the results so far are written, and --resume goes on
"""


def _or_list_fields(ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Hand on what --fields names; the word 'help' lists the columns instead, and needs no FILE."""
    if value == "help":
        from smtpprobe.scan.columns import MEANINGS

        width = max(map(len, MEANINGS))
        for name, meaning in MEANINGS.items():
            click.echo(f"{name:<{width}}  {meaning}")
        ctx.exit()
    return value


class Pause(Duration):
    """Seconds, also none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        return 0.0 if str(value).strip() in ("0", "0s") else super().convert(value, param, ctx)


@click.command(
    cls=SectionedCommand,
    short_help="Probe very many targets: each server once, politely.",
    epilog=EXIT_STATUS,
)
@click.argument("source", metavar="FILE")
@option(
    "--column",
    section=_INPUT,
    metavar="NAME",
    help="The column or field that names the target, for .csv, .tsv and .ndjson; for a list the number of the word.",
)
@option(
    "--out",
    section=_INPUT,
    metavar="FILE",
    default="-",
    help="Where results go, by its ending: .ndjson, .csv, .sqlite or .parquet. By default NDJSON on the standard"
    " output.",
)
@option(
    "--fields",
    section=_INPUT,
    metavar="NAME,...",
    is_eager=True,
    callback=_or_list_fields,
    help="Only these columns; '--fields help' lists them.",
)
@option(
    "--save-evidence",
    "evidence",
    section=_INPUT,
    metavar="FILE",
    help="Keep all facts, as NDJSON for 'judge'; of a name that is excluded there are none.",
)
@option(
    "--depth",
    section=_DEPTH,
    type=OneOf(lambda: ("light", "full")),
    default="light",
    help="light: port 25 with its certificate; full: all that 'check' asks.",
)
@option(
    "--port",
    "ports",
    section=_WHERE,
    metavar="PORT",
    multiple=True,
    help="Instead of the usual: smtp:2525. Repeatable.",
)
@option(
    "-4",
    "ipv4",
    section=_WHERE,
    is_flag=True,
    help="Use IPv4 only.",
)
@option(
    "-6",
    "ipv6",
    section=_WHERE,
    is_flag=True,
    help="Use IPv6 only.",
)
@option(
    "--resolver",
    "resolvers",
    section=_WHERE,
    metavar="ADDR[:PORT]",
    multiple=True,
    help="Ask this resolver. Repeatable.",
)
@option(
    "--resolve", "overrides", section=_WHERE, metavar="NAME=ADDR", multiple=True, help="Use this address for a name."
)
@option(
    "--ca",
    section=_WHERE,
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Trust these roots too (PEM).",
)
@option(
    "--trust-ad",
    section=_WHERE,
    is_flag=True,
    help="Believe the resolver about DNSSEC although it is not local.",
)
@option(
    "--policy-port",
    section=_WHERE,
    type=click.IntRange(1, 65535),
    default=443,
    hidden=True,
)
@option(
    "--ehlo",
    section=_PACE,
    metavar="NAME",
    help="Who you are, in EHLO: a name that leads to you. Needed for more than 100 targets.",
)
@option(
    "--exclude", section=_PACE, metavar="FILE", help="Leave alone what this file lists: names, addresses, networks."
)
@option(
    "--allow-private",
    section=_PACE,
    is_flag=True,
    help="Also talk to private, loopback and other addresses that are not public.",
)
@option(
    "--per-host-interval",
    section=_PACE,
    type=Pause(),
    help="Pause between two connections to an address; by default 1s.",
)
@option(
    "--per-network",
    section=_PACE,
    type=click.IntRange(1),
    default=8,
    show_default=True,
    metavar="N",
    help="Connections at once into one /24 or IPv6 /48.",
)
@option(
    "--per-provider",
    section=_PACE,
    type=click.IntRange(1),
    default=32,
    show_default=True,
    metavar="N",
    help="Connections at once to one provider's hosts.",
)
@option(
    "--back-off",
    section=_PACE,
    type=Pause(),
    help="Pause for an address that puts us off, doubled each time; by default 30s.",
)
@option(
    "--concurrency",
    section=_PACE,
    type=click.IntRange(1, 100_000),
    default=500,
    show_default=True,
    metavar="N",
    help="Connections at once in all.",
)
@option(
    "--rate",
    section=_PACE,
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="New connections per second at most.",
)
@option(
    "--timeout",
    section=_RUN,
    type=Duration(),
    help="Longest time for one step; by default 10s, and 30s for the greeting.",
)
@option(
    "--deadline",
    section=_RUN,
    type=Duration(),
    help="Longest time for one endpoint; by default 60s.",
)
@option(
    "--limit",
    section=_RUN,
    type=click.IntRange(1),
    metavar="N",
    help="The first N targets only.",
)
@option(
    "--max-time",
    section=_RUN,
    type=Duration(),
    help="Begin nothing more after so long; --resume goes on.",
)
@option(
    "--resume",
    section=_RUN,
    is_flag=True,
    help="Go on with a scan that was stopped, by whatever.",
)
@option(
    "--jobs",
    section=_RUN,
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that talk to servers.",
)
@option(
    "--engine",
    section=_CLUSTER,
    type=OneOf(lambda: ("local", "dask")),
    default="local",
    help="local: this machine; dask: a Dask cluster, by default one of --jobs processes here. --out is a folder or URL"
    " then, for Parquet files.",
)
@option(
    "--scheduler",
    section=_CLUSTER,
    metavar="ADDRESS",
    help="Where Dask's scheduler is: tcp://HOST:8786. Implies --engine dask.",
)
@option(
    "--partition-size",
    section=_CLUSTER,
    type=click.IntRange(1),
    metavar="N",
    help="Targets that a worker takes at a time, and rows of a file; by default 10000.",
)
@option(
    "--dry-run",
    section=_RUN,
    is_flag=True,
    help="Read the targets, say what it would cost, and ask nobody.",
)
@option(
    "-q",
    "--quiet",
    section=_RUN,
    is_flag=True,
    help="No progress and no summary.",
)
@lang_option(_RUN)
def command(source: str, **given: Any) -> int:
    """Probe the targets that FILE lists, one a line; '-' reads the standard input.

    The domains are resolved first; then each mail server is talked to once, however many domains it serves, and the
    results are written as they come: one line of JSON a domain. Nothing is sent but EHLO, STARTTLS and QUIT. Where the
    results go to a file, a journal beside it lets the scan go on after anything: --resume.

    \b
    Examples:
      smtpprobe scan domains.txt > results.ndjson
      smtpprobe scan customers.csv --column domain --out results.parquet --ehlo probe.example.org
      zcat domains.gz | smtpprobe scan - --out results.ndjson --rate 50 --ehlo probe.example.org
      smtpprobe scan domains.txt --scheduler tcp://192.0.2.10:8786 --out s3://bucket/results --ehlo probe.example.org
      smtpprobe report results.ndjson
    """
    chosen = language(given.pop("lang"))
    is_quiet, is_dry = given.pop("quiet"), given.pop("dry_run")
    cluster = {each: given.pop(each) for each in ("engine", "scheduler", "partition_size")}
    plan, descriptors = _plan(source, given, is_local=cluster["engine"] == "local" and cluster["scheduler"] is None)
    from smtpprobe.cli.scanning import Teller
    from smtpprobe.scan.running import STDOUT

    teller = Teller(chosen, is_quiet=is_quiet)
    if descriptors is not None:
        teller.say("descriptors", count=descriptors, connections=plan.limits.concurrency)
    if is_dry:
        return _say_plan(plan, teller)
    with _scan(plan, teller, **cluster) as scan:
        _require_targets(scan.take_targets(teller.reading), source, teller)
        outcome = scan.run()
    teller.summary(outcome, is_kept=plan.out != STDOUT)
    if outcome.is_complete:
        return 0
    return EXIT_INTERRUPTED if scan.is_stopped else 3


def _scan(
    plan: Plan, teller: Teller, engine: str, scheduler: str | None, partition_size: int | None
) -> Scan | DistributedScan:
    if engine == "dask" or scheduler is not None:
        from smtpprobe.scan.distributed import PARTITION_SIZE, DistributedScan

        return DistributedScan(
            plan, scheduler=scheduler, partition_size=partition_size or PARTITION_SIZE, on_tick=teller.flow
        )
    if partition_size is not None:
        raise click.UsageError("--partition-size is for --engine dask", click.get_current_context())
    from smtpprobe.scan.running import Scan

    return Scan(plan, on_tick=teller.tick)


def _plan(source: str, given: dict[str, Any], *, is_local: bool) -> tuple[Plan, int | None]:
    import msgspec

    from smtpprobe.endpoints import parse_port
    from smtpprobe.evidence import DEFAULT_PORTS, PortSpec, Role
    from smtpprobe.scan.columns import parse_fields
    from smtpprobe.scan.guard import read_exclusions
    from smtpprobe.scan.pace import Limits
    from smtpprobe.scan.running import Plan, fit_to_descriptors
    from smtpprobe.scan.worker import Depth

    depth = Depth(given["depth"])
    probe = options(**{each: given[each] for each in _ASKED})
    if depth is Depth.LIGHT:
        ports: tuple[PortSpec, ...] = tuple(each for each in DEFAULT_PORTS if each.role is Role.SMTP)
        if given["ports"]:
            ports = tuple(map(parse_port, given["ports"]))
        probe = msgspec.structs.replace(probe, policies=False, ports=ports)
    usual = Limits()
    interval, back_off = given["per_host_interval"], given["back_off"]
    limits = Limits(
        concurrency=given["concurrency"],
        rate=given["rate"],
        per_host_interval_s=usual.per_host_interval_s if interval is None else interval,
        per_network=given["per_network"],
        per_provider=given["per_provider"],
        back_off_s=usual.back_off_s if back_off is None else back_off,
    )
    descriptors = None
    if is_local:  # each worker of a cluster looks after its own
        limits, descriptors = fit_to_descriptors(limits)
    excluded: list[str] = []
    if given["exclude"] is not None:
        excluded = _lines_of(given["exclude"])
    return (
        Plan(
            source=source,
            column=given["column"],
            out=given["out"],
            fields=parse_fields(given["fields"]),
            depth=depth,
            options=probe,
            limits=limits,
            guard=read_exclusions(excluded, is_private_allowed=given["allow_private"]),
            limit=given["limit"],
            max_time_s=given["max_time"],
            evidence=given["evidence"],
            is_resumed=given["resume"],
            jobs=given["jobs"],
        ),
        descriptors,
    )


def _say_plan(plan: Plan, teller: Teller) -> int:
    """Read the targets into a journal that is thrown away, and say what they would cost."""
    import msgspec

    from smtpprobe.scan.running import Scan

    dry = msgspec.structs.replace(plan, out="-", is_resumed=False)
    with Scan(dry) as scan:
        taken = scan.take_targets(teller.reading)
        _require_targets(taken, plan.source, teller)
        teller.plan(scan.estimate(), taken, plan.limits)
    return 0


def _require_targets(taken: Taken, source: str, teller: Teller) -> None:
    """See to it that there is something to scan: a wrong column must not pass for a scan that is done."""
    if taken.targets:
        return
    from smtpprobe.errors import OptionError
    from smtpprobe.names import quoted

    teller.about_input(taken)
    where = "on the standard input" if source == "-" else f"in {quoted(source)}"
    raise OptionError(f"there is no target {where}")


def _lines_of(file: str) -> list[str]:
    """Read a file that fits into memory, as one of exclusions must."""
    from smtpprobe.errors import OptionError

    with open(file, "rb") as stream:
        data = stream.read(MAX_EXCLUDE_BYTES + 1)
    if len(data) > MAX_EXCLUDE_BYTES:
        raise OptionError(f"{file}: it has more than {MAX_EXCLUDE_BYTES // 1024 // 1024} MiB")
    return data.decode("utf-8-sig", "backslashreplace").splitlines()
