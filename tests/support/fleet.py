"""Hypervisors whose guests' counters move by known steps, as libvirt describes them.

The rule: names and values are libvirt's; what the plugin makes of them is in `fleet_lines`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional
from xml.sax.saxutils import escape, quoteattr

from telegraf_execd_libvirt.domain.record import Stats

SECOND = 10**9

#: When guests were started that say nothing else.
BOOTED = 1_767_000_000


class State:
    """Values of virDomainState, and a reason of the state paused."""

    RUNNING, PAUSED, SHUT_OFF, CRASHED = 1, 3, 5, 6
    IO_ERROR = 5


#: For how long the locked guests have been locked.
LOCKED_SECONDS = 90

_NOVA = "http://openstack.org/xmlns/libvirt/nova/1.1"


@dataclass(frozen=True)
class Disk:
    """One disk: operations per second, bytes and nanoseconds of each, and sizes in bytes."""

    name: str = "vda"
    reads: float = 0
    writes: float = 0
    flushes: float = 0
    size: int = 4096
    read_ns: int = 1_000_000
    write_ns: int = 2_000_000
    flush_ns: int = 500_000
    capacity: int = 20 << 30
    allocation: int = 5 << 30

    @property
    def requests(self) -> float:
        return self.reads + self.writes

    @property
    def bytes(self) -> float:
        return self.requests * self.size

    @property
    def spent(self) -> float:
        """Nanoseconds of all requests of a second."""
        return self.reads * self.read_ns + self.writes * self.write_ns


@dataclass(frozen=True)
class Nic:
    """One interface: packets per second, their bytes, and drops and errors per second."""

    rx: float = 0
    tx: float = 0
    size: int = 1000
    rx_drop: float = 0
    tx_drop: float = 0
    errors: float = 0


class Filesystem(NamedTuple):
    """A mounted file system, as the guest agent reports it; sizes in bytes."""

    mountpoint: str
    device: str
    kind: str = "ext4"
    total: int = 20 << 30
    used: int = 5 << 30


@dataclass(frozen=True)
class Event:
    """Events of one kind before the first tick: virDomainEventID, and the arguments of
    libvirt-python's callback after the domain."""

    kind: int
    arguments: Sequence[Any] = ()
    count: int = 1


