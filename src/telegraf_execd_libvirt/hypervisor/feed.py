"""One source of one hypervisor: when it is due, what its last fetch brought, and its state.

Invariant: each change is logged, as often as :mod:`.voice` allows. No thread, no clock.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Optional

from ..config.values import format_duration
from ..connection.advice import advice
from ..connection.errors import ErrorKind, LibvirtError
from ..groups.health import SourceHealth
from ..sources.source import Settings, Source
from .messages import Link, Plan
from .patience import FETCH_GRACE_SECONDS, Backoff
from .voice import Voice

#: A tick may come early by this part of the interval.
_EARLY = 0.05

#: Limits that the log names for one source; guests may come and go.
_MOST_LIMITS = 1_000


@dataclass(eq=False)
class Turn:
    """The share of one lane in a fetch of a source, for a tick that ``began`` at this monotonic
    time. ``hung``: it hangs; ``abandoned``: its answer is no longer wanted; ``locked``: it waits
    for the lock of a domain, which is no failure of the source."""

    feed: Feed
    lane: int
    timestamp: int
    began: float
    link: Optional[Link] = None
    hung: bool = False
    abandoned: bool = False
    locked: bool = False

    @property
    def at(self) -> str:
        """The domain whose call is running; empty if there is none."""
        return self.link.progress.at if self.link is not None else ""


@dataclass
class Result:
    """The outcome of a turn. ``lost``: the connection was lost or not made; ``worked``: a call
    succeeded; ``failed``: the source fails, even if other turns succeeded; ``is_reported``: the
    hypervisor reports the problem."""

    records: int = 0
    seconds: float = 0.0
    error: Optional[LibvirtError] = None
    lost: bool = False
    worked: bool = False
    failed: bool = False
    is_reported: bool = False
    counted: int = 0


class Feed:
    """One source with its settings. ``number`` is its position in the plan."""

    def __init__(
        self,
        number: int,
        source: Source,
        settings: Settings,
        plan: Plan,
        backoff: Backoff,
        voice: Voice,
    ) -> None:
        self.number = number
        self.source = source
        self.settings = settings
        self.timeout = settings.timeout / 1e9
        #: After this time a call hangs, or there is no turn.
        self.seconds = self.timeout + FETCH_GRACE_SECONDS
        self.fetches = [source.new() for _ in range(source.lanes)]
        #: The turns that have not ended, also those that are abandoned.
        self.turns: list[Turn] = []
        #: The last result of each lane.
        self.last: dict[int, Result] = {}
        #: When a turn was queued, and when one was handed to a connection.
        self.asked: Optional[float] = None
        self.served = -inf
        self.errors = self.dropped = 0
        #: The problem there is, or "up"; why the last fetch failed, and what helps.
        self.state = "up"
        self.error = self.help = ""
        self._plan = plan
        self._backoff = backoff
        self._voice = voice
        #: What the log has said of limits, and of what is missing although calls succeed.
        self.limits: set[str] = set()

    @property
    def up(self) -> bool:
        return self.state == "up"

    @property
    def busy(self) -> bool:
        """Whether a turn waits, or runs and does not hang."""
        return any(not turn.hung for turn in self.turns)

    @property
    def supported(self) -> bool:
        """Whether the driver has the calls of the last fetch."""
        errors = (result.error for result in self.last.values())
        return not any(error and error.kind is ErrorKind.UNSUPPORTED for error in errors)

    @property
    def fetched(self) -> Result:
        """The last fetch: the sum of its turns."""
        last = self.last.values()
        return Result(
            records=sum(result.records for result in last),
            seconds=max((result.seconds for result in last), default=0.0),
            counted=sum(result.counted for result in last),
        )

    def is_due(self, now: float) -> bool:
        interval = self.settings.interval / 1e9 * (1 - _EARLY)
        is_time = self.asked is None or now - self.asked >= interval
        return is_time and self._plan.only is None and self._backoff.allows(now)

    def health(self) -> Optional[SourceHealth]:
        """The health after the last fetch; None before the end of the first one."""
        hanging, fetched = sum(turn.hung for turn in self.turns), self.fetched
        if not self.last and not hanging and self.up:
            return None
        return SourceHealth(
            source=self.source.name,
            up=self.up,
            records=fetched.records,
            collect_time_ns=int(fetched.seconds * 1e9),
            errors=self.errors,
            hanging=hanging,
            dropped=self.dropped,
            counted=fetched.counted if self.source.counts else None,
        )

    def drop(self, dropped: Mapping[str, int]) -> None:
        """Counts what limits have left out; each text is logged once."""
        for text, count in dropped.items():
            self.dropped += count
            if text not in self.limits and len(self.limits) < _MOST_LIMITS:
                self.limits.add(text)
                self._voice.say(logging.WARNING, f"{self.source.name}: {text}")

    def judge(self, now: float) -> None:
        """The state after a turn has ended or is found to hang. Failed calls for domains do not
        count if others succeeded."""
        if hung := [turn for turn in self.turns if turn.hung and not turn.locked]:
            names = ", ".join(sorted({turn.at for turn in hung} - {""}))
            of = f" for domain {names}" if names else ""
            text = f"no answer within {format_duration(self.settings.timeout)}{of}"
            self.set("hanging", text, quiet=not names and self._voice.is_down)
        if any(not turn.abandoned for turn in self.turns):
            return
        worked = any(result.worked for result in self.last.values())
        bad = (r for r in self.last.values() if r.error and (r.failed or not worked))
        result = next(bad, Result())
        error, lost = result.error, result.lost
        if error is None:
            self._backoff.succeeded()
            if not hung:
                self.set("up")
            return
        kind = error.kind
        if kind in (ErrorKind.DENIED, ErrorKind.WRONG_URI) or (kind is ErrorKind.LOST and not lost):
            self._backoff.wait(now)
        if lost:
            self.asked = None  # again at the next tick
        if not hung:
            quiet = result.is_reported or self._voice.is_down or (lost and self.source.read_only)
            help = self._advice(error)
            # The words for a lost connection depend on the moment.
            words = "" if kind is ErrorKind.LOST else error.message
            self.set(f"{kind.name} {words} {help}", error.message, help, quiet)

    def _advice(self, error: LibvirtError) -> str:
        refused = error.kind is ErrorKind.DENIED or error.errno in (errno.EACCES, errno.EPERM)
        if refused and self.source.advice and not error.action:
            return self.source.advice
        return advice(error, self._plan.uri)

    def set(self, state: str, error: str = "", help: str = "", quiet: bool = False) -> None:
        """Sets the state; a change is logged. ``quiet``: the hypervisor reports the problem."""
        before, self.state, self.error, self.help = self.state, state, error, help
        if state == before:
            return
        name = self.source.name
        if self.up and name in self._voice.problems:
            self._voice.end(name, f"{name}: works again")
        elif self.up:
            self._voice.say(logging.DEBUG, f"{name}: works again")
        else:
            text = f"{name}: {error}; {help}" if help else f"{name}: {error}"
            if quiet:
                self._voice.say(logging.DEBUG, text)
            else:
                kind = "" if state == "hanging" else state  # another domain that hangs is news
                self._voice.problem(name, logging.WARNING, text, kind)
