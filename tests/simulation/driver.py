"""One run: the real engine between a simulated daemon and the simulated rest of the program.

Invariant: a run depends on its scenario only. What the engine does is passed to the checks, in
order, and becomes a line of the log.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Optional

from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.hypervisor import messages
from telegraf_execd_libvirt.hypervisor.engine import Engine
from telegraf_execd_libvirt.hypervisor.journal import Journal
from telegraf_execd_libvirt.hypervisor.messages import Link
from telegraf_execd_libvirt.sources.source import Settings, Source

from .client import Client
from .clock import START, Clock
from .daemon import Daemon
from .faults import World
from .scenario import OF_ALL, Fault, Scenario

#: The first tick, and its timestamp in nanoseconds.
FIRST = START + 1.0
_EPOCH = 1_700_000_000_000_000_000

#: Ticks after the last fault until all has to be complete, and ticks that are checked then.
RECOVERY_TICKS, CHECKED_TICKS = 2, 2

_GUESTS_A_SECOND = 50_000  # are written

_RESULTS = (messages.Reading, messages.Fetched, messages.Outcome)


class Violation(Exception):
    """A check has failed."""


@dataclass
class TickRecord:
    """What came out in one tick. ``due`` and ``began`` are the times at which it was due and at
    which the engine began it; ``expected`` are the selected guests at that time; ``written`` has
    the time at which each guest was written."""

    number: int
    due: float
    began: float
    expected: frozenset[str]
    paused: float = 0.0
    written: dict[str, float] = field(default_factory=dict)
    incomplete: set[str] = field(default_factory=set)
    #: The guests for which nothing was due.
    resting: frozenset[str] = frozenset()
    outcome: Optional[messages.Outcome] = None
    ended: float = 0.0
    #: Other ticks that were due before it began, and count as one with it.
    merged: int = 0


class Check:
    """One invariant. The driver calls what a check overrides."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def fail(self, text: str) -> None:
        """The invariant does not hold."""
        raise Violation(f"{type(self).__name__} at {self.run.clock.now:.4f}: {text}")

    def event(self, event: messages.Event) -> None:
        """The engine is about to handle an event."""

    def action(self, action: messages.Action) -> None:
        """The engine wants something done."""

    def after(self) -> None:
        """All events up to now were handled."""

    def tick(self, tick: TickRecord) -> None:
        """A tick has ended."""

    def end(self) -> None:
        """The run is over."""


