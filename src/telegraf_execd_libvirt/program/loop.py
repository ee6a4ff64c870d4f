"""The main thread: hands ticks from stdin, signals and the clock to the collectors.

Invariant: the main thread waits only in select(), which a signal ends. It calls nothing of libvirt
and writes no metrics. So the end of stdin and SIGTERM always work, also while libvirt or the reader
of stdout hangs.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from ..config.config import HypervisorConfig
from ..connection import descriptors
from ..hypervisor.worker import close
from ..log import log
from .collector import Collector
from .output import Output
from .signals import Signals
from .twins import Twins

#: At the end of stdin: time for encoding and for a slow reader, in addition to the timeouts.
_LAST_TICK_SECONDS = 5.0

#: At the end of stdin the main thread polls: a source that hangs does not wake it.
_LOOK_AGAIN_SECONDS = 0.25

#: poll() counts milliseconds in 32 bits; once a day it may look at the clock again.
_LONGEST_WAIT_SECONDS = 86_400.0

#: A tick of the clock and one from outside within this time are the same tick.
_SAME_TICK_NS = 50_000_000


@dataclass
class _Clock:
    """A collector's own ticks, at the multiples of its interval on the wall clock."""

    collector: Collector
    interval: int
    yields: bool
    due: int = 0
    last: int = 0

    def __post_init__(self) -> None:
        self.set(time.time_ns())

    def set(self, now: int) -> None:
        self.due = (now // self.interval + 1) * self.interval

    def seconds(self, now: int) -> float:
        """The seconds until the next tick; computed anew if the wall clock was set back."""
        if self.due - now > self.interval:
            self.set(now)
        return max(0, self.due - now) / 1e9


class Loop:
    """Runs the collectors of a configuration until stdin ends or a signal says so."""

    def __init__(
        self,
        hypervisors: Sequence[HypervisorConfig],
        output: Output,
        signals: Signals,
        poll_interval: Optional[int] = None,
    ) -> None:
        self._signals = signals
        self._output_closed = self._finishing = False
        self._last_outside = 0
        twins = Twins(hypervisors)
        self._collectors = [
            Collector(config, index, twins, output, self._idle, self._close)
            for index, config in enumerate(hypervisors)
        ]
        plans = [collector.hypervisor.plan for collector in self._collectors]
        descriptors.check((plan.uri, plan.links + plan.others) for plan in plans)
        self._clocks = [
            _Clock(collector, interval, yields=poll_interval is None)
            for collector in self._collectors
            for interval in (poll_interval or collector.config.interval,)
            if interval
        ]

    def close(self) -> None:
        """Closes the connections to hypervisors that answer, as far as they serve no request."""
        hypervisors = [c.hypervisor for c in self._collectors if not c.failed]
        close(worker for hypervisor in hypervisors for worker in [*hypervisor.workers.values()])

    def once(self) -> int:
        """One collection; 0, or 1 if a hypervisor was not read or its lines were not written."""
        now = time.time_ns()
        for collector in self._collectors:
            collector.hypervisor.tick(now)
        self._finish()
        if self._signals.stop is not None:
            return 128 + self._signals.stop
        if self._output_closed:
            return 0  # the reader has what it wants
        return int(any(c.failed or c.hypervisor.collecting for c in self._collectors))

    def run(self, stdin: int) -> int:
        """Collects at each tick until stdin ends or a signal; returns the exit status. Stdin that
        is at its end from the start, such as /dev/null in a service, ends nothing that has a clock.
        """
        starts, by_clock = True, bool(self._clocks)
        with selectors.PollSelector() as selector:
            selector.register(self._signals.fd, selectors.EVENT_READ)
            selector.register(stdin, selectors.EVENT_READ)
            while True:
                ready = selector.select(0.0 if starts else self._seconds_to_tick())
                self._signals.discard_bytes()
                if self._output_closed or self._signals.stop is not None:
                    return 0
                if self._signals.take_tick():
                    self._outside_tick()
                if any(key.fd == stdin for key, _ in ready):
                    data = _read(stdin)
                    if b"\n" in data:
                        self._outside_tick()
                    if not data and not (starts and by_clock):
                        break
                    if not data:
                        log.info("stdin is closed: collecting by the clock until SIGTERM or SIGINT")
                        selector.unregister(stdin)
                self._tick_by_clock()
                starts = False
        if starts and not self._last_outside:
            log.warning(
                "stdin is closed and nothing has requested a collection: the program ends; "
                "`interval` and --poll-interval collect by the clock, --once collects once"
            )
        elif not self._last_outside:
            log.info("stdin has ended: the program ends")
        self._finish()
        return 0

    def _finish(self) -> None:
        """Waits for the running collections, for a bounded time, and until a signal."""
        self._finishing = True
        longest = max(collector.timeout for collector in self._collectors)
        deadline = time.monotonic() + 2 * longest / 1e9 + _LAST_TICK_SECONDS
        with selectors.PollSelector() as selector:
            selector.register(self._signals.fd, selectors.EVENT_READ)
            while (
                any(collector.hypervisor.busy for collector in self._collectors)
                and not self._output_closed
                and self._signals.stop is None
                and time.monotonic() < deadline
            ):
                selector.select(max(0.0, min(deadline - time.monotonic(), _LOOK_AGAIN_SECONDS)))
                self._signals.discard_bytes()

    def _outside_tick(self) -> None:
        """Handles a tick from stdin or a signal; the option interval is ignored from then on."""
        now = self._last_outside = time.time_ns()
        ticked = [c.collector for c in self._clocks if abs(now - c.last) < _SAME_TICK_NS]
        if any(clock.yields for clock in self._clocks):
            self._clocks = [clock for clock in self._clocks if not clock.yields]
            log.info("external tick received; ignoring `interval`")
        for collector in self._collectors:
            if collector not in ticked:
                collector.hypervisor.tick(now)

    def _tick_by_clock(self) -> None:
        now = time.time_ns()
        for clock in self._clocks:
            if clock.due <= now:
                clock.set(now)
                if abs(now - self._last_outside) >= _SAME_TICK_NS:
                    clock.last = now
                    clock.collector.hypervisor.tick(now)

    def _seconds_to_tick(self) -> Optional[float]:
        now = time.time_ns()
        nearest = min((clock.seconds(now) for clock in self._clocks), default=None)
        return None if nearest is None else min(nearest, _LONGEST_WAIT_SECONDS)

    def _idle(self) -> None:
        if self._finishing:
            self._signals.wake()

    def _close(self) -> None:
        self._output_closed = True
        self._signals.wake()


def _read(fd: int) -> bytes:
    """The bytes that wait; none at the end, or if a terminal went away."""
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return b" "
    except OSError:
        return b""
