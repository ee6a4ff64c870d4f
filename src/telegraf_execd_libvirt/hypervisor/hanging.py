"""What happens to requests that take long: how long a tick waits for them, and what is repeated.

Invariant: a request that exceeds its patience is repeated beside the hung one. What delays a call
about all domains is looked for among the known domains, one by one. No thread, no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, Optional

from ..connection.errors import Unreachable
from ..connection.requests import Listing, Piece, WatchRequest
from .asking import Asking
from .batch import BATCH
from .links import Links
from .messages import Ended, Outcome
from .patience import Patience
from .running import Running, Runs
from .tick import Tick


class Hanging:
    """The hang policy for the requests of ticks. ``running_names`` gives the names of running
    domains as far as they are known without libvirt."""

    def __init__(
        self,
        patience: Patience,
        links: Links,
        runs: Runs,
        asking: Asking,
        running_names: Callable[[], Sequence[str]],
    ) -> None:
        self._patience = patience
        self._links = links
        self._runs = runs
        self._asking = asking
        self._running_names = running_names

    def wake_at(self, tick: Tick, is_next_due: bool, now: float) -> Optional[float]:
        """The monotonic time at which something is to be done for the tick; None if it is over. If
        the next tick is due, it does not wait for what hangs, but for what was not read at all."""
        if now >= tick.deadline or (tick.failures > 1 and not tick.read):
            return None
        if not (self._runs.running or tick.queue or tick.retry_at > now):
            return None  # the usual case
        mine = [run for run in self._runs.running.values() if run.tick is tick]
        # If another request for the same batch has brought it, nobody waits for this one.
        in_time = [run for run in mine if not run.hung and not run.batch.done]
        patient = [max(now, self._patient_until(run)) for run in in_time]
        moments = [tick.retry_at]
        if tick.queue:
            moments += [run.started + self._patience.slow_seconds() for run in in_time]
            moments.append(self._links.attempt_deadline())
        coming = [moment for moment in moments if moment > now]
        if coming or patient:
            return min([tick.deadline, *patient, *coming])
        enough = is_next_due and tick.read and not tick.unread
        return tick.deadline if mine and tick.lacks and not enough else None

    def _patient_until(self, run: Running) -> float:
        progress, asked = run.link.progress, run.statistics
        begins = asked is not None and asked.look_up and not progress.looked_up
        if progress.looks_up or begins:
            return progress.since + self._patience.lookup_seconds
        begun = max(run.started, progress.looked_up)
        return begun + self._patience.seconds(run.batch.repeats)

    def expire(self, tick: Tick, now: float) -> None:
        """Repeats the requests that have exceeded their patience."""
        for run in self._runs.running.values():
            if run.hung or now < self._patient_until(run):
                continue
            run.hung = True
            tick.hung_at = now if tick.hung_at is None else tick.hung_at
            batch = run.batch
            is_alone = batch.retry and len(batch.names) < 2  # a repeat would help nobody else
            if run.link.progress.looks_up and (name := run.link.progress.at):
                self._lock(name, run, tick, now)
            if batch.for_all and not tick.listed:
                # A lock, or a guest that hangs: the look-ups of the known domains show it.
                tick.hung_list = run.link
                if not self._runs.roster.uuids:
                    self._runs.roster.note(dict.fromkeys(self._running_names(), ""))
                if self._runs.roster.uuids:
                    first = None if batch.lists else batch
                    tick.add(self._runs.roster.free, self._runs.size, first, rest=False)
            single = batch.for_all or isinstance(batch.request, WatchRequest)
            if not (single or batch.done or is_alone):
                batch.repeats += 1
                tick.queue.appendleft(batch)

    def _lock(self, name: str, run: Running, tick: Tick, now: float) -> None:
        """The look-up of this domain hangs: it is locked."""
        run.link.progress.abandoned = True
        tick.leave_out(name, run.batch)
        by_block = False
        for other in self._runs.running.values():
            if other.waits_for(name):
                other.behind = name
                # Storage hangs while the daemon holds the lock for a request of ours.
                asked = None if other.link.progress.looks_up else other.statistics
                by_block |= asked is not None and not asked.without_block
        self._runs.roster.lock(name, run.link, by_block, now)
        self._runs.roster.block(tick.hung_list)

    def take_list(self, listing: Listing, run: Running, tick: Optional[Tick]) -> None:
        self._runs.roster.existing = listing.existing
        self._runs.roster.note(listing.uuids)
        if tick is None:
            return
        if tick.hung_list is run.link:
            tick.hung_list = None
        if run.tick is tick or self._runs.roster.blocked:
            tick.add(listing.uuids, self._runs.size)
            tick.empty = len(tick.resting) == len(listing.uuids)

    def ended(self, event: Ended, run: Running, tick: Optional[Tick], now: float) -> None:
        batch, asked = run.batch, run.statistics
        del self._runs.running[run.link]
        if asked is not None and event.error is None and isinstance(event.last, Piece):
            if asked.names is None:
                self._runs.roster.note({**run.tick.uuids})  # a late answer may add to them
            self._runs.roster.answered(run.tick.uuids if asked.names is None else asked.names)
        unlocked = self._runs.roster.returned(run.link, event.alive)
        run.tick.longest = max(run.tick.longest, event.seconds)
        if tick is None:
            return
        if tick.hung_list is run.link:
            tick.hung_list = None
        if unlocked:
            tick.add(unlocked, BATCH)
        if run.tick is not tick:
            # A guest may have woken up: what came incomplete is asked again.
            tick.hung, tick.retries = frozenset(), 0
            self._asking.plan_retry(tick, now)
            return
        if run.link.progress.abandoned:
            return
        if event.error is None:
            tick.done(batch, event.seconds)
            self._asking.plan_retry(tick, now)
            return
        others = self._runs.running.values()
        is_repeated = any(other.batch is batch and not other.hung for other in others)
        if not (batch.done or batch in tick.queue or is_repeated):
            old = not event.alive and run.link.started < tick.began
            tick.fail(event.error, batch, len(self._links.open), old)

    def leave(self, tick: Tick) -> list[Running]:
        """The tick is over: nobody waits for its requests any more, so they make no more calls.
        Returns those that hang."""
        running = self._runs.running.values()
        hung = [run for run in running if run.hung or not run.batch.done]
        for run in running:
            run.hung = run.link.progress.abandoned = True
        roster, new = self._runs.roster, tick.incomplete - tick.hung
        explained = new or (roster.uuids and not tick.read)  # by a guest, or by all calls
        if tick.hung_list in self._runs.running and not roster.blocked and not explained:
            roster.block(tick.hung_list)
        if tick.read and not tick.incomplete and all(run.batch.done for run in running):
            for groups, seconds in tick.took.items():
                self._patience.learn(seconds, groups)
        return hung

    def outcome(self, tick: Tick, hung: int, trouble: Optional[Unreachable], now: float) -> Outcome:
        """The outcome of a tick that has ended, with this number of requests that hang."""
        roster = self._runs.roster
        mine = (now - run.started for run in self._runs.running.values() if run.tick is tick)
        return Outcome(
            timestamp=tick.timestamp,
            seconds=now - tick.began,
            domains=tick.count if tick.read else 0,
            incomplete=tick.incomplete,
            # Some may have been locked after they were read.
            locked=[domain for domain in roster.locked_domains(now) if not tick.has(domain.name)],
            unread=tick.unread,
            untagged=tick.untagged,
            hanging=hung + self._links.hanging(tick.read),
            host=tick.host,
            existing=roster.existing,
            trouble=trouble,
            resting=frozenset(tick.resting),
            longest=max([tick.longest, *mine]),
        )
