"""One hypervisor's ticks: fetch, encode, write, in a thread of its own.

Rule guarded: a tick that comes during a collection is kept, once, and starts when that one has
ended; a tick's lines go out in one write, with one timestamp: the tick's, or, where calls that
hung delayed it, that of the call that answered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Callable, Optional

from .config import HypervisorConfig
from .domain import Domain
from .encode import Encoder
from .groups import health
from .hypervisor.source import Hypervisor
from .log import log
from .output import Buffer, Closed, Output
from .uri import redact

#: Up to this, what was collected counts as of the moment of the tick.
_ON_TIME_SECONDS = 0.5

#: Next time a tick's lines may have one in so many bytes more.
_ROOM = 32

#: A tick that comes sooner after the last one was asked for too soon: nothing is slow then.
_NO_TIME_SECONDS = 0.1


class Collector:
    """Collects from one hypervisor at each tick.

    ``idle`` is called, in the collector's thread, whenever it has nothing more to do; ``closed``
    is called when nobody reads the output any more.
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
        self._source = Hypervisor(config, name)
        self._encoder = Encoder(config)
        self._encoding = threading.Lock()
        self._expected = 0
        self._with_health = health.GROUP in config.additions
        self._output = output
        self._idle = idle
        self._closed = closed
        self._condition = threading.Condition()
        self._wanted: Optional[int] = None
        self._busy = False
        self._late = False
        self._lost = False
        self._began = 0.0
        threading.Thread(target=self._run, name=self._source.name, daemon=True).start()

    @property
    def busy(self) -> bool:
        """Whether a tick is being collected or waits for that."""
        with self._condition:
            return self._busy or self._wanted is not None

    def tick(self, timestamp: int) -> None:
        """Asks for a collection with this timestamp, in nanoseconds of Unix time; never waits."""
        with self._condition:
            taken = time.monotonic() - self._began
            if self._busy and not self._late and taken > _NO_TIME_SECONDS:
                self._late = True
                log.warning(
                    "%s: collecting takes longer than the interval; ticks that come meanwhile "
                    "count as one",
                    self._source.name,
                )
            self._wanted = timestamp
            self._condition.notify()

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
                log.exception("%s: a tick failed", self._source.name)
            with self._condition:
                self._busy = False
                if self._wanted is not None:  # it came during this one and so begins now
                    self._wanted = time.time_ns()
                    continue
            self._idle()

    def _collect(self, timestamp: int) -> bool:
        """One tick; tells whether the hypervisor was read."""
        started = time.monotonic_ns()

        def encode(domains: Iterable[Domain], late: float, buffer: Optional[Buffer]) -> Buffer:
            # In whichever thread: of two, one works for a call that has been given up.
            if buffer is None:
                buffer = Buffer(self._expected)
            with self._encoding:
                for lines in self._encoder.lines(domains, _moment(timestamp, late)):
                    buffer.append(lines)
            return buffer

        snapshot = self._source.fetch(encode)
        buffer = snapshot.lines if snapshot and snapshot.lines is not None else Buffer()
        if self._with_health:
            record = self._source.health.record(
                redact(self.config.libvirt_uri),
                up=snapshot is not None,
                domains=snapshot.count if snapshot else 0,
                incomplete=len(snapshot.incomplete) if snapshot else 0,
                collect_time_ns=time.monotonic_ns() - started,
            )
            moment = _moment(timestamp, snapshot.late if snapshot else 0.0)
            buffer.append(self._encoder.slow_lines([record], moment))
        with buffer.view() as lines:
            written = self._write(lines)
        if snapshot is not None:
            self._expected = len(buffer) + len(buffer) // _ROOM
        return written and snapshot is not None

    def _write(self, lines: memoryview) -> bool:
        """Writes a tick's lines; tells whether it could, and says once that it could not."""
        try:
            self._output.write(lines)
        except OSError as error:
            if not self._lost:
                log.error("stdout: %s; metrics are lost until it takes them", error.strerror)
            self._lost = True
            return False
        self._lost = False
        return True


def _moment(timestamp: int, late: float) -> int:
    """The time of statistics that were asked for so many seconds after the tick: those counters
    are of that later moment, and with the tick's time, rates would be wrong."""
    return timestamp + (int(late * 1e9) if late > _ON_TIME_SECONDS else 0)
