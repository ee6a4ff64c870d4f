"""What each kind of fault does to the simulated world, and how it ends.

Invariant: a fault ends after its seconds, and leaves only what the engine has to clear up itself.
"""

from __future__ import annotations

from typing import Callable, Optional

from .client import Client, Connection
from .daemon import OTHERS, Daemon, Guest
from .scenario import Fault, Scenario


class World:
    """The daemon and the connections to it; ``pause`` stops the reader of stdout for a while."""

    def __init__(
        self, scenario: Scenario, daemon: Daemon, client: Client, pause: Callable[[float], None]
    ) -> None:
        self._scenario = scenario
        self._daemon = daemon
        self._client = client
        self._pause = pause
        self._muted: dict[Fault, Connection] = {}

    def _guest(self, fault: Fault) -> Optional[Guest]:
        return self._daemon.victim(fault.guest)

    def begin(self, fault: Fault) -> None:
        """The fault begins."""
        self._turn(fault, 1)

    def end(self, fault: Fault) -> None:
        """The fault is over."""
        self._turn(fault, -1)

    def _turn(self, fault: Fault, by: int) -> None:
        kind = fault.kind
        if kind in ("hang", "late", "moment", "lock", "storage", "busy"):
            self._of_guest(fault, by)
        elif kind in ("appear", "vanish", "start", "stop", "xml"):
            if by > 0:
                self._of_life(fault)
        elif kind == "dies":
            if (guest := self._guest(fault)) is not None:
                guest.dies = by > 0
        elif kind in ("error", "rpc", "defect"):
            failing = self._daemon.failing
            (failing.append if by > 0 else failing.remove)(fault)
        elif kind in ("refuse", "silent", "full"):
            refusing = self._client.refusing
            (refusing.append if by > 0 else refusing.remove)(fault)
            if fault.never_ends and by < 0:
                self._client.forget()
            self._client.changed()
        elif kind == "slow":
            self._daemon.slow(by)
        elif kind in ("freeze", "removing"):
            self._stop(fault, by)
        elif kind == "pause":
            self._pause(fault.seconds if by > 0 else 0.0)
        else:
            self._of_connection(fault, by)
        self._daemon.changed()

    def _of_guest(self, fault: Fault, by: int) -> None:
        if fault.kind == "storage":
            for number in fault.neighbours(self._scenario.guests):
                other = self._daemon.victim(number)
                if other is not None:
                    other.dead_storage = max(0, other.dead_storage + by)
            return
        guest = self._guest(fault)
        if guest is None:
            return
        if fault.kind in ("hang", "late", "moment"):
            guest.hangs = max(0, guest.hangs + by)
            if not guest.hangs and guest.job is not OTHERS:
                guest.job = None
        elif fault.kind == "lock":
            guest.locks = max(0, guest.locks + by)
            if guest.locks:
                guest.lock = OTHERS
            elif guest.lock is OTHERS:
                guest.lock = None
        else:
            guest.in_use = max(0, guest.in_use + by)
            if guest.in_use and guest.job is None:
                guest.job = OTHERS
            elif not guest.in_use and guest.job is OTHERS:
                guest.job = None

    def _of_life(self, fault: Fault) -> None:
        guests, guest = self._daemon.guests, self._guest(fault)
        if fault.kind == "appear" and guest is None:
            self._daemon.add(Guest(fault.guest, True))
        elif fault.kind == "appear":
            self._daemon.add(Guest(1000 + len(guests), True))
        elif guest is None:
            return
        elif fault.kind == "vanish":
            self._daemon.remove(guest)
        elif fault.kind in ("start", "stop"):
            guest.running = fault.kind == "start"
        guest = guest or self._guest(fault)
        if guest is not None:
            guest.version += 1

    def _stop(self, fault: Fault, by: int) -> None:
        """All calls wait for a daemon that is stopped. For the removal of a locked domain wait only
        those that look for a domain, so the daemon accepts connections."""
        if fault.kind == "freeze":
            self._daemon.stopped += by
            self._client.changed()
            return
        self._daemon.removing += by
        guest = self._guest(fault)
        if by < 0 and guest is not None:
            self._daemon.remove(guest)

    def _of_connection(self, fault: Fault, by: int) -> None:
        alive = self._client.alive
        if fault.kind == "restart":
            refusing = self._client.refusing
            refuse = Fault(fault.at, "refuse", fault.seconds, fault.guest, "LOST")
            (refusing.append if by > 0 else refusing.remove)(refuse)
            if by > 0:
                self._daemon.discard()
                for connection in alive:
                    self._client.kill(connection)
            self._client.changed()
        elif fault.kind == "lose":
            if by > 0 and alive:
                self._client.kill(alive[fault.guest % len(alive)])
        elif by > 0 and alive:
            self._muted[fault] = alive[fault.guest % len(alive)]
            self._client.mute(self._muted[fault], True)
        elif fault in self._muted:
            self._client.mute(self._muted.pop(fault), False)
