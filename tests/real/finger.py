"""Postfix's own client as a second opinion: posttls-finger(1) connects, verifies and says what it would do."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tests.real.jail import Jail
from tests.real.names import DOMAIN
from tests.real.world import STANDARD_PORTS, World

_numbers = itertools.count()


def ask(world: World, domains: Sequence[str], *, level: str, match: str = "") -> dict[str, str]:
    """What it says of each domain.

    Args:
        world: one on standard ports, since the client knows no other port, and no other resolver than that of
            ``/etc/resolv.conf``.
        level: a TLS security level of Postfix: ``may``, ``encrypt``, ``dane``, ``dane-only``, ``secure`` ...
        match: what ``secure`` is to find in the certificate, as ``hostname`` or ``nexthop``.
    """
    assert world.ports == STANDARD_PORTS
    jail = Jail(f"client{next(_numbers)}", "postfix", world.folder, f"client.{DOMAIN}", network=world.network)
    jail.build()
    jail.write("/etc/resolv.conf", f"nameserver {world.address('validating')}\noptions edns0 trust-ad\n")
    jail.write("/etc/ca.pem", world.ca_file.read_text())
    jail.write("/etc/postfix/main.cf", f"compatibility_level = 3.6\nmyhostname = client.{DOMAIN}\n")
    command = f"posttls-finger -c -F /etc/ca.pem -T 10 -l {level} -o inet_protocols=ipv4"
    jail.once("".join(f"{command} {name} {match} > /tmp/{name} 2>&1 & " for name in domains) + "wait")
    return {name: (jail.root / "tmp" / name).read_text().replace("posttls-finger: ", "") for name in domains}
