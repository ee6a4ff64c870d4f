"""The guest agent of a real guest: what it reports, and what it costs when it does not answer."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.guest_kernel import RUN_AGENT, agent_program
from support.hypervisor import Hypervisor
from support.missing import Missing, leave_out
from support.plugin import AT_ONCE, eventually
from support.watcher import BOOT_SECONDS, Watcher

HEALTH = "libvirt_source_health,libvirt_uri=qemu+unix:///session,source=guest_agent"
SILENT = "guest_agent: Guest agent is not responding"
USER = "libvirt_guest_user,domain_name=agent "


class Agent:
    """A guest that runs the guest agent; `order` has a shell of the guest run a command."""

    def __init__(self, control: Path) -> None:
        self._control = control

    def order(self, command: str) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self._control))
            client.sendall(f"{command}\n".encode())


@pytest.fixture
def agent(hypervisor: Hypervisor) -> Iterator[Agent]:
    """A guest named agent that runs the guest agent."""
    try:
        agent_program()
    except Missing as missing:
        leave_out(f"needs {missing}")
    if not shutil.which("mke2fs"):
        leave_out("needs mke2fs (Debian package e2fsprogs)")
    folder = hypervisor.own_folder("agent")
    disk = folder / "disk.raw"
    disk.touch()
    os.truncate(disk, 8 << 20)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", str(disk)], check=True)
    disk.chmod(0o666)
    hypervisor.define_linux(
        "agent",
        "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
        f"<source file='{disk}'/><target dev='vda' bus='virtio'/></disk>"
        "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
        f"<channel type='unix'><source mode='bind' path='{folder}/control'/>"
        "<target type='virtio' name='control'/></channel>",
        RUN_AGENT,
    )
    hypervisor.start_guest("agent")
    yield Agent(folder / "control")
    hypervisor.undefine("agent")


def bulk_lines_come(watcher: Watcher, seconds: float) -> list[str]:
    """Tick for some time; assert that the guest is written at once at each tick. All lines."""
    found: list[str] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        watcher.plugin.metrics.forget()
        began = time.monotonic()
        watcher.plugin.tick()
        lines = watcher.plugin.metrics.wait_for(
            lambda lines: any(line.startswith("libvirt_health,") for line in lines), "health"
        )
        assert time.monotonic() - began < AT_ONCE
        assert any(line.startswith("libvirt_state,domain_name=agent ") for line in lines)
        time.sleep(0.2)
        found += watcher.plugin.metrics.lines
    return found


def test_the_guest_agent(
    hypervisor: Hypervisor, watch: Callable[..., Watcher], agent: Agent
) -> None:
    """The real guest agent reports file systems, users, system and addresses. If the agent is
    stopped, one warning says so, it is not asked again soon, and the bulk lines come as before;
    an agent that starts again is asked at once. The same if its QEMU is stopped."""
    watcher = watch("guest_agent event", guest_agent='users = true\ntimeout = "2s"')
    start = "libvirt_event,detail=connected,domain_name=agent,event=agent count=1i"
    watcher.wait_for(start, BOOT_SECONDS)
    line = watcher.wait_for("libvirt_guest_filesystem,device=vda,domain_name=agent,")
    assert "fstype=ext4,mountpoint=/mnt " in line and "used_percent=" in line
    (total,) = re.findall(r"total_bytes=(\d+)i", line)
    assert 4 << 20 < int(total) <= 8 << 20
    assert ' count=1i,names="alice" ' in watcher.wait_for(USER)
    system = watcher.wait_for("libvirt_guest_os,domain_name=agent ")
    assert 'hostname="agent-1"' in system and 'name="Tiny Linux"' in system
    assert ",counted=1i" in watcher.wait_for(f"{HEALTH} up=1i,")
    loopback = watcher.wait_for("libvirt_guest_interface,domain_name=agent,interface=lo ")
    assert '"127.0.0.1/8' in loopback
    assert "domain_name=linux" not in "".join(
        line for line in watcher.plugin.metrics.lines if line.startswith("libvirt_guest_")
    )

    # Other clients wait for the agent as long as libvirt's default, also for a freeze.
    status = hypervisor.folder / "run/libvirt/qemu/run/agent.xml"
    assert eventually(lambda: "<agentTimeout>-2<" in status.read_text())

    watcher.plugin.metrics.forget()
    agent.order("$b killall -STOP qemu-ga")
    watcher.wait_for(f"{HEALTH} up=0i,records=0i,")
    lines = [line for line in bulk_lines_come(watcher, 3) if line.startswith(HEALTH)]
    assert len(lines) > 5 and not any(" up=1i," in line for line in lines)
    assert len(watcher.plugin.wait_for_message(SILENT)) == 1
    watcher.plugin.metrics.forget()
    agent.order("$b killall -KILL qemu-ga")
    assert ' count=1i,names="alice" ' in watcher.wait_for(USER)
    watcher.plugin.wait_for_message("guest_agent: works again")

    hypervisor.pause_process("agent")
    try:
        watcher.plugin.metrics.forget()
        watcher.wait_for(f"{HEALTH} up=0i,records=0i,")
        bulk_lines_come(watcher, 3)
        # The same message comes once in ten minutes.
        assert len(watcher.plugin.wait_for_message(SILENT)) == 1
    finally:
        hypervisor.resume_process("agent")

    # Also after a signal in the middle of a call.
    agent.order("$b killall -STOP qemu-ga")
    other = watch("guest_agent", guest_agent='timeout = "40s"').plugin
    other.tick()
    assert eventually(lambda: "<agentTimeout>20<" in status.read_text())
    other.signal(signal.SIGTERM)
    assert other.wait() == 0 and "<agentTimeout>-2<" in status.read_text()
