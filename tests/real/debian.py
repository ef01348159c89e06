"""Unpack Debian packages of real servers into private roots, without installing anything on this machine.

Run as a program (``python tests/real/debian.py``) it prepares everything that the tests marked ``real`` need; when all
is there it ends at once. apt works on lists and a package status of its own, so the closure of each package is
downloaded whole, and ``dpkg-deb`` only unpacks: no maintainer script runs, no service starts, no user is made.

Standard library only, since it runs before anything is installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

STORE = Path(os.environ.get("SMTPPROBE_REAL_STORE", "/var/cache/smtpprobe-real"))
"""Where downloads and roots are kept between runs; needs to be on a file system that allows programs."""

TOOLS = ("apt-get", "dpkg-deb", "tar", "unshare", "nsenter", "setpriv", "chroot", "mount")


@dataclass(frozen=True)
class Root:
    """One private root: what is unpacked into it, and a program that must then be there."""

    packages: tuple[str, ...]
    program: str
    suite: str | None = None
    """Another Debian release than the one of this machine."""


ROOTS = {
    "postfix": Root(("postfix", "dovecot-core"), "usr/lib/postfix/sbin/smtpd"),
    "exim": Root(("exim4-daemon-light",), "usr/sbin/exim4"),
    # The OpenSMTPD of Debian 12 cannot finish a TLS handshake under OpenSSL 3, that of Debian 13 can: the one is a
    # real broken server, the other a real working one.
    "opensmtpd": Root(("opensmtpd",), "usr/sbin/smtpd", suite="trixie"),
    "opensmtpd-broken": Root(("opensmtpd",), "usr/sbin/smtpd", suite="bookworm"),
    "dns": Root(("knot", "knot-dnssecutils", "unbound"), "usr/sbin/knotd"),
}
SHELL_PACKAGES = ("dash", "coreutils", "sed", "grep", "findutils", "diffutils")
"""What the start scripts of the servers call."""

NOT_NEEDED = re.compile(
    r"^(perl.*|libperl.*|libgdbm.*|adduser|debconf|e2fsprogs|libext2fs.*|libss2|logsave|cron.*|ucf|dpkg|init-system.*|"
    r"usrmerge|usr-is-merged|ssl-cert|lsb-base|sysvinit.*|sensible-utils|gcc-.*-base|ed|cpio|media-types|tar)$"
)
"""Dependencies of maintainer scripts only."""


class UnavailableError(Exception):
    """The real servers cannot be had on this machine; the message says why."""


def installed() -> bool:
    """Tell whether every root is ready."""
    try:
        stamp = json.loads((STORE / "stamp.json").read_text())
    except (OSError, ValueError):
        return False
    return bool(stamp.get("plan") == _plan()) and all(
        (STORE / name / root.program).exists() for name, root in ROOTS.items()
    )


def versions() -> dict[str, str]:
    """The version of each server's main package, by the name of its root."""
    found: dict[str, str] = json.loads((STORE / "stamp.json").read_text())["versions"]
    return found


