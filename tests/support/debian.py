"""A bare Debian in a folder, of any release, from the Debian archive in this host's apt sources.

The rule: nothing is mounted outside its processes, and all of them end with the first. Its
processes have their own mounts and pids; network, devices and kernel are this host's.
"""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from support.missing import Missing
from support.process import Workspace, end_of

#: The distribution's own programs come first: another Python has no python3-libvirt.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

APT = ("apt-get", "--yes", "--no-install-recommends")

_ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child")

# Move the folder over the root of the mounts, so that a process may enter them from outside. The
# shell stays, as the first process has to reap those that lose their parents.
_ENTER = """\
mount --bind "$1" "$1"
cd "$1"
mount --rbind /dev dev
mount --rbind /sys sys
mount -t proc proc proc
mount --move . /
shift
chroot "$@"
exit 0
"""


def run(workspace: Workspace, name: str, *command: object, expected: int = 0, **env: str) -> str:
    """Run a command in the workspace; return its output, or fail with the end of it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "PYTHON"))}
    kept.update({"TMPDIR": str(workspace.folder), **env})
    process = workspace.run(name, [str(part) for part in command], kept)
    status = process.wait(1800)
    if status != expected:
        pytest.fail(f"{name} gave {status}:\n{end_of(workspace.log(name))}", pytrace=False)
    return workspace.log(name).read_text()


def _archive() -> str:
    """The address of Debian's archive in this host's apt sources."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Label: Debian"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = done.stdout.split()
    if not found:
        raise Missing("Debian's archive in the apt sources, after an apt-get update")
    return found[0]


class Debian:
    """A Debian of essential packages, apt and what else is named."""

    def __init__(self, workspace: Workspace, release: str) -> None:
        if os.geteuid() != 0:
            raise Missing("root, for a bare Debian")
        for program, package in {"mmdebstrap": "mmdebstrap", "unshare": "util-linux"}.items():
            if not shutil.which(program):
                raise Missing(f"{program} (Debian package {package})")
        self.release = release
        self.root = workspace.folder / f"debian-{release}"
        self._source = f"deb {_archive()} {release} main"
        self._workspace = workspace

    def build(self, *packages: str) -> None:
        """Install it with these packages."""
        options = ("--mode=root", "--variant=apt", "--skip=cleanup/apt")
        fast = ("--aptopt=Acquire::Languages none", "--dpkgopt=force-unsafe-io")
        # A mirror may be a copy of a past day.
        dated = "--aptopt=Acquire::Check-Valid-Until false"
        include = [f"--include={','.join(packages)}"] if packages else []
        command = ("mmdebstrap", *options, *fast, dated, *include, self.release, self.root)
        run(self._workspace, f"mmdebstrap-{self.release}", *_ALONE, *command, self._source)

    def run(self, name: str, *command: object, user: str = "root", **env: str) -> str:
        """Run a command in it; return the output."""
        start = (*_ALONE, "sh", "-ec", _ENTER, "sh", self.root, f"--userspec={user}", ".")
        own = {"HOME": "/", "LC_ALL": "C.UTF-8", "PATH": PATH, "TMPDIR": "/tmp"}
        own["DEBIAN_FRONTEND"] = "noninteractive"
        return run(self._workspace, name, *start, *command, expected=0, **{**own, **env})

    def files(self) -> set[str]:
        """The paths of all files and folders, without logs and apt's and ldconfig's caches."""
        found = set()
        for parent, folders, files in os.walk(self.root):
            found |= {f"{parent}/{name}" for name in (*folders, *files)}
        paths = {path[len(str(self.root)) :] for path in found}
        return {path for path in paths if not path.startswith(("/var/log/", "/var/cache/"))}
