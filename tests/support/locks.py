"""A hypervisor whose daemon holds the lock of a guest for as long as a test wants.

The rule: each lock ends with its `with` block, also after a failure. The hook, `ovs-vsctl` and the
settings belong to this daemon only: it sees another /etc/libvirt.
"""

from __future__ import annotations

import os
import signal
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support.hypervisor import OFF, Hypervisor, HypervisorError
from support.missing import Missing
from support.process import wait_for
from support.vhost_user import VhostUser
from support.watcher import beside

# The hook of guests, and ovs-vsctl: it waits at each FIFO of the folder that is named as one of its
# arguments, and has a pid file there meanwhile. ovs-vsctl also prints the name of an interface.
STAND_IN = """\
#!/bin/sh
for word; do
  if [ -p "{folder}/$word" ]; then
    echo $$ >"{folder}/$word.pid"
    read -r line <"{folder}/$word"
    rm "{folder}/$word.pid"
  fi
done
if [ "$2" = get ]; then echo "$4"; fi
"""
HOOK = """\
#!/bin/sh
exec {program} "$1-$2"
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
        hooks, programs = self.own_folder("hooks"), self.own_folder("bin")
        self._hold = self.own_folder("hold")
        _write_program(programs / "ovs-vsctl", STAND_IN.format(folder=self._hold))
        _write_program(hooks / "qemu", HOOK.format(program=programs / "ovs-vsctl"))
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
    def slow_destroy(self, name: str) -> Iterator[None]:
        """Turn off a guest whose process is stopped: libvirt waits for ten seconds."""
        self.pause_process(name)
        with beside(self, "destroy", name):
            try:
                self._wait(lambda: self.busy_workers() >= 1, "a call to hang")
                yield
            finally:
                with suppress(HypervisorError):  # libvirt has killed it
                    self.resume_process(name)

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
    def slow_switch(self, interface: str) -> Iterator[None]:
        """Let each ovs-vsctl hang that asks about this interface."""
        fifo = self._hold / interface
        self._make_fifo(fifo)
        try:
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

    @contextmanager
    def defining(self, name: str) -> Iterator[None]:
        """Define another cheap guest, at the latest until the end of the block."""
        path = self.folder / f"{name}.xml"
        path.write_text(self._cheap_definition(name))
        with beside(self, "define", str(path)):
            yield

    @contextmanager
    def guest_on_a_switch(self, name: str, interface: str) -> Iterator[None]:
        """One more running guest, with a vhost-user interface of this name."""
        path = self.own_folder("switch") / interface
        with VhostUser(path):
            self.define_with(
                name,
                f"<interface type='vhostuser'><source type='unix' path='{path}' mode='client'/>"
                f"<target dev='{interface}'/><model type='virtio'/><rom enabled='no'/></interface>",
            )
            self.start_guest(name)
            yield

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


def _write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
