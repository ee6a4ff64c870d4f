"""The identity of a domain, from its XML: tags of its lines, and texts of its summary.

Invariant: a value is one line of at most 256 characters, and an empty one gives no tag.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from typing import Optional

from . import metadata
from .metadata import MetadataTag, clean
from .record import Identity
from .tag_sources import DEVICE_TAGS, DOMAIN_TAGS
from .xml import parse_xml

#: Largest XML in bytes; libvirt's own limit for one text.
_MOST_BYTES = 4 * 1024 * 1024

#: The XML elements of each family of device statistics; ``FAMILY.<id>.name`` is their target.
_DEVICES = {"block": "devices/disk", "net": "devices/interface"}


class IdentityReader:
    """Reads the identity of domains: tags of DOMAIN_TAGS and DEVICE_TAGS, those of metadata, and
    with ``info`` the texts of the summary."""

    def __init__(
        self,
        domain_tags: Sequence[str] = (),
        device_tags: Sequence[str] = (),
        metadata_tags: Sequence[MetadataTag] = (),
        info: bool = False,
    ) -> None:
        self._domain_tags = [(name, DOMAIN_TAGS[name]) for name in domain_tags]
        self._metadata_tags = metadata_tags
        self._device_tags = {
            family: [
                (name, DEVICE_TAGS[name][1])
                for name in device_tags
                if DEVICE_TAGS[name][0] == family
            ]
            for family in _DEVICES
        }

        #: Whether anything needs the XML at all.
        self.wanted = bool(domain_tags or device_tags or metadata_tags or info)

    def read(self, xml: str) -> Identity:
        """Read a domain's XML.

        Raises ValueError if it is broken, has a document type or is larger than 4 MiB.
        """
        if len(xml.encode("utf-8", "surrogatepass")) > _MOST_BYTES:
            raise ValueError("the domain's XML is larger than 4 MiB")
        root = parse_xml(xml)
        return Identity(
            tags=_filled(
                {
                    **{name: source(root) for name, source in self._domain_tags},
                    **{
                        item.tag: metadata.find(root, item.namespace, item.path)
                        for item in self._metadata_tags
                    },
                }
            ),
            devices=dict(self._devices(root)),
            info=_filled(
                {
                    "uuid": root.findtext("uuid"),
                    "title": root.findtext("title"),
                    "os_type": root.findtext("os/type"),
                    "machine": _machine(root),
                }
            ),
        )

    def _devices(self, root: ET.Element) -> Iterator[tuple[tuple[str, str], Mapping[str, str]]]:
        for family, sources in self._device_tags.items():
            if not sources:
                continue
            for device in root.iterfind(_DEVICES[family]):
                target = device.find("target")
                name = None if target is None else target.get("dev")
                tags = _filled({tag: source(device) for tag, source in sources})
                if name and tags:
                    yield (family, name), tags


def _machine(root: ET.Element) -> Optional[str]:
    kind = root.find("os/type")
    return None if kind is None else kind.get("machine")


def _filled(values: Mapping[str, Optional[str]]) -> dict[str, str]:
    """The values as texts of one line, without the empty ones."""
    return {name: text for name, value in values.items() if (text := clean(value))}
