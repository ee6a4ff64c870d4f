"""The source interface_address: IP addresses of guests that the host knows."""

from __future__ import annotations

from typing import Any

from support.scope import FakeScope, Thing, fetched, lines, read
from telegraf_execd_libvirt.sources import SOURCES
from telegraf_execd_libvirt.sources.guest_info import MOST_LINES

LEASE, ARP = 0, 2


def addresses(*texts: str, prefix: int = 0) -> dict[str, Any]:
    """An answer of interfaceAddresses about one interface."""
    found = [{"addr": text, "prefix": prefix, "type": 0} for text in texts]
    return {"vnet0": {"addrs": found, "hwaddr": "52:54:00:00:00:01"}}


def test_interface_address() -> None:
    """An address is one line, whether a lease, the ARP table or both have it."""
    answers = {LEASE: addresses("10.0.0.5", prefix=24), ARP: addresses("10.0.0.5", "10.0.0.9")}
    nameless = {"vnet1": {"addrs": None, "hwaddr": None}}
    running = Thing("a", {"interfaceAddresses": lambda source, _: answers[source]})
    other = Thing("b", {"interfaceAddresses": lambda source, _: nameless if source else None})
    scope = FakeScope(running, other, Thing("off", running.answers, number=-1))
    start = "libvirt_interface_address,address={},domain_name=a,interface=vnet0,project=shop "
    assert read("interface_address", scope) == [
        start.format("10.0.0.5") + 'lease=1i,arp=1i,prefix=24i,mac="52:54:00:00:00:01"',
        start.format("10.0.0.9") + 'lease=0i,arp=1i,mac="52:54:00:00:00:01"',
    ]


def test_a_way_that_fails() -> None:
    """Addresses that come by the other way are written. What fails for all guests is said with its
    error; not what fails for some, nor if nothing is known."""

    def answers(*failing: int) -> dict[str, Any]:
        def answer(source: int, _: int) -> Any:
            if source in failing:
                scope.error = f"cannot read {source}"
                return None
            return addresses("10.0.0.5")

        return {"interfaceAddresses": answer}

    scope = FakeScope(Thing("a", answers(ARP)), Thing("b", answers(ARP)))
    assert len(read("interface_address", scope)) == 2
    ((text, count),) = scope.dropped.items()
    assert "ARP table" in text and text.endswith(": cannot read 2") and count == 0
    scope = FakeScope(Thing("a", answers(LEASE)))
    assert len(read("interface_address", scope)) == 1
    assert "leases" in next(iter(scope.dropped))
    scope = FakeScope(Thing("a", answers(ARP)), Thing("b", answers()))
    assert len(read("interface_address", scope)) == 2 and not scope.dropped
    scope = FakeScope(Thing("a", answers(LEASE, ARP)))
    assert not read("interface_address", scope) and not scope.dropped


def test_a_guest_has_a_bounded_number_of_addresses() -> None:
    """A guest that claims many addresses keeps those of its leases; the rest is counted."""
    flood = addresses(*(f"10.0.1.{number}" for number in range(200)))
    answers = {LEASE: addresses("10.0.0.5", prefix=24), ARP: flood}
    scope = FakeScope(Thing("a", {"interfaceAddresses": lambda source, _: answers[source]}))
    source = SOURCES["interface_address"]
    written = lines(source, fetched(source.new(), scope))
    assert len(written) == MOST_LINES and ",address=10.0.0.5," in written[0]
    assert sum(scope.dropped.values()) == 201 - MOST_LINES
