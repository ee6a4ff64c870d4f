"""The bulk call, beside whatever hangs.

Rule guarded: a fetch takes the timeout plus a moment at most, the number of calls that hang is
bounded, and the late answer of a call that hung is thrown away.

One guest whose QEMU does not answer its monitor holds a bulk call, for every guest, for as long
as that lasts. While it does, a second call with NOWAIT passes that guest by: it comes with the
keys that need no monitor, the others come whole. So a call that does not come back is left
hanging and another one is made; each call that hangs marks one guest for the next ones.

The daemon works a call off domain by domain, so the domains may be shared out to several calls,
side by side on connections of their own; only the share of a guest that hangs is asked for again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

from ..domain import Domain
from ..duration import format_duration
from ..log import log
from ..schema import Group
from . import binding
from .binding import Connection, Handle
from .calls import Call, T
from .errors import LibvirtError, Meaning
from .parts import Parts
from .session import Session, Unreachable

#: So many guests may hang at once before the others come without the keys that need a monitor.
#: Calls side by side may all hang at once, and so be some more. Each call that hangs occupies a
#: worker of the daemon; libvirtd has 20 of them for all clients.
MOST_HANGING = 4

#: Once a call hangs, a further one may take four times as long as usual, and at least this.
_GRACE_SECONDS = 0.2

#: How long calls that hung may take to come to their end when one of them does.
_SETTLE_SECONDS = 0.1

#: libvirt's number for "the driver does not have this call".
_NO_SUPPORT = 3

#: libvirt's way to ask for all groups that the driver has.
_ALL_GROUPS = 0

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


@dataclass(frozen=True)
class Answer:
    """The shares of all domains, and the names of those that came without the keys that need the
    monitor."""

    shares: Sequence[Share]
    incomplete: frozenset[str]


class Bulk:
    """Asks for the groups of all domains, or of those named; with ``everything`` for all groups
    that the driver has, known or not, with ``backing_chain`` for the images behind a disk too,
    by ``parallel_calls`` at once."""

    def __init__(
        self,
        session: Session,
        groups: Sequence[Group],
        everything: bool,
        backing_chain: bool,
        domains: Iterable[str],
        timeout: int,
        parallel_calls: int,
    ) -> None:
        self._session = session
        bits = sum(group.bit for group in groups)
        self._groups = _ALL_GROUPS if everything else bits or None
        self._light_groups = sum(g.bit for g in groups if not g.needs_monitor) or None
        self._backing_chain = backing_chain
        self._proofs = frozenset(group.proof for group in groups if group.proof)
        self._domains = frozenset(domains)
        self._timeout = timeout
        self._parallel_calls = parallel_calls
        self._hanging: list[Call[Any]] = []
        self._light: Optional[Call[Any]] = None
        self._usual_seconds = 0.0
        self._whole: dict[str, int] = {}
        #: How long a call took that came back whole after it had been left behind, if one did.
        self.late_seconds = 0.0

    def fetch(self, use: Optional[Use] = None) -> Answer:
        """The statistics of this moment; raises Unreachable and LibvirtError.

        ``use`` may be called for them where one call has them all. A host's statistics are more
        than a processor's cache holds next to it: going through them in another thread, on
        another processor, takes half as long again.
        """
        deadline = time.monotonic() + self._timeout / 1e9
        for call in self._hanging:
            if call.done and call.succeeded:
                self.late_seconds = call.seconds
        self._hanging = [call for call in self._hanging if not call.done]
        pending = self._shared_out(deadline - time.monotonic())
        patience = max(_GRACE_SECONDS, deadline - time.monotonic())
        shares: list[Share] = []
        try:
            while pending and len(self._hanging) < MOST_HANGING:
                # Where calls hang, each domain has to be looked at.
                alone = not self._hanging and self._parallel_calls == 1
                came, pending = self._ask(
                    pending, self._groups, patience, self._hanging, use if alone else None
                )
                shares += came
                patience = self._grace()
            if pending:
                light = self._fetch_light(pending, patience)
                active = frozenset(domain.name for domain in light.domains if domain.active)
                return Answer([*shares, light], active | self._incomplete(shares))
        except LibvirtError:
            self._give(shares)
            raise
        except Unreachable as trouble:
            if not shares:
                raise
            log.debug("%d shares of the domains are missing: %s", len(pending), trouble)
        return self._judged(shares)

    def _shared_out(self, patience: float) -> list[Names]:
        """The domains, each in one of as many shares as there are calls to make at once."""
        wanted = sorted(self._domains) or None
        if self._parallel_calls == 1:
            return [wanted]
        connection = self._session.take(patience)
        call = Call(lambda: _names(connection, wanted), "list")
        if not call.wait(max(patience, _GRACE_SECONDS)):
            self._session.leave(call, connection)
            raise self._unanswered()
        names = self._result(call, connection)
        self._session.give(connection)
        count = max(1, min(self._parallel_calls, len(names)))
        # One after the other, so that all of them come in libvirt's own order.
        bounds = [len(names) * n // count for n in range(count + 1)]
        return [names[start:end] for start, end in zip(bounds, bounds[1:])]

    def _fetch_light(self, pending: Sequence[Names], patience: float) -> Share:
        """What needs no monitor, of all domains that are left: that no guest ever holds up."""
        if self._light is not None and not self._light.done:
            raise self._unanswered()
        hanging: list[Call[Any]] = []
        shares, _ = self._ask([_together(pending)], self._light_groups, patience, hanging)
        if not shares:
            self._light = hanging[0]
            raise self._unanswered()
        return shares[0]

    def _ask(
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
            for connection, names in zip(
                connections, [*pending[:spare], _together(pending[spare:])]
            )
        ]
        deadline = max(deadline, time.monotonic() + _GRACE_SECONDS)
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
            self._give(shares)
            raise trouble
        if not self._hanging:
            self._usual_seconds = max(call.seconds for _, _, call in calls)
        return shares, left

    def _connections(self, count: int, patience: float) -> list[Connection]:
        """So many connections, or fewer where the daemon gives no more, but one."""
        connections = [self._session.take(patience)]
        try:
            while len(connections) < count:
                connections.append(self._session.take(_GRACE_SECONDS))
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

    def _give(self, shares: Iterable[Share]) -> None:
        for share in shares:
            self._session.give(share.connection)

    def _judged(self, shares: Sequence[Share]) -> Answer:
        """The answer with the domains that are incomplete; another one where a call that hung
        has come back meanwhile, for a guest that wakes up is busy with that one first."""
        if not self._hanging:
            self._whole = dict(item for share in shares for item in share.sizes.items())
            return Answer(shares, frozenset())
        incomplete = self._incomplete(shares)
        if incomplete:
            self._hanging[0].wait(_SETTLE_SECONDS)
            if any(call.done for call in self._hanging):
                self._give(shares)
                return self.fetch()
        return Answer(shares, incomplete)

    def _incomplete(self, shares: Iterable[Share]) -> frozenset[str]:
        return frozenset(
            domain.name
            for share in shares
            for domain in share.domains
            if self._is_incomplete(domain)
        )

    def _is_incomplete(self, domain: Domain) -> bool:
        """Whether a domain came with fewer keys than before any call hung. Of one that was not
        seen before, the keys that only a monitor that answers gives tell it."""
        known = self._whole.get(domain.name)
        if known is not None:
            return len(domain.stats) < known
        return domain.active and bool(self._proofs) and self._proofs.isdisjoint(domain.stats)

    def _grace(self) -> float:
        return min(self._timeout / 1e9, max(_GRACE_SECONDS, 4 * self._usual_seconds))

    def _unanswered(self) -> Unreachable:
        return Unreachable(
            "silent", f"the daemon does not answer within {format_duration(self._timeout)}"
        )


def _together(shares: Sequence[Names]) -> Names:
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
