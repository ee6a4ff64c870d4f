"""The source network: virtual networks."""

from __future__ import annotations

from support.scope import FakeScope, Thing, read


def test_network() -> None:
    """A network has its bridge as a tag, and leases if it is active."""
    answers = {"isActive": 1, "isPersistent": 1, "autostart": 0, "DHCPLeases": [{}, {}]}
    active = Thing("default", {**answers, "bridgeName": "virbr0"})
    inactive = Thing("direct", {**answers, "isActive": 0})
    assert read("network", FakeScope(host={"listAllNetworks": [active, inactive]})) == [
        "libvirt_network,bridge=virbr0,network=default "
        "active=1i,persistent=1i,autostart=0i,dhcp_leases=2i",
        "libvirt_network,network=direct active=0i,persistent=1i,autostart=0i",
    ]
