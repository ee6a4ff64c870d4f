"""The fleets that the dashboards show in the tests: that of special cases, and others that are made
of its guests, with names, tags and sources that no query was written for.

The rule: a name has what queries may stumble over, and nothing else depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count

from support.answers import addresses
from support.example_fleet import END, FLEET, MIGRATED, STEP
from support.expected_panels import expected
from support.fleet import Disk, Event, Filesystem, Fleet, Guest, Nic
from support.fleet_lines import lines
from support.fleet_view import Numbers
from support.grafana import Period

#: Seconds of lines, in which all happens that does.
LENGTH = 1020

#: Pieces of names. A backslash is only before a letter: databases differ about others.
_PIECES = (
    *(" ", "  ", '"', "'", "\\d", "\\w", "/", "$", "$host", "${domain}", "[[x]]", "$__interval"),
    *(".*", ".+", "(", ")", "[", "]", "{", "}", "{{x}}", "|", "?", "^", ",", "=", ", ", "=~", "!"),
    *("#", ";", "&", "%", "%20", "<", ">", "@", "~", "-", "_", ".", ":", "--", "/*", "*/"),
    *("é", "Ž", "漢字", "😀", "ß", "\u00a0", "\u0430", "NaN", "null", "OR 1=1", "2024", "10.0.0.1"),
)
_URIS = ("xen:///", "lxc://1/?a=b,c", "test:///x y", "qemu:///system")
_MOUNTPOINTS = ("C:\\", "/var/lib/$x", "/a=b,c", "/ž")

#: States, devices, paths and events that the special cases do not have.
_MORE = (
    Guest("bare", "kvm1", state=0, disks=(), nics=(), project="shop", title='"'),
    Guest(
        "large",
        "kvm2",
        vcpus=9,
        state=2,
        reason=1,
        disks=(
            Disk("sda", reads=0.5, writes=900, allocation=0),
            Disk("hdb", flushes=90, capacity=1 << 43),
            Disk("nvme0", reads=7, size=512),
        ),
        nics=(Nic(rx=0.5), Nic(tx=9000, size=9000)),
        disk_errors={"sda": 1, "nvme0": 2},
        events=(
            *(Event(0, (8, 0)), Event(3, (1,)), Event(3, (2,), 2), Event(16, ("sda", 2, 2))),
            *(Event(6, ("", "", 2, "eio")), Event(21, (MIGRATED,))),
        ),
        answers=addresses(["10.0.0.7"], ["fe80::1"]),
        project="lab",
    ),
    Guest(
        "mounted",
        "kvm2",
        state=4,
        reason=6,
        filesystems=[Filesystem(path, f"dev{n}") for n, path in enumerate(_MOUNTPOINTS)],
    ),
)


#: Guests of each kind.
EVERY = replace(FLEET, guests=(*FLEET.guests, *_MORE), device_tags=("device", "serial"))


def _moved(fleet: Fleet, seconds: int) -> Fleet:
    """The fleet with all its times so much later."""
    guests = [
        replace(
            guest,
            boots=[boot + seconds for boot in guest.boots],
            first=guest.first + seconds,
            last=guest.last + seconds,
        )
        for guest in fleet.guests
    ]
    hosts = [
        replace(host, unreadable=host.unreadable + seconds, last=host.last + seconds)
        for host in fleet.hosts
    ]
    return replace(fleet, hosts=hosts, guests=guests)


def _renamed(fleet: Fleet, first: int = 0) -> Fleet:
    """The fleet with other names, which have the pieces from this pair on. Guests of the same name
    still have the same."""
    numbers, names = count(first), dict[str, str]()

    def name(old: str) -> str:
        if old and old not in names:
            number = next(numbers)
            pieces = (_PIECES[2 * number % len(_PIECES)], _PIECES[(2 * number + 1) % len(_PIECES)])
            names[old] = f"{old[0]}{pieces[0]}{number}{pieces[1]}Z"
        return names.get(old, "")

    hosts = [
        replace(
            host,
            name=name(host.name),
            uri=uri,
            tags={"data center": name("center"), "rack": "7"},
            pools=[replace(pool, name=name(pool.name)) for pool in host.pools],
        )
        for host, uri in zip(fleet.hosts, _URIS)
    ]
    guests = [
        replace(
            guest,
            name=name(guest.name),
            host=name(guest.host),
            project=name(guest.project),
            title=name(guest.title),
        )
        for guest in fleet.guests
    ]
    return replace(fleet, hosts=hosts, guests=guests)


@dataclass(frozen=True)
class Site:
    """A fleet, and when its lines end."""

    fleet: Fleet
    end: int

    @property
    def period(self) -> Period:
        """The range of the dashboards."""
        return Period(self.end - 900, self.end)

    def numbers(self, fleet: Fleet | None = None) -> dict[str, dict[str, Numbers]]:
        """What the panels have to show of the fleet, or of a part of it."""
        return expected(fleet or self.fleet, self.end, self.period.start, STEP)

    @cached_property
    def lines(self) -> list[str]:
        """What its plugins write."""
        return [*lines(self.fleet, self.end - LENGTH, self.end, STEP)]


def _site(days: int, fleet: Fleet) -> Site:
    """A site whose lines end days before those of the special cases."""
    return Site(_moved(fleet, -days * 86_400), END - days * 86_400)


_OWNERLESS = replace(
    EVERY, guests=[replace(guest, project="") for guest in EVERY.guests], device_tags=()
)
_ALONE = Fleet(FLEET.hosts[:1], [guest for guest in FLEET.guests if guest.host == "kvm1"])

#: They are in the same VictoriaMetrics, days apart.
SITES = {
    "special": Site(FLEET, END),
    "everything": _site(10, _renamed(EVERY)),
    "no projects": _site(20, _renamed(_OWNERLESS, 10)),
    "one host": _site(30, _renamed(_ALONE, 20)),
}
