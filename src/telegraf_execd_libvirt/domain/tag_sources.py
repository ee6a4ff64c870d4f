"""The sources of the values of additional tags: one small function and one line in a table each.

Invariant: a source returns None or an empty text for what the XML does not have; such a tag is not
written.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Callable, Optional

from . import metadata

#: The namespaces of OpenStack Nova: since Wallaby, and before.
_NOVA = (
    "http://openstack.org/xmlns/libvirt/nova/1.1",
    "http://openstack.org/xmlns/libvirt/nova/1.0",
)

#: From an element of a domain's XML to the value of a tag.
Source = Callable[[ET.Element], Optional[str]]


def _uuid(domain: ET.Element) -> Optional[str]:
    return domain.findtext("uuid")


def _title(domain: ET.Element) -> Optional[str]:
    return domain.findtext("title")


def _nova(path: str) -> Source:
    """A source that reads a path of Nova's metadata."""

    def read(domain: ET.Element) -> Optional[str]:
        values = (metadata.find(domain, namespace, f"instance/{path}") for namespace in _NOVA)
        return next(filter(None, values), None)

    return read


def _target(device: ET.Element) -> Optional[str]:
    return _attribute(device, "target", "dev")


def _mac(interface: ET.Element) -> Optional[str]:
    return _attribute(interface, "mac", "address")


def _bridge(interface: ET.Element) -> Optional[str]:
    """The bridge; without one the network, else the host's device of a direct interface."""
    kinds = ("bridge", "network", "dev")
    return next(filter(None, (_attribute(interface, "source", kind) for kind in kinds)), None)


def _serial(disk: ET.Element) -> Optional[str]:
    return disk.findtext("serial")


def _attribute(element: ET.Element, child: str, name: str) -> Optional[str]:
    found = element.find(child)
    return None if found is None else found.get(name)


#: The values of ``additional_domain_tags``; a source gets the root element, ``<domain>``.
DOMAIN_TAGS: dict[str, Source] = {
    "uuid": _uuid,
    "title": _title,
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
    "mac": ("net", _mac),
    "bridge": ("net", _bridge),
    "serial": ("block", _serial),
}
