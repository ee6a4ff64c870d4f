"""The devices in a domain's XML."""

from __future__ import annotations

import pytest

from telegraf_execd_libvirt.domain.devices import Devices, Disk, parse

XML = """
<domain type='kvm' id='7'>
  <name>a</name>
  <vcpu placement='static' current='2'>4</vcpu>
  <devices>
    <disk type='file' device='disk'>
      <source file='/images/a &amp; b.qcow2' index='3'/>
      <backingStore type='file' index='4'><source file='/images/base'/></backingStore>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='block' device='lun'><source dev='/dev/sdb'/><target dev='vdb'/></disk>
    <disk type='network' device='disk'><source protocol='rbd' name='x'/><target dev='vdc'/></disk>
    <disk type='file' device='cdrom'><target dev='sda'/></disk>
    <interface type='bridge'><source bridge='br0'/><target dev='vnet3'/></interface>
    <interface type='user'/>
    <interface type='vhostuser'><target/></interface>
  </devices>
</domain>
"""


def test_devices_are_found_in_their_order() -> None:
    """Disks and interfaces keep their order, even without a file or a name."""
    assert parse(XML) == Devices(
        disks=(
            Disk("vda", "/images/a & b.qcow2", 3),
            Disk("vdb", "/dev/sdb", None),
            Disk("vdc", None, None),
            Disk("sda", None, None, empty=True),
        ),
        interfaces=("vnet3", None, None),
        vcpus=4,
    )


def test_a_domain_without_devices() -> None:
    """A domain without devices has none."""
    assert parse("<domain/>") == Devices((), (), None)


@pytest.mark.parametrize("count", ["", "x", "-1", "٣", "9" * 10])
def test_invalid_numbers_are_unknown(count: str) -> None:
    """An invalid number is unknown."""
    assert parse(f"<domain><vcpu>{count}</vcpu></domain>").vcpus is None
