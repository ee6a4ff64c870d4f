"""The fleets that the dashboards show in the tests: that of special cases, and those of other
sites, with other names, numbers, tags and sources for each seed.

The rule: a seed gives the same fleet on each machine; nothing in it is chosen for a query.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from random import Random

from support.answers import AGENT, addresses, limits, said, saved
from support.example_fleet import BACKUP, END, FLEET, MIGRATED, MIGRATION, START, STEP
from support.expected_panels import expected
from support.fleet import Disk, Event, Filesystem, Fleet, Guest, Host, Nic, Pool, State
from support.fleet_lines import SHOWN_SOURCES, lines
from support.fleet_view import Numbers
from support.grafana import Period

#: Seconds of lines.
LENGTH = 1020

#: Pieces of names. A backslash is only before a letter: databases differ about others.
_PIECES = (
    *(" ", "  ", '"', "'", "\\d", "\\w", "/", "$", "$host", "${domain}", "[[x]]", "$__interval"),
    *(".*", ".+", "(", ")", "[", "]", "{", "}", "{{x}}", "|", "?", "^", ",", "=", ", ", "=~", "!"),
    *("#", ";", "&", "%", "%20", "<", ">", "@", "~", "-", "_", ".", ":", "--", "/*", "*/"),
    *("é", "Ž", "漢字", "😀", "ß", "\u00a0", "\u0430", "NaN", "null", "OR 1=1", "2024", "10.0.0.1"),
)
_LETTERS = "abcdefghijkmnopqrstuvwxyzABCDEFGHXYZ0123456789"

#: States with their numbers of libvirt; most guests run.
_STATES = (*[State.RUNNING] * 8, 0, 2, State.PAUSED, 4, *[State.SHUT_OFF] * 2, State.CRASHED, 7)

#: virDomainEventID and arguments, as `expected_panels` names them.
_EVENTS = (
    *((0, (2, 0)), (0, (5, 0)), (0, (5, 2)), (0, (5, 5)), (0, (8, 0)), (1, ())),
    *((16, ("vda", 2, 2)), (21, (MIGRATED,))),
    *((3, (1,)), (3, (2,)), (6, ("/d", "virtio-disk0", 1, "enospc")), (6, ("", "", 2, "eio"))),
)
_MOUNTPOINTS = ("/", "/srv/my data", "C:\\", "/var/lib/$x", "/a=b,c", "/ž")


class _Dice(Random):
    """The dice of one seed."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._names: set[str] = set()

    def name(self) -> str:
        """A new name of letters and of what queries may stumble over."""
        while True:
            parts = [self.choice(_LETTERS)]
            for _ in range(self.randint(0, 3)):
                parts += (self.choice(_PIECES), *self.choices(_LETTERS, k=self.randint(1, 3)))
            name = "".join(parts)
            if name not in self._names:
                self._names.add(name)
                return name

    def rate(self, most: int) -> float:
        """Events per second, a whole number in each step: libvirt's counters are integers."""
        return self.choice((0, self.randint(1, most * STEP) / STEP))

    def disk(self, number: int) -> Disk:
        return Disk(
            f"{self.choice(('vd', 'sd', 'hd', 'nvme'))}{number}",
            reads=self.rate(900),
            writes=self.rate(900),
            flushes=self.rate(90),
            size=self.choice((512, 4096, 65_536)),
            read_ns=self.randint(10**4, 10**8),
            write_ns=self.randint(10**4, 10**8),
            flush_ns=self.randint(10**4, 10**8),
            capacity=self.randint(1, 1 << 43),
            allocation=self.randint(0, 1 << 40),
        )

    def nic(self) -> Nic:
        return Nic(
            rx=self.rate(9000),
            tx=self.rate(9000),
            size=self.randint(60, 9000),
            rx_drop=self.rate(50),
            tx_drop=self.rate(50),
            errors=self.rate(5),
        )

    def guest(self, name: str, host: str, project: str, start: int) -> Guest:
        memory = self.randint(1 << 17, 1 << 26)
        disks = [self.disk(number) for number in range(self.randint(0, 3))]
        copied = disks[:1] if self.random() < 0.3 else []
        return Guest(
            name,
            host,
            vcpus=self.randint(1, 9),
            user=self.uniform(0.01, 8),
            system=self.uniform(0.01, 2),
            steal=self.choice((0, self.uniform(0.01, 0.5))),
            memory=memory,
            used=self.choice((None, self.randint(0, memory), self.randint(0, memory))),
            faults=self.rate(40),
            swap_out=2 * self.rate(200),
            disks=disks,
            nics=[self.nic() for _ in range(self.randint(0, 2))],
            state=self.choice(_STATES),
            reason=self.randint(0, 6),
            complete=self.random() > 0.1,
            project=project,
            title=self.choice(("", self.name())),
            boots=(start - STEP * self.randint(10, 10**5),),
            job=self.choice(({}, {}, MIGRATION, BACKUP)),
            block_jobs={d.name: {"type": 1, "cur": self.randint(0, 9), "end": 9} for d in copied},
            disk_errors={d.name: self.randint(1, 2) for d in copied},
            filesystems=[
                Filesystem(mountpoint, f"dev{number}", used=self.randint(0, 20 << 30))
                for number, mountpoint in enumerate(
                    self.sample(_MOUNTPOINTS, k=self.choice((0, 0, 1, 3)))
                )
            ],
            events=[
                Event(kind, arguments, self.randint(1, 9))
                for kind, arguments in self.sample(_EVENTS, k=self.choice((0, 0, 2, 5)))
            ],
            answers=self.answers(start),
            agent=self.choice(({}, AGENT)),
            control=(self.randint(0, 3), 0, self.randint(1, 10**6)),
            locked=self.random() < 0.04,
            hostdev=self.choice(("", "", "7")),
            process=self.choice((None, ("sleep", self.randint(1, 99), 7), ("stop", 3, 0))),
        )

    def answers(self, start: int) -> dict[str, object]:
        """What only some guests have."""
        parts = (
            {"autostart": 1, "isPersistent": 1, "changes": ["cpu"]},
            limits(
                self.randint(1, 10**6),
                self.choice((-1, 7000)),
                self.randint(0, 9),
                1 << 30,
                bool(self.randint(0, 1)),
            ),
            said(*(self.randint(0, 2) for _ in range(3))),
            saved(*sorted(start - self.randint(0, 10**7) for _ in range(self.randint(1, 3)))),
            addresses(["10.0.0.7"], [f"fe80::{self.randint(1, 9)}"]),
        )
        return {
            name: value for part in parts if self.random() < 0.4 for name, value in part.items()
        }

    def host(self, end: int, index: int) -> Host:
        """At the end the second host cannot be read, and the third one is silent."""
        return Host(
            self.name(),
            uri=self.choice(("qemu:///system", "xen:///", f"lxc://{index}/?a=b,c", "test:///x y")),
            cpus=self.randint(1, 256),
            memory=self.randint(1 << 10, 1 << 20) << 10,
            collect_ns=self.randint(10**6, 10**10),
            hanging=self.choice((0, 0, 3)),
            reconnects=self.randint(0, 9),
            unreadable=end - 300 if index == 1 else float("inf"),
            last=end - 400 if index == 2 else float("inf"),
            tags=self.choice(({}, {"data center": self.name(), "rack": "7"})),
            pools=[
                Pool(self.name(), capacity, self.randint(0, capacity))
                for capacity in self.sample((0, 1 << 20, 1 << 40, 1 << 50), k=self.randint(1, 3))
            ],
            free_pages=self.choice(((), (0, 7), (self.randint(0, 512),))),
            failing=self.choice(((), (), ("job",), ("block_job", "guest_agent"))),
        )


