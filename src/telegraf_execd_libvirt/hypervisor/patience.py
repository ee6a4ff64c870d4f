"""Time limits: the one policy for hung requests of every kind and for connection attempts.

Invariant: no other module has a constant about hanging. A request that takes longer than its
patience is repeated beside the hung one, and the number of hung requests is bounded. A tick waits
for a connection attempt until the timeout; the attempt is given up much later.
"""

from __future__ import annotations

#: A request for one batch may take this long, or this many times its usual time if that is longer.
_LEAST_SECONDS = 0.5
_USUAL_TIMES = 4

#: No repeat is given up sooner than this: a busy machine is not a hung guest.
_LEAST_REPEAT_SECONDS = 0.1

#: A request frees its place in the queue after this, or after twice its usual time.
_SLOW_SECONDS = 0.1

#: From this many hung requests on, only statistics that need no monitor are requested. Each one
#: occupies a worker of the daemon; libvirtd has 20 for all clients. From this many hung connection
#: attempts on, the time before the next attempt doubles.
MOST_HANGING = 4

#: Fetches of all sources at the same time, also those that hang and were given up: others wait.
MOST_FETCHES = 8

#: The same for one source, so that turns remain for the other sources.
MOST_FETCHES_PER_SOURCE = 5

#: Sources wait this long for the bulk statistics of the same tick, which they would slow down.
SOURCE_DELAY_SECONDS = 0.4

#: A domain whose own calls hung this many times is skipped until one of them has ended.
MOST_HANGING_PER_DOMAIN = 2

#: Pauses before a guest is requested again that NOWAIT skipped because another client used it.
RETRY_PAUSES = (0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.17)

#: The wait for the end of a hung request: a guest that wakes up serves that request first.
SETTLE_SECONDS = 0.1

#: A connection attempt is given up after this, or after twice the timeout.
_LEAST_ATTEMPT_SECONDS = 15.0

#: The longest time before the next attempt if many attempts hang.
_LONGEST_AGE_SECONDS = 3600.0

#: An attempt that took longer than this was not refused at once, so attempts become rarer.
CHEAP_ATTEMPT_SECONDS = 1.0
_LONGEST_PAUSE = 60.0

#: The longest pause is this many intervals if that is longer, up to ten minutes: a host may lock
#: this one out if a refused key is tried at each tick.
_LONGEST_TICKS = 16
_LONGEST_PAUSE_BY_TICKS = 600.0

#: The log says that the timeout is too short after this many ticks in a row whose answers arrived
#: after the end of the tick. A single such tick means that the daemon was stopped for a while.
LATE_TICKS = 3


class Patience:
    """The time limits for the requests of one hypervisor, from the usual time of a request."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._usual = 0.0

    def seconds(self, repeats: int) -> float:
        """The time for a request after this many repeats: each repeat may take half as long, so
        that the repeats together take no longer than the first request, and all of them no longer
        than two thirds of the timeout. Before the first complete tick the usual time is unknown.
        """
        longest = self.timeout / 3
        known = max(_LEAST_SECONDS, _USUAL_TIMES * self._usual)
        first = min(known, longest) if self._usual else longest
        if not repeats:
            return first
        return max(first / float(2**repeats), 2 * self._usual, _LEAST_REPEAT_SECONDS)

    def slow_seconds(self) -> float:
        """After this time another request may start beside a request that is still running."""
        return max(_SLOW_SECONDS, 2 * self._usual) if self._usual else self.seconds(0) / 2

    def learn(self, seconds: float) -> None:
        """Notes the longest request of a tick in which none hung. The usual time at most doubles
        in one tick, so that one slow guest does not blunt the policy."""
        ceiling = max(2 * self._usual, _LEAST_SECONDS / _USUAL_TIMES)
        self._usual = min(seconds, ceiling) if self._usual else seconds

    @property
    def attempt_seconds(self) -> float:
        """The age at which a connection attempt or a fetch is given up."""
        return max(2 * self.timeout, _LEAST_ATTEMPT_SECONDS)

    def attempt_age(self, given_up: int) -> float:
        """The age at which one more connection attempt is given up beside those that still hang.

        A peer that lost its power may keep an attempt open for ever, so there is always another
        one. Each costs a thread, so further ones come at ever longer intervals, up to an hour.
        """
        age = self.attempt_seconds * float(2 ** min(20, max(0, given_up - MOST_HANGING + 1)))
        return min(age, max(self.attempt_seconds, _LONGEST_AGE_SECONDS))


def pause_after(pause: float, interval: float = 0.0) -> float:
    """The pause after one more refused connection attempt, with ticks at this interval."""
    by_ticks = min(_LONGEST_PAUSE_BY_TICKS, _LONGEST_TICKS * interval)
    return min(max(_LONGEST_PAUSE, by_ticks), max(1.0, 2 * interval, 2 * pause))
