"""Source ``interface_address``: IP addresses of guests that the host knows, without an agent.

Addresses come from the leases of libvirt's DHCP servers and from the host's ARP table.

Invariant: a guest chooses the addresses in the ARP table, so it has a bounded number of lines, and
of new series in a day.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from ..domain.record import Domain
from ..domain.xml import clean
from ..groups.schema import Metric, Type, gauge, text
from .guest_info import MOST_LINES, MOST_SERIES, Limits, Line
from .source import MINUTE, Scope, Source

#: VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_*, by the names of the fields.
_WAYS = {"lease": 0, "arp": 2}

#: What is missing if a way fails for all guests.
_LACKS = {
    "lease": "libvirt cannot read the leases of its DHCP servers, so no address is one of them",
    "arp": "libvirt cannot read the ARP table of the host, so addresses are those of leases only",
}


class _Addresses:
    def __init__(self) -> None:
        self._limits = Limits()

    def __call__(self, scope: Scope) -> Iterator[Domain]:
        seen = set()
        worked: set[str] = set()
        for handle in scope.domains(active=True):
            uuid = scope.uuid(handle)
            seen.add(uuid)
            found = _lines(scope, handle, worked)
            admitted, dropped = self._limits.admit(uuid, found, time.monotonic())
            scope.drop(
                dropped,
                f"domain {scope.name(handle)}: more than {MOST_LINES} addresses, or more than "
                f"{MOST_SERIES} new ones in a day; the others are left out",
            )
            for line in admitted:
                yield scope.domain(handle, line.prefix, line.keys, **line.tags)
        self._limits.forget_others(seen, time.monotonic())
        if worked:
            for way in _WAYS.keys() - worked:
                scope.lack(_LACKS[way])


def _lines(scope: Scope, handle: Any, worked: set[str]) -> Iterator[Line]:
    """One line for each address; leases come first, so that a flood of others leaves them. Ways
    that succeed are added to those that ``worked``."""
    known: dict[tuple[str, str], dict[str, Any]] = {}
    for way, number in _WAYS.items():
        found = scope.call(handle, "interfaceAddresses", number, 0)
        if found is not None:
            worked.add(way)
        for interface, details in (found or {}).items():
            for address in details.get("addrs") or ():
                at = clean(interface), clean(address.get("addr"))
                keys = known.setdefault(at, dict.fromkeys(_WAYS, 0))
                keys[way] = 1
                keys.setdefault("mac", clean(details.get("hwaddr")) or None)
                if way == "lease":
                    keys["prefix"] = address.get("prefix")
    for (interface, address), keys in known.items():
        if address:
            tags = {"interface": interface, "address": address}
            yield Line("interface_address", keys, tags)


SOURCE = Source(
    name="interface_address",
    summary="IP addresses of guests by DHCP lease and ARP, without an agent",
    reads="IP addresses of running guests, by the leases of libvirt's DHCP servers and the ARP "
    "table of the host, without an agent",
    calls="`virDomainInterfaceAddresses` twice for each running domain",
    empty="libvirt finds no address of a guest in its DHCP leases or in the ARP table of the host",
    new=_Addresses,
    interval=MINUTE,
    metrics=(
        Metric(
            prefix="interface_address",
            extra_tags=("interface", "address"),
            help="One IP address of a running guest, as its host knows it; a guest has at most "
            f"{MOST_LINES} lines, and {MOST_SERIES} new ones in a day",
            fields=(
                gauge("lease", "", "1 if libvirt's DHCP server has given it out, else 0", Type.INT),
                gauge("arp", "", "1 if it is in the host's ARP table, else 0", Type.INT),
                gauge("prefix", "", "length of the network prefix; only of a lease", Type.UINT),
                text("mac", "MAC address of the interface"),
            ),
        ),
    ),
)
