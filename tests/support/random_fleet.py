"""Fleets of other sites: other names, numbers, tags and sources for each seed.

The rule: a seed gives the same fleet on each machine; nothing in it is chosen for a query.
"""

from __future__ import annotations

from random import Random

from support.example_fleet import BACKUP, MIGRATION
from support.fleet import (
    CRASHED,
    PAUSED,
    RUNNING,
    SHUT_OFF,
    Disk,
    Event,
    Filesystem,
    Fleet,
    Guest,
    Host,
    Nic,
    Pool,
)
from support.fleet_lines import SHOWN_SOURCES

STEP = 10
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
_STATES = (*[RUNNING] * 8, 0, 2, PAUSED, 4, SHUT_OFF, SHUT_OFF, CRASHED, 7)

#: virDomainEventID and arguments, as `expected_sources` names them.
_EVENTS = (
    *((0, (2, 0)), (0, (5, 0)), (0, (5, 2)), (0, (5, 5)), (0, (8, 0)), (1, ())),
    *((3, (1,)), (3, (2,)), (6, ("/d", "virtio-disk0", 1, "enospc")), (6, ("", "", 2, "eio"))),
)
_MOUNTPOINTS = ("/", "/srv/my data", "C:\\", "/var/lib/$x", "/a=b,c", "/ž")


class _Site:
    """The dice of one seed."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self._names: set[str] = set()

    def name(self) -> str:
        """A new name of letters and of what queries may stumble over."""
        dice = self.dice
        while True:
            parts = [dice.choice(_LETTERS)]
            for _ in range(dice.randint(0, 3)):
                parts += (dice.choice(_PIECES), *dice.choices(_LETTERS, k=dice.randint(1, 3)))
            name = "".join(parts)
            if name not in self._names:
                self._names.add(name)
                return name

    def rate(self, most: int) -> float:
        """Events per second, a whole number in each step: libvirt's counters are integers."""
        return self.dice.choice((0, self.dice.randint(1, most * STEP) / STEP))

    def disk(self, number: int) -> Disk:
        dice = self.dice
        return Disk(
            f"{dice.choice(('vd', 'sd', 'hd', 'nvme'))}{number}",
            reads=self.rate(900),
            writes=self.rate(900),
            flushes=self.rate(90),
            size=dice.choice((512, 4096, 65_536)),
            read_ns=dice.randint(10**4, 10**8),
            write_ns=dice.randint(10**4, 10**8),
            flush_ns=dice.randint(10**4, 10**8),
            capacity=dice.randint(1, 1 << 43),
            allocation=dice.randint(0, 1 << 40),
        )

    def nic(self) -> Nic:
        dice = self.dice
        return Nic(
            rx=self.rate(9000),
            tx=self.rate(9000),
            size=dice.randint(60, 9000),
            rx_drop=self.rate(50),
            tx_drop=self.rate(50),
            errors=self.rate(5),
        )

    def guest(self, name: str, host: str, project: str, start: int) -> Guest:
        dice = self.dice
        memory = dice.randint(1 << 17, 1 << 26)
        disks = [self.disk(number) for number in range(dice.randint(0, 3))]
        copied = disks[:1] if dice.random() < 0.3 else []
        return Guest(
            name,
            host,
            vcpus=dice.randint(1, 9),
            user=dice.uniform(0.01, 8),
            system=dice.uniform(0.01, 2),
            steal=dice.choice((0, dice.uniform(0.01, 0.5))),
            memory=memory,
            used=dice.choice((None, dice.randint(0, memory), dice.randint(0, memory))),
            faults=self.rate(40),
            swap_out=2 * self.rate(200),
            disks=disks,
            nics=[self.nic() for _ in range(dice.randint(0, 2))],
            state=dice.choice(_STATES),
            reason=dice.randint(0, 6),
            complete=dice.random() > 0.1,
            project=project,
            title=dice.choice(("", self.name())),
            boots=(start - STEP * dice.randint(10, 10**5),),
            job=dice.choice(({}, {}, MIGRATION, BACKUP)),
            block_jobs={d.name: {"type": 1, "cur": dice.randint(0, 9), "end": 9} for d in copied},
            disk_errors={d.name: dice.randint(1, 2) for d in copied},
            filesystems=[
                Filesystem(mountpoint, f"dev{number}", used=dice.randint(0, 20 << 30))
                for number, mountpoint in enumerate(
                    dice.sample(_MOUNTPOINTS, k=dice.choice((0, 0, 1, 3)))
                )
            ],
            events=[
                Event(kind, arguments, dice.randint(1, 9))
                for kind, arguments in dice.sample(_EVENTS, k=dice.choice((0, 0, 2, 5)))
            ],
        )

    def host(self, end: int, index: int) -> Host:
        """At the end the second host cannot be read, and the third one is silent."""
        dice = self.dice
        return Host(
            self.name(),
            uri=dice.choice(("qemu:///system", "xen:///", f"lxc://{index}/?a=b,c", "test:///x y")),
            cpus=dice.randint(1, 256),
            memory=dice.randint(1 << 10, 1 << 20) << 10,
            collect_ns=dice.randint(10**6, 10**10),
            hanging=dice.choice((0, 0, 3)),
            reconnects=dice.randint(0, 9),
            unreadable=end - 300 if index == 1 else float("inf"),
            last=end - 400 if index == 2 else float("inf"),
            tags=dice.choice(({}, {"data center": self.name(), "rack": "7"})),
            pools=[
                Pool(self.name(), capacity, dice.randint(0, capacity))
                for capacity in dice.sample((0, 1 << 20, 1 << 40, 1 << 50), k=dice.randint(1, 3))
            ],
            failing=dice.choice(((), (), ("job",), ("block_job", "guest_agent"))),
        )


def random_fleet(
    seed: int, end: int, hosts: int, guests: int, projects: int = 0, sources: bool = False
) -> Fleet:
    """A fleet of some hosts, guests and projects. One guest in eight has the name of another one
    on another host."""
    site = _Site(seed)
    dice = site.dice
    places = [site.host(end, index) for index in range(hosts)]
    owners = ["", *(site.name() for _ in range(projects))]
    made: list[Guest] = []
    for _ in range(guests):
        host, name = dice.choice(places).name, site.name()
        if made and dice.random() < 1 / 8:
            name = dice.choice(made).name
        if not any((guest.name, guest.host) == (name, host) for guest in made):
            made.append(site.guest(name, host, dice.choice(owners), end - LENGTH))
    return Fleet(
        places,
        made,
        SHOWN_SOURCES if sources else (),
        device_tags=dice.choice((("device",), ("device", "serial"), ())),
    )
