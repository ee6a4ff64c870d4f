"""A hypervisor whose daemon holds the lock of a guest for as long as a test wants.

The rule: each lock ends with its `with` block, also after a failure. The hook and the settings
belong to this daemon only: it sees another /etc/libvirt.
"""

from __future__ import annotations

import os
import signal
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from support.hypervisor import OFF, Hypervisor, HypervisorError
from support.missing import Missing
from support.process import wait_for
from support.watcher import beside

# The hook of guests: it waits at a FIFO that is named after the guest and the operation, and has a
# pid file there meanwhile.
HOOK = """\
#!/bin/sh
fifo="{folder}/$1-$2"
if [ -p "$fifo" ]; then
  echo $$ >"$fifo.pid"
  read -r line <"$fifo"
  rm "$fifo.pid"
fi
"""
OWN_HOOKS = 'mount -t tmpfs tmpfs /etc/libvirt && ln -s "$0" /etc/libvirt/hooks && exec "$@"'

# All workers then take all calls, so that each call that waits is one of `busy_workers`.
LIBVIRTD_CONF = "prio_workers = 0\n"

SECONDS = 20.0
"""How long a test waits for the daemon."""


class LockingHypervisor(Hypervisor):
    """Six running guests and OFF. While a guest is locked, each call waits that touches it."""

    def __init__(self) -> None:
        super().__init__(idle_guests=5, linux=False)
        if not self.has_mounts:
            self.close()
            raise Missing("the right to have own mounts (root)")
        (self.folder / "config/libvirt/libvirtd.conf").write_text(LIBVIRTD_CONF)
        hooks, self._hold = self.own_folder("hooks"), self.own_folder("hold")
        (hooks / "qemu").write_text(HOOK.format(folder=self._hold))
        (hooks / "qemu").chmod(0o755)
        self._wrapper = ["unshare", "--mount", "sh", "-c", OWN_HOOKS, str(hooks), *self._wrapper]

    def busy_workers(self) -> int:
        """The number of calls that the daemon has not answered."""
        uri = f"libvirtd+unix:///session?socket={self.folder}/run/libvirt/libvirt-admin-sock"
        done = subprocess.run(
            ["virt-admin", "-q", "-c", uri, "server-threadpool-info", "libvirtd"],
            user=self._user.pw_uid,  # nobody else is admitted
            group=self._user.pw_gid,
            env=self._environment(),
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
        )
        if done.returncode:
            raise HypervisorError(f"virt-admin: {done.stderr.strip()}")
        found = dict(line.split(":") for line in done.stdout.split("\n") if ":" in line)
        values = {name.strip(): int(value) for name, value in found.items()}
        return values["nWorkers"] - values["freeWorkers"] + values["jobQueueDepth"]

    def heal(self) -> None:
        """Restore all guests; those that should not run end at once, and all together."""
        running = {path.stem for path in (self.folder / "run/libvirt/qemu/run").glob("*.xml")}
        for name in running - self.guests.keys() | running & {OFF}:
            os.kill(self.guest_pid(name), signal.SIGKILL)
        super().heal()

    def wait_until_free(self) -> None:
        """Wait until the daemon has answered all calls."""
        self._wait(lambda: self.busy_workers() == 0, "all calls to return")

    @contextmanager
    def slow_start(self, name: str, operation: str) -> Iterator[None]:
        """Start a guest; its hook hangs at this operation."""
        fifo = self._hold / f"{name}-{operation}"
        self._make_fifo(fifo)
        with beside(self, "start", name):
            try:
                self._wait_for_hook(fifo)
                yield
            finally:
                _release(fifo)

    @contextmanager
    def slow_end(self, name: str) -> Iterator[None]:
        """Let a guest end by itself; its hook hangs."""
        fifo = self._hold / f"{name}-release"
        self._make_fifo(fifo)
        try:
            os.kill(self.guest_pid(name), signal.SIGKILL)
            self._wait_for_hook(fifo)
            yield
        finally:
            _release(fifo)

    @contextmanager
    def dead_storage(self, name: str) -> Iterator[None]:
        """Put a FIFO in place of a guest's disk: each call hangs that opens it."""
        source = ET.fromstring(self.guests[name]).find("devices/disk/source")
        assert source is not None
        disk = Path(source.attrib["file"])
        fifo, saved, link = (disk.with_suffix(suffix) for suffix in (".fifo", ".saved", ".link"))
        self._make_fifo(fifo)
        os.link(disk, saved)
        os.link(fifo, link)
        link.replace(disk)
        try:
            yield
        finally:
            saved.replace(disk)
            _release(fifo)

    def _wait_for_hook(self, fifo: Path) -> None:
        self._wait(fifo.with_name(f"{fifo.name}.pid").exists, "the hook")

    def _make_fifo(self, path: Path) -> None:
        os.mkfifo(path)
        path.chmod(0o666)

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        wait_for(condition, SECONDS, what, self._log)


def _release(fifo: Path) -> None:
    """Remove a FIFO, and let all processes go on that wait for it."""
    end = os.open(fifo, os.O_RDWR)
    fifo.unlink()
    os.write(end, b"\n" * 100)
    os.close(end)
