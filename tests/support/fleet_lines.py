"""What the plugins of a fleet write.

The rule: the lines are the plugin's own. Its readers of XML, its summaries, sources and encoders
get what libvirt would answer; no line is written here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import cast

from support.answers import cells
from support.fleet import LOCKED_SECONDS, SECOND, Fleet, Guest, Host
from support.scope import FakeScope, Thing, defaults, fetched
from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.domain.record import Domain, Identity
from telegraf_execd_libvirt.groups.domain import summarize
from telegraf_execd_libvirt.groups.health import INCOMPLETE, Health, SourceHealth, control, locked
from telegraf_execd_libvirt.groups.node import Node
from telegraf_execd_libvirt.lines.encode import Encoder
from telegraf_execd_libvirt.sources import SOURCES
from telegraf_execd_libvirt.sources.source import Listener, Source


def lines(fleet: Fleet, start: int, end: int, step: int) -> Iterator[str]:
    """What the plugins of all hosts write from start to end, both in seconds, in batches."""
    plugins = [_Plugin(host, fleet) for host in fleet.hosts]
    for now in range(start, end + 1, step):
        yield "".join(plugin.tick(now) for plugin in plugins)


class _Plugin:
    """The plugin of one host."""

    def __init__(self, host: Host, fleet: Fleet) -> None:
        projects = any(guest.project for guest in fleet.guests)
        config = HypervisorConfig(
            tags={"host": host.name, **host.tags},
            additional_statistics=("health", "domain", "node", *fleet.sources),
            additional_domain_tags=("project_name",) if projects else (),
            additional_device_tags=tuple(fleet.device_tags),
        )
        self._host = host
        self._fleet = fleet
        self._encoder = Encoder(config)
        self._reader = config.identities
        self._identities: dict[int, Identity] = {}
        self._errors = 0
        self._sources = [_Fetcher(source, config, host) for source in config.sources]

    def tick(self, now: int) -> str:
        """All lines of one tick."""
        host = self._host
        if now > host.last:
            return ""
        up, present = host.up(now), self._fleet.of(host, now)
        guests = [guest for guest in present if not guest.locked]
        self._errors += not up
        node, records = Node(), []
        for guest in guests:
            stats = guest.stats(now)
            node.add(guest.active, stats)
            identity = self._identity(guest)
            stats.update(summarize(stats, identity.info, now))
            if not guest.complete:
                stats.update(INCOMPLETE)
                stats.update(control(*guest.control) if guest.control else {})
            records.append(Domain(guest.name, guest.active, stats, identity))
        if up:
            machine = ["x86_64", host.memory // 1024, host.cpus, 2400, 1, 1, host.cpus, 1]
            cpu = {"user": now * SECOND, "kernel": now * SECOND // 4, "idle": now * SECOND * 2}
            memory = {"total": host.memory, "free": host.memory // 4, "available": host.memory // 2}
            records.append(Domain(host.uri, True, node.keys(machine, memory, cpu, 7_002_000)))
        records += [
            Domain(guest.name, True, locked(LOCKED_SECONDS), self._identity(guest))
            for guest in present
            if guest.locked
        ]
        health = Health(
            up=up,
            domains=len(guests),
            domains_incomplete=sum(not guest.complete for guest in guests),
            domains_locked=len(present) - len(guests),
            collect_time_ns=host.collect_ns,
            longest_call_time_ns=host.collect_ns,
            calls_hanging=host.hanging,
            reconnects=host.reconnects,
            errors=self._errors,
            defects=0,
            libvirt_version="9.0.0",
            daemon_version="9.0.0",
        )
        records.append(health.record(host.uri))
        things = [self._thing(guest) for guest in guests]
        written = [source.tick(now, up, guests, things) for source in self._sources]
        records += [source.health.record(host.uri) for source in self._sources]
        written.append(_processes(guests, now))
        return self._encoder.encode(records, now * SECOND).decode() + "".join(written)

    def _identity(self, guest: Guest) -> Identity:
        """What the guest's XML says; read once, as by the plugin."""
        known = self._identities.get(id(guest))
        if known is None:
            known = self._identities[id(guest)] = self._reader.read(
                guest.xml, lambda _: int(guest.boots[0]) if guest.active else None
            )
        return known

    def _thing(self, guest: Guest) -> Thing:
        """The guest as the sources ask it."""
        return Thing(
            guest.name,
            {
                "jobStats": {"type": 0, **guest.job},
                "blockJobInfo": lambda disk, _: guest.block_jobs.get(disk, {}),
                "diskErrors": guest.disk_errors,
                "guestInfo": guest.info,
                **guest.answers,
            },
            number=1 if guest.active else -1,
            xml=guest.xml,
            hangs=not guest.complete,
            tags=self._identity(guest).tags,
        )


