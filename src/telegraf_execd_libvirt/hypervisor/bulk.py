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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Optional

from ..domain import Value
from ..duration import format_duration
from ..schema import Group
from . import binding
from .binding import Connection, Handle
from .calls import Call
from .errors import LibvirtError, Meaning
from .parts import Parts
from .session import Session, Unreachable

#: So many guests may hang at once before the others come without the keys that need a monitor.
#: Each call that hangs occupies a worker of the daemon; libvirtd has 20 of them for all clients.
MOST_HANGING = 4

#: Once a call hangs, a further one may take four times as long as usual, and at least this.
_GRACE_SECONDS = 0.2

#: How long calls that hung may take to come to their end when one of them does.
_SETTLE_SECONDS = 0.1

#: libvirt's number for "the driver does not have this call".
_NO_SUPPORT = 3

#: libvirt's way to ask for all groups that the driver has.
_ALL_GROUPS = 0

Records = Sequence[tuple[Handle, dict[str, Value]]]


@dataclass(frozen=True)
class Answer:
    """Statistics by domain, the connection that they came by, to be given back, and the
    monotonic time at which they were asked for.

    ``incomplete`` has the UUIDs of domains that came without the keys that need the monitor.
    """

    records: Records
    connection: Connection
    asked: float
    incomplete: frozenset[str] = field(default_factory=frozenset)


class Bulk:
    """Asks for the groups of all domains, or of those named; with ``everything`` for all groups
    that the driver has, known or not, with ``backing_chain`` for the images behind a disk too."""

    def __init__(
        self,
        session: Session,
        groups: Sequence[Group],
        everything: bool,
        backing_chain: bool,
        domains: Iterable[str],
        timeout: int,
    ) -> None:
        self._session = session
        bits = sum(group.bit for group in groups)
        self._groups = _ALL_GROUPS if everything else bits or None
        self._light_groups = sum(g.bit for g in groups if not g.needs_monitor) or None
        self._backing_chain = backing_chain
        self._proofs = frozenset(group.proof for group in groups if group.proof)
        self._domains = frozenset(domains)
        self._timeout = timeout
        self._hanging: list[Call[Records]] = []
        self._light: Optional[Call[Records]] = None
        self._usual_seconds = 0.0
        self._whole: dict[str, int] = {}
        #: How long a call took that came back whole after it had been left behind, if one did.
        self.late_seconds = 0.0

    def fetch(self) -> Answer:
        """The statistics of this moment; raises Unreachable and LibvirtError."""
        patience = self._timeout / 1e9
        for call in self._hanging:
            if call.done and call.succeeded:
                self.late_seconds = call.seconds
        self._hanging = [call for call in self._hanging if not call.done]
        while len(self._hanging) < MOST_HANGING:
            answer = self._ask(self._groups, patience, self._hanging)
            if answer is not None:
                return self._judged(answer)
            patience = self._grace()
        return self._fetch_light(patience)

    def _fetch_light(self, patience: float) -> Answer:
        """What needs no monitor, of all domains: that is never held up by a guest."""
        if self._light is not None and not self._light.done:
            raise self._unanswered()
        hanging: list[Call[Records]] = []
        answer = self._ask(self._light_groups, patience, hanging)
        if answer is None:
            self._light = hanging[0]
            raise self._unanswered()
        active = (binding.uuid(h) for h, _ in answer.records if binding.is_active(h))
        return replace(answer, incomplete=frozenset(active))

    def _ask(
        self, groups: Optional[int], patience: float, hanging: list[Call[Records]]
    ) -> Optional[Answer]:
        """One call; None if it hangs, which is noted in ``hanging``."""
        deadline = time.monotonic() + patience
        connection = self._session.take(patience)
        call = Call(
            lambda: _ask(connection, groups, self._backing_chain, self._domains), "statistics"
        )
        if not call.wait(max(deadline - time.monotonic(), _GRACE_SECONDS)):
            hanging.append(call)
            self._session.leave(call, connection)
            return None
        try:
            records = call.result()
        except LibvirtError as error:
            if error.meaning is Meaning.LOST:
                self._session.lose(connection)
            else:
                self._session.give(connection)
            raise
        if not self._hanging:
            self._usual_seconds = call.seconds
        return Answer(records, connection, call.started)

    def _judged(self, answer: Answer) -> Answer:
        """The answer with the domains that are incomplete; another one where a call that hung
        has come back meanwhile, for a guest that wakes up is busy with that one first."""
        if not self._hanging:
            self._whole = {binding.name(handle): len(stats) for handle, stats in answer.records}
            return answer
        incomplete = frozenset(
            binding.uuid(handle)
            for handle, stats in answer.records
            if self._is_incomplete(handle, stats)
        )
        if incomplete:
            self._hanging[0].wait(_SETTLE_SECONDS)
            if any(call.done for call in self._hanging):
                self._session.give(answer.connection)
                return self.fetch()
        return replace(answer, incomplete=incomplete)

    def _is_incomplete(self, handle: Handle, stats: dict[str, Value]) -> bool:
        """Whether a domain came with fewer keys than before any call hung. Of one that was not
        seen before, the keys that only a monitor that answers gives tell it."""
        known = self._whole.get(binding.name(handle))
        if known is not None:
            return len(stats) < known
        return binding.is_active(handle) and bool(self._proofs) and self._proofs.isdisjoint(stats)

    def _grace(self) -> float:
        return min(self._timeout / 1e9, max(_GRACE_SECONDS, 4 * self._usual_seconds))

    def _unanswered(self) -> Unreachable:
        return Unreachable(
            "silent", f"the daemon does not answer within {format_duration(self._timeout)}"
        )


def _ask(
    connection: Connection, groups: Optional[int], backing_chain: bool, names: frozenset[str]
) -> Records:
    handles: Optional[list[Handle]] = None
    if names:
        handles = [handle for handle in connection.domains() if binding.name(handle) in names]
    if connection.has_bulk and groups is not None:
        try:
            return Parts(connection, groups, backing_chain).ask(handles)
        except LibvirtError as error:
            if error.code != _NO_SUPPORT:
                raise
            connection.has_bulk = False
    return [(handle, {}) for handle in (connection.domains() if handles is None else handles)]
