"""What a domain and its devices are, from its XML: the tags of the info lines.

A tag is one small function and one line in a table.

Invariant: the devices of a kind keep the order of the XML, which is that of libvirt's statistics. A
value is one line of at most 256 characters, and an empty one gives no tag.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Optional

from .xml import Source, attribute, attribute_of, filled, metadata, text_of

#: The namespace of libosinfo, in which virt-install and virt-manager name the operating system.
_LIBOSINFO = "http://libosinfo.org/xmlns/libvirt/domain/1.0"


def _os_id(domain: ET.Element) -> Optional[str]:
    return metadata(domain, _LIBOSINFO, "libosinfo/os/@id")


def _firmware(domain: ET.Element) -> Optional[str]:
    """efi or bios, as far as the XML says it: a flash is UEFI's."""
    loader = attribute(domain, "os/loader", "type")
    return attribute(domain, "os", "firmware") or {"pflash": "efi", "rom": "bios"}.get(loader or "")


def bridge(interface: ET.Element) -> Optional[str]:
    """The bridge; without one the network, else the host's device of a direct interface."""
    kinds = ("bridge", "network", "dev")
    return next(filter(None, (attribute(interface, "source", kind) for kind in kinds)), None)


def _ovs_port(interface: ET.Element) -> Optional[str]:
    return attribute(interface, "virtualport[@type='openvswitch']/parameters", "interfaceid")


def _type(device: ET.Element) -> Optional[str]:
    """The type of a device of the host; that of an interface is in its address."""
    if device.tag == "interface":
        return attribute(device, "source/address", "type")
    return device.get("type")


def _address(device: ET.Element) -> Optional[str]:
    """The address on the host, in the form of the tools there: ``0000:06:12.5`` (PCI), ``1:2``
    (USB: bus and device), ``scsi_host0:0:0:1`` (SCSI); else the name of the device."""
    source, address = device.find("source"), device.find("source/address")
    if source is None:
        return None
    parts = address.attrib if address is not None else {}
    if "slot" in parts:
        domain, bus, slot, function = (
            parts.get(name, "").replace("0x", "", 1)
            for name in ("domain", "bus", "slot", "function")
        )
        return f"{domain}:{bus}:{slot}.{function}"
    names = ("bus", "target", "unit") if "unit" in parts else ("bus", "device")
    numbers = [parts.get(name) for name in names]
    found = [attribute(source, "adapter", "name"), *numbers]
    named = source.get("wwpn") or source.get("name") or "".join(source.itertext())
    return ":".join(filter(None, found)) or named


def _usb_id(device: ET.Element) -> Optional[str]:
    ids = (attribute(device, f"source/{part}", "id") for part in ("vendor", "product"))
    return ":".join(each.replace("0x", "", 1) for each in ids if each)


_TARGET = attribute_of("target", "dev")
_MAC = attribute_of("mac", "address")


def mac(interface: ET.Element) -> Optional[str]:
    """The MAC address that the guest uses: libvirt 11.2 reports one that it has changed."""
    return attribute(interface, "mac", "currentAddress") or _MAC(interface)


#: The tags of each kind of info line: a source gets the element of its kind, for ``domain_info``
#: the root, for ``hostdev_info`` a ``<hostdev>`` or an ``<interface>`` that is one.
INVENTORY: dict[str, dict[str, Source]] = {
    "domain_info": {
        "uuid": text_of("uuid"),
        "title": text_of("title"),
        "os_type": text_of("os/type"),
        "os_id": _os_id,
        "machine": attribute_of("os/type", "machine"),
        "arch": attribute_of("os/type", "arch"),
        "firmware": _firmware,
        "cpu_mode": attribute_of("cpu", "mode"),
        "cpu_model": text_of("cpu/model"),
    },
    "block_info": {
        "device": _TARGET,
        "bus": attribute_of("target", "bus"),
        "format": attribute_of("driver", "type"),
        "cache": attribute_of("driver", "cache"),
        "discard": attribute_of("driver", "discard"),
        "source_type": lambda disk: disk.get("type"),
        "protocol": attribute_of("source", "protocol"),
        "source_name": attribute_of("source", "name"),
        "pool": attribute_of("source", "pool"),
        "volume": attribute_of("source", "volume"),
        "serial": text_of("serial"),
    },
    "interface_info": {
        "interface": _TARGET,
        "mac": mac,
        "model": attribute_of("model", "type"),
        "type": lambda interface: interface.get("type"),
        "network": attribute_of("source", "network"),
        "bridge": bridge,
        "mtu": attribute_of("mtu", "size"),
        "ovs_port": _ovs_port,
    },
    "hostdev_info": {
        "type": _type,
        "address": _address,
        "mdev_uuid": attribute_of("source/address", "uuid"),
        "usb_id": _usb_id,
        "mac": _MAC,
    },
}

#: The tag with the number of the device in libvirt's statistics, for each kind that has one.
NUMBERS = {"block_info": "block_id", "interface_info": "interface_id"}

_PATHS = {
    "domain_info": (".",),
    "block_info": ("devices/disk",),
    "interface_info": ("devices/interface",),
    "hostdev_info": ("devices/hostdev", "devices/interface[@type='hostdev']"),
}


def inventory(
    kind: str, root: ET.Element, backing_chain: bool = False
) -> tuple[Mapping[str, str], ...]:
    """The tags of each info line of a kind of INVENTORY. With ``backing_chain`` the numbers of
    disks depend on their images, so they are left out."""
    elements = [element for path in _PATHS[kind] for element in root.iterfind(path)]
    number = None if backing_chain and kind == "block_info" else NUMBERS.get(kind)
    lines = []
    for at, element in enumerate(elements):
        tags = filled({name: source(element) for name, source in INVENTORY[kind].items()})
        lines.append({number: str(at), **tags} if number else tags)
    return tuple(lines)