class Run:
    """Runs a scenario."""

    def __init__(
        self,
        scenario: Scenario,
        checks: Sequence[type[Check]] = (),
        log: Optional[list[str]] = None,
    ) -> None:
        self.scenario = scenario
        self.clock = Clock()
        self.daemon = Daemon(scenario, self.clock)
        self.client = Client(scenario, self.clock, self.daemon, self._post)
        self._world = World(scenario, self.daemon, self.client, self._pause)
        self._random = Random(f"driver {scenario.seed}")
        self.plan = _plan(scenario)
        uniform = Random(f"engine {scenario.seed}").uniform
        self.engine = Engine(self.plan, uniform, self._running, Journal(self.plan))
        self.ticks: list[TickRecord] = []
        self.current: Optional[TickRecord] = None
        #: The time of a tick that the engine has not begun; ticks that count as one with it.
        self.waiting: list[float] = []
        self._merged = self._replaced = 0
        self._log = log
        self._events: deque[messages.Event] = deque()
        self._results: deque[messages.Action] = deque()
        self._wake: Optional[float] = None
        self._free_at = self._pause_until = self._paused = 0.0
        #: The times at which the engine has ended ticks whose outcomes are not yet carried out.
        self._ended: deque[float] = deque()
        self._blocked_since: Optional[float] = None
        every = [check(self) for check in checks]
        self._on = {
            name: [
                getattr(c, name)
                for c in every
                if getattr(Check, name) is not getattr(type(c), name)
            ]
            for name in ("event", "action", "after", "tick", "end")
        }

    def _running(self) -> list[str]:
        if self.scenario.remote:
            return []
        return [guest.name for guest in self.daemon.selected() if guest.running]

    # Times

    @property
    def quiet_at(self) -> float:
        """The time at which all faults are over."""
        return FIRST + self.scenario.quiet

    @property
    def recovered_at(self) -> float:
        """From this time on everything has to be complete. A refusal makes the engine wait, at most
        as long again as the refusals lasted."""
        scenario = self.scenario
        interval = scenario.interval
        wait = 0.0
        if any(fault.kind in OF_ALL and fault.kind != "pause" for fault in scenario.faults):
            longest = max(60.0, min(600.0, 16 * interval), 2.5 * scenario.timeout)
            lasted = (scenario.ticks - scenario.calm) * interval
            wait = min(longest, 2 * lasted + 2 * interval + 2.0)
            if any(fault.never_ends for fault in scenario.faults):
                wait = 2 * lasted + 2 * interval + max(15.0, 2 * scenario.timeout)
        return self.quiet_at + wait + RECOVERY_TICKS * interval

    @property
    def paused(self) -> bool:
        """Whether writing waits for the reader of stdout."""
        return self._blocked_since is not None

    @property
    def waiting_results(self) -> bool:
        """Whether further results are to be written."""
        return bool(self._results)

    def wall(self) -> int:
        """Unix time in nanoseconds."""
        return _EPOCH + int((self.clock.now - FIRST) * 1e9)

    def go(self) -> None:
        """Runs all of it; raises Violation."""
        scenario, clock = self.scenario, self.clock
        for fault in scenario.faults:
            clock.at(FIRST + fault.at, lambda fault=fault: self._fault(fault))  # type: ignore[misc]
        longest = max((source.interval for source in scenario.sources), default=0.0)
        last = self.recovered_at + CHECKED_TICKS * scenario.interval + longest
        last += 2 * scenario.guests * scenario.trip  # sources may look up each domain
        count = math.ceil((last - FIRST) / scenario.interval) + 1
        for number in range(count):
            late = self._random.uniform(0, max(0.002, scenario.irregular * scenario.interval))
            due = FIRST + number * scenario.interval + late
            clock.at(due, self._due)
        clock.run(FIRST + count * scenario.interval + scenario.timeout)
        for hook in self._on["end"]:
            hook()

    def _due(self) -> None:
        due = [n for n, event in enumerate(self._events) if isinstance(event, messages.TickDue)]
        waits = bool(due) or self.engine.collects
        timestamp = self.wall() - self._random.randrange(2_000_000)  # it came a moment ago
        event = messages.TickDue(timestamp, self.clock.now, waits)
        if due:  # of ticks that come meanwhile the last one counts
            self._events[due[0]] = event
            self._replaced += 1
        else:
            self._post(event)

    def _fault(self, fault: Fault) -> None:
        self._note("fault", lambda: f"{fault}")
        self._world.begin(fault)
        self.clock.after(fault.seconds, lambda: self._ends(fault))

    def _ends(self, fault: Fault) -> None:
        self._note("over", lambda: f"{fault}")
        self._world.end(fault)

    # The shell

    def _post(self, event: messages.Event) -> None:
        self._events.append(event)
        self.clock.at(max(self.clock.now, self._free_at), self._pump)

    def _pause(self, seconds: float) -> None:
        self._pause_until = self.clock.now + seconds

    def _pump(self) -> None:
        """The engine's thread: handles all events, then does what is due, then waits."""
        now = self.clock.now
        if now < self._free_at:
            return
        is_due = self._wake is not None and now >= self._wake
        if self._blocked_since is not None:
            blocked, self._blocked_since = now - self._blocked_since, None
            self._events.appendleft(messages.Paused(blocked))
        elif not (self._events or is_due):
            return
        before = is_due and self._random.random() < 0.5
        if before:
            self._answer_in_the_moment()
        while self._events:
            if not self._handle(self._events.popleft()):
                return
        if self.engine.wake_at is not None and self.engine.wake_at <= now:
            self.engine.wake(now)
            self._note_ends()
        if is_due and not before:
            self._answer_in_the_moment()
        if not self._carry_out():
            return
        for hook in self._on["after"]:
            hook()
        self._wake = self.engine.wake_at
        if self._wake is not None and self._wake <= now:
            raise Violation("Driver: the engine wants to be woken up at once, again and again")
        if self._wake is not None:
            self.clock.at(max(self._wake, self._free_at), self._pump)
        if self._free_at > now or self._events:
            self.clock.at(self._free_at, self._pump)

    def _answer_in_the_moment(self) -> None:
        """Answers arrive in the moment in which they are given up."""
        for fault in self.scenario.faults:
            at = FIRST + fault.at
            if fault.kind == "moment" and at <= self.clock.now < at + fault.seconds:
                self.daemon.answer_now(f"g{fault.guest}")

    def _handle(self, event: messages.Event) -> bool:
        now = self.clock.now
        self._note("event", lambda: _describe(event))
        if isinstance(event, messages.TickDue):
            self._take(event)
        elif isinstance(event, messages.Paused):
            if self.current is not None:
                self.current.paused += event.seconds
            if self._ended:  # the engine may already be in the next tick
                self._paused += event.seconds
        for hook in self._on["event"]:
            hook(event)
        self.engine.handle(event, now)
        self._note_ends()
        return self._carry_out()

    def _note_ends(self) -> None:
        waiting = [*self._results, *self.engine.actions]
        ends = sum(isinstance(action, messages.Outcome) for action in waiting)
        self._ended.extend([self.clock.now] * (ends - len(self._ended)))

    def _take(self, event: messages.TickDue) -> None:
        replaced, self._replaced = self._replaced, 0
        if self.ticks and event.at <= self.ticks[-1].began:
            self.ticks[-1].merged += 1 + replaced  # that tick began after this one was due
            return
        self._merged += replaced + len(self.waiting)
        self.waiting = [event.at]
        if self.current is None:
            self._begin(self.clock.now)

    def _begin(self, now: float) -> None:
        """The engine begins a tick; those that were due before count as one."""
        expected = frozenset(guest.name for guest in self.daemon.selected())
        number = len(self.ticks)
        due, self.waiting = self.waiting[0], []
        self.current = TickRecord(number, due, now, expected, merged=self._merged)
        self.current.paused, self._paused = self._paused, 0.0
        self._merged = 0
        self.ticks.append(self.current)

    def _carry_out(self) -> bool:
        """Carries out the actions, the results last; False if writing has to wait."""
        actions = self.engine.actions
        while actions:
            action = actions.popleft()
            if isinstance(action, _RESULTS):
                self._results.append(action)
            else:
                self._carry_out_one(action)
        while self._results:
            if self.clock.now < self._pause_until:
                self._blocked_since = self.clock.now
                self.clock.at(self._pause_until, self._pump)
                return False
            self._carry_out_one(self._results.popleft())
        return True

    def _carry_out_one(self, action: messages.Action) -> None:
        self._note("action", lambda: _describe(action))
        for hook in self._on["action"]:
            hook(action)
        self._do(action)

    def _do(self, action: messages.Action) -> None:
        now = self.clock.now
        if isinstance(action, messages.Ask):
            self.client.ask(action.link, action.request)
        elif isinstance(action, messages.Open):
            self.client.open(action.link)
        elif isinstance(action, messages.Close):
            self.client.close(action.link)
        elif isinstance(action, messages.Reading):
            assert self.current is not None
            self.current.written.update((domain.name, now) for domain in action.domains)
            self.current.incomplete |= action.incomplete
            self._free_at = now + len(action.domains) / _GUESTS_A_SECOND
        elif isinstance(action, messages.Outcome):
            tick, self.current = self.current, None
            assert tick is not None
            tick.outcome, tick.ended = action, now
            tick.resting = action.resting
            for hook in self._on["tick"]:
                hook(tick)
            began = self._ended.popleft()
            if self.waiting:
                self._begin(began)

    def _note(self, kind: str, text: Any) -> None:
        if self._log is not None:
            self._log.append(f"{self.clock.now - FIRST:9.4f} {kind:6} {text()}")


