"""Events of devices and live migration on real guests, which run boot sectors."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator

import pytest

from support.boot_program import FILL_MEMORY, WATCHDOG_THEN_PANIC
from support.hypervisor import Hypervisor
from support.plugin import eventually
from support.watcher import Watcher, beside

CRASHED = 6
"""The value of state.state after a panic."""


def test_a_watchdog_and_a_panic(hypervisor: Hypervisor, watch: Callable[..., Watcher]) -> None:
    """A watchdog that expires and a panic are counted, with what libvirt does about them."""
    watcher = watch("event")
    devices = "<watchdog model='ib700' action='pause'/><panic model='isa'/>"
    # Only this machine type has a slot for the watchdog in every version of libvirt.
    hypervisor.define_program("dog", WATCHDOG_THEN_PANIC, devices, machine="pc")
    hypervisor.start_guest("dog")
    event = "libvirt_event,detail={},domain_name=dog,event={} count=1i"
    watcher.wait_for(event.format("pause", "watchdog"))
    watcher.wait_for(event.format("watchdog", "suspended"))
    assert not [line for line in watcher.plugin.metrics.lines if "event=crashed" in line]
    hypervisor.virsh("resume", "dog")
    watcher.wait_for(event.format("panicked", "crashed"))
    watcher.wait_for(f"libvirt_state,domain_name=dog state={CRASHED}i")


@pytest.fixture
def destination() -> Iterator[Hypervisor]:
    """A hypervisor without guests, which libvirt takes for another host."""
    hypervisor = Hypervisor(idle_guests=0, linux=False)
    hypervisor.guests.clear()
    settings = hypervisor.folder / "config/libvirt/libvirtd.conf"
    settings.write_text(f'host_uuid = "{uuid.uuid4()}"\n')
    with hypervisor:
        yield hypervisor


def test_a_live_migration(
    hypervisor: Hypervisor, destination: Hypervisor, watch: Callable[..., Watcher]
) -> None:
    """A migration is a job of the source host, which counts it at its end; both have events."""
    hypervisor.define_program("mover", FILL_MEMORY)
    hypervisor.start_guest("mover")
    registers = ("qemu-monitor-command", "mover", "--hmp", "info registers")
    assert eventually(lambda: "EDI=01100000" in hypervisor.virsh(*registers))
    there, here = watch("event", destination), watch("job event")
    stream = destination.own_folder("migration") / "socket"
    with beside(
        hypervisor,
        *("migrate", "mover", destination.uri, "--live", "--p2p", "--unsafe"),
        *("--migrateuri", f"unix://{stream}", "--bandwidth", "1"),
    ):
        running = "libvirt_job,domain_name=mover,operation=migration_out type=2i,"
        assert eventually(
            lambda: re.search(
                r",memory_remaining=[1-9].*,memory_iteration=1i", here.wait_for(running)
            )
        )
        hypervisor.virsh("migrate-setspeed", "mover", "1000")
    completed = "libvirt_job_completed,domain_name=mover,operation=migration_out "
    here.wait_for(f"{completed}count=1i,failed=0i,time_elapsed_ms=")
    event = "libvirt_event,detail={},domain_name=mover,event={} count=1i"
    for detail, name in (
        ("migrated", "suspended"),
        ("migrated", "stopped"),
        ("migration_out", "job_completed"),
    ):
        here.wait_for(event.format(detail, name))
    for name in ("started", "resumed"):
        there.wait_for(event.format("migrated", name))
