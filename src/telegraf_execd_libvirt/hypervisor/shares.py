"""The domains, shared out to calls side by side.

Rule guarded: each domain is in one share, in libvirt's order, and a call that hangs keeps from
coming only the share that it was made for.

The daemon works a call off domain by domain, some milliseconds for each, so that several calls,
each on a connection of its own, bring the same domains sooner.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

from ..domain import Domain
from ..log import log
from . import binding
from .binding import Connection, Handle
from .calls import Call, T
from .errors import LibvirtError, Meaning
from .parts import Parts
from .session import Session, Unreachable

#: What a call may take at least, however little time is left.
GRACE_SECONDS = 0.2

#: libvirt's number for "the driver does not have this call".
_NO_SUPPORT = 3

#: The domains of a share by their names; None for all that there are.
Names = Optional[Sequence[str]]

#: Makes of the domains of an answer what is wanted of them, in the call's own thread; given the
#: connection, the monotonic time at which they were asked for, and what was made of the answers
#: before. None where it cannot.
Use = Callable[[Iterable[Domain], Connection, float, Any], Any]


@dataclass(frozen=True)
class Share:
    """What one call brought: domains, the connection that they came by, to be given back, and
    the monotonic time at which they were asked for; or what was made of the domains instead.

    ``sizes`` has the number of keys of each domain, by its name.
    """

    domains: list[Domain]
    sizes: dict[str, int]
    connection: Connection
    asked: float
    used: Any = None


class Shares:
    """Asks for all domains, or for those named, by ``parallel_calls`` at once; with
    ``backing_chain`` for the images behind a disk too."""

    def __init__(
        self, session: Session, backing_chain: bool, domains: Iterable[str], parallel_calls: int
    ) -> None:
        self._session = session
        self._backing_chain = backing_chain
        self._domains = frozenset(domains)
        self._parallel_calls = parallel_calls
        self._listing: Optional[Call[list[str]]] = None
        #: How long the longest of the calls took that were asked at last, where all came back.
        self.seconds = 0.0

    def out(self, patience: float) -> list[Names]:
        """The domains, each in one of as many shares as there are calls to make at once."""
        wanted = sorted(self._domains) or None
        if self._parallel_calls == 1:
            return [wanted]
        if self._listing is not None and not self._listing.done:
            raise self._session.unanswered()
        connection = self._session.take(patience)
        call = self._listing = Call(lambda: _names(connection, wanted), "list")
        if not call.wait(max(patience, GRACE_SECONDS)):
            self._session.leave(call, connection)
            raise self._session.unanswered()
        names = self._result(call, connection)
        self._session.give(connection)
        count = max(1, min(self._parallel_calls, len(names)))
        # One after the other, so that all of them come in libvirt's own order.
        bounds = [len(names) * n // count for n in range(count + 1)]
        return [names[start:end] for start, end in zip(bounds, bounds[1:])]

    def ask(
        self,
        pending: Sequence[Names],
        groups: Optional[int],
        patience: float,
        hanging: list[Call[Any]],
        use: Optional[Use] = None,
    ) -> tuple[list[Share], list[Names]]:
        """A call for each of these shares, side by side; what came, and the shares whose calls
        hang, which is noted in ``hanging``."""
        deadline = time.monotonic() + patience
        connections = self._connections(len(pending), patience)
        spare = len(connections) - 1
        calls = [
            (connection, names, self._call(connection, groups, names, use))
            for connection, names in zip(connections, [*pending[:spare], together(pending[spare:])])
        ]
        deadline = max(deadline, time.monotonic() + GRACE_SECONDS)
        shares: list[Share] = []
        left: list[Names] = []
        trouble: Optional[LibvirtError] = None
        for connection, names, call in calls:
            if not call.wait(deadline - time.monotonic()):
                hanging.append(call)
                self._session.leave(call, connection)
                left.append(names)
                continue
            try:
                shares.append(self._result(call, connection))
            except LibvirtError as error:
                trouble = trouble or error
        if trouble is not None:
            self.give(shares)
            raise trouble
        if not left:
            self.seconds = max(call.seconds for _, _, call in calls)
        return shares, left

    def give(self, shares: Iterable[Share]) -> None:
        """Gives the connections of shares back whose domains nobody will ask about."""
        for share in shares:
            self._session.give(share.connection)

    def _connections(self, count: int, patience: float) -> list[Connection]:
        """So many connections, or fewer where the daemon gives no more, but one."""
        connections = [self._session.take(patience)]
        try:
            while len(connections) < count:
                connections.append(self._session.take(GRACE_SECONDS))
        except Unreachable as trouble:
            log.debug("%d connections of %d: %s", len(connections), count, trouble)
        return connections

    def _call(
        self,
        connection: Connection,
        groups: Optional[int],
        names: Names,
        use: Optional[Use],
    ) -> Call[Share]:
        def ask() -> Share:
            asked = time.monotonic()
            share = Share([], {}, connection, asked)
            used: Any = None
            for domains in _ask(connection, groups, self._backing_chain, names):
                share.sizes.update({domain.name: len(domain.stats) for domain in domains})
                used = use(handed_over(domains), connection, asked, used) if use else None
                if used is None:
                    share.domains.extend(domains)
            return replace(share, used=used)

        return Call(ask, "statistics")

    def _result(self, call: Call[T], connection: Connection) -> T:
        """What a call brought that has ended; where it failed, its connection is given back."""
        try:
            return call.result()
        except LibvirtError as error:
            if error.meaning is Meaning.LOST:
                self._session.lose(connection)
            else:
                self._session.give(connection)
            raise
        except Exception:
            self._session.give(connection)
            raise


def together(shares: Sequence[Names]) -> Names:
    """One share of all of these."""
    if any(names is None for names in shares):
        return None
    return [name for names in shares for name in names or ()]


def _names(connection: Connection, wanted: Names) -> list[str]:
    return [binding.name(handle) for handle in _handles(connection, wanted)]


def _handles(connection: Connection, wanted: Names) -> list[Handle]:
    """The domains with these names, in libvirt's order."""
    handles = connection.domains()
    if wanted is None:
        return handles
    names = frozenset(wanted)
    return [handle for handle in handles if binding.name(handle) in names]


def _ask(
    connection: Connection, groups: Optional[int], backing_chain: bool, names: Names
) -> Iterator[list[Domain]]:
    """The domains, answer by answer; without statistics where the driver has none in bulk."""
    handles = None if names is None else _handles(connection, names)
    if connection.has_bulk and groups is not None:
        try:
            yield from Parts(connection, groups, backing_chain).ask(handles)
            return
        except LibvirtError as error:
            if error.code != _NO_SUPPORT:
                raise
            connection.has_bulk = False
    handles = connection.domains() if handles is None else handles
    yield [binding.domain(handle, {}) for handle in handles]


def handed_over(domains: list[Domain]) -> Iterator[Domain]:
    """Each of the domains in turn, which the list has no more then: whoever drops it as well
    takes it apart while the processor's cache still holds it."""
    domains.reverse()
    while domains:
        yield domains.pop()
