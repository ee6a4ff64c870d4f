"""The disks and interfaces of a domain, from its XML.

Invariant: disks and interfaces keep the order of the XML, which is that of libvirt's statistics.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import NamedTuple, Optional

from .xml import attribute, parse_xml


class Disk(NamedTuple):
    """One disk: its target (``vda``), the local file or device behind it, the number of that image
    in the backing chain, and whether it is a drive without a medium."""

    target: str
    path: Optional[str]
    backing_index: Optional[int]
    empty: bool = False


@dataclass(frozen=True)
class Devices:
    """The part of a domain's XML that its statistics need. ``interfaces`` has the name of each
    interface on the host, or None."""

    disks: tuple[Disk, ...]
    interfaces: tuple[Optional[str], ...]
    vcpus: Optional[int]


#: The devices of a domain whose XML cannot be parsed.
NO_DEVICES = Devices((), (), None)


def parse(xml: str) -> Devices:
    """The devices of a domain; raises ValueError for XML that is not libvirt's."""
    root = parse_xml(xml)
    return Devices(
        disks=tuple(_disk(element) for element in root.iterfind("devices/disk")),
        interfaces=tuple(
            attribute(element, "target", "dev") for element in root.iterfind("devices/interface")
        ),
        vcpus=_number(root.findtext("vcpu")),
    )


def _disk(element: ET.Element) -> Disk:
    return Disk(
        target=attribute(element, "target", "dev") or "",
        path=attribute(element, "source", "file") or attribute(element, "source", "dev"),
        backing_index=_number(attribute(element, "source", "index")),
        empty=element.get("device") in ("cdrom", "floppy") and element.find("source") is None,
    )


def _number(text: Optional[str]) -> Optional[int]:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