def _processes(guests: Iterable[Guest], now: int) -> str:
    """The lines of Telegraf's procstat with the configuration in docs/recipes.md."""
    return "".join(
        f"procstat,domain_name={_escaped(guest.name)},host={_escaped(guest.host)},"
        f"status={guest.process[0]} num_threads={guest.process[1]}i,num_fds={guest.process[2]}i "
        f"{now * SECOND}\n"
        for guest in guests
        if guest.process
    )


def _escaped(tag: str) -> str:
    return re.sub("[,= ]", r"\\\g<0>", tag)


class _Fetcher:
    """One source of one host."""

    def __init__(self, source: Source, config: HypervisorConfig, host: Host) -> None:
        self._source = source
        self._works = source.name not in host.failing
        self._fetch = source.new()
        self._encoder = Encoder(config, source.group)
        pools = []
        for pool in host.pools:
            sizes = [2, pool.capacity, pool.allocation, pool.capacity - pool.allocation]
            answers = {"info": sizes, "isActive": 1, "autostart": 1}
            pools.append(Thing(pool.name, answers, xml=f"<pool type='{pool.kind}'/>"))
        offered = {"listAllStoragePools": pools, **cells(*host.free_pages)}
        self._scope = FakeScope(options=defaults(source), host=offered)
        self._scope.uri = host.uri
        self._due = 0.0
        self._known: set[str] = set()
        self.health = SourceHealth(source.name, True, 0, 0, 0, 0)

    def tick(self, now: int, up: bool, guests: list[Guest], things: list[Thing]) -> str:
        """The lines of the source, if it is due."""
        if now < self._due:
            return ""
        self._due = now + self._source.interval / SECOND
        name, errors = self._source.name, self.health.errors
        if not (up and self._works):
            self.health = SourceHealth(name, False, 0, 10**6, errors + 1, 0)
            return ""
        self._scope.things, self._scope.counted = things, 0
        self._happen(guests)
        records = fetched(self._fetch, self._scope)
        counted = self._scope.counted if self._source.counts else None
        self.health = SourceHealth(name, True, len(records), 10**6, errors, 0, counted=counted)
        return self._encoder.encode(records, now * SECOND).decode()

    def _happen(self, guests: list[Guest]) -> None:
        """The events of guests that are new."""
        fetch = cast(Listener, self._fetch)
        for guest in guests:
            if guest.name not in self._known:
                self._known.add(guest.name)
                for event in guest.events:
                    if event.kind in self._source.events:
                        uuid = Thing(guest.name).uuid
                        for _ in range(event.count):
                            fetch.happened(event.kind, uuid, guest.name, (*event.arguments,))


#: The names of all sources that the dashboards read.
SHOWN_SOURCES = (
    *("job", "block_job", "storage_pool", "event", "disk_error", "snapshot", "block_limit"),
    *("interface_limit", "cpu_limit", "memory_limit", "numa_cell", "interface_address", "message"),
    *("guest_agent", "domain_info", "block_info", "interface_info", "hostdev_info"),
    "domain_config",
)
assert set(SHOWN_SOURCES) <= set(SOURCES)
