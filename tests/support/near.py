"""The near end of remote connections: the unprivileged user that runs the plugin.

The rule: the user has own mounts and an own home; no file of another user is read. The names of the
far hosts exist only in these mounts.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from support.process import PATH
from support.remote import NEAR, NUMBERS, PACKAGES, require, write_accounts

HOST, OTHER_HOST = "kvm1.test", "kvm2.test"
"""Two names of loopback."""


class NearUser:
    """The unprivileged user that runs the plugin, with a private home.

    `prefix` is the start of each command line, `environment` is that of its processes. The plugin
    keeps its pid. If others may not read the folder of the plugin or of Python, the user's mounts
    open it.
    """

    def __init__(self, folder: Path) -> None:
        require(PACKAGES)
        self.folder = folder / "near"
        self.home = self.folder / "home"
        folder.chmod(0o755)
        self.temporary = self.home / "tmp"
        for path in (self.folder, self.home, self.temporary):
            path.mkdir()
        self.own(self.home)
        self.own(self.temporary)
        write_accounts(self.folder, self.home)
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost {HOST} {OTHER_HOST}\n")
        number = NUMBERS[NEAR]
        script = self.folder / "prefix.sh"
        script.write_text(_prefix(self.folder))
        drop = ["setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups"]
        self.prefix = ("unshare", "--mount", "sh", str(script), *drop, "--inh-caps=-all")

    def own(self, path: Path, mode: int | None = None) -> Path:
        """Give a file or a folder to the user."""
        os.chown(path, NUMBERS[NEAR], NUMBERS[NEAR])
        if mode is not None:
            path.chmod(mode)
        return path

    def write(self, name: str, text: str, mode: int = 0o600) -> Path:
        """Write a file into the user's home, and make its folders."""
        path = self.home / name
        for folder in reversed([parent for parent in path.parents if self.home in parent.parents]):
            if not folder.exists():
                folder.mkdir(mode=0o700)
                self.own(folder)
        path.write_text(text, "utf-8")
        return self.own(path, mode)

    def environment(self, **changes: str) -> dict[str, str]:
        """The tests' environment without what belongs to another user."""
        foreign = ("XDG_", "LIBVIRT_", "SSH_", "DISPLAY")
        kept = {key: os.environ[key] for key in os.environ if not key.startswith(foreign)}
        kept.update(HOME=str(self.home), PATH=PATH, LC_ALL="C.UTF-8", USER=NEAR, LOGNAME=NEAR)
        kept["TMPDIR"] = str(self.temporary)
        return {**kept, **changes}

    def processes(self) -> dict[int, str]:
        """The command lines of the user's living processes, by pid."""
        found = {}
        home = f"\0HOME={self.home}\0"
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = "\0" + (folder / "environ").read_text(errors="replace")
                command = (folder / "cmdline").read_text(errors="replace")
            except OSError:
                continue
            if command and home in environment:  # a zombie has no command line
                found[int(folder.name)] = command.replace("\0", " ").strip()
        return found


def _prefix(folder: Path) -> str:
    """The script that makes the user's mounts and runs its arguments."""
    lines = ["set -e", "mount --make-rprivate /"]
    lines += [
        f"mount --bind '{folder}/{name}' /etc/{name}" for name in ("passwd", "group", "hosts")
    ]
    needed = {Path(__file__).parents[2], Path(sys.prefix), Path(sys.base_prefix)}
    hidden = {path: closed for path in needed if (closed := _closed(path))}
    outer = [path for path in hidden if not hidden.keys() & {*path.parents}]
    held = {path: folder / f"held{number}" for number, path in enumerate(outer)}
    for path, place in held.items():
        place.mkdir()
        lines.append(f"mount --bind '{path}' '{place}'")
    for closed in {*hidden.values()}:
        lines.append(f"mount -t tmpfs -o mode=755 tmpfs '{closed}'")
    for path, place in held.items():
        lines += [f"mkdir -p '{path}'", f"mount --move '{place}' '{path}'"]
    return "\n".join([*lines, 'exec "$@"', ""])


def _closed(path: Path) -> Path | None:
    """The first folder above this one that others may not enter."""
    for parent in reversed(path.parents):
        if not parent.stat().st_mode & 0o001:
            return parent
    return None
