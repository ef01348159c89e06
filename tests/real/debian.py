"""Unpack Debian packages of real programs into private roots, without installing anything on this machine.

Run as a program (``python tests/real/debian.py``) it prepares everything that the tests marked ``real`` need: mail and
DNS servers, and programs that read what we write. When all is there it ends at once. The exit status is the sum of 1
where the servers cannot be had, and 2 where the readers cannot. apt works on lists and a package status of its own, so
the closure of each package is downloaded whole, and ``dpkg-deb`` only unpacks: no maintainer script runs, no service
starts, no user is made.

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

READER_TOOLS = ("apt-get", "dpkg-deb", "tar")
TOOLS = ("apt-get", "dpkg-deb", "tar", "unshare", "nsenter", "setpriv", "chroot", "mount")


@dataclass(frozen=True)
class Root:
    """One private root: what is unpacked into it, and a program that must then be there."""

    packages: tuple[str, ...]
    program: str
    suite: str | None = None
    """Another Debian release than the one of this machine."""
    is_alone: bool = False
    """Of the packages themselves only, for a program that needs no library."""
    without: tuple[str, ...] = ()
    """Packages of the closure that are left out."""


ROOTS = {
    "postfix": Root(("postfix", "dovecot-core"), "usr/lib/postfix/sbin/smtpd"),
    "exim": Root(("exim4-daemon-light",), "usr/sbin/exim4"),
    # The OpenSMTPD of Debian 12 cannot finish a TLS handshake under OpenSSL 3, that of Debian 13 can: the one is a
    # real broken server, the other a real working one.
    "opensmtpd": Root(("opensmtpd",), "usr/sbin/smtpd", suite="trixie"),
    "opensmtpd-broken": Root(("opensmtpd",), "usr/sbin/smtpd", suite="bookworm"),
    "dns": Root(("knot", "knot-dnssecutils", "unbound"), "usr/sbin/knotd"),
}
NO_BROWSER_LIBRARIES = ("libc6", "libgl1-mesa-dri", "libllvm15", "libllvm19", "libz3-4")
"""The C library is this machine's; those for graphics cards are large and of no use here."""
READERS = {
    "promtool": Root(("prometheus",), "usr/bin/promtool", is_alone=True),
    # It runs without a root of its own: its libraries are of this machine's release, so they fit its C library.
    "chromium": Root(
        ("chromium-headless-shell",), "usr/lib/chromium/chromium-headless-shell", without=NO_BROWSER_LIBRARIES
    ),
}
"""What reads our formats; on a machine where such a program is installed, that one is taken."""
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
    """Tell whether the root of every server is ready."""
    return _is_ready("stamp.json", ROOTS)


def _is_ready(stamp_name: str, roots: dict[str, Root]) -> bool:
    try:
        stamp = json.loads((STORE / stamp_name).read_text())
    except (OSError, ValueError):
        return False
    return bool(stamp.get("plan") == _plan(roots)) and all(
        (STORE / name / root.program).exists() for name, root in roots.items()
    )


def versions() -> dict[str, str]:
    """The version of each server's main package, by the name of its root."""
    found: dict[str, str] = json.loads((STORE / "stamp.json").read_text())["versions"]
    return found


def install() -> None:
    """Download and unpack whatever servers are missing.

    Raises:
        UnavailableError: not root, not a Debian, no package source in reach, or no right to make namespaces.
    """
    require_rights()
    _install("stamp.json", ROOTS)


def install_readers() -> None:
    """Download and unpack the readers that this machine does not have.

    Raises:
        UnavailableError: not a Debian, or no package source in reach.
    """
    if missing := _missing_readers():
        if tools := [tool for tool in READER_TOOLS if shutil.which(tool) is None]:
            raise UnavailableError(f"this machine has no {', '.join(tools)}")
        try:
            _install("readers.json", missing)
        except OSError as error:
            raise UnavailableError(f"{STORE}: {error}") from error


def reader(name: str) -> tuple[str, dict[str, str]]:
    """The program of a reader, and what it needs in the environment.

    Raises:
        UnavailableError: this machine does not have it, and nobody has unpacked it.
    """
    own = shutil.which(name)
    if own is not None:
        return own, {}
    root = STORE / name
    program = root / READERS[name].program
    if not program.exists():
        raise UnavailableError(f"{name} is not installed; python tests/real/debian.py unpacks it")
    libraries = [*root.glob("usr/lib/*-linux-gnu*"), *root.glob("usr/lib/*-linux-gnu*/pulseaudio")]
    return str(program), {"LD_LIBRARY_PATH": os.pathsep.join(map(str, [*libraries, program.parent]))}


def _missing_readers() -> dict[str, Root]:
    return {name: root for name, root in READERS.items() if shutil.which(name) is None}


def _install(stamp_name: str, roots: dict[str, Root]) -> None:
    STORE.mkdir(parents=True, exist_ok=True)
    with (STORE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_ready(stamp_name, roots):
            return
        versions = {}
        for name, root in roots.items():
            print(f"real programs: fetching {' and '.join(root.packages)}", file=sys.stderr, flush=True)
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
        (STORE / stamp_name).write_text(json.dumps({"plan": _plan(roots), "versions": versions}, indent=1))


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


def _plan(roots: dict[str, Root]) -> str:
    return hashlib.sha256(repr((1, roots, SHELL_PACKAGES, NOT_NEEDED.pattern)).encode()).hexdigest()


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
    if root.is_alone:
        return _download_alone(root, configuration, archives)
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
        if package not in root.without and not NOT_NEEDED.match(package):
            found += sorted(archives.glob(f"{package}_{version.replace(':', '%3a')}_*.deb"))
    return found


def _download_alone(root: Root, configuration: Path, archives: Path) -> list[Path]:
    """Fetch the packages of a root without what they depend on."""
    found = []
    for package in root.packages:
        folder = archives / f"alone-{package}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            _apt(configuration, "download", package, folder=folder)
        except UnavailableError:
            _apt(configuration, "update")
            _apt(configuration, "download", package, folder=folder)
        found += sorted(folder.glob("*.deb"))
    return found


def _mirror() -> str:
    """The address of the package source that this machine uses."""
    process = _run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"])
    for line in process.stdout.splitlines():
        uri, _, codename = line.partition(" ")
        if codename and "-" not in codename:
            return uri
    raise UnavailableError("no Debian package source is configured")


def _apt(configuration: Path, *arguments: str, folder: Path | None = None) -> str:
    environment = {**os.environ, "APT_CONFIG": str(configuration), "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    return _run(["apt-get", *arguments], environment, folder).stdout


def _run(
    command: list[str], environment: dict[str, str] | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    process = subprocess.run(
        command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, cwd=folder, check=False
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


def _main() -> int:
    status = 0
    try:
        install()
        print("real servers:", ", ".join(f"{name} {version}" for name, version in versions().items()))
    except UnavailableError as reason:
        print(f"real servers: NOT AVAILABLE: {reason}", file=sys.stderr)
        status += 1
    try:
        install_readers()
        print("readers:", ", ".join(reader(name)[0] for name in READERS))
    except UnavailableError as reason:
        print(f"readers: NOT AVAILABLE: {reason}", file=sys.stderr)
        status += 2
    return status


if __name__ == "__main__":
    sys.exit(_main())