def _plan(scenario: Scenario) -> messages.Plan:
    sources = []
    for number, fetching in enumerate(scenario.sources):
        source = Source(
            name=f"source{number}",
            summary="",
            calls="",
            metrics=(),
            new=lambda: lambda scope: iter(()),
            lanes=fetching.lanes,
            read_only=fetching.read_only,
        )
        settings = Settings(
            interval=int(fetching.interval * 1e9),
            timeout=int(fetching.timeout * 1e9),
            options={"of_domains": fetching.of_domains, "number": number},
        )
        sources.append((source, settings))
    return messages.Plan(
        name="host",
        uri="qemu+ssh://host/system" if scenario.remote else "qemu:///system",
        timeout=scenario.timeout,
        timeout_text=f"{scenario.timeout:g}s",
        calls=scenario.calls,
        by_name=scenario.by_name,
        host=scenario.host,
        control=True,
        is_remote=scenario.remote,
        sources=sources,
        intervals=scenario.intervals,
        spread=scenario.spread,
    )


# The log


def _describe(thing: Any) -> str:
    """An event or an action in one line, the same in each process."""
    return f"{type(thing).__name__} {' '.join(_texts(thing))}"


def _texts(thing: Any) -> Iterator[str]:
    values = thing._asdict() if hasattr(thing, "_asdict") else vars(thing)
    for name, value in values.items():
        if name not in ("host", "fetch", "options") and value not in _NOTHING:
            yield f"{name}={_text(value)}"


_NOTHING: tuple[Any, ...] = (None, "", (), [], 0, frozenset(), {})


def _text(value: Any) -> str:
    if isinstance(value, (frozenset, set)):
        return f"{{{','.join(sorted(value))}}}"
    if isinstance(value, Mapping):
        return f"{len(value)} of them"
    if isinstance(value, Domain):
        return value.name
    if type(value) in (list, tuple):
        return f"[{len(value)}: {','.join(_text(item) for item in value[:12])}]"
    if isinstance(value, Link):
        return f"{value.number}" if value.read_only else f"{value.number} rw"
    return f"{value}" if isinstance(value, _PLAIN) else f"({_describe(value)})"


_PLAIN = (str, int, float, Exception)
