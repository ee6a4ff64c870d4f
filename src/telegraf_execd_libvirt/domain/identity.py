"""The identity of a domain, from its XML: tags of its lines, and texts of its summary.

The source of an additional tag is one small function and one line in a table.

Invariant: a value is one line of at most 256 characters, and an empty one gives no tag.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Callable, Optional

from .inventory import bridge, inventory, mac
from .record import Device, Identity, name_keys
from .xml import (
    MetadataTag,
    Source,
    attribute,
    attribute_of,
    filled,
    metadata,
    parse_xml,
    text_of,
)

#: Largest XML in bytes; libvirt's own limit for one text.
_MOST_BYTES = 4 * 1024 * 1024

#: From ``<domain>`` to a number, or None for what is not known.
Number = Callable[[ET.Element], Optional[int]]

#: The channel of the QEMU guest agent.
_AGENT_CHANNEL = "org.qemu.guest_agent.0"

#: The namespaces of OpenStack Nova: since Wallaby, and before.
_NOVA = (
    "http://openstack.org/xmlns/libvirt/nova/1.1",
    "http://openstack.org/xmlns/libvirt/nova/1.0",
)


def _nova(path: str) -> Source:
    """A source that reads a path of Nova's metadata."""

    def read(domain: ET.Element) -> Optional[str]:
        values = (metadata(domain, namespace, f"instance/{path}") for namespace in _NOVA)
        return next(filter(None, values), None)

    return read


def _balloon_period(domain: ET.Element) -> Optional[int]:
    if attribute(domain, "devices/memballoon", "model") in (None, "none"):
        return None
    period = attribute(domain, "devices/memballoon/stats", "period") or "0"
    return int(period) if period.isascii() and period.isdigit() else None


def _agent_connected(domain: ET.Element) -> Optional[int]:
    """1 or 0; None without the channel, and for a domain that does not run."""
    for target in domain.iterfind("devices/channel/target"):
        if target.get("name") == _AGENT_CHANNEL and (state := target.get("state")):
            return int(state == "connected")
    return None


_target = attribute_of("target", "dev")

#: The values of ``additional_domain_tags``; a source gets the root element, ``<domain>``.
DOMAIN_TAGS: dict[str, Source] = {
    "uuid": text_of("uuid"),
    "title": text_of("title"),
    "instance_name": _nova("name"),
    "project_id": _nova("owner/project/@uuid"),
    "project_name": _nova("owner/project"),
    "user_id": _nova("owner/user/@uuid"),
    "user_name": _nova("owner/user"),
    "flavor_name": _nova("flavor/@name"),
    "image_id": _nova("root/@uuid"),
}

#: The values of ``additional_device_tags``, with the statistics whose devices have them: a source
#: gets a ``<disk>`` for block, an ``<interface>`` for net.
DEVICE_TAGS: dict[str, tuple[str, Source]] = {
    "device": ("block", _target),
    "interface": ("net", _target),
    "mac": ("net", mac),
    "bridge": ("net", bridge),
    "serial": ("block", text_of("serial")),
}

#: The XML elements of each family of device statistics; ``FAMILY.<id>.name`` is their target.
_DEVICES = {"block": "devices/disk", "net": "devices/interface"}


class IdentityReader:
    """Reads the identity of domains: tags of DOMAIN_TAGS and DEVICE_TAGS, those of metadata, the
    tags of these ``kinds`` of info lines, and with ``info`` the texts of the summary."""

    def __init__(
        self,
        domain_tags: Sequence[str] = (),
        device_tags: Sequence[str] = (),
        metadata_tags: Sequence[MetadataTag] = (),
        info: bool = False,
        kinds: Sequence[str] = (),
        backing_chain: bool = False,
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
        self._kinds = kinds
        self._backing_chain = backing_chain
        self._with_info = info
        #: Whether a tick needs the XML at all; sources read it when they need it.
        self.wanted = bool(domain_tags or device_tags or metadata_tags or info)

    def read(self, xml: str, started: Number = lambda domain: None) -> Identity:
        """Read a domain's XML; ``started`` gets the time at which a domain has started.

        Raises ValueError if it is broken, has a document type or is larger than 4 MiB.
        """
        if len(xml.encode("utf-8", "surrogatepass")) > _MOST_BYTES:
            raise ValueError("the domain's XML is larger than 4 MiB")
        root = parse_xml(xml)
        tags = {name: source(root) for name, source in self._domain_tags}
        for item in self._metadata_tags:
            tags[item.tag] = metadata(root, item.namespace, item.path)
        info = {
            "uuid": root.findtext("uuid"),
            "title": root.findtext("title"),
            "os_type": root.findtext("os/type"),
            "machine": attribute(root, "os/type", "machine"),
            "memballoon": attribute(root, "devices/memballoon", "model"),
            "vhostuser": " ".join(
                _target(disk) or "" for disk in root.iterfind("devices/disk[@type='vhostuser']")
            ),
        }
        numbers = {
            "balloon_period": _balloon_period(root),
            "agent_connected": _agent_connected(root),
            "started_at": started(root) if self._with_info else None,
        }
        known = {name: number for name, number in numbers.items() if number is not None}
        devices = self._devices(root)
        keys = (name_keys(family, len(each)) for family, each in devices.items())
        names = ((*(device.name for device in each), None) for each in devices.values())
        return Identity(
            filled(tags),
            devices,
            {**filled(info), **known},
            (tuple(chain.from_iterable(keys)), tuple(chain.from_iterable(names))),
            {kind: inventory(kind, root, self._backing_chain) for kind in self._kinds},
        )

    def _devices(self, root: ET.Element) -> Mapping[str, Sequence[Device]]:
        return {
            family: [
                Device(
                    _target(device) or "",
                    filled({tag: source(device) for tag, source in sources}),
                )
                for device in root.iterfind(_DEVICES[family])
            ]
            for family, sources in self._device_tags.items()
            if sources
        }
