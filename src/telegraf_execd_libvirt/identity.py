"""The identity of a domain, from its XML: tags of its lines, and texts of its summary.

Invariant: a value is one line of at most 256 characters, and an empty one gives no tag.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from typing import Optional

from . import metadata
from .config import HypervisorConfig
from .domain import Identity
from .domain_xml import parse_xml
from .metadata import clean
from .tag_sources import DEVICE_TAGS, DOMAIN_TAGS

#: Largest XML in bytes; libvirt's own limit for one text.
MOST_BYTES = 4 * 1024 * 1024

#: The XML elements of each family of device statistics; ``FAMILY.<id>.name`` is their target.
_DEVICES = {"block": "devices/disk", "net": "devices/interface"}


class IdentityReader:
    """Reads the identity of domains as configured."""

    def __init__(self, config: HypervisorConfig) -> None:
        self._domain_tags = [(name, DOMAIN_TAGS[name]) for name in config.additional_domain_tags]
        self._metadata_tags = config.metadata_tags
        self._device_tags = {
            family: [
                (name, DEVICE_TAGS[name][1])
                for name in config.additional_device_tags
                if DEVICE_TAGS[name][0] == family
            ]
            for family in _DEVICES
        }

        #: Whether anything needs the XML at all.
        self.wanted = bool(
            config.additional_domain_tags
            or config.additional_device_tags
            or config.metadata_tags
            or "domain" in config.additional_statistics
        )

    def read(self, xml: str) -> Identity:
        """Read a domain's XML.

        Raises ValueError if it is broken, has a document type or is larger than 4 MiB.
        """
        if len(xml.encode("utf-8", "surrogatepass")) > MOST_BYTES:
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
