"""What a restart of a running domain would change, and what libvirt only fills in."""

from __future__ import annotations

import pytest

from telegraf_execd_libvirt.domain.restart import PARTS, changes

#: A definition, and what libvirt 9.0 makes of it when it starts the domain.
DEFINED = """<domain type='qemu'>
  <memory unit='KiB'>100001</memory><currentMemory unit='KiB'>100001</currentMemory>
  <vcpu placement='static' current='1'>3</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <cpu mode='host-model' check='partial'><topology sockets='1' cores='3' threads='1'/></cpu>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='/a.raw'/><target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/><source file='/iso'/><target dev='sda' bus='sata'/>
    </disk>
    <disk type='file' device='disk'>
      <source file='/scratch.raw'/><target dev='vdt' bus='virtio'/><transient/>
    </disk>
    <controller type='pci' index='0' model='pcie-root'/>
    <interface type='network'>
      <mac address='52:54:00:52:0f:1d'/><source network='default'/><model type='virtio'/>
    </interface>
    <hostdev mode='subsystem' type='usb'><source>
      <vendor id='0x046d'/><product id='0xc52b'/>
    </source></hostdev>
    <hostdev mode='subsystem' type='usb'/>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <graphics type='vnc' port='-1' autoport='yes'/>
    <video><model type='vga'/></video>
    <sound model='ich9'/>
    <rng model='virtio'/>
    <tpm model='tpm-crb'/>
    <filesystem type='mount'><target dir='shared'/></filesystem>
  </devices>
</domain>"""

LIVE = """<domain type='qemu' id='2'>
  <memory unit='KiB'>100352</memory><currentMemory unit='KiB'>90000</currentMemory>
  <vcpu placement='static' current='1'>3</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <cpu mode='custom' match='exact' check='full'>
    <model fallback='forbid'>EPYC</model><vendor>AMD</vendor>
    <topology sockets='1' dies='1' cores='3' threads='1'/><feature policy='require' name='acpi'/>
  </cpu>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='none'/><source file='/a.raw' index='2'/>
      <backingStore/><target dev='vda' bus='virtio'/><alias name='virtio-disk0'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu'/><target dev='sda' bus='sata'/><readonly/>
    </disk>
    <disk type='file' device='disk'>
      <source file='/scratch.raw.TRANSIENT-d'/><target dev='vdt' bus='virtio'/><transient/>
    </disk>
    <controller type='pci' index='0' model='pcie-root'><alias name='pcie.0'/></controller>
    <controller type='virtio-serial' index='0'/>
    <interface type='bridge'>
      <mac address='52:54:00:52:0f:1d'/><source network='default' portid='1' bridge='virbr0'/>
      <target dev='vnet0'/><model type='virtio'/><alias name='net0'/>
    </interface>
    <hostdev mode='subsystem' type='usb'><source>
      <vendor id='0x046d'/><product id='0xc52b'/><address bus='1' device='2'/>
    </source></hostdev>
    <hostdev mode='subsystem' type='usb'/>
    <channel type='unix'>
      <source mode='bind' path='/run/agent'/>
      <target type='virtio' name='org.qemu.guest_agent.0' state='disconnected'/>
    </channel>
    <graphics type='vnc' port='5900' autoport='yes'/>
    <video><model type='vga' vram='16384'/></video>
    <sound model='ich9'/>
    <rng model='virtio'/>
    <tpm model='tpm-crb'/>
    <filesystem type='mount'><target dir='shared'/></filesystem>
  </devices>
</domain>"""


def changed(before: str, after: str) -> list[str]:
    """The parts that a restart would change, with one change of the definition."""
    assert before in DEFINED
    return [*changes((DEFINED.replace(before, after, 1), LIVE))]


