"""Tags of real guests follow what happens to the guests."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest
from line_protocol_parser import parse_line

from support.hypervisor import LINUX, OFF, Hypervisor
from support.missing import Missing
from support.ticks import Tick, Ticks

NOVA = "http://openstack.org/xmlns/libvirt/nova/1.1"
IDLE = "idle1"

OPTIONS = (
    'additional_domain_tags = ["uuid", "title", "instance_name", "project_name"]',
    'additional_device_tags = ["device", "serial", "interface", "mac"]',
)


def tags(tick: Tick, domain: str, measurement: str = "libvirt_") -> list[dict[str, str]]:
    """The tags of a domain's lines of the measurements that begin like this."""
    parsed = [parse_line(line) for line in tick.lines if line.startswith(measurement)]
    return [line["tags"] for line in parsed if line["tags"].get("domain_name") == domain]


def values(tick: Tick, domain: str, tag: str, measurement: str = "libvirt_") -> set[str | None]:
    """The values of a tag in these lines."""
    return {each.get(tag) for each in tags(tick, domain, measurement)}


def uuid_of(hypervisor: Hypervisor, domain: str) -> str:
    return hypervisor.virsh("domuuid", domain).strip()


@pytest.fixture
def tap(hypervisor: Hypervisor) -> Iterator[str]:
    """Another tap that the hypervisor's guests may use."""
    if not hypervisor.tap:
        raise Missing("the right to create a tap interface")
    name = f"{hypervisor.tap[:14]}+"
    owner = (hypervisor.folder / "config").stat().st_uid
    command = ("ip", "tuntap", "add", "dev", name, "mode", "tap", "user", str(owner))
    subprocess.run(command, check=True)
    try:
        subprocess.run(("ip", "link", "set", name, "up"), check=True)
        yield name
    finally:
        subprocess.run(("ip", "link", "delete", name), check=True)


@pytest.mark.parametrize("bulk", ["true", "false"])
def test_devices_that_are_plugged(
    hypervisor: Hypervisor, start: Callable[..., Ticks], tap: str, bulk: str
) -> None:
    """A disk and an interface that are plugged into a running guest have lines and tags; a guest
    that starts anew with another address has that one."""
    ticks = start(f"bulk_statistics = {bulk}", *OPTIONS).calm()
    disk = hypervisor.plug_disk(LINUX, "--serial", "S-1")
    ticks.until(
        lambda tick: values(tick, LINUX, "device", "libvirt_block,") == {"vda", "vdb", disk}
    )
    tick = ticks.until(lambda tick: "S-1" in values(tick, LINUX, "serial", "libvirt_block,"))
    assert (disk, "S-1") in {
        (each["device"], each.get("serial")) for each in tags(tick, LINUX, "libvirt_block,")
    }
    hypervisor.virsh("detach-disk", LINUX, disk, "--live")
    ticks.until(lambda tick: values(tick, LINUX, "device", "libvirt_block,") == {"vda", "vdb"})

    device = hypervisor.folder / "interface.xml"
    for mac in ("52:54:00:00:00:01", "52:54:00:00:00:02"):
        device.write_text(
            f"<interface type='ethernet'><mac address='{mac}'/><model type='virtio'/>"
            f"<target dev='{tap}' managed='no'/></interface>"
        )
        hypervisor.virsh("attach-device", IDLE, str(device), "--live")
        tick = ticks.until(lambda tick: values(tick, IDLE, "interface", "libvirt_net,") == {tap})
        assert values(tick, IDLE, "mac", "libvirt_net,") == {mac}
        hypervisor.stop_guest(IDLE)
        ticks.until(lambda tick: not tags(tick, IDLE, "libvirt_net,"))
        hypervisor.start_guest(IDLE)


def test_what_changes(hypervisor: Hypervisor, start: Callable[..., Ticks]) -> None:
    """Metadata of a running guest that is set or removed, a new name, a definition that replaces
    another one, and another guest of the same name are in the tags."""
    ticks = start(*OPTIONS).calm()
    change = ("metadata", IDLE, NOVA, "--live", "--key", "nova", "--set")
    for project in ("shop", "bank"):
        owner = f"<owner><project uuid='p'>{project}</project></owner>"
        hypervisor.virsh(*change, f"<instance>{owner}</instance>")
        ticks.until(lambda tick, name=project: values(tick, IDLE, "project_name") == {name})
    hypervisor.virsh("metadata", IDLE, NOVA, "--live", "--remove")
    ticks.until(lambda tick: values(tick, IDLE, "project_name") == {None})

    hypervisor.virsh("domrename", OFF, "renamed")
    expected = {uuid_of(hypervisor, "renamed")}
    tick = ticks.until(lambda tick: values(tick, "renamed", "uuid") == expected)
    assert not tags(tick, OFF)
    hypervisor.virsh("domrename", "renamed", OFF)

    hypervisor.define("fresh")
    first = uuid_of(hypervisor, "fresh")
    ticks.until(lambda tick: values(tick, "fresh", "uuid") == {first})
    xml = hypervisor.virsh("dumpxml", "fresh").replace("<uuid>", "<title>t</title><uuid>")
    hypervisor.define_xml(xml)
    tick = ticks.until(lambda tick: values(tick, "fresh", "title") == {"t"})
    assert values(tick, "fresh", "uuid") == {first}
    hypervisor.undefine("fresh")
    hypervisor.define("fresh")
    second = uuid_of(hypervisor, "fresh")
    assert first != second
    ticks.until(lambda tick: values(tick, "fresh", "uuid") == {second})
