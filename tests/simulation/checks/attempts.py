"""Few connection attempts hang, and an attempt that is refused is repeated ever later.

After the first refusal the next attempt comes soon.
"""

from __future__ import annotations

import math
from collections import Counter
from math import inf

from telegraf_execd_libvirt.connection.errors import ErrorKind
from telegraf_execd_libvirt.hypervisor.messages import Action, Close, Event, Link, Open, Opened

from ..driver import FIRST, Check, Run, TickRecord
from .limits import MOST_HANGING

_LONGEST_PAUSE = 60.0
_SHORTEST_PART = 0.75  # of a pause


class Attempts(Check):
    """Connection attempts, for each kind of access."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._open: dict[Link, bool] = {}
        self._latest: dict[bool, Link] = {}
        #: The number of refusals since the last success; no attempt is made before this time.
        self._refused = Counter[bool]()
        self._not_before: dict[bool, float] = {}
        self._failed = Counter[bool]()
        self._failed_at: dict[bool, float] = {}
        self._lost_at = -inf

    def event(self, event: Event) -> None:
        if not isinstance(event, Opened):
            return
        access = self._open.pop(event.link)
        if event.error is None:
            self._refused[access] = self._failed[access] = 0
            self._not_before[access] = 0.0
        elif event.link is self._latest[access]:
            self._failed[access] += 1
            self._failed_at[access] = self.run.clock.now
            if event.error.kind in (ErrorKind.DENIED, ErrorKind.WRONG_URI):
                pause = min(_LONGEST_PAUSE, 2.0 ** self._refused[access])
                self._not_before[access] = self.run.clock.now + pause * _SHORTEST_PART
                self._refused[access] += 1
            else:
                self._not_before[access] = 0.0

    def tick(self, tick: TickRecord) -> None:
        scenario = self.run.scenario
        pause = max(1.0, 2 * scenario.interval)
        since = tick.began - max(self._failed_at.get(True, inf), self._lost_at)
        is_open = any(link.read_only for link in self.run.client.connections)
        if self._failed[True] == 1 and not is_open and since > pause + scenario.interval:
            self.fail(f"no attempt for {since:.1f} s after the first refusal")

    def action(self, action: Action) -> None:
        if isinstance(action, Close):
            self._lost_at = self.run.clock.now
        if not isinstance(action, Open):
            return
        link, now = action.link, self.run.clock.now
        access = self._open[link] = link.read_only
        self._latest[access] = link
        if now < self._not_before.get(access, 0.0) - 1e-6:
            self.fail(f"an attempt too soon after {self._refused[access]} refusals")
        age = max(15.0, 2 * self.run.scenario.timeout)
        ages = (now - FIRST) / age
        most = 2 + min(ages, MOST_HANGING + math.log2(1 + ages))
        number = sum(other is access for other in self._open.values())
        if number > most:
            self.fail(f"{number} connection attempts hang")
