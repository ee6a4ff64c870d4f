"""The fetches of the sources of one hypervisor: which of them start when, and which of them hang.

Invariant: a source that hangs, fails or is refused affects nothing else. A fetch that hangs at one
domain is abandoned, and later fetches leave that domain out. No thread, no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Callable, Optional, cast

from ..connection.errors import ErrorKind, LibvirtError
from ..connection.requests import FetchRequest, Records
from ..sources.source import Listener
from .feed import Feed, Result, Turn
from .links import NO_PLACE, Links
from .messages import Ended, Fetched, Link, Opened, Plan
from .patience import (
    FETCH_LINKS,
    MOST_HANGING,
    SOURCE_DELAY_SECONDS,
    Backoff,
    attempt_seconds,
)
from .running import Runs
from .tick import Tick
from .voice import Voice

#: A fetch that waited behind a call that hangs, and longer than this, has the time of its start.
_ON_TIME_SECONDS = 0.5


class Fetches:
    """All sources. Turns wait in a queue until a connection is free for them."""

    def __init__(
        self, plan: Plan, backoff: Callable[[], Backoff], links: Links, runs: Runs, voice: Voice
    ) -> None:
        self.feeds = [
            Feed(number, source, settings, plan, backoff(), voice)
            for number, (source, settings) in enumerate(plan.sources)
        ]
        #: Read-write connections, for the sources that need them.
        self.others = Links(voice, False, plan.others, plan.timeout, backoff())
        #: The functions that take events, by the kinds of events.
        self.listeners: dict[int, list[Listener]] = {}
        for feed in self.feeds:
            for kind in feed.source.events:
                self.listeners.setdefault(kind, []).extend(cast("list[Listener]", feed.fetches))
        self._links = links
        self._runs = runs
        self._voice, self._actions = voice, voice.actions
        #: The turns that wait for a connection.
        self.queue: deque[Turn] = deque()
        self._running: dict[Link, Turn] = {}

    @property
    def busy(self) -> bool:
        """Whether a turn waits, or runs and does not hang."""
        return any(feed.busy for feed in self.feeds)

    @property
    def uses_link(self) -> bool:
        """Whether a turn runs on a read-only connection and does not hang."""
        return any(t.feed.source.read_only and not t.hung for t in self._running.values())

    @property
    def _hung(self) -> list[Turn]:
        return [turn for turn in self._running.values() if turn.hung]

    @property
    def hung(self) -> int:
        """The number of turns that hang on read-only connections."""
        return sum(turn.feed.source.read_only for turn in self._hung)

    def tick(self, timestamp: int, now: float) -> None:
        for feed in sorted(self.feeds, key=lambda feed: feed.served):  # so that none starves
            if feed.is_due(now):
                busy = {turn.lane for turn in feed.turns if not turn.abandoned}
                for lane in range(feed.source.lanes):
                    if lane not in busy:
                        feed.asked = now
                        feed.turns.append(Turn(feed, lane, timestamp, now))
                        self.queue.append(feed.turns[-1])

    def assign(self, tick: Optional[Tick], now: float) -> None:
        """Hands turns to connections: after the statistics of the tick, at the latest after 0.4 s,
        but not while the tick lists all domains, since a lock may delay that. Domains that do not
        respond are not asked."""
        after_bulk = tick is None or (tick.refused and not tick.read)
        if tick is not None and not after_bulk and self._runs.in_time(tick, for_all=True):
            return
        hung_at = {turn.at for turn in self._hung if turn.at}
        skipped = self._runs.incomplete.union(hung_at, self._runs.hung_at())
        hung = self._hung or self._runs.any_hung(tick)
        by_handle = self._runs.roster.blocked or bool(tick and tick.hung_list)
        for turn in [*self.queue]:
            if not after_bulk and now < turn.began + SOURCE_DELAY_SECONDS:
                break
            links = self._links_of(turn)
            if (link := self._free(links, now)) is not None:
                if hung and now - turn.began > _ON_TIME_SECONDS:
                    turn.timestamp += int((now - turn.began) * 1e9)
                self._ask(turn, link, skipped, by_handle, now)
            elif links is self.others and links.refusal and not (links.open or links.hanging()):
                self._fail(turn, links.refusal, now)
            elif now - turn.began >= turn.feed.seconds:
                self._skip(turn)

    def _links_of(self, turn: Turn) -> Links:
        return self._links if turn.feed.source.read_only else self.others

    def _free(self, links: Links, now: float) -> Optional[Link]:
        """A connection for a turn, or None; another one may be opened for it."""
        mine = [turn for turn in self._running.values() if self._links_of(turn) is links]
        hung = sum(turn.hung for turn in mine)
        most = FETCH_LINKS if links is self._links else links.keep
        occupied = sum(turn.hung and not turn.abandoned for turn in mine) >= MOST_HANGING
        if len(mine) - hung >= most or occupied or not self._links.open:
            return None
        if links.idle:
            return links.idle.pop()
        if len(links.open) < links.keep + min(hung, MOST_HANGING):
            links.connect(now)
        return None

    def _ask(
        self, turn: Turn, link: Link, skipped: frozenset[str], by_handle: bool, now: float
    ) -> None:
        feed, roster = turn.feed, self._runs.roster
        self.queue.remove(turn)
        turn.link, feed.served = link, now
        self._running[link] = turn
        request = FetchRequest(
            fetch=feed.fetches[turn.lane],
            options=feed.settings.options,
            timeout=feed.timeout,
            lane=(turn.lane, feed.source.lanes),
            skipped=skipped.union(roster.locked),
            uuids=roster.free if by_handle else None,
        )
        self._links_of(turn).ask(link, request, now)

    def expire(self, now: float) -> None:
        """Notes which turns hang, and abandons those that hang at one domain or for long, or behind
        a lock: the next turn makes no call about all domains, and none for one that is locked."""
        roster = self._runs.roster
        for link, turn in self._running.items():
            feed, since = turn.feed, link.progress.since
            locked = turn.at in roster.locked
            if turn.abandoned or (now < since + feed.seconds and not locked):
                continue
            if not turn.hung:
                turn.hung, turn.locked = True, locked
                if not locked:
                    feed.errors += 1
                    feed.judge(now)
            avoidable = turn.at or roster.blocked
            old = avoidable or now - since > attempt_seconds(feed.timeout)
            if old and sum(other.abandoned for other in self._hung) < MOST_HANGING:
                turn.abandoned = link.progress.abandoned = True
                if avoidable:
                    feed.asked = None  # the next tick: it leaves out what this one waits for

    def paused(self, seconds: float) -> None:
        """Nobody read stdout for this long: no turn could begin, no connection be taken."""
        for links in (self._links, self.others):
            links.paused(seconds)
        for turn in self.queue:
            turn.began += seconds

    def wake_times(self, now: float) -> Iterable[float]:
        """The monotonic times from now on at which something is to be done here."""
        for link, turn in self._running.items():
            if not turn.hung:
                yield max(now, link.progress.since + turn.feed.seconds)
        for turn in self.queue:
            for seconds in (SOURCE_DELAY_SECONDS, turn.feed.seconds):
                if turn.began + seconds > now:
                    yield turn.began + seconds

    def serves(self, link: Link) -> bool:
        return link in self._running

    def ended(self, event: Ended, now: float) -> None:
        turn = self._running.pop(event.link)
        links = self._links_of(turn)
        links.release(event.link, event.alive and not event.stale)
        is_old = event.link.started < turn.began and links.open and not turn.hung
        if event.stale and event.alive and is_old:
            self.queue.append(turn)  # a newer connection reaches a daemon that was started again
            return
        records = event.last if isinstance(event.last, Records) else Records()
        error, feed = event.error or records.error, turn.feed
        feed.turns.remove(turn)
        if not turn.abandoned:
            feed.drop(records.dropped)
            if error is not None and error.kind is not ErrorKind.UNSUPPORTED:
                feed.errors += not records.held and not records.worked
            lost, denied = not event.alive, error is not None and error.kind is ErrorKind.DENIED
            feed.last[turn.lane] = Result(
                len(records.domains),
                event.seconds,
                None if records.worked else error,
                lost=lost,
                worked=records.worked,
                failed=lost or denied or event.defect is not None,
                counted=records.counted,
            )
            if records.domains:
                self._actions.append(Fetched(feed.number, records.domains, turn.timestamp))
        feed.judge(now)

    def fail_all(self, reason: str, now: float) -> None:
        """The hypervisor cannot be read, so no turn can begin."""
        for turn in [*self.queue]:
            error = LibvirtError(0, 0, reason, known=ErrorKind.LOST)
            self._fail(turn, error, now, is_reported=True)

    def opened(self, event: Opened, now: float) -> None:
        """The end of an attempt to connect with more rights; if it is refused, no turn that needs
        such a connection can begin."""
        if self.others.opened(event, now) and event.error is not None:
            for turn in [turn for turn in self.queue if self._links_of(turn) is self.others]:
                self._fail(turn, event.error, now)

    def _fail(self, turn: Turn, error: LibvirtError, now: float, is_reported: bool = False) -> None:
        feed = self._take_back(turn)
        feed.last[turn.lane] = Result(error=error, lost=True, failed=True, is_reported=is_reported)
        feed.errors += 1
        feed.judge(now)

    def _skip(self, turn: Turn) -> None:
        """No connection was free in time: try again at the next tick."""
        feed = self._take_back(turn)
        feed.asked = None
        if feed.up:
            text, help = "no connection was made in time", NO_PLACE
            if self._runs.roster.any_held:
                text, help = "calls wait for guests that libvirt has locked", ""
            elif self._hung:
                text, help = "fetches of other sources hang", ""
            feed.set("waiting", f"no turn: {text}", help, quiet=self._voice.is_down)

    def _take_back(self, turn: Turn) -> Feed:
        self.queue.remove(turn)
        turn.feed.turns.remove(turn)
        return turn.feed
