"""The source interface_limit: bandwidth limits of interfaces."""

from __future__ import annotations

from support.scope import DISKS, FakeScope, Thing, read


def test_interface_limit() -> None:
    """An interface with a name has every parameter of its limits."""
    answers = {"interfaceParameters": {"inbound.average": 10, "outbound.peak": 20}}
    assert read("interface_limit", FakeScope(Thing("a", answers, xml=DISKS))) == [
        "libvirt_interface_limit,domain_name=a,interface=vnet0,project=shop "
        "inbound_average=10i,outbound_peak=20i"
    ]
