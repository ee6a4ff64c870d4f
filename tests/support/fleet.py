"""Hypervisors whose guests' counters move by known steps, and what the plugin writes about them.

The rule: the lines are the plugin's own. Only measurements of sources that the plugin does not
have are written from their names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from telegraf_execd_libvirt.config import HypervisorConfig
from telegraf_execd_libvirt.domain import Domain, Stats
from telegraf_execd_libvirt.domain_summary import summarize
from telegraf_execd_libvirt.encode import Encoder
from telegraf_execd_libvirt.health import INCOMPLETE, Health
from telegraf_execd_libvirt.lineprotocol import FieldValue, format_line
from telegraf_execd_libvirt.node_summary import Node

SECOND = 10**9

#: When guests were started that say nothing else.
BOOTED = 1_767_000_000
RUNNING, PAUSED, SHUT_OFF, CRASHED = 1, 3, 5, 6
PAUSED_BY_IO_ERROR = 5

#: Keys of a guest without the balloon's driver, or whose monitor does not answer.
_OF_THE_DRIVER = ("usable", "unused", "available", "last-update", "swap_in", "swap_out")


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


@dataclass(frozen=True)
class Nic:
    """One interface: packets per second, their bytes, and drops and errors per second."""

    rx: float = 0
    tx: float = 0
    size: int = 1000
    rx_drop: float = 0
    tx_drop: float = 0
    errors: float = 0


@dataclass(frozen=True)
class Guest:
    """One guest on one host; times in seconds, sizes in KiB, CPU use in cores.

    ``boots`` are the times at which the counters start at 0. The guest is in the answers of its
    hypervisor from ``first`` to ``last``. ``wave`` is the share by which all rates go up and down.
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
    state: int = RUNNING
    reason: int = 1
    complete: bool = True
    project: str = ""
    title: str = ""
    boots: Sequence[float] = (BOOTED,)
    first: float = -math.inf
    last: float = math.inf
    wave: float = 0.0

    @property
    def active(self) -> bool:
        return self.state != SHUT_OFF

    def there(self, now: float) -> bool:
        """Whether the hypervisor has the guest at this time."""
        return self.first <= now <= self.last

    def stats(self, now: float) -> Stats:
        """The bulk statistics at this time."""
        stats: Stats = {
            "state.state": self.state,
            "state.reason": self.reason,
            "balloon.current": self.memory,
            "balloon.maximum": self.memory,
            "vcpu.current": self.vcpus,
            "vcpu.maximum": self.vcpus,
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


@dataclass(frozen=True)
class Host:
    """One hypervisor; it cannot be read from ``unreadable`` on, and says nothing after ``last``."""

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


@dataclass(frozen=True)
class Extra:
    """A line of another source, from ``first`` to ``last``; a field may be a rate per second."""

    measurement: str
    tags: Mapping[str, str]
    fields: Mapping[str, FieldValue]
    rates: Mapping[str, float] = field(default_factory=dict)
    first: float = -math.inf
    last: float = math.inf


@dataclass(frozen=True)
class Fleet:
    """All hypervisors and guests."""

    hosts: Sequence[Host]
    guests: Sequence[Guest]
    extras: Sequence[Extra] = ()
    devices: bool = True

    def lines(self, start: int, end: int, step: int) -> Iterator[str]:
        """What the plugins of all hosts write from start to end, both in seconds, in batches."""
        encoders: dict[tuple[str, str], Encoder] = {}
        failures = dict.fromkeys((host.name for host in self.hosts), 0)
        for now in range(start, end + 1, step):
            texts = []
            for host in self.hosts:
                if now <= host.last:
                    up = now < host.unreadable
                    failures[host.name] += not up
                    texts.append(self._tick(host, up, failures[host.name], now, encoders))
            for extra in self.extras:
                if extra.first <= now <= extra.last:
                    texts.append(_extra_line(extra, now, start))
            yield "".join(texts)

    def _tick(
        self,
        host: Host,
        up: bool,
        errors: int,
        now: int,
        encoders: dict[tuple[str, str], Encoder],
    ) -> str:
        guests = [g for g in self.guests if up and g.host == host.name and g.there(now)]
        node, texts = Node(), []
        for guest in guests:
            stats = guest.stats(now)
            node.add(guest.active, stats)
            info = {"title": guest.title, "uuid": uuid_of(guest.name), "os_type": "hvm"}
            stats.update(summarize(stats, info, now))
            if not guest.complete:
                stats.update(INCOMPLETE)
            encoder = encoders.setdefault((host.name, guest.project), _encoder(host, guest.project))
            lines = encoder.encode([Domain(guest.name, guest.active, stats)], now * SECOND)
            texts.append(lines.decode())
        records = []
        if up:
            machine = ["x86_64", host.memory // 1024, host.cpus, 2400, 1, 1, host.cpus, 1]
            cpu = {"user": now * SECOND, "kernel": now * SECOND // 4, "idle": now * SECOND * 2}
            memory = {"total": host.memory, "free": host.memory // 4}
            records.append(Domain(host.uri, True, node.keys(machine, memory, cpu)))
        health = Health(
            up=up,
            domains=len(guests),
            domains_incomplete=sum(not guest.complete for guest in guests),
            collect_time_ns=host.collect_ns,
            calls_hanging=host.hanging,
            reconnects=host.reconnects,
            errors=errors,
            library_version="9.0.0",
            daemon_version="9.0.0",
        )
        records.append(health.record(host.uri))
        encoder = encoders.setdefault((host.name, ""), _encoder(host, ""))
        texts.append(encoder.encode(records, now * SECOND).decode())
        return "".join(map(_with_device, texts)) if self.devices else "".join(texts)


def _encoder(host: Host, project: str) -> Encoder:
    tags = {"host": host.name, **host.tags}
    if project:
        tags["project_name"] = project
    additions = ("health", "domain", "node")
    return Encoder(HypervisorConfig(tags=tags, additional_statistics=additions))


def _with_device(text: str) -> str:
    """The lines of disks with the tag ``device``, which is the name of the disk."""
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.startswith("libvirt_block,"):
            lines[number] = re.sub(' name="([^"]*)"', r',device=\1 name="\1"', line, count=1)
    return "".join(lines)


def _extra_line(extra: Extra, now: int, start: int) -> str:
    moved = {name: round(rate * (now - start)) for name, rate in extra.rates.items()}
    fields: dict[str, FieldValue] = {**extra.fields, **moved}
    return format_line(extra.measurement, extra.tags, fields.items(), now * SECOND)


def uuid_of(name: str) -> str:
    """A UUID for a guest, the same on each host."""
    return f"{sum(name.encode()):08x}-0000-4000-8000-{len(name):012x}"
