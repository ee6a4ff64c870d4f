"""The values of a fleet that the panels must show at the end of a range.

The rule: it follows from the fleet's description alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Callable

from support.fleet import Disk, Fleet, Guest, Host, Nic

Numbers = dict[str, float]
"""Values by the labels of their series, joined with spaces in the order of ORDER."""


class View:
    """A fleet at the end of a range."""

    def __init__(self, fleet: Fleet, end: int, start: int, step: int) -> None:
        self.fleet = fleet
        self.step = step
        hosts = fleet.hosts
        last = {host.name: min(end, host.last, host.unreadable - step) for host in hosts}
        #: Guests that their hypervisor reported in the last two minutes, and those that it locked.
        there = [g for g in fleet.guests if g.there(end) and last[g.host] >= end]
        self.present = [guest for guest in there if not guest.locked]
        self.locked = [guest for guest in there if guest.locked]
        #: Guests that have lines in the range, of each name and host the newest.
        in_range = [
            g for g in fleet.guests if g.last >= start and last[g.host] >= start and not g.locked
        ]
        self.newest = list({name_of(guest): guest for guest in in_range}.values())
        #: Guests that have counters in the range; of a migrated one, one for each host.
        self.active = [guest for guest in in_range if guest.active]
        #: What a host had at the end, as its line of the node says.
        self.last = [g for g in in_range if g.there(last[g.host])]
        self.active_now = [guest for guest in self.present if guest.active]
        self.readable = [host for host in hosts if last[host.name] >= end]
        self.reporting = [host for host in hosts if host.last >= end]
        self.seen = [host for host in hosts if host.last >= start]

    def on(self, host: Host) -> list[Guest]:
        """The guests of a host at its last readable moment."""
        return [guest for guest in self.last if guest.host == host.name]

    def active_on(self, host: Host) -> list[Guest]:
        return [guest for guest in self.on(host) if guest.active]

    def hosts(self, value: Callable[[Host], float]) -> Numbers:
        return {f"{host.name} {host.uri}": value(host) for host in self.seen}

    def by_host(self, value: Callable[[Guest], float], part: str = "name") -> Numbers:
        """The sums at the end over guests that have this part; of a host that cannot be read, those
        of its last moment."""
        sums: Numbers = {}
        for guest in self.last:
            if guest.active and getattr(guest, part):
                sums[guest.host] = sums.get(guest.host, 0) + value(guest)
        return sums

    def in_state(self, *states: int) -> Numbers:
        return one(sum(guest.state in states for guest in self.present))

    def with_balloon(self, value: Callable[[Guest], float]) -> Numbers:
        return each((g for g in self.active if reports_memory(g)), value)

    def disks(self, value: Callable[[Disk], float], newest: bool = False) -> Numbers:
        named = bool(self.fleet.device_tags)
        return {
            f"{name_of(guest)} {number}{f' {disk.name}' if named else ''}": value(disk)
            for guest in (self.newest if newest else self.active)
            for number, disk in enumerate(guest.disks)
        }

    def busy(self, count: Callable[[Disk], float], value: Callable[[Disk], float]) -> Numbers:
        busy = self.disks(count)
        return {name: number for name, number in self.disks(value).items() if busy[name]}

    def nics(self, value: Callable[[Nic], float]) -> Numbers:
        return {
            f"{name_of(guest)} {number}": value(nic)
            for guest in self.active
            for number, nic in enumerate(guest.nics)
        }

    def asked(self, source: str) -> list[Guest]:
        """The guests of which a source has a line at the end, or had one when its host ended."""
        working = {host.name for host in self.seen if source not in host.failing}
        if source not in self.fleet.sources:
            return []
        return [guest for guest in self.last if guest.host in working]


def name_of(guest: Guest) -> str:
    return f"{guest.host} {guest.name}"


def each(guests: Iterable[Guest], value: Callable[[Guest], float]) -> Numbers:
    return {name_of(guest): value(guest) for guest in guests}


def one(value: float) -> Numbers:
    return {"": value}


def reports_memory(guest: Guest) -> bool:
    return guest.active and guest.complete and guest.used is not None


def memory_percent(guests: Iterable[Guest]) -> Numbers:
    return {name_of(g): 100 * (g.used or 0) / g.memory for g in guests if reports_memory(g)}
