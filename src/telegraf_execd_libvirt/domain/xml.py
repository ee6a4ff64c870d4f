"""Parse libvirt's XML safely, and read attributes.

Invariant: libvirt never writes a document type. XML with one is rejected before any of its entities
can expand.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Optional


class _Builder(ET.TreeBuilder):
    def doctype(self, name: str, public: str, system: str) -> None:
        raise ValueError("the domain's XML has a document type")


def parse_xml(xml: str) -> ET.Element:
    """Return the root element; raise ValueError for XML that is broken or has a document type."""
    try:
        return ET.fromstring(xml, ET.XMLParser(target=_Builder()))
    except ET.ParseError as error:
        raise ValueError(f"the domain's XML cannot be read: {error}") from None


def attribute(element: ET.Element, path: str, name: str) -> Optional[str]:
    """An attribute of the first element at this path below an element, or None."""
    found = element.find(path)
    return None if found is None else found.get(name)
