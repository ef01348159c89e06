"""Which addresses and ports to talk to, in which order, as which service.

Role and TLS mode of an endpoint are decided here, once, from what was asked for; from then on they are data, and the
port is only a number. So everything works on any port. Pure: what is resolved comes in, what to connect to goes out.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from itertools import islice
from typing import Final

from smtpprobe.errors import OptionError
from smtpprobe.evidence import (
    DEFAULT_PORTS,
    Endpoint,
    Family,
    HostOrigin,
    MxHost,
    Options,
    PortSpec,
    Resolution,
    Role,
    Target,
    TlsMode,
)
from smtpprobe.names import quoted
from smtpprobe.targets import MAX_PORT

MAX_ENDPOINTS: Final = 128
"""The most endpoints of one target: the largest providers have about 30 on the usual three ports. A domain that names
hundreds of addresses, by mistake or to have others knocked at, is not followed further."""
MAX_MX_HOSTS: Final = MAX_ENDPOINTS
"""The most MX hosts whose addresses are looked up, those that senders try first. Large providers have five."""

_ROLES: Final = {
    "smtp": Role.SMTP,
    "submission": Role.SUBMISSION,
    "submissions": Role.SUBMISSIONS,
    "smtps": Role.SUBMISSIONS,
}
_USUAL: Final = {spec.port: spec for spec in DEFAULT_PORTS}


def tls_mode(role: Role) -> TlsMode:
    """How TLS comes about for a role: before the greeting for submissions (RFC 8314 3.3), by STARTTLS else."""
    return TlsMode.IMPLICIT if role is Role.SUBMISSIONS else TlsMode.STARTTLS


def parse_port(text: str) -> PortSpec:
    """Read a port: ``587``, or with the role named ``smtp:2525``, ``submission:2587``, ``submissions:2465``.

    A number alone has the role that it is registered for, and that of a relay where it has none.

    Raises:
        OptionError: it is neither; the message says what is.
    """
    name, colon, number = text.strip().rpartition(":")
    role = _ROLES.get(name.strip().lower()) if colon else None
    number = number.strip()
    hint = "give a number, such as 587, or a role and a number: smtp:2525, submission:2587 or submissions:2465"
    if colon and role is None:
        raise OptionError(f"port {quoted(text)}: {quoted(name)} is no role; {hint}")
    if not (number.isascii() and number.isdigit()):
        raise OptionError(f"port {quoted(text)}: {quoted(number)} is no number; {hint}")
    if len(number) > len(str(MAX_PORT)) or not 1 <= int(number) <= MAX_PORT:
        raise OptionError(f"port {quoted(text)}: ports go from 1 to {MAX_PORT}")
    return port_spec(int(number), role)


def port_spec(port: int, role: Role | None = None) -> PortSpec:
    """Say what is expected at a port.

    Args:
        role: None: the one that the port is registered for, else that of a relay.
    """
    if role is None:
        return _USUAL.get(port) or PortSpec(port=port, role=Role.SMTP, tls=TlsMode.STARTTLS)
    return PortSpec(port=port, role=role, tls=tls_mode(role))


def host_of_address(address: str) -> MxHost:
    """What stands in place of a host where the target is an address."""
    return MxHost(name=address, origin=HostOrigin.GIVEN, addresses=(address,))


def plan_endpoints(target: Target, resolution: Resolution, options: Options) -> tuple[Endpoint, ...]:
    """Say what to talk to: hosts as resolved, their addresses with IPv4 first, ports as given; at most `MAX_ENDPOINTS`.

    Where a name has more, `left_out` tells how many are not among them.
    """
    return tuple(_every(target, resolution, options))[:MAX_ENDPOINTS]


def left_out(target: Target, resolution: Resolution, options: Options) -> int:
    """How many endpoints `plan_endpoints` leaves out because there are more than `MAX_ENDPOINTS`.

    A host whose addresses nobody knows, because there are more than `MAX_MX_HOSTS`, counts as one.
    """
    known = sum(1 for _ in _every(target, resolution, options))
    return max(0, known - MAX_ENDPOINTS) + sum(1 for _ in _unknown(resolution))


def is_relay_left_out(target: Target, resolution: Resolution, options: Options) -> bool:
    """Tell whether one of those that are left out could take mail from other servers."""
    late = islice(_every(target, resolution, options), MAX_ENDPOINTS, None)
    return any(each.role is Role.SMTP for each in late) or any(_unknown(resolution))


def _unknown(resolution: Resolution) -> Iterator[MxHost]:
    return (each for each in resolution.hosts[MAX_MX_HOSTS:] if not each.addresses and not each.lookups)


def _every(target: Target, resolution: Resolution, options: Options) -> Iterator[Endpoint]:
    if target.port is not None:
        specs: tuple[PortSpec, ...] = (_target_port(target, target.port, options),)
        is_required = True
    else:
        specs, is_required = options.ports, options.explicit_ports
    known: set[tuple[str | None, str, int]] = set()
    for host in resolution.hosts:
        for address in _addresses(host, options):
            name = None if host.name == address else host.name
            for spec in specs:
                key = (name, address, spec.port)
                if key in known:
                    continue
                known.add(key)
                yield Endpoint(
                    host=host.name,
                    address=address,
                    port=spec.port,
                    role=spec.role,
                    tls=spec.tls,
                    origin=host.origin,
                    preference=host.preference,
                    is_required=is_required,
                    name=name,
                )


def _target_port(target: Target, port: int, options: Options) -> PortSpec:
    """What is expected at the port that the target names: by its URL, else as an option says of that port."""
    if target.role is None:
        for spec in options.ports:
            if spec.port == port:
                return spec
    return port_spec(port, target.role)


def _addresses(host: MxHost, options: Options) -> list[str]:
    """The addresses of a host to connect to, IPv4 first."""
    found = []
    for text in host.addresses:
        version, means_ourselves, is_multicast = _kind(text)
        if options.family is not Family.ANY and version != (4 if options.family is Family.IPV4 else 6):
            continue
        if host.origin is HostOrigin.MX and (is_multicast or (means_ourselves and not _chose_world(options))):
            # Whoever is asked to mail there would talk to itself: what answers here says nothing about the domain.
            continue
        found.append((version, text))
    return [text for _, text in sorted(found, key=lambda each: each[0])]


def _kind(address: str) -> tuple[int, bool, bool]:
    """The version of an address, and whether it is of the machine itself (loopback or unspecified), or multicast."""
    if ":" not in address:  # read by its first number, since a scan has very many
        first = int(address.partition(".")[0])
        return 4, first == 127 or address == "0.0.0.0", 224 <= first <= 239  # noqa: S104 - looked for, not bound
    ip = ip_address(address)
    return ip.version, ip.is_loopback or ip.is_unspecified, ip.is_multicast


def _chose_world(options: Options) -> bool:
    """With a resolver or addresses of one's own, the loopback addresses of a private world are meant."""
    return bool(options.resolvers or options.overrides)
