"""The guest agent of a real guest: what it reports, and what it costs when it does not answer."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator

import pytest

from support.guest_kernel import RUN_AGENT, agent_program
from support.hypervisor import Hypervisor
from support.missing import needed
from support.plugin import eventually
from support.ticks import Ticks
from support.watcher import Watcher

HEALTH = "libvirt_source_health,libvirt_uri=qemu+unix:///session,source=guest_agent"
USER = "libvirt_guest_user,domain_name=agent "

# Newer releases of libvirt call it a timeout if the agent has answered before.
SILENT = re.compile(
    "guest_agent: (guest agent is not responding|guest agent command timed out)", re.IGNORECASE
)


@pytest.fixture
def order(hypervisor: Hypervisor) -> Iterator[Callable[[str], None]]:
    """A guest named agent that runs the guest agent; has a shell of the guest run a command."""
    agent_program()
    needed("mke2fs", "e2fsprogs")
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

    def order(command: str) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(folder / "control"))
            client.sendall(f"{command}\n".encode())

    yield order
    hypervisor.undefine("agent")


def test_the_summary_of_a_guest_with_an_agent(
    order: Callable[[str], None], start: Callable[..., Ticks]
) -> None:
    """The summary says when the agent connects, and needs no right beyond reading for that."""
    plugin = start('domains = ["agent"]', 'interval = "1s"', sources="domain").plugin
    for state in (0, 1):
        found = f",agent_connected={state}i,"
        assert eventually(lambda f=found: any(f in line for line in plugin.metrics.lines), 90)


def test_the_guest_agent(
    hypervisor: Hypervisor,
    watch: Callable[..., Watcher],
    order: Callable[[str], None],
) -> None:
    """The real guest agent reports file systems, users, system and addresses. If the agent is
    stopped, one warning says so, it is not asked again soon, and the bulk lines come as before;
    an agent that starts again is asked at once."""
    watcher = watch("guest_agent event", guest_agent='users = true\ntimeout = "2s"')
    plugin = watcher.plugin
    watcher.wait_for("libvirt_event,detail=connected,domain_name=agent,event=agent count=1i")
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
    reported = [line for line in plugin.metrics.lines if line.startswith("libvirt_guest_")]
    assert not [line for line in reported if "domain_name=linux" in line]

    # Other clients wait for the agent as long as libvirt's default, also for a freeze.
    status = hypervisor.folder / "run/libvirt/qemu/run/agent.xml"
    assert eventually(lambda: "<agentTimeout>-2<" in status.read_text())

    order("$b killall -STOP qemu-ga")
    plugin.metrics.forget()
    watcher.wait_for(f"{HEALTH} up=0i,records=0i,")
    plugin.metrics.forget()
    ticks = Ticks(plugin)
    for _ in range(20):
        tick = ticks.tick()
        assert tick.whole and "agent" in tick.domains
    found = [line for line in plugin.metrics.lines if line.startswith(HEALTH)]
    assert len(found) > 5 and not any(" up=1i," in line for line in found)
    assert eventually(lambda: SILENT.search(plugin.log.text))
    said = SILENT.findall(plugin.log.text)
    assert len(said) == len({*said})  # the next one comes in ten minutes
    plugin.metrics.forget()
    order("$b killall -KILL qemu-ga")
    assert ' count=1i,names="alice" ' in watcher.wait_for(USER)
    plugin.wait_for_message("guest_agent: works again")
