"""Events of real guests, and the live migration of one. Boot sectors do one thing to the devices of
their guests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator

import pytest

from support.hypervisor import Hypervisor
from support.plugin import eventually
from support.process import send
from support.watcher import Watcher

#: With QEMU's devices ib700 and isa-pvpanic: let the watchdog expire at once; report a panic 36
#: timer interrupts (2 s) later.
WATCHDOG_THEN_PANIC = bytes.fromhex(
    "ba4304 b00f ee"  # mov dx, 0x443; mov al, 15; out dx, al: the watchdog expires in 0 s
    "fb b92400 f4 e2fd"  # sti; mov cx, 36; hlt; loop to hlt
    "ba0505 b001 ee"  # mov dx, 0x505; mov al, 1; out dx, al: the guest has panicked
    "f4 ebfd"  # hlt; jmp to hlt
)

#: Fill 16 MiB of memory and halt, so that a slow migration takes seconds. The descriptor at the end
#: gives the segment ES a limit of 4 GiB.
FILL_MEMORY = bytes.fromhex(
    "fa 31c0 8ed8 0f0116357c"  # cli; xor ax, ax; mov ds, ax; lgdt [0x7c35]
    "0f20c0 0c01 0f22c0"  # mov eax, cr0; or al, 1; mov cr0, eax
    "bb0800 8ec3 24fe 0f22c0"  # mov bx, 8; mov es, bx; and al, 254; mov cr0, eax
    "66bf00001000 66b900004000"  # mov edi, 1 MiB; mov ecx, 4 Mi
    "66b801010101 6766f3ab"  # mov eax, 0x01010101; rep stosd
    "f4 ebfd"  # hlt; jmp to hlt
    "0f00 3b7c0000"  # 0x7c35: the descriptor table has 16 bytes at 0x7c3b
    "0000000000000000 ffff00000092cf00"
)

EVENT = "libvirt_event,detail={},domain_name={},event={} count={}i"

CRASHED = 6
"""The value of state.state after a panic."""


def test_events(hypervisor: Hypervisor, watch: Callable[..., Watcher]) -> None:
    """Start, stop, reset and crash of guests are counted by event and detail; so are a watchdog
    that expires and a panic, with what libvirt does about them."""
    watcher = watch("event")
    # Only this machine type has a slot for the watchdog in every version of libvirt.
    devices = "<watchdog model='ib700' action='pause'/><panic model='isa'/>"
    hypervisor.define_program("dog", WATCHDOG_THEN_PANIC, devices, machine="pc")
    hypervisor.start_guest("dog")
    watcher.wait_for(EVENT.format("pause", "dog", "watchdog", 1))
    watcher.wait_for(EVENT.format("watchdog", "dog", "suspended", 1))
    assert not [line for line in watcher.plugin.metrics.lines if "event=crashed" in line]
    hypervisor.virsh("resume", "dog")
    watcher.wait_for(EVENT.format("panicked", "dog", "crashed", 1))
    watcher.wait_for(f"libvirt_state,domain_name=dog state={CRASHED}i")

    hypervisor.define("short")
    for _ in range(2):
        hypervisor.start_guest("short")
        hypervisor.stop_guest("short")
    watcher.wait_for(EVENT.format("booted", "short", "started", 2))
    watcher.wait_for(EVENT.format("destroyed", "short", "stopped", 2))
    hypervisor.start_guest("short")
    hypervisor.virsh("reset", "short")
    # The firmware may reset the machine once more.
    watcher.wait_for("libvirt_event,domain_name=short,event=reboot count=")
    os.kill(hypervisor.guest_pid("short"), signal.SIGKILL)
    watcher.wait_for(EVENT.format("failed", "short", "stopped", 1))
    hypervisor.virsh("undefine", "short")
    watcher.wait_for(EVENT.format("removed", "short", "undefined", 1))


@pytest.fixture
def destination() -> Iterator[Hypervisor]:
    """A hypervisor that libvirt takes for another host, with a guest that shows that its driver
    reports everything."""
    hypervisor = Hypervisor(idle_guests=1, linux=False)
    settings = hypervisor.folder / "config/libvirt/libvirtd.conf"
    settings.write_text(f'host_uuid = "{uuid.uuid4()}"\n')
    with hypervisor:
        yield hypervisor


def test_a_live_migration(
    hypervisor: Hypervisor, destination: Hypervisor, watch: Callable[..., Watcher]
) -> None:
    """A migration is a job of the source host, which counts it at its end; both hosts have events.

    While it lasts, libvirt does not ask the guest's monitor at the destination: the guest is not
    reported there as one that does not respond, and no source complains.
    """
    hypervisor.define_program("mover", FILL_MEMORY)
    hypervisor.start_guest("mover")
    registers = ("qemu-monitor-command", "mover", "--hmp", "info registers")
    assert eventually(lambda: "EDI=01100000" in hypervisor.virsh(*registers))
    there = watch("job block_job disk_error block_limit event", host=destination)
    here = watch("job event")
    stream = destination.own_folder("migration") / "socket"
    command = ["virsh", "-c", hypervisor.uri, "migrate", "mover", destination.uri, "--live"]
    command += ["--p2p", "--unsafe", "--migrateuri", f"unix://{stream}", "--bandwidth", "1"]
    migration = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        running = "libvirt_job,domain_name=mover,operation=migration_out type=2i,"
        remaining = re.compile(r",memory_remaining=[1-9].*,memory_iteration=1i")
        assert eventually(lambda: remaining.search(here.wait_for(running)))
        arriving = "libvirt_state,domain_name=mover state=3i,reason=2i"
        there.wait_for(arriving)
        seen = len(there.plugin.metrics.lines)
        for _ in range(40):
            there.wait_for(arriving)
        assert migration.poll() is None
        lines = there.plugin.metrics.lines[seen:]
        assert any(" up=1i,domains=4i,domains_incomplete=0i," in line for line in lines)
        assert not [
            line for line in lines if line.startswith("libvirt_domain_health,domain_name=mover")
        ]
        assert not [line for line in lines if ",source=" in line and " up=1i," not in line]
        warnings = [line for line in there.plugin.log.lines if line.startswith("W! ")]
        assert all("longer than the interval" in line for line in warnings)  # a slow machine
        hypervisor.virsh("migrate-setspeed", "mover", "1000")
        assert migration.wait(90) == 0
    finally:
        send(signal.SIGTERM, {migration.pid})
        migration.wait()
    completed = "libvirt_job_completed,domain_name=mover,operation=migration_out "
    here.wait_for(f"{completed}count=1i,failed=0i,time_elapsed_ms=")
    for watcher, detail, name in (
        (here, "migrated", "suspended"),
        (here, "migrated", "stopped"),
        (here, "migration_out", "job_completed"),
        (there, "migrated", "started"),
        (there, "migrated", "resumed"),
    ):
        watcher.wait_for(EVENT.format(detail, "mover", name, 1))
