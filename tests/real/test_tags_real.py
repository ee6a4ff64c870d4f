"""Tags of real guests follow what happens to the guests, within one tick."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from line_protocol_parser import parse_line

from support.hypervisor import LINUX, OFF, Hypervisor
from support.missing import leave_out
from support.plugin import Plugin

NOVA = "http://openstack.org/xmlns/libvirt/nova/1.1"

Tags = list[tuple[str, dict[str, str]]]
"""The measurement and the tags of each line of a tick."""

IDLE = "idle1"


@pytest.fixture
def tick(hypervisor: Hypervisor, tmp_path: Path) -> Iterator[Callable[[], Tags]]:
    """Start the plugin with tags and make one tick; return a function that makes another one."""
    config = tmp_path / "plugin.conf"
    config.write_text(
        f'[[inputs.libvirt]]\nlibvirt_uri = "{hypervisor.uri}"\n'
        'additional_statistics = ["health"]\n'
        'additional_domain_tags = ["uuid", "title", "instance_name", "project_name"]\n'
        'additional_device_tags = ["device", "serial", "interface", "mac"]\n'
    )
    with Plugin("--config", config) as plugin:

        def tick() -> Tags:
            plugin.metrics.forget()
            time.sleep(0.1)  # for libvirt's event to arrive
            plugin.tick()
            lines = plugin.metrics.wait_for(
                lambda lines: lines and lines[-1].startswith("libvirt_health,"), "a tick"
            )
            parsed = [parse_line(line) for line in lines]
            assert parsed[-1]["fields"]["domains_untagged"] == 0
            return [(line["measurement"], line["tags"]) for line in parsed]

        tick()
        yield tick


def of(tags: Tags, domain: str, measurement: str = "libvirt_") -> list[dict[str, str]]:
    """The tags of a domain's lines of the measurements that begin like this."""
    return [
        each
        for name, each in tags
        if each.get("domain_name") == domain and name.startswith(measurement)
    ]


def mac_of(hypervisor: Hypervisor, domain: str, tap: str) -> str:
    """The MAC address of an interface in a domain's XML."""
    xml = hypervisor.virsh("dumpxml", domain)
    (mac,) = re.findall(rf"<mac address='([^']+)'/>\s*<target dev='{tap}'", xml)
    return str(mac)


def test_tags_of_real_guests(hypervisor: Hypervisor, tick: Callable[[], Tags]) -> None:
    """Each line of each guest has its UUID; Nova's metadata and devices are tags."""
    tags = tick()
    for name in (LINUX, OFF, IDLE):
        uuid = hypervisor.virsh("domuuid", name).strip()
        assert {each["uuid"] for each in of(tags, name)} == {uuid}
    for each in of(tags, LINUX):
        assert each["title"] == "Boots Linux"
        assert each["instance_name"] == "web-1" and each["project_name"] == "demo"
    disks = [each for each in of(tags, LINUX, "libvirt_block") if "block_id" in each]
    assert {each["device"] for each in disks} == {"vda", "vdb"}
    if hypervisor.tap:
        (nic,) = [each for each in of(tags, LINUX, "libvirt_net") if "interface_id" in each]
        assert nic["interface"] == hypervisor.tap
        assert nic["mac"] == mac_of(hypervisor, LINUX, hypervisor.tap)


def test_a_hotplugged_disk(hypervisor: Hypervisor, tick: Callable[[], Tags]) -> None:
    """A disk that is plugged in has its tags in the next tick."""
    disk = hypervisor.folder / "plugged.raw"
    disk.write_bytes(bytes(1 << 20))
    disk.chmod(0o666)
    hypervisor.virsh("attach-disk", LINUX, str(disk), "vdz", "--live", "--serial", "S-1")
    try:
        disks = [each for each in of(tick(), LINUX, "libvirt_block") if "block_id" in each]
        assert ("vdz", "S-1") in {(each["device"], each.get("serial")) for each in disks}
    finally:
        hypervisor.virsh("detach-disk", LINUX, "vdz", "--live")


