"""The destination of a live migration between two real daemons: it is silent and complete."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from support.hypervisor import Hypervisor
from support.missing import available
from support.plugin import eventually
from support.process import send
from support.watcher import Watcher

SOURCES = "job block_job disk_error block_limit event"
STATE = "libvirt_state,domain_name=moved state=3i,reason=2i"
HEALTH = "libvirt_health,libvirt_uri=qemu+unix:///session up=1i,domains=4i,domains_incomplete=0i,"


@pytest.fixture
def other() -> Iterator[Hypervisor]:
    """Another hypervisor, with a guest that shows that its driver reports everything."""
    with available(lambda: Hypervisor(idle_guests=1, linux=False)) as started:
        yield started


def test_the_destination_of_a_migration(
    hypervisor: Hypervisor, other: Hypervisor, watch: Callable[..., Watcher]
) -> None:
    """While a slow migration brings a guest to a host, libvirt does not ask its monitor there: the
    guest is not reported as one that does not respond, and no source complains."""
    watcher = watch(SOURCES, other)
    hypervisor.define_linux("moved", "")
    hypervisor.start_guest("moved")
    by = f"unix://{hypervisor.own_folder('migration')}/socket"
    command = ("migrate", "--live", "--unsafe", "--bandwidth", "1", "--migrateuri", by)
    migration = subprocess.Popen(
        ["virsh", "-c", hypervisor.uri, *command, "moved", "--desturi", other.uri],
        stdout=subprocess.DEVNULL,
    )
    try:
        watcher.wait_for(STATE)
        began = len(watcher.plugin.metrics.lines)
        assert eventually(lambda: watcher.wait_for(HEALTH) in watcher.plugin.metrics.lines[began:])
        for _ in range(40):
            watcher.wait_for(STATE)
        assert migration.poll() is None
        for line in watcher.plugin.metrics.lines[began:]:
            assert not line.startswith("libvirt_domain_health,domain_name=moved ")
            assert ",source=" not in line or " up=1i," in line
        assert "W! " not in watcher.plugin.log.text
    finally:
        send(signal.SIGTERM, {migration.pid})
        migration.wait()
