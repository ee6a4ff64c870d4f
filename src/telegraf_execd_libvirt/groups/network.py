"""Additional statistics ``network``: libvirt's virtual networks."""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type


def _flag(key: str, help: str) -> Field:
    return Field(key, Type.INT, Kind.GAUGE, "", help)


GROUP = Group(
    name="network",
    bit=0,
    needs_monitor=False,
    metrics=(
        Metric(
            measurement="libvirt_network",
            prefix="network",
            subject="network",
            extra_tags=("bridge",),
            help="One virtual network",
            fields=(
                _flag("active", "1 if the network is started, else 0"),
                _flag("persistent", "1 if the network is defined permanently, else 0"),
                _flag("autostart", "1 if the network starts with the daemon, else 0"),
                Field(
                    "dhcp_leases",
                    Type.UINT,
                    Kind.GAUGE,
                    "",
                    "number of addresses that libvirt's DHCP server has given out",
                ),
            ),
        ),
    ),
)
