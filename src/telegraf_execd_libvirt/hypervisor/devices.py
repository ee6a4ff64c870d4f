"""The disks and interfaces of a domain, out of its XML.

Rule guarded: XML is read without entities and document types, which libvirt never writes; XML that
has them is refused before anything in it can grow.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Disk:
    """One disk: its target (``vda``), the local file or device behind it, and the number of that
    image in the backing chain."""

    target: str
    path: Optional[str]
    backing_index: Optional[int]


@dataclass(frozen=True)
class Devices:
    """What of a domain's XML its statistics need. ``interfaces`` has the host's name of each
    interface, or None where it has none."""

    disks: tuple[Disk, ...]
    interfaces: tuple[Optional[str], ...]
    vcpus: Optional[int]


class _Builder(ET.TreeBuilder):
    def doctype(self, name: str, public: str, system: str) -> None:
        raise ValueError("the domain's XML has a document type")


def parse(xml: str) -> Devices:
    """The devices of a domain; raises ValueError for XML that is not libvirt's."""
    try:
        root = ET.fromstring(xml, ET.XMLParser(target=_Builder()))
    except ET.ParseError as error:
        raise ValueError(f"the domain's XML cannot be read: {error}") from None
    return Devices(
        disks=tuple(_disk(element) for element in root.iterfind("devices/disk")),
        interfaces=tuple(
            _attribute(element, "target", "dev") for element in root.iterfind("devices/interface")
        ),
        vcpus=_number(root.findtext("vcpu")),
    )


def _disk(element: ET.Element) -> Disk:
    return Disk(
        target=_attribute(element, "target", "dev") or "",
        path=_attribute(element, "source", "file") or _attribute(element, "source", "dev"),
        backing_index=_number(_attribute(element, "source", "index")),
    )


def _attribute(element: ET.Element, child: str, name: str) -> Optional[str]:
    found = element.find(child)
    return None if found is None else found.get(name)


def _number(text: Optional[str]) -> Optional[int]:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
