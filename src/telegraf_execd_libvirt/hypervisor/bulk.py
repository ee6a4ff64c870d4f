"""The bulk call, beside whatever hangs.

Rule guarded: a fetch takes the timeout plus a moment at most, the number of calls that hang is
bounded, and the late answer of a call that hung is thrown away.

One guest whose QEMU does not answer its monitor holds a bulk call, for every guest, for as long
as that lasts. While it does, a second call with NOWAIT passes that guest by: it comes with the
keys that need no monitor, the others come whole. So a call that does not come back is left
hanging and another one is made; each call that hangs marks one guest for the next ones.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Iterable, Optional, Sequence

from ..domain import Value
from ..duration import format_duration
from . import binding
from .binding import Connection, Handle
from .calls import Call
from .session import Unreachable

#: libvirtd works on 5 calls of a client at once; one place is kept for calls that do answer.
MOST_HANGING = 4

#: Once a call hangs, a further one may take four times as long as usual, and at least this.
_GRACE_SECONDS = 0.25

#: How long calls that hung may take to come to their end when one of them does.
_SETTLE_SECONDS = 0.1

Records = Sequence[tuple[Handle, dict[str, Value]]]


@dataclass(frozen=True)
class Answer:
    """Statistics by domain; ``incomplete`` has the UUIDs of those that came without the keys
    that need the monitor."""

    records: Records
    incomplete: frozenset[str] = field(default_factory=frozenset)


class Bulk:
    """Asks for the groups of all domains, or of those named.

    ``light_groups`` are those of the groups for which no guest's monitor is asked.
    """

    def __init__(
        self, groups: int, light_groups: int, domains: Iterable[str], timeout: int
    ) -> None:
        self._groups = groups
        self._light_groups = light_groups
        self._domains = frozenset(domains)
        self._timeout = timeout
        self._hanging: list[Call[Records]] = []
        self._silent = False
        self._usual_seconds = 0.0
        self._whole: dict[str, int] = {}

    @property
    def hanging(self) -> int:
        """How many calls hang now."""
        return sum(not call.done for call in self._hanging)

    def fetch(self, connection: Connection) -> Answer:
        """The statistics of this moment; raises Unreachable where the daemon does not answer,
        and LibvirtError."""
        before = len(self._hanging)
        self._hanging = [call for call in self._hanging if not call.done]
        if self._silent and len(self._hanging) == before and connection.alive():
            raise self._unanswered()
        self._silent = False
        if len(self._hanging) >= MOST_HANGING:
            return self._fetch_beside(connection, self._timeout / 1e9)
        call = self._call(connection, self._groups)
        if not call.wait(self._timeout / 1e9):
            self._hanging.append(call)
            return self._fetch_beside(connection, self._grace())
        records = call.result()
        if not self._hanging:
            self._usual_seconds = call.seconds
            self._whole = {binding.uuid(handle): len(stats) for handle, stats in records}
            return Answer(records)
        if self._incomplete(records) and self._settled():
            return self.fetch(connection)
        return Answer(records, self._incomplete(records))

    def _fetch_beside(self, connection: Connection, patience: float) -> Answer:
        """Asks while calls hang: for everything as often as that may be, and for what needs no
        monitor, which tells a daemon that hangs from a guest that does."""
        probe = self._call(connection, self._light_groups)
        while len(self._hanging) < MOST_HANGING:
            call = self._call(connection, self._groups)
            if call.wait(patience):
                self._hanging.append(probe)
                return Answer(call.result(), self._incomplete(call.result()))
            self._hanging.append(call)
            if not probe.done:
                break
        if not probe.wait(patience):
            self._hanging.append(probe)
            self._silent = True
            raise self._unanswered()
        records = probe.result()
        return Answer(records, frozenset(binding.uuid(handle) for handle, _ in records))

    def _call(self, connection: Connection, groups: int) -> Call[Records]:
        domains = self._domains

        def ask() -> Records:
            handles: Optional[list[Handle]] = None
            if domains:
                handles = [h for h in connection.domains() if binding.name(h) in domains]
            if not groups:
                return [(h, {}) for h in (connection.domains() if handles is None else handles)]
            return connection.statistics(handles, groups)

        return Call(ask, "statistics")

    def _settled(self) -> bool:
        """Whether a call that hung has come back meanwhile; it gives the others a moment, for
        a guest that wakes up is busy with them first."""
        self._hanging[0].wait(_SETTLE_SECONDS)
        return any(call.done for call in self._hanging)

    def _grace(self) -> float:
        return min(self._timeout / 1e9, max(_GRACE_SECONDS, 4 * self._usual_seconds))

    def _unanswered(self) -> Unreachable:
        return Unreachable(
            "silent", f"the daemon does not answer within {format_duration(self._timeout)}"
        )

    def _incomplete(self, records: Records) -> frozenset[str]:
        """The domains that came with fewer keys than before any call hung."""
        return frozenset(
            uuid
            for uuid, stats in ((binding.uuid(handle), stats) for handle, stats in records)
            if len(stats) < self._whole.get(uuid, 0)
        )
