"""Source ``network``: libvirt's virtual networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..domain.record import Domain, record
from ..groups import network
from .source import Source

if TYPE_CHECKING:
    from .scope import Scope


def _fetch(scope: Scope) -> Iterator[Domain]:
    for handle in scope.host("listAllNetworks", 0) or ():
        active = scope.call(handle, "isActive")
        leases = scope.call(handle, "DHCPLeases") if active else None
        keys = {
            "active": active,
            "persistent": scope.call(handle, "isPersistent"),
            "autostart": scope.call(handle, "autostart"),
            "dhcp_leases": None if leases is None else len(leases),
        }
        # Networks that use a device of the host have no bridge.
        bridge = scope.quietly(handle, "bridgeName") or ""
        yield record(scope.name(handle), "network", keys, {"bridge": bridge})


SOURCE = Source(group=network.GROUP, new=lambda: _fetch)
