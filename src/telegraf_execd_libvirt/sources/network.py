"""Source ``network``: libvirt's virtual networks."""

from __future__ import annotations

from collections.abc import Iterator

from ..domain.record import Domain, record
from ..groups.schema import Metric, Type, gauge
from .source import Scope, Source


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


SOURCE = Source(
    name="network",
    summary="virtual networks",
    reads="virtual networks, and the number of their DHCP leases",
    calls="five for each network",
    empty="no virtual network is defined",
    new=lambda: _fetch,
    metrics=(
        Metric(
            prefix="network",
            subject="network",
            extra_tags=("bridge",),
            help="One virtual network",
            fields=(
                gauge("active", "", "1 if the network is started, else 0", Type.INT),
                gauge(
                    "persistent", "", "1 if the network is defined permanently, else 0", Type.INT
                ),
                gauge("autostart", "", "1 if the network starts with the daemon, else 0", Type.INT),
                gauge(
                    "dhcp_leases",
                    "",
                    "number of addresses that libvirt's DHCP server has given out",
                    Type.UINT,
                ),
            ),
        ),
    ),
)
