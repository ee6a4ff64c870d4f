"""Time limits: the one policy for hung requests of every kind, and the one for what is refused.

Invariant: all constants about hanging are here. A request that takes longer than its patience is
repeated beside the hung one, and the number of hung requests is bounded. A tick waits for a
connection attempt until the timeout; the attempt is abandoned much later. What fails at once is
tried at each tick. What is refused, or takes long to fail, is tried ever less often: a host may
lock this one out if a refused key is tried at each tick.
"""

from __future__ import annotations

from collections import deque
from typing import Callable, Optional

from ..connection.errors import ErrorKind, LibvirtError
from ..connection.requests import Groups

#: A random number between two others.
Uniform = Callable[[float, float], float]

#: A request for one batch may take this long, or this many times its usual time if that is longer.
_LEAST_SECONDS = 0.5
_USUAL_TIMES = 4

#: Short intervals between ticks make it shorter, down to this time or to a third of the timeout,
#: whichever is less.
_SHORTEST_SECONDS = 0.25

#: A repeat and the look-up of one domain may take this long: a busy machine is not a hung guest.
#: After this time, or twice the usual time, a request frees its place in the queue.
_SLOW_SECONDS = 0.1

#: Hung requests of one kind: batches, XML, fetches. Each one occupies a worker of the daemon;
#: libvirtd has 20 for all clients. From this many hung batches on, only statistics that need no
#: monitor are requested. From this many hung connection attempts on, the time before the next
#: attempt doubles.
MOST_HANGING = 4

#: A domain for which this many calls hang that need no monitor is skipped until one has ended.
MOST_HANGING_PER_DOMAIN = 2

#: Look-ups that wait behind locks, and with them a call about all domains. Beside each one may wait
#: a request that was made before the lock was known.
MOST_LOCKED = 4

#: Locked domains that make the requests do without ``block``: their storage may be the reason.
MOST_LOCKED_BY_STORAGE = 2

#: Connections that serve fetches of sources at the same time.
FETCH_LINKS = 3

#: The call of a source hangs this long after its timeout: libvirt itself ends a call of a guest's
#: agent at the timeout, and its error says more.
FETCH_GRACE_SECONDS = 0.5

#: Sources wait this long for the bulk statistics of the same tick, which they would slow down.
SOURCE_DELAY_SECONDS = 0.4

#: Pauses before a guest is requested again that NOWAIT skipped because another client used it.
RETRY_PAUSES = (0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.17)

#: A connection attempt is abandoned after this, or after twice the timeout.
_LEAST_ATTEMPT_SECONDS = 15.0

#: The longest time before the next attempt if many attempts hang.
_LONGEST_AGE_SECONDS = 3600.0

#: The log says that the timeout is too short after this many ticks in a row whose answers arrived
#: after the end of the tick. A single such tick means that the daemon was stopped for a while.
LATE_TICKS = 3

#: A failure that took longer than this was not immediate.
_CHEAP_SECONDS = 1.0

#: The time between ticks is the median of this many.
_TICKS = 7

#: The longest pause, or this many intervals if that is longer, up to ten minutes.
_LONGEST_PAUSE = 60.0
_LONGEST_TICKS = 16
_LONGEST_PAUSE_BY_TICKS = 600.0


