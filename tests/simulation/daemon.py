"""A simulated libvirtd: guests, what each call has to wait for, and answers after a while.

Invariant: as libvirt does, a call takes its guests in turn. It waits for the lock of each, also if
it is about all guests; with ``block`` it takes that lock while dead storage hangs; it waits for the
monitor of a guest while it has the guest's job, and without waiting (NOWAIT) it leaves out a guest
whose job another call has.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Callable, Optional

from telegraf_execd_libvirt.connection.errors import ErrorKind, LibvirtError
from telegraf_execd_libvirt.connection.requests import Progress

from .clock import Clock
from .scenario import Fault, Scenario

#: libvirt waits this long for a job that another call has.
JOB_SECONDS = 30.0

#: The owner of a lock or a job that no call of ours has.
OTHERS = object()


class Defect(Exception):
    """A defect of the plugin in a request."""


class Guest:
    """One domain. ``lock`` and ``job`` are their owners, ``hangs`` counts the faults that make its
    monitor or its storage hang."""

    def __init__(self, number: int, running: bool, selected: bool = True) -> None:
        self.number = number
        self.name = f"g{number}" if selected else f"other{number}"
        self.uuid = f"u{number}"
        self.running = running
        self.selected = selected
        self.version = 0
        self.lock: object = None
        self.job: object = None
        self.hangs = self.locks = self.dead_storage = self.in_use = 0
        #: Whether its QEMU dies during the next call for its statistics, which then fails.
        self.dies = False

    @property
    def special(self) -> bool:
        """Whether a call may have to wait for it."""
        faults = self.hangs or self.locks or self.dead_storage or self.in_use
        return bool(faults or self.lock or self.job)


class Call:
    """One call on a connection: about all guests (``names`` is None), about these, or about none.

    ``done`` is called once, with the guests of the answer or with an error.
    """

    def __init__(
        self,
        kind: str,
        names: Optional[Sequence[str]] = (),
        monitor: bool = False,
        nowait: bool = False,
        block: bool = False,
    ) -> None:
        self.kind = kind
        self.names = names
        self.monitor = monitor
        self.nowait = nowait
        self.block = block
        self.done: Callable[[Sequence[Guest], Optional[Exception]], None]
        #: Whether somebody waits for the answer; the daemon works on regardless.
        self.wanted = True
        #: The engine's request that it serves; where that is, if there are calls for each guest.
        self.request: object = None
        self.progress: Optional[Progress] = None
        self.passed: set[str] = set()
        self.skipped: set[str] = set()
        #: What it waits for now: "lock", "monitor", "storage", "job", "daemon"; of which guest.
        self.waits = ""
        self.at = ""
        self.since = 0.0


class Daemon:
    """The calls of all connections."""

    def __init__(self, scenario: Scenario, clock: Clock) -> None:
        self._scenario = scenario
        self._clock = clock
        self._random = Random(f"daemon {scenario.seed}")
        self.guests: dict[str, Guest] = {}
        for number in range(scenario.guests):
            self.add(Guest(number, self._random.random() < scenario.running))
        if scenario.by_name:
            self.add(Guest(len(self.guests), True, selected=False))
        self._victims: dict[str, Guest] = {}
        self.calls: dict[Call, None] = {}
        #: The number of reasons why each call waits, why those that look for a domain do, and why
        #: calls take longer; the faults of calls.
        self.stopped = self.removing = self._slow = 0
        self.failing: list[Fault] = []

    def add(self, guest: Guest) -> None:
        """Defines a domain."""
        self.guests[guest.name] = guest

    def victim(self, number: int) -> Optional[Guest]:
        """The domain with this number, if there is one. From now on calls may wait for it."""
        guest = self.guests.get(f"g{number}") or self.guests.get(f"other{number}")
        if guest is not None:
            self._victims[guest.name] = guest
        return guest

    def selected(self) -> list[Guest]:
        """The domains that are read, in libvirt's order."""
        return [guest for guest in self.guests.values() if guest.selected]

    @property
    def special(self) -> list[Guest]:
        """The guests that calls may have to wait for."""
        return [guest for guest in self._victims.values() if guest.special]

    def slow(self, by: int) -> None:
        """Calls take much longer, or as usual again; those that are under way come to their end."""
        self._slow += by
        if not self._slow:
            for call in [*self.calls]:
                self._go_on(call)

    def jitter(self) -> float:
        """A usual time is this many times longer or shorter."""
        usual = self._random.uniform(0.8, 1.3)
        return usual * self._random.choice((5.0, 20.0)) if self._slow else usual

    def start(self, call: Call) -> None:
        """A call arrives and is worked on."""
        self.calls[call] = None
        scenario = self._scenario
        number = len(self.guests) if call.names is None else len(call.names)
        work = {"statistics": scenario.each, "own": scenario.each}
        seconds = scenario.trip / 2 + work.get(call.kind, 2e-5) * number
        if call.kind == "look-up":
            seconds += scenario.trip * (number - 1)
        self._clock.after(seconds * self.jitter(), lambda: self._go_on(call))

    def discard(self) -> None:
        """The daemon has died: its calls hold nothing any more."""
        for call in [*self.calls]:
            self._drop(call)

    def changed(self) -> None:
        """Something that calls wait for has changed: they look again, the oldest first."""
        for call in [*self.calls]:
            if call.waits:
                self._go_on(call)

    def answer_now(self, name: str) -> None:
        """The monitor of this guest answers the call that waits for it, without any delay."""
        for call in [*self.calls]:
            if call.waits == "monitor" and call.at == name:
                call.passed.add(name)
                self._drop(call)
                call.done(self._found(call), None)

    def _found(self, call: Call) -> list[Guest]:
        if call.names is None:
            return [*self.guests.values()]
        return [self.guests[name] for name in call.names if name in self.guests]

    def remove(self, guest: Guest) -> None:
        """Undefines a domain."""
        del self.guests[guest.name]
        self._victims.pop(guest.name, None)

    def _go_on(self, call: Call) -> None:
        if call not in self.calls:
            return
        waits, at = self._obstacle(call)
        if waits and (waits, at) != (call.waits, call.at):
            call.since = self._clock.now
            if at and call.progress is not None:
                call.progress.at, call.progress.since = at, self._clock.now
            if waits == "job":
                self._clock.after(JOB_SECONDS, lambda: self._time_out(call, call.since))
        call.waits, call.at = waits, at
        if not waits:
            self._finish(call, self._error(call))

    def _obstacle(self, call: Call) -> tuple[str, str]:
        """What the call waits for now, and the guest."""
        if self.stopped or (self.removing and call.names != ()):
            return "daemon", ""
        for guest in self.special:
            name = guest.name
            if name in call.passed or (call.names is not None and name not in call.names):
                continue
            if guest.lock not in (None, call):
                return "lock", name
            if guest.dead_storage and call.block:
                guest.lock = call
                return "storage", name
            if guest.lock is call:
                guest.lock = None
                self._clock.after(0.0, self.changed)
            if call.monitor and guest.running:
                if guest.job not in (None, call):
                    if not call.nowait:
                        return "job", name
                    call.skipped.add(name)
                elif guest.hangs:
                    guest.job = call
                    return "monitor", name
            call.passed.add(name)
        return "", ""

    def _time_out(self, call: Call, since: float) -> None:
        if call in self.calls and call.waits == "job" and call.since == since:
            self._finish(call, LibvirtError(68, 10, "cannot acquire state change lock"))

    def _drop(self, call: Call) -> None:
        del self.calls[call]
        held = [guest for guest in self.special if call in (guest.lock, guest.job)]
        for guest in held:
            guest.lock = None if guest.lock is call else guest.lock
            guest.job = None if guest.job is call else guest.job
        if held:
            self._clock.after(0.0, self.changed)

    def _finish(self, call: Call, error: Optional[Exception]) -> None:
        self._drop(call)
        guests, done = self._found(call), call.done
        self._clock.after(self._scenario.trip / 2, lambda: done(guests, error))

    def _error(self, call: Call) -> Optional[Exception]:
        if call.kind == "statistics":
            for guest in self._found(call):
                if guest.dies:
                    guest.dies = guest.running = False
                    return LibvirtError(1, 10, "the monitor was closed")
        for fault in self.failing:
            kinds = (None, ("statistics",), ("list",), ("own", "xml", "fetch"), None)[
                fault.guest % 5
            ]
            if kinds is not None and call.kind not in kinds:
                continue
            if (
                fault.guest % 5 == 4
                and call.names is not None
                and f"g{fault.guest}" not in call.names
            ):
                continue
            if self._random.random() < fault.rate:
                if fault.kind == "rpc":
                    return LibvirtError(38, 7, "cannot reach the daemon behind this one")
                if fault.kind == "defect":
                    return Defect("internal error: simulated")
                return LibvirtError(1, 10, f"error {fault.word}", known=ErrorKind[fault.word])
        return None
