"""The engine of one hypervisor: events go in, actions come out.

A tick asks for the statistics of all domains, batch by batch; the sources follow. A request that
takes longer than its patience is repeated on another connection, which leaves out what hangs. After
each event, requests are assigned to connections: batches first, then sources.

Invariant: the engine starts no thread, reads no clock and makes no random choice: the same events
at the same times give the same actions. The number of hung requests is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import inf
from typing import Callable, Optional

from ..connection.errors import ErrorKind
from ..connection.requests import Controls, Host, Identities, Listing, Piece, XmlRequest
from .asking import Asking
from .fetches import Fetches
from .hanging import Hanging
from .journal import Journal
from .links import Links
from .messages import Defect, Ended, Event, Opened, Part, Plan, TickDue
from .patience import Backoff, Patience, Uniform
from .roster import Roster
from .running import Running, Runs
from .tick import Tick

#: A tick this soon after the start of another one is no sign that collecting is slow.
_NO_TIME_SECONDS = 0.1


class Engine:
    """Reads the domains of one hypervisor as planned. ``running_names`` gives the names of running
    domains as far as they are known without libvirt."""

    def __init__(
        self,
        plan: Plan,
        uniform: Uniform,
        running_names: Callable[[], Sequence[str]],
        journal: Journal,
    ) -> None:
        self.actions = journal.actions
        self.journal, self._voice = journal, journal.voice
        self._plan = plan
        self._patience = Patience(plan.timeout)
        self._roster = Roster()
        backoff = partial(Backoff, self._patience, plan.is_remote, uniform)
        self.links = Links(self._voice, True, plan.links, plan.timeout, backoff())
        self.runs = Runs(plan.calls, self._roster)
        shared = self._patience, self.links, self.runs
        self._asking = Asking(plan, *shared)
        self._hanging = Hanging(*shared, self._asking, running_names)
        self.fetches = Fetches(plan, backoff, self.links, self.runs, self._voice)
        self._tick: Optional[Tick] = None
        self._began = -inf
        #: The monotonic time of the next :meth:`wake`; None: only an event changes anything.
        self.wake_at: Optional[float] = None
        #: The tick that is to begin.
        self._due: Optional[TickDue] = None
        #: The last ticks without an answer, and the seconds after which a late answer came.
        self._late: dict[Tick, float] = {}

    @property
    def collects(self) -> bool:
        """Whether a tick runs or waits."""
        return self._tick is not None

    def handle(self, event: Event, now: float) -> None:
        self._voice.now = now
        if isinstance(event, TickDue):
            self._tick_due(event, now)
        elif isinstance(event, Opened):
            self._opened(event, now)
        elif isinstance(event, Part):
            self._take(self.runs.running[event.link], event.content)
        elif isinstance(event, Ended):
            self._ended(event, now)
        elif isinstance(event, Defect):
            self.journal.defect(event.text)
        else:
            self._paused(event.seconds)
            return  # first the events that came meanwhile
        self._go_on(now)

    def wake(self, now: float) -> None:
        """Does what is due at this monotonic time. All events before it must have been handled."""
        self._voice.now = now
        if self._tick is not None:
            self._hanging.expire(self._tick, now)
        self.fetches.expire(now)
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        moment: Optional[float] = None
        while True:
            if self._tick is not None:
                self._asking.assign(self._tick, now)
            if self.fetches.queue:
                self.fetches.assign(self._tick, now)
            if self._tick is not None:
                self._write(self._tick)
                moment = self._hanging.wake_at(self._tick, self._due is not None, now)
                waits = self._tick.refused and self._tick.queue and now < self._tick.deadline
                if moment is None and waits and self.fetches.uses_link:
                    moment = self._tick.deadline  # that connection will be free
                if moment is not None:
                    break
                self._finish(self._tick, now)
            elif self._due is not None:
                self._begin(self._due, now)
            else:
                break
        moments = [*self.fetches.wake_times(now), *([moment] if moment is not None else [])]
        self.wake_at = min(moments, default=None)

    def _write(self, tick: Tick) -> None:
        """Readings are written after the next requests have been asked."""
        if tick.ready:
            self.journal.up()
            for reading in tick.ready if self._plan.identity else ():
                self._roster.identify(reading)
            self.actions += tick.ready
            tick.ready.clear()

    def _tick_due(self, event: TickDue, now: float) -> None:
        self._patience.tick(event.at)
        if event.at <= self._began:
            return  # it came before the last tick began, and counts as one with it
        self._due = event
        if self._tick is None:
            return
        event.waits = True
        took = now - self._tick.began - self._tick.paused
        slow = took > _NO_TIME_SECONDS and self._tick.hung_at is None
        if slow and (self._tick.took or self._patience.known) and self.runs.in_time(self._tick):
            self.journal.slow(max(self._tick.took.values(), default=took))

    def _begin(self, event: TickDue, now: float) -> None:
        self._began, self._due = now, None
        timestamp = event.timestamp + (int((now - event.at) * 1e9) if event.waits else 0)
        deadline, known = now + self._patience.timeout, self._roster.identities
        self._tick = tick = Tick(timestamp, now, deadline, known)
        if self.runs.running:
            tick.hung = self.runs.incomplete
        self._asking.begin(tick)
        self.fetches.tick(timestamp, now)

    def _paused(self, seconds: float) -> None:
        """The time in which nobody read stdout is not libvirt's."""
        self.journal.paused(seconds)
        if self._tick is not None:
            self._tick.deadline += seconds
            self._tick.paused += seconds
        self.fetches.paused(seconds)

    def _opened(self, event: Opened, now: float) -> None:
        self.journal.defects += event.defect
        if not event.link.read_only:
            self.fetches.opened(event, now)
        elif self.links.opened(event, now) and self._tick is not None:
            self._tick.refused = True
        elif event.error is None:
            self.journal.driver, self.journal.version = event.driver, event.version

    def _take(self, run: Running, content: object) -> None:
        """Takes a part of an answer; that to an earlier tick is dropped."""
        if isinstance(content, Listing):
            self._hanging.take_list(content, run, self._tick)
            self.journal.selection(content.mistakes)
        elif isinstance(content, Piece):
            run.tick.uuids.update(content.uuids)  # the domains exist, whenever this arrives
            if run.tick is self._tick:
                run.tick.accept(content, run.started)
        elif isinstance(content, Identities) and isinstance(run.request, XmlRequest):
            if run.tick is self._tick:
                run.tick.identify(run.request.names, content.found)
        elif isinstance(content, Host):
            run.tick.host = content
        elif isinstance(content, Controls):
            run.tick.controls = content.found

    def _ended(self, event: Ended, now: float) -> None:
        link, tick = event.link, self._tick
        lost = event.error is not None and event.error.kind is ErrorKind.LOST
        if not lost:
            link.failures = 0
        if self.fetches.serves(link):
            self.journal.defects += event.defect is not None
            self.fetches.ended(event, now)
            return
        run = self.runs.running[link]
        if event.defect is not None:
            self.journal.defect(f"{event.error}")
        self._take(run, event.last)
        link.failures += lost  # a source's call goes to another daemon behind this one: no sign
        if link.failures > 1:
            event = replace(event, alive=False)  # the next attempt has failed as well
        self.links.release(link, event.alive)
        self._hanging.ended(event, run, tick, now)
        if tick not in (None, run.tick) and event.error is None and not run.tick.read:
            self._late[run.tick] = event.seconds

    def _finish(self, tick: Tick, now: float) -> None:
        roster = self._roster
        hung = self._hanging.leave(tick)
        self.links.close_spare(self.runs.watching, len(self.runs.running) + self.fetches.hung)
        tick.end()
        self._write(tick)
        self._tick = None
        self.runs.incomplete = tick.incomplete
        trouble, connecting = None, bool(self.links.hanging())
        if not tick.read:
            error = tick.error or (self.links.refusal if tick.refused else None)
            is_locked = roster.any_held and not connecting
            locked = roster.locked if is_locked else None
            trouble = self.journal.trouble(error, locked, bool(self.runs.running), connecting)
        outcome = self._hanging.outcome(tick, len(hung), trouble, now)
        self.journal.late(self._late.values())
        hanging = not all(map(self.runs.waits, hung))  # for another reason than a lock
        self.journal.ended(outcome, tick.error, hanging, connecting)
        if trouble is None or trouble.state != "locked":  # the error says it
            self.journal.locked(roster.any_held, roster.locked, roster.without_block)
        self._voice.tick()
        self.actions.append(outcome)
        if trouble is not None:
            self.fetches.fail_all(trouble.reason, now)
            return
        self.links.check_full(now)
        self._late.clear()
        if self.runs.running and not self.links.idle:
            self.links.connect(now)  # beside what hangs, so that the next tick need not wait
