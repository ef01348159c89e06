"""Exim with GnuTLS, as one mail host with all three services."""

from __future__ import annotations

from pathlib import Path

from tests.real.jail import Jail
from tests.real.network import Network
from tests.real.postfix import PASSWORD, USER

_CONFIGURATION = """\
primary_hostname = {host}
domainlist local_domains = {domain}
local_interfaces = <; {address}.{smtp} ; {address}.{submission} ; {address}.{submissions}
tls_on_connect_ports = {submissions}
tls_advertise_hosts = *
tls_certificate = /etc/exim4/server.pem
tls_privatekey = /etc/exim4/server.pem
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
host_lookup =
rfc1413_hosts =
never_users = root
pipelining_connect_advertise_hosts =
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
message_size_limit = 20M
log_file_path = /var/log/exim4/%slog
spool_directory = /var/spool/exim4
queue_only
acl_smtp_rcpt = check_recipient
acl_smtp_data = deny
acl_smtp_vrfy = accept

begin acl
check_recipient:
  accept authenticated = *
  deny message = 550 5.7.1 relaying denied
       !domains = +local_domains
  defer message = 450 4.2.0 greylisted for five minutes
        local_parts = greylist
  deny message = 550 5.1.1 no mailbox by that name
       !local_parts = ok : postmaster
  accept

begin routers
nowhere:
  driver = accept
  transport = discard

begin transports
discard:
  driver = appendfile
  file = /dev/null
  user = Debian-exim

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{user}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
"""


def prepare(
    folder: Path, host: str, domain: str, address: str, ports: dict[str, int], certificate: Path, network: Network
) -> Jail:
    """Lay out a jail for Exim on one address."""
    jail = Jail("exim", "exim", folder, host, {address: host}, network)
    jail.build()
    jail.write("/etc/exim4/server.pem", certificate.read_text(), mode=0o640, owner="Debian-exim")
    jail.write(
        "/etc/exim4/exim4.conf",
        _CONFIGURATION.format(host=host, domain=domain, address=address, user=USER, password=PASSWORD, **ports),
    )
    for path in ("/var/spool/exim4", "/var/log/exim4", "/run/exim4"):
        jail.folder_for(path, "Debian-exim", 0o750)
    return jail


START = ("exim4 -bdf -oP /run/exim4/exim.pid",)