@dataclass(frozen=True)
class Guest:
    """One guest on one host; times in seconds, sizes in KiB, CPU use in cores.

    ``boots`` are the times at which the counters start at 0. The guest is in the answers of its
    hypervisor from ``first`` to ``last``. ``wave`` is the share by which all rates go up and down.
    ``job`` is the answer of virDomainGetJobStats, ``block_jobs`` those of virDomainGetBlockJobInfo
    and ``disk_errors`` that of virDomainGetDiskErrors, by the names of the disks. A guest that is
    ``locked`` is not in the answers. ``answers`` are results of other methods by their names,
    ``agent`` what virDomainGetGuestInfo reports beside the filesystems. ``hostdev`` is the
    bus of a USB device, ``control`` the result of virDomainGetControlInfo, and ``process`` what
    Telegraf's procstat says: state, threads and files.
    """

    name: str
    host: str
    vcpus: int = 2
    user: float = 0.5
    system: float = 0.25
    steal: float = 0.0
    memory: int = 4 << 20
    used: Optional[int] = 1 << 20
    faults: float = 0
    swap_out: float = 0
    disks: Sequence[Disk] = (Disk(),)
    nics: Sequence[Nic] = (Nic(),)
    state: int = State.RUNNING
    reason: int = 1
    complete: bool = True
    locked: bool = False
    project: str = ""
    title: str = ""
    boots: Sequence[float] = (BOOTED,)
    first: float = -math.inf
    last: float = math.inf
    wave: float = 0.0
    job: Mapping[str, int] = field(default_factory=dict)
    block_jobs: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    disk_errors: Mapping[str, int] = field(default_factory=dict)
    filesystems: Sequence[Filesystem] = ()
    events: Sequence[Event] = ()
    answers: Mapping[str, Any] = field(default_factory=dict)
    agent: Mapping[str, Any] = field(default_factory=dict)
    hostdev: str = ""
    control: Sequence[int] = ()
    process: Optional[tuple[str, int, int]] = None

    @property
    def has_agent(self) -> bool:
        return bool(self.filesystems or self.agent)

    @property
    def active(self) -> bool:
        return self.state != State.SHUT_OFF

    def there(self, now: float) -> bool:
        return self.first <= now <= self.last

    def stats(self, now: float) -> Stats:
        """The bulk statistics at this time."""
        stats: Stats = {
            **{"state.state": self.state, "state.reason": self.reason},
            **{"balloon.current": self.memory, "balloon.maximum": self.memory},
            **{"vcpu.current": self.vcpus, "vcpu.maximum": self.vcpus},
            "block.count": len(self.disks),
        }
        for number, disk in enumerate(self.disks):
            stats[f"block.{number}.name"] = disk.name
            stats[f"block.{number}.allocation"] = disk.allocation
            stats[f"block.{number}.capacity"] = disk.capacity
            stats[f"block.{number}.physical"] = disk.allocation + (1 << 20)
        if self.active:
            stats.update(self._counters(self._elapsed(now), now))
        return stats

    def _elapsed(self, now: float) -> float:
        """Seconds since the latest boot, faster and slower with the wave."""
        since = now - max(boot for boot in self.boots if boot <= now)
        if not self.wave:
            return since
        period = 2700 + 60 * (len(self.name) + sum(map(ord, self.name)) % 17)
        turn = 2 * math.pi / period
        return since - self.wave / turn * (math.cos(turn * now) - math.cos(turn * (now - since)))

    def _counters(self, elapsed: float, now: float) -> Iterator[tuple[str, Any]]:
        def count(rate: float) -> int:
            return round(rate * elapsed)

        yield "cpu.time", count((self.user + self.system) * SECOND)
        yield "cpu.user", count(self.user * SECOND)
        yield "cpu.system", count(self.system * SECOND)
        yield "balloon.rss", self.memory // 2
        if self.complete and self.used is not None:
            yield "balloon.available", self.memory
            yield "balloon.usable", self.memory - self.used
            yield "balloon.unused", (self.memory - self.used) // 2
            yield "balloon.last-update", int(now) - 5
            yield "balloon.major_fault", count(self.faults)
            yield "balloon.minor_fault", count(self.faults * 10)
            yield "balloon.swap_in", count(self.swap_out / 2)
            yield "balloon.swap_out", count(self.swap_out)
        for number in range(self.vcpus):
            yield f"vcpu.{number}.state", 1
            yield f"vcpu.{number}.time", count(self.user * SECOND / self.vcpus)
            yield f"vcpu.{number}.wait", count(self.steal * SECOND / 2)
            yield f"vcpu.{number}.delay", count(self.steal * SECOND)
        yield "net.count", len(self.nics)
        for number, nic in enumerate(self.nics):
            yield f"net.{number}.name", f"vnet{number}"
            for way, packets, drops in (("rx", nic.rx, nic.rx_drop), ("tx", nic.tx, nic.tx_drop)):
                yield f"net.{number}.{way}.bytes", count(packets * nic.size)
                yield f"net.{number}.{way}.pkts", count(packets)
                yield f"net.{number}.{way}.errs", count(nic.errors)
                yield f"net.{number}.{way}.drop", count(drops)
        for number, disk in enumerate(self.disks):
            for way, rate, cost in (
                ("rd", disk.reads, disk.read_ns),
                ("wr", disk.writes, disk.write_ns),
                ("fl", disk.flushes, disk.flush_ns),
            ):
                yield f"block.{number}.{way}.reqs", count(rate)
                yield f"block.{number}.{way}.times", count(rate * cost)
                if way != "fl":
                    yield f"block.{number}.{way}.bytes", count(rate * disk.size)

    @property
    def xml(self) -> str:
        # The UUID is the same on each host.
        uuid = f"{sum(self.name.encode()):08x}-0000-4000-8000-{len(self.name):012x}"
        disks = "".join(f"<disk><target dev={quoteattr(d.name)}/></disk>" for d in self.disks)
        project = f"<nova:project uuid='1'>{escape(self.project)}</nova:project>"
        disks += "".join(
            f"<interface type='network'><mac address='52:54:00:00:00:{number:02x}'/>"
            f"<target dev='vnet{number}'/></interface>"
            for number in range(len(self.nics))
        )
        if self.hostdev:
            address = f"<address bus='{self.hostdev}' device='1'/>"
            disks += f"<hostdev type='usb'><source>{address}</source></hostdev>"
        period = "" if self.used is None else "<stats period='10'/>"
        disks += f"<memballoon model='virtio'>{period}</memballoon>"
        agent = "<channel><target name='org.qemu.guest_agent.0' state='connected'/></channel>"
        return (
            f"<domain><name>{escape(self.name)}</name><uuid>{uuid}</uuid>"
            f"<title>{escape(self.title)}</title><os><type machine='pc-q35-7.2'>hvm</type></os>"
            f"<metadata><nova:instance xmlns:nova='{_NOVA}'><nova:owner>{project}</nova:owner>"
            f"</nova:instance></metadata><devices>{disks}{agent if self.has_agent else ''}"
            "</devices></domain>"
        )

    @property
    def info(self) -> dict[str, Any]:
        """The answer of virDomainGetGuestInfo."""
        info: dict[str, Any] = {"fs.count": len(self.filesystems), **self.agent}
        names = ("mountpoint", "name", "fstype", "total-bytes", "used-bytes")
        for number, each in enumerate(self.filesystems):
            info.update((f"fs.{number}.{name}", value) for name, value in zip(names, each))
        return info


@dataclass(frozen=True)
class Pool:
    """A storage pool; sizes in bytes."""

    name: str
    capacity: int = 1 << 40
    allocation: int = 0
    kind: str = "dir"


@dataclass(frozen=True)
class Host:
    """One hypervisor; it cannot be read from ``unreadable`` on, and says nothing after ``last``.
    Its driver does not have the sources in ``failing``. ``free_pages`` has the free huge pages of
    each NUMA cell."""

    name: str
    uri: str = "qemu:///system"
    cpus: int = 8
    memory: int = 64 << 20
    collect_ns: int = 40_000_000
    hanging: int = 0
    reconnects: int = 0
    unreadable: float = math.inf
    last: float = math.inf
    tags: Mapping[str, str] = field(default_factory=dict)
    pools: Sequence[Pool] = ()
    failing: Sequence[str] = ()
    free_pages: Sequence[int] = ()

    def up(self, now: float) -> bool:
        return now < self.unreadable and now <= self.last


@dataclass(frozen=True)
class Fleet:
    """All hypervisors and guests, and what their plugins are configured to read beside the bulk
    statistics and the summaries."""

    hosts: Sequence[Host]
    guests: Sequence[Guest]
    sources: Sequence[str] = ()
    device_tags: Sequence[str] = ("device",)

    def of(self, host: Host, now: float) -> list[Guest]:
        """The guests that a hypervisor reports at this time."""
        return [g for g in self.guests if g.host == host.name and host.up(now) and g.there(now)]
