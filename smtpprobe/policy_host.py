"""Fetching an MTA-STS policy over HTTPS (RFC 8461 3.3).

The name of the host is resolved by the probe's own resolver, so that ``--resolve`` and ``--resolver`` hold here too.
Its certificate is recorded and judged like that of a mail server: a policy that comes with a bad one is shown, with the
reason, though no sender would act on it. Redirects are not followed, and a body is cut at `MAX_POLICY_BYTES`. A domain
without a policy never pays for the import.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import httpx
import msgspec

from smtpprobe.evidence import (
    MAX_POLICY_BYTES,
    Failure,
    FailureKind,
    Lookup,
    LookupStatus,
    Phase,
    PolicyFetch,
)
from smtpprobe.policies.mta_sts import POLICY_PATH
from smtpprobe.tls import explain_error, make_client_context, read_session

_AGENT: Final = {"User-Agent": "smtpprobe", "Accept": "text/plain", "Accept-Encoding": "identity"}

MAX_ADDRESSES: Final = 8
"""So many addresses of a policy host are tried at most: a domain may name any, to have others knocked at."""

_BYTES: Final = re.compile(r"bytearray\(b(['\"])(.*)\1\)")
"""How the client quotes what it cannot read."""

_KINDS: Final[dict[type[httpx.HTTPError], FailureKind]] = {
    httpx.ConnectError: FailureKind.UNREACHABLE,
    httpx.ConnectTimeout: FailureKind.TIMEOUT,
    httpx.ReadTimeout: FailureKind.TIMEOUT,
    httpx.RemoteProtocolError: FailureKind.GARBAGE,
    httpx.ReadError: FailureKind.RESET,
}


async def fetch_policy(
    domain: str,
    lookups: tuple[Lookup, ...],
    *,
    port: int,
    timeout_s: float,
    clock: Callable[[], float],
) -> tuple[PolicyFetch, tuple[bytes, ...]]:
    """Fetch the policy of a domain.

    Args:
        domain: in A-labels.
        lookups: the A and AAAA questions for ``mta-sts.<domain>``; the addresses are tried in order, `MAX_ADDRESSES`
            at most.
        port: 443 everywhere but in tests.
        timeout_s: for all of it.
        clock: seconds since the probe began.

    Returns:
        What came, and the certificates of the policy host in DER, leaf first; their trust is not judged yet.
    """
    host = f"mta-sts.{domain}"
    began = clock()
    place = host if port == 443 else f"{host}:{port}"
    base = PolicyFetch(url=f"https://{place}{POLICY_PATH}", lookups=lookups, started_s=began, ended_s=began)
    addresses = [record for lookup in lookups for record in lookup.records]
    if not addresses:
        detail = ", ".join(f"{each.rrtype} {each.status.value}" for each in lookups)
        kind = FailureKind.UNREACHABLE if all(map(_is_denied, lookups)) else FailureKind.OTHER
        failure = Failure(phase=Phase.CONNECT, kind=kind, detail=detail)
        return msgspec.structs.replace(base, failure=failure, ended_s=clock()), ()
    result = base
    chain: tuple[bytes, ...] = ()
    # Connecting and the handshake end by themselves before all the time is over: the client does not close what is
    # cancelled in the middle of a handshake.
    addresses = addresses[:MAX_ADDRESSES]
    step_s = timeout_s / (2 * len(addresses) + 1)
    try:
        async with asyncio.timeout(timeout_s):
            for address in addresses:
                limits = httpx.Timeout(timeout_s, connect=step_s)
                result, chain = await _try(base, host, address, port, limits)
                if result.failure is None:
                    break
    except TimeoutError:
        failure = Failure(phase=Phase.CONNECT, kind=FailureKind.TIMEOUT, detail=f"no policy within {timeout_s:g} s")
        result = msgspec.structs.replace(result, failure=failure)
    return msgspec.structs.replace(result, ended_s=clock()), chain


def _is_denied(lookup: Lookup) -> bool:
    return lookup.status in (LookupStatus.NXDOMAIN, LookupStatus.NO_DATA)


async def _try(
    base: PolicyFetch, host: str, address: str, port: int, limits: httpx.Timeout
) -> tuple[PolicyFetch, tuple[bytes, ...]]:
    """Ask one address."""
    literal = f"[{address}]" if ":" in address else address
    headers = {**_AGENT, "Host": host if port == 443 else f"{host}:{port}"}
    result = msgspec.structs.replace(base, address=address)
    try:
        async with (
            httpx.AsyncClient(verify=_context(), trust_env=False, timeout=limits) as client,
            client.stream(
                "GET", f"https://{literal}:{port}{POLICY_PATH}", headers=headers, extensions={"sni_hostname": host}
            ) as response,
        ):
            chain = _chain(response)
            body, is_cut = await _read(response)
            return (
                msgspec.structs.replace(
                    result,
                    status=response.status_code,
                    location=response.headers.get("location"),
                    media_type=response.headers.get("content-type"),
                    body=body,
                    is_cut=is_cut,
                ),
                chain,
            )
    except httpx.HTTPError as error:
        return msgspec.structs.replace(result, failure=_failure(error)), ()


@cache
def _context() -> ssl.SSLContext:
    """The context for policy hosts. The client sets ALPN on it, for which some mail servers refuse the handshake.

    RFC 8996 5: a sender's client speaks no TLS below 1.2, and what only an older one could fetch protects nobody.
    """
    return make_client_context(minimum=ssl.TLSVersion.TLSv1_2)


async def _read(response: httpx.Response) -> tuple[bytes, bool]:
    """Read the body up to the limit; tell whether there was more."""
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > MAX_POLICY_BYTES:
            return bytes(body[:MAX_POLICY_BYTES]), True
    return bytes(body), False


def _chain(response: httpx.Response) -> tuple[bytes, ...]:
    stream: Any = response.extensions.get("network_stream")
    session = stream.get_extra_info("ssl_object") if stream is not None else None
    return () if session is None else read_session(session)[1]


def _failure(error: httpx.HTTPError) -> Failure:
    """Put the client's error into ours, by what caused it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLWantReadError):  # the handshake waited for the host when its time was over
            return Failure(
                phase=Phase.TLS, kind=FailureKind.TIMEOUT, detail="the TLS handshake was not complete in time"
            )
        if isinstance(cause, ssl.SSLError):
            kind, detail = explain_error(cause)
            return Failure(phase=Phase.TLS, kind=kind, detail=detail or str(cause))
        if isinstance(cause, ConnectionRefusedError):
            return Failure(phase=Phase.CONNECT, kind=FailureKind.REFUSED, detail=str(cause))
        cause = cause.__cause__ or cause.__context__
    kind = _KINDS.get(type(error), FailureKind.OTHER)
    detail = _BYTES.sub(r"\2", " ".join(str(error).split()))
    return Failure(phase=Phase.CONNECT, kind=kind, detail=detail or type(error).__name__)