@pytest.fixture
def tap(hypervisor: Hypervisor) -> Iterator[str]:
    """Another tap that the hypervisor's guests may use."""
    if not hypervisor.tap:
        leave_out("needs the right to create a tap interface")
    name = f"{hypervisor.tap[:14]}+"
    owner = (hypervisor.folder / "config").stat().st_uid
    command = ("ip", "tuntap", "add", "dev", name, "mode", "tap", "user", str(owner))
    subprocess.run(command, check=True)
    try:
        subprocess.run(("ip", "link", "set", name, "up"), check=True)
        yield name
    finally:
        subprocess.run(("ip", "link", "delete", name), check=True)


def plug(hypervisor: Hypervisor, domain: str, tap: str, mac: str) -> None:
    """Plug an interface into a running domain; its guest need not take part."""
    device = hypervisor.folder / "interface.xml"
    device.write_text(
        f"<interface type='ethernet'><mac address='{mac}'/><model type='virtio'/>"
        f"<target dev='{tap}' managed='no'/></interface>"
    )
    hypervisor.virsh("attach-device", domain, str(device), "--live")


def test_a_hotplugged_interface(hypervisor: Hypervisor, tick: Callable[[], Tags], tap: str) -> None:
    """An interface that is plugged in has its tags in the next tick, and a guest that starts anew
    with another address has that one at once."""
    before = len(of(tick(), IDLE, "libvirt_net"))
    for number in (1, 2):
        mac = f"52:54:00:00:00:0{number}"
        plug(hypervisor, IDLE, tap, mac)
        lines = of(tick(), IDLE, "libvirt_net")
        assert len(lines) == before + 1
        assert [each["mac"] for each in lines if each.get("interface") == tap] == [mac]
        hypervisor.stop_guest(IDLE)
        assert len(of(tick(), IDLE, "libvirt_net")) <= before
        hypervisor.start_guest(IDLE)


def test_metadata_that_changes(hypervisor: Hypervisor, tick: Callable[[], Tags]) -> None:
    """Metadata of a running guest that is set or removed is in the tags of the next tick."""
    owner = "<owner><project uuid='p'>{}</project></owner>"
    change = ("metadata", IDLE, NOVA, "--live", "--key", "nova", "--set")
    for project in ("shop", "bank"):
        hypervisor.virsh(*change, f"<instance>{owner.format(project)}</instance>")
        lines = of(tick(), IDLE)
        assert {each.get("project_name") for each in lines} == {project}
    hypervisor.virsh("metadata", IDLE, NOVA, "--live", "--remove")
    assert {each.get("project_name") for each in of(tick(), IDLE)} == {None}


def test_a_rename(hypervisor: Hypervisor, tick: Callable[[], Tags]) -> None:
    """A guest that is renamed keeps its tags under its new name."""
    uuid = hypervisor.virsh("domuuid", OFF).strip()
    hypervisor.virsh("domrename", OFF, "renamed")
    try:
        tags = tick()
        assert not of(tags, OFF)
        assert {each["uuid"] for each in of(tags, "renamed")} == {uuid}
    finally:
        hypervisor.virsh("domrename", "renamed", OFF)


def test_a_guest_that_is_defined_anew(hypervisor: Hypervisor, tick: Callable[[], Tags]) -> None:
    """A definition that replaces another one, and another guest of the same name, have their own
    tags in the next tick."""
    hypervisor.define("fresh")
    first = {each["uuid"] for each in of(tick(), "fresh")}
    xml = hypervisor.virsh("dumpxml", "fresh")
    hypervisor.virsh("define", "/dev/stdin", stdin=xml.replace("<uuid>", "<title>t</title><uuid>"))
    lines = of(tick(), "fresh")
    assert {each["uuid"] for each in lines} == first and {each["title"] for each in lines} == {"t"}
    hypervisor.undefine("fresh")
    hypervisor.define("fresh")
    second = {each["uuid"] for each in of(tick(), "fresh")}
    assert len(first) == len(second) == 1 and first != second
