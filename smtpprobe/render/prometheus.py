"""Metrics in Prometheus's text exposition format, for a scrape, a push or node_exporter's textfile collector.

Base units (seconds, timestamps in seconds), one time series for each endpoint and stage, and no label whose values a
server can choose freely: software, reply texts and certificate subjects would let it fill the database. The client
library of Prometheus writes the text, so names, escaping and order are its care.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from smtpprobe.errors import MissingExtraError
from smtpprobe.evidence import Endpoint
from smtpprobe.render import Style
from smtpprobe.render.escaping import escape
from smtpprobe.render.measures import measures
from smtpprobe.report import GRAVITY, Report, Severity

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_ENDPOINT: Final = ("target", "host", "address", "port", "role")


def render(reports: Iterable[Report], style: Style) -> Iterator[str]:
    """Give the metrics of all reports in the text format 0.0.4.

    Raises:
        MissingExtraError: prometheus_client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest
    except ImportError as error:
        raise MissingExtraError("the Prometheus format", "ci") from error
    registry = CollectorRegistry(auto_describe=False)
    # A series stands once. Of a target that was probed in the same way twice the last counts; one that was probed in
    # several ways, as for its services apart, is what they come to together.
    latest = {(_target(report), report.evidence.options.ports): report for report in reports}
    registry.register(_Collector(tuple(latest.values())))
    yield generate_latest(registry).decode()


class _Collector:
    """Gives the metrics when the library asks for them."""

    def __init__(self, reports: tuple[Report, ...]) -> None:
        self._reports = reports

    def collect(self) -> Iterator[Metric]:
        yield from _of_targets(self._reports)
        yield from _of_endpoints(self._reports)


def _of_targets(reports: tuple[Report, ...]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"smtpprobe_{name}", text, labels=("target", *labels))

    status = gauge("status", "1 for the state that the target is in, 0 for the others.", "status")
    findings = gauge("findings", "Findings by severity.", "severity")
    finding = gauge("finding", "How often a finding that is no mere note was made; absent where it was not.", "id")
    duration = gauge("duration_seconds", "How long the probe of the target took.")
    at = gauge("timestamp_seconds", "When the probe of the target began, in Unix time.")
    by_target: dict[str, list[Report]] = {}
    for report in reports:
        by_target.setdefault(_target(report), []).append(report)
    for target, together in by_target.items():
        gravest = min((report.status for report in together), key=GRAVITY.index)
        found = [each for report in together for each in report.findings]
        for severity in Severity:
            status.add_metric((target, severity.value), float(gravest is severity))
            findings.add_metric((target, severity.value), sum(each.severity is severity for each in found))
        ids = [each.id for each in found if each.severity not in (Severity.OK, Severity.INFO)]
        for id_ in dict.fromkeys(ids):
            finding.add_metric((target, id_), ids.count(id_))
        duration.add_metric((target,), sum(report.evidence.elapsed_s for report in together))
        at.add_metric((target,), min(report.evidence.started_at.timestamp() for report in together))
    yield from (status, findings, finding, duration, at)


def _of_endpoints(reports: tuple[Report, ...]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"smtpprobe_{name}", text, labels=(*_ENDPOINT, *labels))

    serving = gauge("endpoint_serving", "1 where the endpoint does its work, 0 where not or where that is not known.")
    known = gauge("endpoint_known", "0 where the endpoint could not be judged.")
    stage = gauge("stage_duration_seconds", "How long a stage of the conversation took.", "stage")
    code = gauge("reply_code", "The reply code of a stage.", "stage")
    starttls = gauge("starttls_offered", "1 where STARTTLS is offered.")
    tls = gauge("tls_info", "The negotiated TLS version and cipher, always 1.", "version", "cipher")
    trusted = gauge("certificate_trusted", "1 where chain, name and dates of the certificate hold.")
    expiry = gauge("certificate_not_after_timestamp_seconds", "When the certificate ends, in Unix time.")
    every = {
        (_target(report), *_labels(each.endpoint)): each for report in reports for each in measures(report.evidence)
    }
    for labels, each in every.items():
        serving.add_metric(labels, float(each.is_serving))
        known.add_metric(labels, float(each.is_known))
        for name in ("connect", "greeting", "ehlo", "tls", "total"):
            seconds = getattr(each, f"{name}_s")
            if seconds is not None:
                stage.add_metric((*labels, name), seconds)
        for name in ("greeting", "ehlo", "starttls"):
            number = getattr(each, f"{name}_code")
            if number is not None:
                code.add_metric((*labels, name), number)
        if each.offers_starttls is not None:
            starttls.add_metric(labels, float(each.offers_starttls))
        if each.tls_version is not None:
            tls.add_metric((*labels, escape(each.tls_version), escape(each.tls_cipher or "")), 1)
        if each.is_trusted is not None:
            trusted.add_metric(labels, float(each.is_trusted))
        if each.expires_at is not None:
            expiry.add_metric(labels, each.expires_at.timestamp())
    yield from (serving, known, stage, code, starttls, tls, trusted, expiry)


def _target(report: Report) -> str:
    return escape(report.evidence.target.text)


def _labels(endpoint: Endpoint) -> tuple[str, ...]:
    return escape(endpoint.host), endpoint.address, str(endpoint.port), endpoint.role.value
