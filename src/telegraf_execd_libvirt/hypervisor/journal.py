"""What the log says about one hypervisor.

Invariant: each change is logged once, with the reason and advice. No thread, no clock.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection
from typing import Optional

from ..connection.advice import own_daemon, unreachable
from ..connection.errors import LibvirtError, Unreachable
from ..domain.mistakes import Mistake
from ..log import Told
from .messages import Action, Outcome, Plan, Say
from .patience import LATE_TICKS

#: The largest number of names in one line of the log.
_NAMES_SHOWN = 10

#: Domains may come and go.
_MOST_MISTAKES = 100


class Journal:
    """The log of one hypervisor."""

    def __init__(self, plan: Plan, actions: deque[Action]) -> None:
        #: The number of ticks in which the hypervisor could not be read.
        self.errors = 0
        self.driver = self.version = ""
        self._plan = plan
        self._actions = actions
        #: The states that were logged since the hypervisor was read last; "up" if it is read.
        self._states: set[str] = set()
        self._told = Told()
        #: Probable mistakes in the selection that were found.
        self.mistakes: set[Mistake] = set()

    def selection(self, mistakes: Collection[Mistake]) -> None:
        """Logs each mistake once."""
        for mistake in mistakes:
            if mistake not in self.mistakes and len(self.mistakes) < _MOST_MISTAKES:
                self.mistakes.add(mistake)
                self._say(logging.WARNING, f"{mistake}")

    def _say(self, level: int, text: str) -> None:
        self._actions.append(Say(level, f"{self._plan.name}: {text}"))

    def up(self) -> None:
        """The hypervisor is read."""
        if "up" not in self._states:
            self._state("up", logging.INFO, f"connected: {self.connected}")

    @property
    def connected(self) -> str:
        """The driver and the version of the daemon, and whether it is only a user's own."""
        own = own_daemon(self._plan.uri)
        return f"driver {self.driver}, libvirt {self.version}{own and f'; {own}'}"

    def _state(self, state: str, level: int, text: str) -> None:
        if state in self._states:
            return
        if state == "up" or "up" in self._states:
            self._states.clear()
        self._states.add(state)
        self._say(level, text)

    def trouble(
        self, error: Optional[LibvirtError], locked: Optional[Collection[str]], hangs: bool
    ) -> Unreachable:
        """Why nothing was read: an error, locked domains, or (``hangs``) a daemon that does not
        answer."""
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
            return Unreachable("silent", f"the daemon does not answer {within}")
        return Unreachable(
            "silent",
            f"no answer to an attempt to connect {within}",
            "is the daemon stopped, or the host or the way to it down?",
        )

    def ended(self, outcome: Outcome, error: Optional[LibvirtError], hanging: bool) -> None:
        """A tick has ended; ``error`` is the one of a batch, ``hanging``: a request hangs."""
        trouble = outcome.trouble
        if trouble is not None:
            self.errors += 1
            self._state(trouble.state, logging.ERROR, f"cannot be read: {trouble}")
            return
        self.up()
        if self._told.changed("unread", outcome.unread > 0, False) and outcome.unread:
            reason = error or f"no answer within {self._plan.timeout_text}"
            self._say(logging.WARNING, f"{outcome.unread} domains not read: {reason}")
        self._hanging(outcome.incomplete, hanging)

    def _hanging(self, names: frozenset[str], hanging: bool) -> None:
        if not self._told.changed("hanging", names or hanging, False):
            return
        if names:
            self._say(logging.WARNING, f"guests not responding: {_shown(names)}")
        elif hanging:
            self._say(logging.WARNING, "a libvirt call is hung; using another connection")
        else:
            self._say(logging.INFO, "all guests respond again")

    def locked(self, blocked: bool, names: Collection[str], without_block: bool) -> None:
        """Logs which domains are locked, if that has changed."""
        found = frozenset(names)
        if self._told.changed("locked", (blocked, found), (False, frozenset())):
            if found:
                text = "libvirt has locked them, so no other domains can be found"
                self._say(logging.WARNING, f"guests locked: {_shown(found)}; {text}")
            elif blocked:
                text = "calls about all domains hang: libvirt has locked a domain that is not known"
                self._say(logging.WARNING, f"{text} or not selected; reading the known domains")
            else:
                self._say(logging.INFO, "no guest is locked any more")
        if self._told.changed("block", without_block, False):
            if without_block:
                text = "storage hangs for several guests: reading without the group block"
                self._say(logging.WARNING, text)
            else:
                self._say(logging.INFO, "reading the group block again")

    def defect(self, text: str) -> None:
        """Logs a defect of this program in a request of a tick."""
        if self._told.changed("defect", text):
            self._say(logging.ERROR, text)

    def late(self, seconds: Collection[float]) -> None:
        """Logs that answers arrive after the end of their ticks; these are their seconds."""
        if len(seconds) >= LATE_TICKS:
            text = f"a call took {max(seconds):.1f} s, longer than the timeout; the timeout is"
            self._once("late", f"{text} too short for this hypervisor")

    def slow(self) -> None:
        """Logs that a tick arrived before the end of the previous one."""
        text = "collecting takes longer than the interval; ticks that come meanwhile count as one"
        self._once("slow", text)

    def _once(self, subject: str, text: str) -> None:
        if self._told.changed(subject, True, False):
            self._say(logging.WARNING, text)


def _shown(names: frozenset[str]) -> str:
    shown = ", ".join(sorted(names)[:_NAMES_SHOWN])
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{shown}{more}"
