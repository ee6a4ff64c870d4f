"""The groups in the bulk statistics of libvirt's drivers.

Invariant: a driver that is not listed here is asked; it answers with code 3 if it has none.
"""

from __future__ import annotations

#: Drivers that have only some groups in their bulk statistics, by the driver's name.
_BULK_GROUPS: dict[str, frozenset[str]] = {
    "TEST": frozenset({"state", "iothread"}),
    "vz": frozenset({"state", "vcpu", "interface", "balloon", "block"}),
    "Parallels": frozenset({"state", "vcpu", "interface", "balloon", "block"}),
}

#: The groups that the calls for one domain can fill, at least in part.
FILLED = frozenset({"state", "cpu_total", "balloon", "vcpu", "interface", "block", "iothread"})


def has_in_bulk(driver: str, group: str) -> bool:
    """Whether a driver's bulk statistics have a group, if it has bulk statistics."""
    return driver not in _BULK_GROUPS or group in _BULK_GROUPS[driver]
