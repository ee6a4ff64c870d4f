"""A bare Debian in a folder, of any release, from the Debian archive in this host's apt sources.

The rule: nothing is mounted outside its processes, and all of them end with the first. Its
processes have their own mounts, pids and, unless they need the archive, network; devices and kernel
are this host's.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from support.documents import ROOT
from support.missing import Missing, needed
from support.process import Workspace

#: The distribution's own programs come first: another Python has no python3-libvirt.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

#: The packages of a release are unpacked only once in a week: that takes longest.
_SECONDS_KEPT = 7 * 24 * 3600

_ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
_OFFLINE = (*_ALONE, "--net", "sh", "-ec", 'ip link set lo up; exec "$@"', "sh")

# Move the folder over the root of the mounts, so that a process may enter them from outside. The
# shell stays, as the first process has to reap those that lose their parents. A new sysfs shows the
# network of its processes.
_ENTER = """\
mount --bind "$1" "$1"
cd "$1"
mount --rbind /dev dev
mount -t sysfs sys sys
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount -t proc proc proc
mount --move . /
shift
chroot "$@"
exit 0
"""


def run(workspace: Workspace, name: str, *command: object, expected: int = 0, **env: str) -> str:
    """Run a command in the workspace, nicely beside other tests; return its output, or fail with
    the end of it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "PYTHON"))}
    kept.update({"TMPDIR": str(workspace.folder), **env})
    process = workspace.run(name, ["nice", *(str(part) for part in command)], kept)
    status = process.wait(1800)
    output = workspace.log(name).read_text()
    if status != expected:
        pytest.fail(f"{name} gave {status}:\n{output[-8000:]}", pytrace=False)
    return output


def _archive() -> str:
    """The address of Debian's archive in this host's apt sources."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Label: Debian"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = done.stdout.split()
    if not found:
        raise Missing("Debian's archive in the apt sources, after an apt-get update")
    return found[0]


class Debian:
    """A Debian of essential packages, apt and what else is installed."""

    def __init__(self, workspace: Workspace, release: str) -> None:
        if os.geteuid() != 0:
            raise Missing("root, for a bare Debian")
        for program, package in {"mmdebstrap": "mmdebstrap", "ip": "iproute2"}.items():
            needed(program, package)
        self.release = release
        self.root = workspace.folder / f"debian-{release}"
        self._workspace = workspace
        kept = ROOT / ".cache" / f"debian-{release}.tar"
        if not kept.exists() or kept.stat().st_mtime < time.time() - _SECONDS_KEPT:
            kept.parent.mkdir(exist_ok=True)
            made = kept.with_suffix(f".{os.getpid()}.tar")  # another process may make one, too
            self._make(made)
            made.replace(kept)
        self.root.mkdir()
        unpack = ("tar", "--extract", "--file", kept, "--directory", self.root)
        run(workspace, f"unpack-{release}", *unpack)
        self.run("update", "apt-get", "update", online=True)

    def _make(self, base: Path) -> None:
        """Make an archive of the packages, and of the lists of apt."""
        options = ("--mode=root", "--variant=apt", "--skip=cleanup/apt")
        fast = ("--aptopt=Acquire::Languages none", "--dpkgopt=force-unsafe-io")
        # A mirror may be a copy of a past day.
        dated = "--aptopt=Acquire::Check-Valid-Until false"
        command = ("mmdebstrap", *options, *fast, dated, self.release, base)
        source = f"deb {_archive()} {self.release} main"
        run(self._workspace, f"mmdebstrap-{self.release}", *_ALONE, *command, source)

    def install(self, *packages: str) -> None:
        """Install packages from the archive, or files."""
        apt = ("apt-get", "--yes", "--no-install-recommends")
        self.run("install", *apt, "install", *packages, online=True)

    def run(
        self, name: str, *command: object, user: str = "root", online: bool = False, **env: str
    ) -> str:
        """Run a command in it; return the output."""
        alone = _ALONE if online else _OFFLINE
        start = (*alone, "sh", "-ec", _ENTER, "sh", self.root, f"--userspec={user}", ".")
        own = {"HOME": "/", "LC_ALL": "C.UTF-8", "PATH": PATH, "TMPDIR": "/tmp"}
        own["DEBIAN_FRONTEND"] = "noninteractive"
        return run(self._workspace, name, *start, *command, expected=0, **{**own, **env})
