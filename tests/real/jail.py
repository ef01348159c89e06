"""Run a server in a root of its own: private mounts, process numbers and host name.

A jail is a directory that looks like a small Debian: ``/usr`` is the unpacked root, read-only; ``/etc`` and ``/var``
are copies. Its first process is a shell that waits for the servers; when that is killed, all below it ends.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.real.debian import STORE
from tests.real.network import DIES_WITH_US, HOST, Network

USERS = {
    "postfix": (61001, "/var/spool/postfix"),
    "dovecot": (61002, "/nonexistent"),
    "dovenull": (61003, "/nonexistent"),
    "vmail": (61004, "/var/vmail"),
    "Debian-exim": (61005, "/var/spool/exim4"),
    "opensmtpd": (61006, "/var/lib/opensmtpd/empty"),
    "opensmtpq": (61007, "/var/lib/opensmtpd/empty"),
    "knot": (61008, "/var/lib/knot"),
    "unbound": (61009, "/var/lib/unbound"),
}
"""The system users inside: name -> number and home. A group of the same name and number goes with each."""
POSTDROP_GID = 61010

_ENTER = """\
set -e
hostname {hostname}
mount --bind {usr} {root}/usr
mount -o remount,bind,ro {root}/usr
mount -t proc proc {root}/proc
mount -t tmpfs -o mode=755,size=1m none {root}/dev
for device in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 {root}/dev/${{device%:*}} c 1 ${{device#*:}}
done
ln -s /proc/self/fd {root}/dev/fd
ln -s /proc/self/fd/1 {root}/dev/stdout
ln -s /proc/self/fd/2 {root}/dev/stderr
exec env -i PATH=/usr/sbin:/usr/bin LC_ALL=C HOME=/root chroot {root} /bin/sh -c {command}
"""


@dataclass
class Jail:
    """One server's root while a world runs."""

    name: str
    base: str
    """Which of the unpacked roots."""
    folder: Path
    hostname: str
    hosts: dict[str, str] = field(default_factory=dict)
    """Address -> name, for ``/etc/hosts``: no server in a jail asks the DNS."""
    network: Network = HOST

    @property
    def root(self) -> Path:
        return self.folder / self.name

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def build(self) -> None:
        """Lay out the root."""
        source = STORE / self.base
        self.root.mkdir(parents=True)
        for path in ("usr", "proc", "dev", "run/lock", "tmp", "root", "home"):
            (self.root / path).mkdir(parents=True)
        (self.root / "tmp").chmod(0o1777)
        for name in ("bin", "sbin", "lib", "lib64"):
            (self.root / name).symlink_to(f"usr/{name}")
        for name in ("etc", "var"):
            subprocess.run(["cp", "--archive", str(source / name), str(self.root)], check=True)
        for path in ("var/log", "var/lib", "var/spool", "var/mail"):
            (self.root / path).mkdir(parents=True, exist_ok=True)
        for name, target in (("run", "/run"), ("lock", "/run/lock")):
            if not (self.root / "var" / name).is_symlink():
                shutil.rmtree(self.root / "var" / name, ignore_errors=True)
                (self.root / "var" / name).symlink_to(target)
        accounts = {"root": (0, "/root"), "daemon": (1, "/"), "mail": (8, "/var/mail"), "nobody": (65534, "/"), **USERS}
        self.write(
            "/etc/passwd",
            "".join(f"{name}:x:{uid}:{uid}::{home}:/usr/sbin/nologin\n" for name, (uid, home) in accounts.items()),
        )
        groups = {name: uid for name, (uid, _) in accounts.items()} | {"postdrop": POSTDROP_GID, "nogroup": 65534}
        self.write("/etc/group", "".join(f"{name}:x:{gid}:\n" for name, gid in groups.items()))
        self.write("/etc/shadow", "".join(f"{name}:*:19000:0:99999:7:::\n" for name in accounts), mode=0o600)
        addresses = {"127.0.0.1": "localhost", "::1": "localhost", **self.hosts}
        self.write("/etc/hosts", "".join(f"{address} {name}\n" for address, name in addresses.items()))
        databases = ("passwd", "group", "shadow", "hosts", "services", "protocols")
        self.write("/etc/nsswitch.conf", "".join(f"{database}: files\n" for database in databases))
        self.write("/etc/resolv.conf", "")

    def write(self, path: str, text: str, *, mode: int = 0o644, owner: str | None = None) -> None:
        """Write a file inside; ``owner`` is one of `USERS`."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.write_text(text)
        target.chmod(mode)
        a_minute_ago = time.time() - 60  # Postfix waits a while before it trusts a file that was changed just now
        os.utime(target, (a_minute_ago, a_minute_ago))
        if owner is not None:
            os.chown(target, 0 if mode & 0o040 else USERS[owner][0], USERS[owner][0])

    def folder_for(self, path: str, owner: str, mode: int = 0o755) -> None:
        """Make a directory inside that belongs to one of `USERS`."""
        target = self.root / path.lstrip("/")
        target.mkdir(parents=True, exist_ok=True)
        target.chmod(mode)
        uid = USERS[owner][0] if owner != "root" else 0
        os.chown(target, uid, uid)

    def _command(self, shell: str) -> list[str]:
        script = _ENTER.format(
            hostname=shlex.quote(self.hostname),
            usr=shlex.quote(str(STORE / self.base / "usr")),
            root=shlex.quote(str(self.root)),
            command=shlex.quote(shell),
        )
        flags = ["--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child=SIGKILL", "--propagation", "private"]
        return [*DIES_WITH_US, *self.network.command("unshare", *flags, "sh", "-c", script)]

    def once(self, shell: str) -> str:
        """Run a shell command inside, beside the servers or before they start; return what it printed.

        Raises:
            RuntimeError: it failed; the message has its output.
        """
        process = subprocess.run(
            self._command(shell), capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False
        )
        if process.returncode:
            raise RuntimeError(f"{self.name}: {shell[:80]}: {process.stdout[-1500:]}{process.stderr[-1500:]}")
        return process.stdout

    def start(self, *commands: str) -> subprocess.Popen[bytes]:
        """Start servers that stay in the foreground; `stop` ends the returned process and all below it.

        The jail ends as soon as one of the servers does.
        """
        servers = " & ".join(f"({command}; kill -TERM $$)" for command in commands)
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._command(f"trap 'exit 1' TERM; {servers} & wait"),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def said(self) -> str:
        """The end of what the servers wrote to their logs."""
        logs = [self.log, *sorted(self.root.glob("var/log/*log"))]
        ends = [log.read_text(errors="replace")[-1500:] for log in logs if log.is_file()]
        return f"[{self.name}] {' '.join(ends)}"


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a jail and wait until the last process in it is gone."""
    # pid_namespaces(7): the first process of a namespace ends only after all others in it. It is the child of the
    # process that made the namespace, which waits for it.
    with contextlib.suppress(OSError):
        first = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for number in first:
            os.kill(int(number), signal.SIGKILL)
        if not first:
            process.kill()
    process.wait(timeout=15)
