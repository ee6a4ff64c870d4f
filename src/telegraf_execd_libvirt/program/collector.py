"""The ticks of one hypervisor: one thread reads, encodes and writes; sources run beside it.

Invariant: ticks that arrive during a collection count as one, which starts when the collection
ends. Each batch of domains is one write of whole lines. Its timestamp is that of the tick, or the
time of its request if the request was made late.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Callable, Optional

from ..config.config import HypervisorConfig
from ..domain.record import NO_IDENTITY, Domain
from ..groups import domain as domain_group
from ..groups import health as health_group
from ..groups import node as node_group
from ..hypervisor.delivery import Reading, moment
from ..hypervisor.hanging_sources import Hanging
from ..hypervisor.hypervisor import Hypervisor
from ..hypervisor.source_runner import SourceRunner
from ..lines.encode import Encoder
from ..log import log
from ..uri import redact_uri
from .output import Closed, Output

#: A tick this soon after the start of a collection is no sign that collecting is slow.
_NO_TIME_SECONDS = 0.1


class Collector:
    """Collects from one hypervisor at each tick.

    ``idle`` is called in the collector's thread whenever nothing is left to do; ``closed`` is
    called when stdout has no reader any more.
    """

    def __init__(
        self,
        config: HypervisorConfig,
        name: str,
        output: Output,
        idle: Callable[[], None],
        closed: Callable[[], None],
    ) -> None:
        self.config = config
        self.failed = False
        self._hypervisor = Hypervisor(config, name)
        self._encoder = Encoder(config)
        self._output = output
        self._idle = idle
        self._closed = closed
        hanging = Hanging(self._hypervisor)
        self._runners = [
            SourceRunner(source, config, self._hypervisor, hanging, self._write_source, idle)
            for source in config.sources
        ]
        self._summaries = _Summaries(config, self._hypervisor, self._runners)
        self._condition = threading.Condition()
        self._wanted: Optional[int] = None
        #: Set at the end of the collection; sources begin after it.
        self._collected = threading.Event()
        self._busy = False
        self._late = False
        self._lost = False
        self._began = 0.0
        threading.Thread(target=self._run, name=self._hypervisor.name, daemon=True).start()

    @property
    def busy(self) -> bool:
        """Whether a tick is being collected or waiting, or a source is being fetched."""
        return self.collecting or any(runner.busy for runner in self._runners)

    @property
    def collecting(self) -> bool:
        """Whether a tick is being collected or waits for that."""
        with self._condition:
            return self._busy or self._wanted is not None

    @property
    def timeout(self) -> int:
        """The longest timeout of the hypervisor and its sources, in nanoseconds."""
        own = [runner.settings.timeout for runner in self._runners]
        return max([self.config.timeout, *own])

    def tick(self, timestamp: int) -> None:
        """Requests a collection with this timestamp, in nanoseconds of Unix time; never waits."""
        with self._condition:
            taken = time.monotonic() - self._began
            if self._busy and not self._late and taken > _NO_TIME_SECONDS:
                self._late = True
                log.warning(
                    "%s: collecting takes longer than the interval; ticks that come meanwhile "
                    "count as one",
                    self._hypervisor.name,
                )
            self._wanted = timestamp
            collected = self._collected
            self._condition.notify()
        for runner in self._runners:
            runner.tick(timestamp, collected)

    def _run(self) -> None:
        while True:
            with self._condition:
                while self._wanted is None:
                    self._condition.wait()
                timestamp, self._wanted = self._wanted, None
                self._busy = True
                self._began = time.monotonic()
            try:
                self.failed = not self._collect(timestamp)
            except Closed:
                self._closed()
                return
            except Exception:  # the edge of a tick: a defect costs this tick, not the program
                self.failed = True
                log.exception("%s: a tick failed", self._hypervisor.name)
            with self._condition:
                self._busy = False
                self._collected.set()
                self._collected = threading.Event()
                if self._wanted is not None:  # it came during this one, so it begins now
                    self._wanted = time.time_ns()
                    continue
            self._idle()

    def _collect(self, timestamp: int) -> bool:
        """Collects a tick; returns whether the hypervisor was read and its lines were written."""
        started = time.monotonic()
        written = True
        tick = self._hypervisor.begin()
        for reading in self._hypervisor.gatherer.gather(tick):
            self._hypervisor.log_up()
            asked = moment(timestamp, reading.asked - started)
            self._summaries.add(reading)
            written = self._write(self._encoder.encode(reading.domains, asked)) and written
            del reading  # its memory is for the next one
        outcome = self._hypervisor.end(tick)
        self._hypervisor.log_changes(tick)
        if outcome.up:
            self._encoder.forget_others()
        records = self._summaries.records(time.monotonic() - started)
        if records:
            written = self._write(self._encoder.encode_plain(records, timestamp)) and written
        return written and outcome.up

    def _write_source(self, lines: bytes) -> None:
        """Writes the lines of a source, in its thread."""
        try:
            self._write(lines)
        except Closed:
            self._closed()

    def _write(self, lines: bytes) -> bool:
        """Writes whole lines; returns whether that worked. A failure is logged once."""
        try:
            self._output.write(lines)
        except OSError as error:
            if not self._lost:
                log.error(
                    "cannot write stdout: %s; dropping metrics until it recovers", error.strerror
                )
            self._lost = True
            return False
        self._lost = False
        return True


class _Summaries:
    """The summaries of a tick: of each domain, of the node, and the health of the collection. They
    have separate namespaces; keys that were only read for a summary are dropped."""

    def __init__(
        self,
        config: HypervisorConfig,
        hypervisor: Hypervisor,
        runners: Sequence[SourceRunner],
    ) -> None:
        self._hypervisor = hypervisor
        self._runners = runners
        self._uri = redact_uri(config.libvirt_uri)
        self._with_health = health_group.GROUP in config.additions
        self._with_domain = domain_group.GROUP in config.additions
        self._with_node = node_group.GROUP in config.additions
        # The encoder of the full set writes every key that it gets.
        strict = config.full and config.statistics_groups is not None
        wanted = {word for group in config.groups for word in group.words}
        read = {word for group in config.read_groups for word in group.words}
        if config.domain_state_include:
            read.add("state")
        self._extra = tuple(f"{word}." for word in read - wanted) if strict else ()
        self._node = node_group.Node()

    def add(self, reading: Reading) -> None:
        """Adds keys to the domains of a reading, and drops keys that are not configured."""
        if not (self._with_node or self._with_domain or self._extra or reading.incomplete):
            return
        for domain in reading.domains:
            if self._with_node:
                self._node.add(domain.active, domain.stats)
            if self._with_domain:
                info = (domain.identity or NO_IDENTITY).info
                domain.stats.update(domain_group.summarize(domain.stats, info, time.time()))
            if self._extra:
                for key in [key for key in domain.stats if key.startswith(self._extra)]:
                    del domain.stats[key]
            if self._with_health and domain.name in reading.incomplete:
                domain.stats.update(health_group.INCOMPLETE)

    def records(self, seconds: float) -> list[Domain]:
        """The records of the hypervisor itself after a tick that took this long."""
        records = []
        outcome = self._hypervisor.outcome
        if self._with_node and outcome.up:
            host = outcome.host
            keys = self._node.keys(host.info, host.memory, host.cpu)
            records.append(Domain(self._uri, True, keys))
        if self._with_health:
            records.append(self._hypervisor.health(seconds).record(self._uri))
            for runner in self._runners:
                health = runner.health()
                if health is not None:
                    records.append(health.record(self._uri))
        self._node = node_group.Node()
        return records
