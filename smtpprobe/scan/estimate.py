"""What a scan will cost, before anything is asked: pure arithmetic on the targets and the limits."""

from __future__ import annotations

import msgspec

from smtpprobe.scan.pace import Limits

ASSUMED_SESSION_S = 1.0
"""Seconds that a session takes where nothing is known: some round trips across the internet, and a busy server."""

QUESTIONS_PER_NAME = 4.2
"""MX, A and AAAA of 1.6 hosts: what domains have on average where providers have not been asked for yet."""

ENDPOINTS_PER_NAME = 2.1
"""Addresses of those hosts, IPv6 included, where no two domains share one."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be expected."""

    names: int
    addresses: int
    questions: int
    endpoints: int
    seconds: float


def estimate(names: int, addresses: int, limits: Limits, *, ports: int = 1) -> Estimate:
    """Say what a scan costs at most, if no two targets share a mail host.

    Args:
        ports: on each address.
    """
    hosts = round(names * ENDPOINTS_PER_NAME) + addresses
    endpoints = hosts * ports
    seconds = endpoints * ASSUMED_SESSION_S / limits.concurrency
    if limits.rate is not None:
        seconds = max(seconds, endpoints / limits.rate)
    if ports > 1:  # the ports of an address wait for one another
        seconds = max(seconds, ports * (ASSUMED_SESSION_S + limits.per_host_interval_s))
    return Estimate(
        names=names,
        addresses=addresses,
        questions=round(names * QUESTIONS_PER_NAME),
        endpoints=endpoints,
        seconds=max(seconds, ASSUMED_SESSION_S) if endpoints else 0.0,
    )
