"""SPF and DMARC of a domain, as checkdmarc reads them: beside the probe, and only when asked for.

They say who may send in the name of a domain (RFC 7208, RFC 9989), which is another question than how mail reaches it.
So what checkdmarc finds is recorded in its own words, and is no finding of ours. It asks the resolvers that the probe
asks, in a thread, since it waits for each answer.
"""

from __future__ import annotations

import asyncio
import threading
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import msgspec

from smtpprobe.errors import MissingExtraError
from smtpprobe.evidence import DmarcRecord, Options, Posture, SpfRecord
from smtpprobe.stub import BoundedResolver, make_library_resolver


def require() -> None:
    """Make sure that checkdmarc is there.

    Raises:
        MissingExtraError: it is not installed.
    """
    if find_spec("checkdmarc") is None:
        raise MissingExtraError("--posture", "posture")


async def look_up_posture(domain: str, options: Options, *, left_s: float) -> Posture:
    """Have SPF and DMARC of a domain looked up; raises nothing but CancelledError.

    Args:
        domain: in A-labels.
        options: for the resolvers, and the time that one question may take.
        left_s: the longest time for all of it; what was not known by then is missing, and `Posture.failure` says so.
    """
    name = _library()
    try:
        resolver = make_library_resolver(options, ends_in_s=left_s)
    except Exception as error:  # noqa: BLE001 - a resolver that the library cannot use is the end of this section only
        return Posture(library=name, failure=str(error) or type(error).__name__)
    found = Posture(library=name)
    try:
        async with asyncio.timeout(left_s):
            found = msgspec.structs.replace(found, spf=await _in_thread(_spf, domain, resolver, options.timeout_s))
            found = msgspec.structs.replace(found, dmarc=await _in_thread(_dmarc, domain, resolver, options.timeout_s))
    except TimeoutError:
        found = msgspec.structs.replace(found, failure="the time for the whole probe is up")
    except Exception as error:  # noqa: BLE001 - a defect of the library must not end the probe
        found = msgspec.structs.replace(found, failure=f"{type(error).__name__}: {error}")
    finally:
        resolver.stop()
    return found


def _library() -> str:
    try:
        return f"checkdmarc {version('checkdmarc')}"
    except PackageNotFoundError:
        return "checkdmarc"


async def _in_thread(check: Any, *arguments: Any) -> Any:
    """Run a function in a thread of its own, for which nobody waits at the end, as for those of the event loop."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = loop.create_future()

    def tell(result: Any, error: Exception | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    def run() -> None:
        result, failed = None, None
        try:
            result = check(*arguments)
        except Exception as error:  # noqa: BLE001 - handed on
            failed = error
        try:
            loop.call_soon_threadsafe(tell, result, failed)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    threading.Thread(target=run, name="posture", daemon=True).start()
    return await outcome


def _spf(domain: str, resolver: BoundedResolver, timeout_s: float) -> SpfRecord:
    _forget()
    found = import_module("checkdmarc.spf").check_spf(domain, resolver=resolver, timeout=timeout_s, retries=0)
    return SpfRecord(
        record=_text(found.get("record")),
        is_valid=found.get("valid") is True,
        lookups=found.get("dns_lookups") if isinstance(found.get("dns_lookups"), int) else None,
        warnings=_texts(found.get("warnings")),
        error=_text(found.get("error")),
    )


def _dmarc(domain: str, resolver: BoundedResolver, timeout_s: float) -> DmarcRecord:
    found = import_module("checkdmarc.dmarc").check_dmarc(domain, resolver=resolver, timeout=timeout_s, retries=0)
    tags = found.get("tags")
    policy = tags.get("p") if isinstance(tags, dict) else None
    return DmarcRecord(
        record=_text(found.get("record")),
        location=_text(found.get("location")),
        is_valid=found.get("valid") is True,
        policy=_text(policy.get("value")) if isinstance(policy, dict) else None,
        warnings=_texts(found.get("warnings")),
        error=_text(found.get("error")),
    )


def _forget() -> None:
    """Empty the library's memory of answers, which knows them by name only, whoever gave them."""
    cache = getattr(import_module("checkdmarc.utils"), "DNS_CACHE", None)
    if cache is not None:
        cache.clear()


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(map(str, values)) if isinstance(values, list | tuple) else ()
