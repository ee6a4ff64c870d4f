"""Far hosts with a libvirtd, which are processes on loopback.

The rule: a host has its own mount namespace, so the machine's accounts, sockets and configuration
do not change, and its own process namespace: all processes end with the first one. Its users exist
only in its mounts.
libvirtd has no driver except libvirt's test driver, which it contains.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.missing import Missing, needed
from support.process import (
    PATH,
    Closing,
    Workspace,
    children,
    free_port,
    listens,
    listens_at,
    send,
    wait_for,
)

FAR, NEAR = "far-user", "near-user"
"""The unprivileged users of both ends."""

NUMBERS = {FAR: 64101, NEAR: 64102}
PACKAGES = {
    "libvirtd": "libvirt-daemon",
    "virt-ssh-helper": "libvirt-daemon",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}

FIRST_PROCESS = """
set -e
mount --make-rprivate /
mount --bind "$1/run" /run
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/group" /etc/group
mount -t proc proc /proc
mount -t tmpfs tmpfs /etc/libvirt
mount -t tmpfs tmpfs /var
ln -s /run /var/run
touch "$1/ready"
exec sleep infinity
"""

SETTINGS = {
    "listen_addr": '"127.0.0.1"',
    "listen_tcp": "0",
    "listen_tls": "0",
    "auth_tcp": '"none"',
    "auth_tls": '"none"',
    "auth_unix_ro": '"none"',
    "auth_unix_rw": '"none"',
    "unix_sock_ro_perms": '"0777"',
    "unix_sock_rw_perms": '"0700"',
    "host_uuid": '"6f1c2f0e-6d2f-4a55-9d0b-1f6f3c1c7a10"',
}


def require(packages: Mapping[str, str]) -> None:
    """Raise Missing unless all these programs are installed and mounts are allowed."""
    for program, package in packages.items():
        needed(program, package, PATH)
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        raise Missing("the right to have own mounts (root)")


def write_accounts(folder: Path, home: Path) -> None:
    """Write the machine's accounts with both users added, to passwd and group of the folder."""
    users = [f"{name}:x:{number}:{number}::{home}:/bin/sh\n" for name, number in NUMBERS.items()]
    groups = [f"{name}:x:{number}:\n" for name, number in NUMBERS.items()]
    for name, lines in (("passwd", users), ("group", groups)):
        (folder / name).write_text(Path("/etc", name).read_text() + "".join(lines))


class FarHost(Closing):
    """A host with a libvirtd, and room for other daemons; `run` has its sockets.

    `settings` are those of libvirtd.conf; with listen_tcp or listen_tls it listens on `tcp_port` or
    `tls_port`. `read_only` is the socket.
    """

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        settings: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        require(PACKAGES)
        self.workspace = workspace
        self.name = name
        self.folder = workspace.folder / name
        self.run_folder = self.folder / "run"
        self.read_only = self.run_folder / "libvirt/libvirt-sock-ro"
        self.home = self.folder / "home"
        self.tcp_port, self.tls_port = free_port(), free_port()
        self._settings = {**SETTINGS, **(settings or {})}
        self._environment = {
            "PATH": PATH,
            "LC_ALL": "C.UTF-8",
            "LIBVIRT_DRIVER_DIR": str(self.folder / "no-drivers"),
            **(variables or {}),
        }
        self._first: subprocess.Popen[bytes] | None = None
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start the host and its libvirtd."""
        workspace = self.workspace
        workspace.folder.chmod(0o755)
        self.folder.mkdir()
        self.run_folder.mkdir()
        self.home.mkdir()
        os.chown(self.home, NUMBERS[FAR], NUMBERS[FAR])
        write_accounts(self.folder, self.home)
        ports = {"tcp_port": f'"{self.tcp_port}"', "tls_port": f'"{self.tls_port}"'}
        lines = [f"{key} = {value}\n" for key, value in {**self._settings, **ports}.items()]
        (self.folder / "libvirtd.conf").write_text("".join(lines))
        own = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL"]
        command = [*own, "sh", "-c", FIRST_PROCESS, "sh", str(self.folder)]
        log = f"{self.name}-first"
        self._first = workspace.run(log, command, self._environment)
        ready = (self.folder / "ready").exists
        wait_for(ready, 20.0, "the far host", workspace.log(log), self._first)
        self.start_libvirtd()

    def close(self) -> None:
        """End all processes of the host; may be called again."""
        if self._first and self._first.poll() is None:
            self._first.kill()
            self._first.wait()
        for daemon in self._daemons.values():
            daemon.kill()
            daemon.wait()

    def start_libvirtd(self) -> None:
        """Start libvirtd, and wait until it answers on its socket and its ports."""
        config = ["--config", str(self.folder / "libvirtd.conf")]
        self.run("libvirtd", ["libvirtd", "--listen", *config])
        wait_for(
            self._is_listening, 20.0, "libvirtd", self.log("libvirtd"), self._daemons["libvirtd"]
        )

    def _is_listening(self) -> bool:
        ports = {"listen_tcp": self.tcp_port, "listen_tls": self.tls_port}
        wanted = [port for name, port in ports.items() if self._settings[name] == "1"]
        return all(map(listens, wanted)) and listens_at(self.read_only)

    def run(self, name: str, command: Sequence[str], user: str | None = None) -> None:
        """Start a daemon on this host, as root or as this user. A path in its command has to be in
        the host's folder."""
        assert self._first
        (first,) = children(self._first.pid)
        enter = ["nsenter", f"--target={first}", "--mount", "--pid", "--wdns=/"]
        if user:
            number = NUMBERS[user]
            enter += ["setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups"]
        self._daemons[name] = self.workspace.run(
            f"{self.name}-{name}", [*enter, *command], self._environment
        )

    def log(self, name: str) -> Path:
        """The log of a daemon."""
        return self.workspace.log(f"{self.name}-{name}")

    def children(self, name: str) -> list[int]:
        """The pid of a daemon, if it runs."""
        return children(self._daemons[name].pid)

    def pids(self, name: str) -> set[int]:
        """The pid of a daemon and those of all its descendants."""
        found: set[int] = set()
        waiting = children(self._daemons[name].pid)
        while waiting:
            pid = waiting.pop()
            found.add(pid)
            waiting += children(pid)
        return found

    def kill(self, name: str = "libvirtd") -> None:
        """Kill a daemon and its descendants."""
        send(signal.SIGKILL, self.pids(name))
        send(signal.SIGCONT, {self._daemons[name].pid})
        self._daemons[name].wait()

    def heal(self) -> None:
        """Continue all daemons, and start libvirtd again if it has ended."""
        for name in self._daemons:
            self.resume(name)
        if self._daemons["libvirtd"].poll() is not None:
            self.start_libvirtd()

    def pause(self, name: str = "libvirtd") -> None:
        """Stop a daemon and its descendants, so that they answer nothing."""
        send(signal.SIGSTOP, self.pids(name))

    def resume(self, name: str = "libvirtd") -> None:
        """Continue a daemon and its descendants."""
        send(signal.SIGCONT, {self._daemons[name].pid, *self.pids(name)})
