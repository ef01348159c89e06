"""What somebody who knows asyncio writes in an evening to look at many domains, with well-known libraries.

    python naive.py FILE OUT SMTP_PORT DNS_PORT TLS

For each domain of FILE, 200 at once: MX, the addresses of the first mail host, a session with STARTTLS where TLS is 1,
and a line of JSON to OUT.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import Iterator
from typing import IO, Any

import aiosmtplib
import dns.asyncresolver
import dns.exception
import dns.resolver

AT_ONCE = 200


async def addresses(resolver: dns.asyncresolver.Resolver, host: str) -> list[str]:
    found = await asyncio.gather(
        resolver.resolve(host, "A"),
        resolver.resolve(host, "AAAA"),
        return_exceptions=True,
    )
    return [record.address for answer in found if isinstance(answer, dns.resolver.Answer) for record in answer]


async def look_at(
    domain: str, resolver: dns.asyncresolver.Resolver, port: int, context: ssl.SSLContext | None
) -> dict[str, Any]:
    result: dict[str, Any] = {"domain": domain, "error": None}
    try:
        exchanges = sorted((record.preference, str(record.exchange)) for record in await resolver.resolve(domain, "MX"))
        result["host"] = exchanges[0][1]
        result["addresses"] = await addresses(resolver, exchanges[0][1])
        client = aiosmtplib.SMTP(
            hostname=result["addresses"][0],
            port=port,
            local_hostname="probe.test",
            start_tls=False,
            tls_context=context,
            timeout=30,
        )
        async with client:
            await client.ehlo()
            result["starttls"] = client.supports_extension("starttls")
            if context is not None:
                await client.starttls(validate_certs=False)
                await client.ehlo()
                session = client.get_transport_info("ssl_object")
                if isinstance(session, ssl.SSLObject):
                    result["tls"] = session.version()
            result["capabilities"] = sorted(client.esmtp_extensions)
    except (dns.exception.DNSException, aiosmtplib.SMTPException, OSError, IndexError) as error:
        result["error"] = repr(error)
    return result


async def work(domains: Iterator[str], out: IO[str], *arguments: Any) -> None:
    for domain in domains:
        out.write(json.dumps(await look_at(domain, *arguments)) + "\n")


async def main(source: str, out: str, smtp_port: int, dns_port: int, *, is_secure: bool) -> None:
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], dns_port
    context = None
    if is_secure:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with open(source, encoding="utf-8") as lines, open(out, "w", encoding="utf-8") as results:  # noqa: ASYNC230
        domains = (line.strip() for line in lines)
        await asyncio.gather(*(work(domains, results, resolver, smtp_port, context) for _ in range(AT_ONCE)))


if __name__ == "__main__":
    source, out, smtp_port, dns_port, tls = sys.argv[1:]
    asyncio.run(main(source, out, int(smtp_port), int(dns_port), is_secure=tls == "1"))
