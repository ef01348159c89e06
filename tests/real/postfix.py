"""Postfix, configured as many different mail hosts on addresses of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.real.jail import Jail
from tests.real.network import Network

USER, PASSWORD = "probe", "not-a-secret"

RECIPIENTS = {
    "ok": None,
    "full": "452 4.2.2 Mailbox full",
    "overquota": "552 5.2.2 Quota exceeded",
    "greylist": "450 4.2.0 Greylisted, come back in five minutes",
    "blocked": "554 5.7.1 Blocked by local policy",
    "disabled": "550 5.2.1 Account disabled",
}
"""Local parts that exist, with what RCPT gets; None is accepted."""

_MAIN = """\
compatibility_level = 3.6
inet_protocols = {protocols}
inet_interfaces = all
mydestination =
mynetworks =
queue_directory = /var/spool/postfix
data_directory = /var/lib/postfix
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = /var/log/postfix.log
alias_maps =
alias_database =
virtual_mailbox_domains = texthash:/etc/postfix/domains
virtual_mailbox_maps = texthash:/etc/postfix/mailboxes
virtual_mailbox_base = /var/vmail
virtual_uid_maps = static:61004
virtual_gid_maps = static:61004
default_transport = discard:nothing leaves the tests
relay_transport = discard:nothing leaves the tests
disable_vrfy_command = yes
disable_dns_lookups = yes
smtpd_helo_required = yes
smtpd_peername_lookup = no
smtpd_tls_protocols = >=TLSv1.2
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_recipient_restrictions = reject_unlisted_recipient, check_recipient_access texthash:/etc/postfix/recipients
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_client_event_limit_exceptions =
postscreen_greet_wait = 2s
postscreen_greet_action = drop
postscreen_cache_map =
postscreen_access_list =
postscreen_dnsbl_sites =
"""

_OPENSSL = """\
openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = defaults
[defaults]
CipherString = DEFAULT:@SECLEVEL=0
"""
"""Lets OpenSSL load weak keys and speak old versions; what a host really does is Postfix's own setting."""

_SERVICES = """\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
showq unix n - n - - showq
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
"""

_DOVECOT = """\
protocols =
ssl = no
log_path = /dev/stderr
auth_mechanisms = plain login
disable_plaintext_auth = no
default_internal_user = dovecot
default_login_user = dovenull
default_internal_group = dovecot
base_dir = /run/dovecot
state_dir = /var/lib/dovecot
passdb {
  driver = passwd-file
  args = scheme=PLAIN /etc/dovecot/users
}
userdb {
  driver = static
  args = uid=61004 gid=61004 home=/var/vmail
}
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
}
"""

SUBMISSION = {
    "smtpd_sasl_auth_enable": "yes",
    "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
    "smtpd_recipient_restrictions": "permit_sasl_authenticated, reject",
}
"""Settings of a port for users: nobody gets past RCPT without logging in."""


@dataclass
class Listener:
    """One address and port with settings of its own."""

    host: str
    address: str
    port: int
    certificate: Path | None
    """PEM with key and chain; None for a server without TLS."""
    settings: dict[str, str] = field(default_factory=dict)
    is_postscreen: bool = False


def prepare(folder: Path, domains: Sequence[str], listeners: Sequence[Listener], network: Network) -> Jail:
    """Lay out a jail in which Postfix and Dovecot (for AUTH) will serve the listeners; each takes mail for each domain.

    The recipients of every domain are `RECIPIENTS` and postmaster.
    """
    hosts = {listener.address: listener.host for listener in listeners if ":" not in listener.address}
    jail = Jail("postfix", "postfix", folder, listeners[0].host, hosts, network)
    jail.build()
    jail.write("/etc/ssl/openssl.cnf", _OPENSSL)
    protocols = "all" if any(":" in listener.address for listener in listeners) else "ipv4"
    jail.write("/etc/postfix/main.cf", _MAIN.format(protocols=protocols))
    jail.write("/etc/postfix/master.cf", "".join(_master(jail, listener) for listener in listeners) + _SERVICES)
    jail.write("/etc/postfix/dynamicmaps.cf", "")
    jail.write("/etc/postfix/domains", "".join(f"{domain} any\n" for domain in domains))
    mailboxes = [f"{name}@{domain} {name}/\n" for domain in domains for name in (*RECIPIENTS, "postmaster")]
    jail.write("/etc/postfix/mailboxes", "".join(mailboxes))
    refusals = {name: reply for name, reply in RECIPIENTS.items() if reply is not None}
    jail.write("/etc/postfix/recipients", "".join(f"{name}@ {reply}\n" for name, reply in refusals.items()))
    jail.write("/etc/dovecot/dovecot.conf", _DOVECOT)
    jail.write("/etc/dovecot/users", f"{USER}:{PASSWORD}::::::\n")
    jail.folder_for("/var/lib/postfix", "postfix")
    jail.folder_for("/var/vmail", "vmail")
    jail.folder_for("/var/spool/postfix", "root")
    for path in ("/run/dovecot", "/var/lib/dovecot"):
        jail.folder_for(path, "root")
    jail.once("postfix check")
    return jail


START = ("postfix start-fg", "dovecot -F")


def _master(jail: Jail, listener: Listener) -> str:
    settings = {"myhostname": listener.host, "syslog_name": f"postfix/{listener.host.split('.')[0]}"}
    if listener.certificate is None:
        settings["smtpd_tls_security_level"] = "none"
    else:
        inside = f"/etc/postfix/{listener.certificate.name}"
        jail.write(inside, listener.certificate.read_text(), mode=0o600)
        settings |= {"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": inside}
    settings |= listener.settings
    address = f"[{listener.address}]" if ":" in listener.address else listener.address
    service, limit = ("postscreen", "1") if listener.is_postscreen else ("smtpd", "-")
    line = f"{address}:{listener.port} inet n - n - {limit} {service}\n"
    if listener.is_postscreen:
        settings["smtpd_banner"] = f"{listener.host} ESMTP Postfix"
        line += "".join(f"  -o {{ {name} = {value} }}\n" for name, value in settings.items())
        line += "smtpd pass - - n - - smtpd\n"
    return line + "".join(f"  -o {{ {name} = {value} }}\n" for name, value in settings.items())