class Patience:
    """The time limits for the requests of one hypervisor, from the usual time of a request; all in
    seconds. ``interval`` is the time between ticks, 0 if it is not known."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.interval = 0.0
        self._last_tick = 0.0
        self._intervals: deque[float] = deque(maxlen=_TICKS)
        self._usual = 0.0
        #: The usual time and the last one by the groups of a request; whether it came again.
        self._times: dict[Optional[Groups], tuple[float, float, bool]] = {}

    def tick(self, now: float) -> None:
        """Notes a tick at this monotonic time. The interval is the median of the last ones, the
        shorter one of two: ticks that are late do not make it long."""
        if self._last_tick:
            self._intervals.append(now - self._last_tick)
            self.interval = sorted(self._intervals)[(len(self._intervals) - 1) // 2]
        self._last_tick = now

    @property
    def known(self) -> bool:
        return self._usual > 0

    def seconds(self, repeats: int) -> float:
        """The time for a request after this many repeats: each repeat may take half as long, so
        that all of them together take no longer than two thirds of the timeout, and no longer than
        half of the time between ticks. Before the first complete tick the usual time is unknown."""
        first = longest = self.timeout / 3
        if self._usual:
            if self.interval:
                shortest = min(_SHORTEST_SECONDS, longest)
                longest = max(shortest, min(longest, self.interval / 2) / 2)
            known = max(_LEAST_SECONDS, _USUAL_TIMES * self._usual)
            first = max(min(known, longest), min(2 * self._usual, first))
        if not repeats:
            return first
        return max(first / float(2**repeats), self.lookup_seconds)

    @property
    def lookup_seconds(self) -> float:
        """The time for the look-up of one domain, which only a lock or a slow network delays."""
        return max(_SLOW_SECONDS, 2 * self._usual)

    def slow_seconds(self) -> float:
        """After this time another request may start beside a request that is still running."""
        return self.lookup_seconds if self._usual else self.seconds(0) / 2

    def learn(self, seconds: float, groups: Optional[Groups] = None) -> None:
        """Notes the longest request for these groups in a tick that brought all of them. The
        usual time is the shorter one of two ticks, and at most doubles in one tick, so that one
        slow guest does not blunt the policy. It is that of the slowest groups which come again."""
        usual, last, _ = known = self._times.get(groups, (0.0, 0.0, False))
        ceiling = max(2 * usual, _LEAST_SECONDS / _USUAL_TIMES)
        usual = min(seconds, last, ceiling) if usual else seconds
        self._times[groups] = usual, seconds, any(known)
        times = self._times.values()
        self._usual = max([t for t, _, again in times if again] or [t for t, _, _ in times])


def attempt_seconds(timeout: float) -> float:
    """The age at which a connection attempt or a fetch is abandoned."""
    return max(2 * timeout, _LEAST_ATTEMPT_SECONDS)


def attempt_age(timeout: float, abandoned: int) -> float:
    """The age at which one more connection attempt is abandoned beside those that still hang. A
    peer without power may keep an attempt open for ever, so there is always another one. Each
    costs a thread, so further ones come at ever longer intervals, up to an hour."""
    least = attempt_seconds(timeout)
    age = least * float(2 ** min(20, max(0, abandoned - MOST_HANGING + 1)))
    return min(age, max(least, _LONGEST_AGE_SECONDS))


class Backoff:
    """The pauses after refusals. At a host that is ``far`` the pauses skip ticks."""

    def __init__(self, patience: Patience, far: bool, uniform: Uniform) -> None:
        self.pause = 0.0
        self._not_before = 0.0
        self._patience = patience
        self._far = far
        self._uniform = uniform

    def allows(self, now: float) -> bool:
        return now >= self._not_before

    def succeeded(self) -> None:
        """A later failure is the first one."""
        self.pause = self._not_before = 0.0

    def failed(self, error: LibvirtError, seconds: float, now: float, spare: bool = False) -> None:
        """Notes a failure after this many seconds; ``spare``: other connections are open."""
        denied = error.kind in (ErrorKind.DENIED, ErrorKind.WRONG_URI)
        if denied or spare or seconds > _CHEAP_SECONDS:
            self.wait(now, self._patience.interval if denied and self._far else 0.0)
        else:
            # The pause goes on after the next refusal: a host counts them, whatever is between.
            self._not_before = 0.0

    def wait(self, now: float, interval: float = 0.0) -> None:
        """Begins the next pause, with ticks at this interval in seconds."""
        by_ticks = min(_LONGEST_PAUSE_BY_TICKS, _LONGEST_TICKS * interval)
        longest = max(_LONGEST_PAUSE, by_ticks)
        self.pause = min(longest, max(1.0, 2 * interval, 2 * self.pause))
        self._not_before = now + self.pause * self._uniform(0.75, 1.0)
