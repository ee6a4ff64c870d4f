"""Which requests of a tick are handed to which connections, and how they are asked.

Invariant: the number of requests that run at the same time is bounded, also of those that hang. No
thread, no clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from ..connection.requests import (
    BatchRequest,
    ControlRequest,
    HostRequest,
    ListRequest,
    Request,
    WatchRequest,
    XmlRequest,
)
from .batch import Batch
from .links import Links
from .messages import Plan
from .patience import MOST_HANGING, MOST_HANGING_PER_DOMAIN, MOST_LOCKED, RETRY_PAUSES, Patience
from .running import Running, Runs
from .schedule import Schedule
from .tick import Tick

#: Connections that may serve requests for XML at once.
_XML_CALLS = 4


class Asking:
    """Hands the batches of ticks to connections."""

    def __init__(self, plan: Plan, patience: Patience, links: Links, runs: Runs) -> None:
        self._plan = plan
        self._patience = patience
        self._links = links
        self._runs = runs
        self._schedule = Schedule(plan, runs.roster)

    def begin(self, tick: Tick) -> None:
        """Queues the first requests of a tick."""
        roster = self._runs.roster
        if self._schedule.active:
            self._schedule.begin(tick.began, self._patience.interval)
            tick.schedule = self._schedule
        if roster.blocked:
            tick.add(roster.free, self._runs.size)
            if not tick.queue and (roster.locked or tick.resting):
                tick.enqueue(Batch(BatchRequest(())))  # there is nothing to ask, but no outage
            if roster.listing is None:
                tick.enqueue(Batch(ListRequest()))
            for name, lock in roster.locked.items():
                if lock.link is None:
                    self._look_up(tick, [name], repeats=1)
        elif 0 < len(roster.uuids) <= self._runs.size and not (self._plan.by_name or tick.schedule):
            tick.enqueue(Batch(BatchRequest()))
        else:
            tick.enqueue(Batch(ListRequest()))
        if self._plan.host:
            tick.enqueue(Batch(HostRequest()))
        if self._plan.control and (names := self._runs.incomplete.difference(roster.locked)):
            # It is not repeated: nobody waits for it.
            tick.enqueue(Batch(ControlRequest(sorted(names)), retry=True))

    def assign(self, tick: Tick, now: float) -> None:
        """Hands batches to connections, as many as may run at once."""
        if 0 < tick.retry_at <= now:
            tick.retry_at = 0.0
            self._look_up(tick, sorted(self._retryable(tick)))
        while (batch := self._next_batch(tick, now)) is not None:
            if not self._links.idle:
                tick.refused = tick.refused or not self._links.connect(now)
                return
            link = self._links.idle.pop()
            if self._runs.watching in self._links.open:
                tick.queue.remove(batch)
            else:
                self._runs.watching, batch = link, Batch(WatchRequest())
            if batch.lists and self._runs.roster.blocked:
                self._runs.roster.listing = link
            request = self._request(batch, tick, now)
            self._runs.running[link] = Running(batch, tick, request, link, now)
            self._links.ask(link, request, now)

    def _look_up(self, tick: Tick, names: Sequence[str], repeats: int = 0) -> None:
        """Queues requests for domains that are locked or came incomplete."""
        for request in tick.requests(names, len(names) or 1, rest=False):
            tick.enqueue(Batch(request, retry=True, repeats=repeats))

    def _next_batch(self, tick: Tick, now: float) -> Optional[Batch]:
        """The first queued batch that may start now. Hung requests for XML delay only requests for
        XML; other hung requests delay only requests of the other kinds; those that wait behind
        locks delay none."""
        runs = self._runs.running.values()
        slow = now - self._patience.slow_seconds()
        busy = sum(not run.hung and run.started > slow for run in runs) if runs else 0
        for batch in tick.queue:
            if isinstance(batch.request, ControlRequest) and not self._links.idle:
                continue  # no connection is made for it
            if not runs:
                return batch  # the usual case
            running = sum(run.batch.for_xml is batch.for_xml for run in runs)
            if batch.for_xml:
                calls = most = max(self._plan.calls, _XML_CALLS)
            else:
                calls = self._plan.calls
                most = max(MOST_HANGING, calls) + self._runs.no_monitor * calls
                hung_list = tick.hung_list  # it probably waits behind a lock
                waiting = sum(run.link is hung_list or self._runs.waits(run) for run in runs)
                most += min(waiting, 2 * MOST_LOCKED)
            if busy < calls and running < most:
                return batch
        return None

    def _request(self, batch: Batch, tick: Tick, now: float) -> Request:
        """The request for a batch at this moment. Domains are looked up one by one after a request
        has hung: the look-up of a locked domain hangs, too, and so tells which one it is. Beside a
        slow request no call is made about all domains: a lock may delay that, too."""
        request, roster = batch.request, self._runs.roster
        repeated = batch.repeats > 0 or tick.hung_list is not None
        if not (repeated or roster.blocked or tick.hung or self._runs.running):
            return request  # nothing hangs
        slow = now - self._patience.slow_seconds()
        mine = (run for run in self._runs.running.values() if run.tick is tick)
        is_slow = any(run.started <= slow for run in mine)
        by_handle = repeated or roster.blocked or (is_slow and self._patience.known)
        uuids = roster.uuids if by_handle and roster.uuids else None
        if isinstance(request, XmlRequest):
            return replace(request, hung=self._runs.hung_at().union(roster.locked), uuids=uuids)
        if not isinstance(request, BatchRequest):
            return request
        without_monitor = Counter(
            run.link.progress.at
            for run in self._runs.running.values()
            if run.hung and (asked := run.statistics) and not run.link.progress.looks_up
            if asked.no_monitor or run.link.progress.at in asked.hung
        )
        del without_monitor[""]
        counts = without_monitor.items()
        return request._replace(
            no_monitor=self._runs.no_monitor,
            hung=self._runs.hung_at() | tick.hung,
            skip=frozenset(name for name, hung in counts if hung >= MOST_HANGING_PER_DOMAIN),
            uuids=None if batch.for_all else uuids,
            look_up=repeated and not batch.for_all and roster.waiting < MOST_LOCKED,
            without_block=roster.without_block,
        )

    def _retryable(self, tick: Tick) -> frozenset[str]:
        """The domains that came incomplete, perhaps because another client used them."""
        if self._runs.no_monitor:
            return frozenset()
        return tick.incomplete.difference(tick.hung, self._runs.hung_at(), self._runs.roster.locked)

    def plan_retry(self, tick: Tick, now: float) -> None:
        """Plans a request for the domains that came incomplete, after a pause."""
        under_way = any(batch.retry for batch in tick.queue) or any(
            run.batch.retry and not run.hung for run in self._runs.running.values()
        )
        if under_way or tick.retry_at or tick.retries >= len(RETRY_PAUSES):
            return
        if self._retryable(tick):
            tick.retry_at = now + RETRY_PAUSES[tick.retries]
            tick.retries += 1
