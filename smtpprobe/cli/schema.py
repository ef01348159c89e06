"""``smtpprobe schema``: the JSON Schema of what the program writes, and of the file that it reads."""

from __future__ import annotations

import click

_FORMS = {
    "reports": ("smtpprobe.render.json", "Reports"),
    "report": ("smtpprobe.render.json", "WordedReport"),
    "evidence": ("smtpprobe.evidence", "Evidence"),
    "config": ("smtpprobe.expectations.model", "Config"),
    "changes": ("smtpprobe.difference", "Differences"),
    "watch": ("smtpprobe.watching", "Line"),
    "history": ("smtpprobe.history", "Pasts"),
    "scan": ("smtpprobe.scan.results", "Result"),
    "overview": ("smtpprobe.scan.overview", "Overview"),
}
"""What can be asked for -> where its definition is."""


@click.command(short_help="Print the JSON Schema of what smtpprobe writes.")
@click.argument(
    "form",
    metavar="[NAME]",
    type=click.Choice(list(_FORMS)),
    default="reports",
)
def command(form: str) -> None:
    """Print the JSON Schema (2020-12) of what smtpprobe writes, and of the file that it reads.

    \b
      reports   what 'check --format json' prints: all targets (default)
      report    one target in it
      evidence  one line of what 'check --save' writes
      config    smtpprobe.toml: what is expected of which target
      changes   what 'diff --format json' prints
      watch     one line of what 'watch --format ndjson' prints
      history   what 'history --format json' prints
      scan      one line of what 'scan' writes
      overview  what 'report --format json' prints

    \b
    Examples:
      smtpprobe schema > reports.schema.json
      smtpprobe check --format json example.org |
        check-jsonschema --schemafile reports.schema.json -
    """
    import json
    from importlib import import_module

    from smtpprobe.render.schema import schema_of

    module, name = _FORMS[form]
    click.echo(json.dumps(schema_of(getattr(import_module(module), name)), indent=2))
