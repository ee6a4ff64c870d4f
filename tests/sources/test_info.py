"""The info lines: what is known about a domain and its devices, as tags."""

from __future__ import annotations

import pytest

from support.scope import FakeScope, Thing, read
from telegraf_execd_libvirt.config.config import HypervisorConfig

ADDRESS = "<address type='pci' domain='0x0000' bus='0x06' slot='0x12' function='0x5'/>"

XML = f"""<domain type='kvm' id='3'>
  <name>a</name>
  <uuid>c7a5fdbd-cdaf-9455-926a-d65c16db1809</uuid>
  <title>Web server 1</title>
  <metadata><libosinfo:libosinfo
      xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
    <libosinfo:os id="http://debian.org/debian/12"/>
  </libosinfo:libosinfo></metadata>
  <os firmware='efi'><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <cpu mode='custom' match='exact'><model fallback='forbid'>EPYC</model></cpu>
  <devices>
    <disk type='network' device='disk'>
      <driver name='qemu' type='raw' cache='none' discard='unmap'/>
      <source protocol='rbd' name='vms/web-1'><host name='mon1'/></source>
      <target dev='vda' bus='virtio'/><serial>WD-1</serial>
    </disk>
    <disk type='volume' device='disk'>
      <driver name='qemu' type='qcow2'/><source pool='ssd' volume='data'/><target dev='vdb'/>
    </disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
    <interface type='bridge'>
      <mac address='52:54:00:00:00:01'/><source bridge='br0'/>
      <virtualport type='openvswitch'><parameters interfaceid='09b11c53'/></virtualport>
      <target dev='vnet0'/><model type='virtio'/><mtu size='9000'/>
    </interface>
    <interface type='network'><source network='lan' bridge='virbr1'/><target dev='v1'/></interface>
    <interface type='hostdev'>
      <mac address='52:54:00:00:00:02'/><source>{ADDRESS}</source>
    </interface>
    <hostdev mode='subsystem' type='pci' managed='yes'><source>
      {ADDRESS.replace("06", "41")}
    </source></hostdev>
    <hostdev mode='subsystem' type='mdev' model='vfio-pci'><source>
      <address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/>
    </source></hostdev>
    <hostdev mode='subsystem' type='usb'><source>
      <vendor id='0x046d'/><product id='0xc52b'/><address bus='1' device='2'/>
    </source></hostdev>
    <hostdev mode='subsystem' type='scsi'><source>
      <adapter name='scsi_host0'/><address bus='0' target='0' unit='1'/>
    </source></hostdev>
    <hostdev mode='subsystem' type='scsi_host'><source protocol='vhost' wwpn='naa.1'/></hostdev>
    <hostdev mode='capabilities' type='misc'><source><char>/dev/input/event3</char></source>
    </hostdev>
    <hostdev mode='subsystem' type='usb'/>
  </devices>
</domain>"""

LINES = {
    "domain_info": [
        "arch=x86_64,cpu_mode=custom,cpu_model=EPYC,domain_name=a,firmware=efi,"
        "machine=pc-q35-7.2,os_id=http://debian.org/debian/12,os_type=hvm,"
        "title=Web\\ server\\ 1,uuid=c7a5fdbd-cdaf-9455-926a-d65c16db1809",
        "domain_name=b",
    ],
    "block_info": [
        "block_id=0,bus=virtio,cache=none,device=vda,discard=unmap,domain_name=a,format=raw,"
        "protocol=rbd,serial=WD-1,source_name=vms/web-1,source_type=network",
        "block_id=1,device=vdb,domain_name=a,format=qcow2,pool=ssd,source_type=volume,volume=data",
        "block_id=2,bus=sata,device=sda,domain_name=a,source_type=file",
    ],
    "interface_info": [
        "bridge=br0,domain_name=a,interface=vnet0,interface_id=0,mac=52:54:00:00:00:01,"
        "model=virtio,mtu=9000,ovs_port=09b11c53,type=bridge",
        "bridge=virbr1,domain_name=a,interface=v1,interface_id=1,network=lan,type=network",
        "domain_name=a,interface_id=2,mac=52:54:00:00:00:02,type=hostdev",
    ],
    "hostdev_info": [
        "address=0000:41:12.5,domain_name=a,type=pci",
        "domain_name=a,mdev_uuid=c2177883-f1bb-47f0-914d-32a22e3a8804,type=mdev",
        "address=1:2,domain_name=a,type=usb,usb_id=046d:c52b",
        "address=scsi_host0:0:0:1,domain_name=a,type=scsi",
        "address=naa.1,domain_name=a,type=scsi_host",
        "address=/dev/input/event3,domain_name=a,type=misc",
        "domain_name=a,type=usb",
        "address=0000:06:12.5,domain_name=a,mac=52:54:00:00:00:02,type=pci",
    ],
}


@pytest.mark.parametrize("name", LINES)
def test_info_lines(name: str) -> None:
    """Each domain or device has a line with what its XML says; what it does not say is no tag."""
    scope = FakeScope(Thing("a", xml=XML, tags={}), Thing("b", number=-1, tags={}))
    assert read(name, scope) == [f"libvirt_{name},{tags} value=1i" for tags in LINES[name]]
    assert scope.calls == []


@pytest.mark.parametrize(
    ("loader", "firmware"),
    [("<loader type='pflash'/>", "efi"), ("<loader type='rom'/>", "bios"), ("", None)],
)
def test_firmware(loader: str, firmware: object) -> None:
    """Without a name the firmware is that of its loader; without a loader it is not known."""
    config = HypervisorConfig(additional_statistics=("domain_info",))
    (tags,) = config.identities.read(f"<domain><os>{loader}</os></domain>").inventory["domain_info"]
    assert tags.get("firmware") == firmware


def test_numbers_of_disks_with_backing_images() -> None:
    """With backing_chain the position of a disk is not its number in the statistics."""
    config = HypervisorConfig(additional_statistics=("block_info",), backing_chain=True)
    found = config.identities.read(XML).inventory
    assert [*found] == ["block_info"] and not any(
        "block_id" in tags for tags in found["block_info"]
    )
