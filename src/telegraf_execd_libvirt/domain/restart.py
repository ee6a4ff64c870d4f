"""What a restart of a running domain would change: its definition beside what runs.

Invariant: what libvirt fills in at the start is no change. So only the values below are compared,
and a value that the definition does not have is not compared at all.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from typing import Callable, Optional

from .inventory import INVENTORY
from .xml import Source, attribute, attribute_of, parse_xml

#: libvirt aligns the memory at the start, and each NUMA cell and module of it: in KiB, by the
#: architecture.
_ALIGNED = {"ppc64": 262_144, "ppc64le": 262_144}
_ALIGNED_USUALLY = 2_048

#: What differs between the definition and what runs.
Differs = Callable[[ET.Element, ET.Element], bool]


def _other(read: Source) -> Differs:
    """Whether a value of the definition is another one than what runs."""
    return lambda defined, live: read(defined) not in (None, read(live))


def _cpu(defined: ET.Element, live: ET.Element) -> bool:
    """Mode, model and topology of the CPU. libvirt replaces host-model by the model of the host,
    and a model that is only the least one by a better one."""
    mode, runs = (attribute(root, "cpu", "mode") for root in (defined, live))
    if mode not in (None, runs) and (mode, runs) != ("host-model", "custom"):
        return True
    exact = mode == "custom" and attribute(defined, "cpu", "match") != "minimum"
    if exact and _other(lambda root: root.findtext("cpu/model"))(defined, live):
        return True
    return _other(_topology)(defined, live)


def _topology(root: ET.Element) -> Optional[str]:
    found = root.find("cpu/topology")
    names = ("sockets", "dies", "clusters", "cores", "threads")
    return None if found is None else "/".join(found.get(name, "1") for name in names)


def _vcpus(root: ET.Element) -> Optional[str]:
    most = root.findtext("vcpu")
    return most and f"{attribute(root, 'vcpu', 'current') or most}/{most}"


def _memory(defined: ET.Element, live: ET.Element) -> bool:
    pages = "memoryBacking/hugepages"
    if (defined.find(pages) is None) != (live.find(pages) is None):
        return True
    parts = len([*live.iterfind("cpu/numa/cell"), *live.iterfind("devices/memory")]) or 1
    aligned = _ALIGNED.get(attribute(live, "os/type", "arch") or "", _ALIGNED_USUALLY)
    try:
        more = int(live.findtext("memory") or "") - int(defined.findtext("memory") or "")
    except ValueError:
        return False
    return not 0 <= more < parts * aligned


def _image(disk: ET.Element) -> Optional[str]:
    """The source of a disk. The medium of a drive may change while the guest runs, and a transient
    disk has an overlay then."""
    source = disk.find("source")
    is_drive = disk.get("device") in ("cdrom", "floppy")
    if source is None or is_drive or disk.find("transient") is not None:
        return None
    names = ("file", "dev", "dir", "protocol", "name", "pool", "volume")
    return " ".join(source.get(name) or "-" for name in names)


def _host_device(hostdev: ET.Element) -> Optional[str]:
    """A device of the host; the address of a USB device may come at the start."""
    tags = INVENTORY["hostdev_info"]
    found = (tags[name](hostdev) for name in ("usb_id", "mdev_uuid", "address"))
    return f"{hostdev.get('type')} {next(filter(None, found), '')}"


def _same(name: str) -> Source:
    return lambda device: device.get(name)


def _network(defined: ET.Element, live: ET.Element) -> bool:
    """The network of an interface. A network may hand out devices of the host; what runs then has
    such a device instead of the network."""
    is_device = live.get("type") == "hostdev"
    return not is_device and _other(attribute_of("source", "network"))(defined, live)


#: The devices that are compared: what tells those of one kind apart, and what else may differ.
_DEVICES: dict[str, tuple[Source, tuple[Differs, ...]]] = {
    "disk": (
        attribute_of("target", "dev"),
        (
            _other(_image),
            *(_other(INVENTORY["block_info"][name]) for name in ("bus", "cache", "discard")),
        ),
    ),
    "interface": (
        attribute_of("mac", "address"),
        (
            _other(attribute_of("model", "type")),
            *(_other(attribute_of("source", name)) for name in ("bridge", "dev")),
            _network,
        ),
    ),
    "hostdev": (_host_device, ()),
    "channel": (attribute_of("target", "name"), ()),
    "graphics": (_same("type"), ()),
    "video": (attribute_of("model", "type"), ()),
    "sound": (_same("model"), ()),
    "rng": (_same("model"), ()),
    "tpm": (_same("model"), ()),
    "filesystem": (attribute_of("target", "dir"), ()),
}


def _devices(kind: str) -> Differs:
    key, compared = _DEVICES[kind]

    def differ(defined: ET.Element, live: ET.Element) -> bool:
        before, after = (
            [(key(device), device) for device in root.iterfind(f"devices/{kind}")]
            for root in (live, defined)
        )
        if Counter(name for name, _ in before) != Counter(name for name, _ in after):
            return True
        runs = dict(before)
        return any(differs(device, runs[name]) for name, device in after for differs in compared)

    return differ


#: The parts of a domain by their names, in the order of the output.
PARTS: dict[str, Differs] = {
    "machine": _other(attribute_of("os/type", "machine")),
    "cpu": _cpu,
    "vcpus": _other(_vcpus),
    "memory": _memory,
    **{kind: _devices(kind) for kind in _DEVICES},
}


#: A restart would change nothing.
NO_CHANGES: Sequence[str] = ()


def changes(texts: tuple[str, str]) -> Sequence[str]:
    """The parts that a restart would change, from the XML of the definition and of what runs;
    raises ValueError for XML that is not libvirt's."""
    defined, live = map(parse_xml, texts)
    return tuple(name for name, differs in PARTS.items() if differs(defined, live))
