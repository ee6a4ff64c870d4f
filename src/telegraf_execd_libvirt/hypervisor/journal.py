"""What the log says about one hypervisor.

Invariant: each change is logged, with the reason and advice, as often as :mod:`.voice` allows. No
thread, no clock.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Iterable
from typing import Optional

from ..connection.advice import own_daemon, unreachable
from ..connection.client import library_version
from ..connection.errors import LibvirtError, Unreachable
from ..domain.mistakes import Mistake
from ..groups.health import Health
from .feed import Feed
from .links import NO_PLACE
from .messages import Action, Outcome, Plan
from .patience import LATE_TICKS
from .voice import MOST_TIMES, STATE, Voice

#: The largest number of names in one line of the log.
_NAMES_SHOWN = 10

#: Domains may come and go.
_MOST_MISTAKES = 100

#: A shorter pause of the reader of stdout is not worth a message.
_PAUSE_SECONDS = 1.0


class Journal:
    """The log of one hypervisor, and what is counted for its health. It outlives an engine."""

    def __init__(self, plan: Plan) -> None:
        #: What is to be done, in this order; messages are made by the voice.
        self.actions: deque[Action] = deque()
        self.voice = Voice(plan.name, self.actions)
        #: The number of ticks in which the hypervisor could not be read, and that of defects.
        self.errors = self.defects = 0
        self.driver = self.version = ""
        self._plan = plan
        self._library_version = library_version()
        self._connected: Optional[tuple[str, str]] = None
        #: Probable mistakes in the selection that were found.
        self.mistakes: set[Mistake] = set()

    def selection(self, mistakes: Collection[Mistake]) -> None:
        for mistake in mistakes:
            if mistake not in self.mistakes and len(self.mistakes) < _MOST_MISTAKES:
                self.mistakes.add(mistake)
                self.voice.say(logging.WARNING, f"{mistake}")

    def health(self, outcome: Outcome, reconnects: int) -> Health:
        return Health(
            up=outcome.up,
            domains=outcome.domains,
            domains_incomplete=len(outcome.incomplete),
            domains_locked=len(outcome.locked),
            domains_untagged=outcome.untagged,
            collect_time_ns=int(outcome.seconds * 1e9),
            longest_call_time_ns=int(outcome.longest * 1e9),
            calls_hanging=outcome.hanging,
            reconnects=reconnects,
            errors=self.errors,
            defects=self.defects,
            libvirt_version=self._library_version,
            daemon_version=self.version,
        )

    def up(self) -> None:
        daemon = self.driver, self.version
        is_new = daemon != self._connected
        if is_new or self.voice.is_down:
            text = f"connected: {self.connected}"
            self.voice.end(STATE, "" if is_new else text)
            if is_new:
                self._connected = daemon
                self.voice.say(logging.INFO, text)

    @property
    def connected(self) -> str:
        """The driver and the version of the daemon, and whether it is only a user's own."""
        own = own_daemon(self._plan.uri)
        return f"driver {self.driver}, libvirt {self.version}{own and f'; {own}'}"

    def trouble(
        self,
        error: Optional[LibvirtError],
        locked: Optional[Collection[str]],
        hangs: bool,
        connecting: bool,
    ) -> Unreachable:
        """Why nothing was read: an error, locked domains, or (``hangs``) a daemon that does not
        answer; ``connecting``: nor does it answer a connection attempt."""
        within = f"within {self._plan.timeout_text}"
        if error is not None:
            return unreachable(error, self._plan.uri)
        if locked is not None:
            return Unreachable(
                "locked",
                "calls about all domains do not return: libvirt has locked "
                + (f"domain {', '.join(locked)}" if locked else "a domain"),
                "look for an operation that hangs: a start or stop, a hook script, dead storage",
            )
        if hangs:
            text = f"the daemon does not answer {within}"
            return Unreachable(
                "silent", text, f"is it stopped? Or {NO_PLACE}" if connecting else ""
            )
        return Unreachable(
            "silent",
            f"no answer to an attempt to connect {within}",
            f"is the daemon stopped, or the host or the way to it down? Or {NO_PLACE}",
        )

    def ended(
        self,
        outcome: Outcome,
        error: Optional[LibvirtError],
        hanging: bool,
        connecting: bool = False,
    ) -> None:
        """A tick has ended; ``error`` is the one of a batch, ``hanging``: a request hangs,
        ``connecting``: a connection attempt does."""
        trouble = outcome.trouble
        if trouble is not None:
            self.errors += 1
            text = f"cannot be read: {trouble}"
            self.voice.problem(STATE, logging.ERROR, text, trouble.state, MOST_TIMES)
            return
        self.up()
        text = ""
        if outcome.unread:
            reason = f"{error or f'no answer within {self._plan.timeout_text}'}"
            if error is None and connecting:
                reason += f", nor to an attempt to connect beside it; {NO_PLACE}"
            text = f"{outcome.unread} domains not read: {reason}"
        self._warn("unread", text, kind="some")
        text = "a libvirt call is hung; using another connection" if hanging else ""
        if outcome.incomplete:
            text = f"guests not responding: {_shown(outcome.incomplete)}"
        self._warn("hanging", text, "all guests respond again")
        is_empty = not outcome.domains and outcome.existing == 0
        self._warn("empty", "the hypervisor has no domains" if is_empty else "")

    def tick(self, outcome: Outcome, calls: int, feeds: Iterable[Feed]) -> None:
        """Logs what a tick took, and the last fetch of each source."""
        parts = [f"{outcome.domains} domains in {outcome.seconds * 1e3:.0f} ms", f"{calls} calls"]
        parts += [f"{feed.source.name} {feed.fetched.seconds * 1e3:.0f} ms" for feed in feeds]
        self.voice.say(logging.DEBUG, f"tick: {', '.join(parts)}")

    def _warn(self, subject: str, text: str, end: str = "", kind: str = "") -> None:
        """There is a problem, or without a text its ``end``."""
        if text:
            self.voice.problem(subject, logging.WARNING, text, kind, MOST_TIMES)
        elif subject in self.voice.problems:
            self.voice.end(subject, end)

    def locked(self, blocked: bool, names: Collection[str], without_block: bool) -> None:
        """Logs which domains are locked, if that has changed."""
        text = ""
        if names:
            text = "libvirt has locked them, so no other domains can be found"
            text = f"guests locked: {_shown(frozenset(names))}; {text}"
        elif blocked:
            text = (
                "calls about all domains hang: libvirt has locked a domain that is not known or "
                "not selected; reading the known domains"
            )
        self._warn("locked", text, "no guest is locked any more")
        text = "storage hangs for several guests: reading without the group block"
        self._warn("block", text if without_block else "", "reading the group block again")

    def defect(self, text: str) -> None:
        """Counts and logs a defect of this program, which has no end."""
        self.defects += 1
        self.voice.problem("defect", logging.ERROR, text)
        self.voice.end("defect")

    def late(self, seconds: Collection[float]) -> None:
        """Logs that answers arrive after the end of their ticks; these are their seconds."""
        seconds = [each for each in seconds if each > self._plan.timeout]
        if len(seconds) >= LATE_TICKS:
            text = f"a call took {max(seconds):.1f} s, longer than the timeout; the timeout is"
            self._once("late", f"{text} too short for this hypervisor")

    def slow(self, seconds: float) -> None:
        """Logs that a tick arrived before the end of the previous one, in which one batch took this
        long."""
        calls = self._plan.calls
        text = "collecting takes longer than the interval; ticks that come meanwhile count as one"
        how = f"raise parallel_calls (now {calls}) or the interval, or read fewer groups"
        self._once("slow", f"{text}: one batch takes {seconds:.1f} s; {how}")

    def paused(self, seconds: float) -> None:
        if seconds < _PAUSE_SECONDS:
            return
        text = f"stdout was not read for {seconds:.1f} s; the collection waits meanwhile, and ticks"
        self._once("paused", f"{text} count as one")

    def _once(self, subject: str, text: str) -> None:
        self.voice.problem(subject, logging.WARNING, text, kind=subject)


def _shown(names: frozenset[str]) -> str:
    shown = ", ".join(sorted(names)[:_NAMES_SHOWN])
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{shown}{more}"