def random_fleet(
    seed: int, end: int, hosts: int, guests: int, projects: int = 0, sources: bool = False
) -> Fleet:
    """A fleet of some hosts, guests and projects. One guest in eight has the name of another one
    on another host."""
    dice = _Dice(seed)
    places = [dice.host(end, index) for index in range(hosts)]
    owners = ["", *(dice.name() for _ in range(projects))]
    made: list[Guest] = []
    for _ in range(guests):
        host, name = dice.choice(places).name, dice.name()
        if made and dice.random() < 1 / 8:
            name = dice.choice(made).name
        if not any((guest.name, guest.host) == (name, host) for guest in made):
            made.append(dice.guest(name, host, dice.choice(owners), end - LENGTH))
    return Fleet(
        places,
        made,
        SHOWN_SOURCES if sources else (),
        device_tags=dice.choice((("device",), ("device", "serial"), ())),
    )


@dataclass(frozen=True)
class Site:
    """A fleet, and when its lines begin and end."""

    fleet: Fleet
    start: int
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
        return [*lines(self.fleet, self.start, self.end, STEP)]


def _random(day: int, seed: int, hosts: int, guests: int, projects: int, sources: bool) -> Site:
    end = END - day * 86_400
    return Site(random_fleet(seed, end, hosts, guests, projects, sources), end - LENGTH, end)


#: They are in the same VictoriaMetrics, days apart.
SITES = {
    "special": Site(FLEET, START, END),
    "everything": _random(10, 13, hosts=4, guests=60, projects=3, sources=True),
    "no projects": _random(20, 23, hosts=3, guests=30, projects=0, sources=True),
    "one host": _random(30, 37, hosts=1, guests=4, projects=0, sources=False),
    "many hosts": _random(40, 41, hosts=12, guests=50, projects=1, sources=False),
}
