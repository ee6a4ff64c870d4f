"""What the drivers of libvirt have in their bulk statistics.

Rule guarded: a driver that is not named here is asked, and answers that it has none (code 3).
"""

from __future__ import annotations

#: The groups in the bulk statistics of drivers that have some but not all, by the driver's name.
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