def test_what_libvirt_fills_in_is_no_change() -> None:
    """Addresses, aliases, ports, the host's CPU, aligned memory, a changed medium, a balloon."""
    assert changes((DEFINED, LIVE)) == changes((DEFINED, DEFINED)) == changes((LIVE, LIVE)) == ()


@pytest.mark.parametrize(
    ("before", "after", "part"),
    [
        ("pc-q35-7.2", "pc-q35-8.0", "machine"),
        ("host-model", "host-passthrough", "cpu"),
        ("mode='host-model' check='partial'>", "mode='custom'><model>Nehalem</model>", "cpu"),
        ("threads='1'", "threads='2'", "cpu"),
        ("current='1'", "current='2'", "vcpus"),
        (" current='1'", "", "vcpus"),
        (">3</vcpu>", ">4</vcpu>", "vcpus"),
        (">100001</memory>", ">100353</memory>", "memory"),
        (">100001</memory>", ">98304</memory>", "memory"),
        ("<os>", "<memoryBacking><hugepages/></memoryBacking><os>", "memory"),
        ("'/a.raw'", "'/b.raw'", "disk"),
        ("bus='virtio'", "bus='sata'", "disk"),
        ("'raw'/><source file='/a", "'raw' discard='unmap'/><source file='/a", "disk"),
        ("<controller", "<disk><target dev='vdb'/></disk><controller", "disk"),
        ("0f:1d", "0f:1e", "interface"),
        ("network='default'", "network='lan'", "interface"),
        ("<model type='virtio'/>", "<model type='e1000e'/>", "interface"),
        ("0xc52b", "0xc52c", "hostdev"),
        ("guest_agent.0", "guest_agent.1", "channel"),
        ("type='vnc'", "type='spice'", "graphics"),
        ("'vga'", "'qxl'", "video"),
        ("<sound model='ich9'/>", "", "sound"),
        ("<rng model='virtio'/>", "", "rng"),
        ("tpm-crb", "tpm-tis", "tpm"),
        ("'shared'", "'other'", "filesystem"),
    ],
)
def test_what_a_restart_changes(before: str, after: str, part: str) -> None:
    """A change of the definition is the change of one part."""
    assert changed(before, after) == [part]


def test_a_cpu_that_is_the_least_one() -> None:
    """libvirt takes a better one."""
    least = "mode='custom' match='minimum'><model>Nehalem</model>"
    assert changed("mode='host-model' check='partial'>", least) == []


def test_a_network_of_host_devices() -> None:
    """What runs has the device instead of the network. A network where none runs is a change."""
    device = "<source><address type='pci' bus='0x01' slot='0x10' function='0x1'/></source>"
    source = "<source network='default' portid='1' bridge='virbr0'/>"
    for kind, live_source, is_changed in (("hostdev", device, False), ("bridge", "", True)):
        live = LIVE.replace("<interface type='bridge'>", f"<interface type='{kind}'>")
        live = live.replace(source, live_source)
        assert (changes((DEFINED, live)) == ("interface",)) == is_changed


def test_memory_that_is_aligned_in_parts() -> None:
    """Each cell and each module is aligned; on POWER the parts are larger."""
    parts = "<cell/><cell/>", "<devices><memory model='dimm'/>"
    for size, arch, is_changed in ((103_000, "x86_64", True), (200_000, "ppc64le", False)):
        live = LIVE.replace(">100352<", f">{size}<").replace("x86_64", arch)
        assert (changes((DEFINED, live)) == ("memory",)) == is_changed
        live = live.replace("<topology", f"<numa>{parts[0]}</numa><topology", 1)
        assert changes((DEFINED, live.replace("<devices>", parts[1]))) == ()


def test_every_part_has_a_case() -> None:
    """A domain without anything differs in each part that it could have, but in no CPU; one whose
    memory is not known does not differ in that."""
    assert changes(("<domain/>", "<domain/>")) == ()
    found = changes((LIVE, "<domain><memory>1</memory></domain>"))
    assert set(PARTS) == {*found}
