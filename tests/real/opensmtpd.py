"""OpenSMTPD: a working one with all three services, and the one of Debian 12, whose TLS handshakes fail."""

from __future__ import annotations

from pathlib import Path

from tests.real.jail import Jail
from tests.real.network import Network
from tests.real.postfix import USER

PASSWORD_HASH = "$6$smtpprobe$YuDR9jT0dwAyvKXAEQozJXtQ2SbZau58tw2rQQTSxTaz98jrbDL4B7bvwMojqgzF1UBG5lZRPb1bxuLZw4xEp."
"""crypt(3), SHA-512, of the test's own pass-phrase."""

_CONFIGURATION = """\
pki server cert "/etc/server.crt"
pki server key "/etc/server.key"
table logins {{ {user} = "{password}" }}
table known {{ "ok@{domain}", "postmaster@{domain}", "greylist@{domain}" }}
filter "greylisting" phase rcpt-to match rcpt-to {{ "greylist@{domain}" }} reject "450 4.2.0 Greylisted"
listen on {address} port {smtp} tls pki server hostname {host} filter "greylisting"
{users}action "keep" maildir "/var/vmail" virtual {{ "@" = "vmail" }}
match from any for domain "{domain}" rcpt-to <known> action "keep"
"""

_FOR_USERS = """\
listen on {address} port {submissions} smtps pki server auth-optional <logins> hostname {host}
listen on {address} port {submission} tls-require pki server auth <logins> hostname {host}
"""


def prepare(
    folder: Path,
    base: str,
    host: str,
    domain: str,
    address: str,
    ports: dict[str, int],
    certificate: Path,
    network: Network,
) -> Jail:
    """Lay out a jail for the OpenSMTPD of the root ``base``; only the working one serves users' ports."""
    jail = Jail(base, base, folder, host, {address: host}, network)
    jail.build()
    pem = certificate.read_text()
    jail.write("/etc/server.crt", pem[pem.index("-----BEGIN CERTIFICATE") :])
    jail.write("/etc/server.key", pem[: pem.index("-----BEGIN CERTIFICATE")], mode=0o600)
    jail.write("/etc/ssl/certs/ca-certificates.crt", "")
    values = {"address": address, "host": host, "domain": domain, "user": USER, **ports}
    users = _FOR_USERS.format(**values) if base == "opensmtpd" else ""
    jail.write("/etc/smtpd.conf", _CONFIGURATION.format(users=users, password=PASSWORD_HASH, **values))
    jail.folder_for("/var/vmail", "vmail")
    for path, mode in (("/var/lib/opensmtpd/empty", 0o755), ("/var/spool/smtpd", 0o711), ("/var/empty", 0o755)):
        jail.folder_for(path, "root", mode)
    jail.once("smtpd -n -f /etc/smtpd.conf")
    return jail


START = ("smtpd -d -f /etc/smtpd.conf",)