def install() -> None:
    """Download and unpack whatever is missing.

    Raises:
        UnavailableError: not root, not a Debian, no package source in reach, or no right to make namespaces.
    """
    require_rights()
    STORE.mkdir(parents=True, exist_ok=True)
    with (STORE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if installed():
            return
        versions = {}
        for name, root in ROOTS.items():
            print(f"real servers: fetching {' and '.join(root.packages)}", file=sys.stderr, flush=True)
            archives = _download(root)
            target = STORE / f"{name}.new"
            shutil.rmtree(target, ignore_errors=True)
            _skeleton(target)
            for archive in archives:
                _unpack(archive, target)
            if not (target / root.program).exists():
                raise UnavailableError(f"{root.program} is not in the packages {root.packages}")
            shutil.rmtree(STORE / name, ignore_errors=True)
            target.rename(STORE / name)
            main = next(path for path in archives if path.name.startswith(f"{root.packages[0]}_"))
            versions[name] = main.name.split("_")[1].replace("%3a", ":")
        (STORE / "stamp.json").write_text(json.dumps({"plan": _plan(), "versions": versions}, indent=1))


def require_rights() -> None:
    """Check what cannot be unpacked.

    Raises:
        UnavailableError: the machine does not allow it.
    """
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        raise UnavailableError(f"this machine has no {', '.join(missing)}")
    if os.geteuid() != 0:
        raise UnavailableError("root is needed to start mail servers in roots of their own")
    trial = subprocess.run(
        ["unshare", "--mount", "--pid", "--uts", "--fork", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if trial.returncode:
        raise UnavailableError(f"namespaces are not allowed here: {trial.stderr.strip()}")


def _plan() -> str:
    return hashlib.sha256(repr((1, ROOTS, SHELL_PACKAGES, NOT_NEEDED.pattern)).encode()).hexdigest()


def _download(root: Root) -> list[Path]:
    """Fetch a root's packages with all that they depend on; return their archives."""
    state = STORE / f"apt-{root.suite or 'own'}"
    archives = STORE / "archives"
    for folder in (state / "lists" / "partial", state / "cache", archives / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    options = [
        f'Dir::State "{state}";',
        f'Dir::State::status "{state}/status";',
        f'Dir::Cache "{state}/cache";',
        f'Dir::Cache::archives "{archives}";',
        'APT::Install-Recommends "0";',
        'APT::Sandbox::User "root";',
        'Acquire::Retries "3";',
        'Debug::NoLocking "1";',
    ]
    configuration = state / "apt.conf"
    configuration.write_text("\n".join(options))
    if root.suite is not None:
        sources = state / "sources.list"
        if not sources.exists():
            keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
            sources.write_text(f"deb [signed-by={keyring}] {_mirror()} {root.suite} main\n")
        options += [f'Dir::Etc::sourcelist "{sources}";', f'Dir::Etc::sourceparts "{state}/none";']
        configuration.write_text("\n".join(options))
    if not any((state / "lists").glob("*Packages*")):
        _apt(configuration, "update")
    wanted = ["--yes", "install", *root.packages, *SHELL_PACKAGES]
    try:
        _apt(configuration, "--download-only", *wanted)
    except UnavailableError:  # the lists of an earlier run name archives that have been replaced since
        _apt(configuration, "update")
        _apt(configuration, "--download-only", *wanted)
    closure = re.findall(r"^Inst (\S+) \((\S+)", _apt(configuration, "--simulate", *wanted), re.MULTILINE)
    if not closure:
        raise UnavailableError(f"apt plans nothing for {root.packages}")
    found = []
    for name, version in closure:
        package = name.split(":")[0]
        if not NOT_NEEDED.match(package):
            found += sorted(archives.glob(f"{package}_{version.replace(':', '%3a')}_*.deb"))
    return found


def _mirror() -> str:
    """The address of the package source that this machine uses."""
    process = _run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"])
    for line in process.stdout.splitlines():
        uri, _, codename = line.partition(" ")
        if codename and "-" not in codename:
            return uri
    raise UnavailableError("no Debian package source is configured")


def _apt(configuration: Path, *arguments: str) -> str:
    environment = {**os.environ, "APT_CONFIG": str(configuration), "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    return _run(["apt-get", *arguments], environment).stdout


def _run(command: list[str], environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    process = subprocess.run(
        command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, check=False
    )
    if process.returncode:
        said = (process.stderr or process.stdout).strip()[-800:]
        raise UnavailableError(f"{' '.join(command[:4])} ended with {process.returncode}: {said}")
    return process


def _skeleton(target: Path) -> None:
    """Make the directories of a Debian with merged /usr, so that either layout of a package fits."""
    for folder in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "var"):
        (target / folder).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (target / name).symlink_to(f"usr/{name}")


def _unpack(archive: Path, target: Path) -> None:
    unneeded = ("doc", "man", "locale", "info")
    excluded = [f"--exclude=./usr/share/{name}" for name in unneeded]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as reader:
        subprocess.run(
            ["tar", "--extract", "--keep-directory-symlink", "--directory", str(target), *excluded],
            stdin=reader.stdout, check=True,
        )  # fmt: skip
    if reader.returncode:
        raise UnavailableError(f"{archive.name} cannot be unpacked")


if __name__ == "__main__":
    try:
        install()
    except UnavailableError as reason:
        sys.exit(f"real servers: NOT AVAILABLE: {reason}")
    print("real servers:", ", ".join(f"{name} {version}" for name, version in versions().items()))
