"""The bulk call, beside whatever hangs.

Rule guarded: a fetch takes the timeout plus a moment at most, the number of calls that hang is
bounded, and the late answer of a call that hung is thrown away.

One guest whose QEMU does not answer its monitor holds a bulk call, for every guest, for as long
as that lasts. While it does, a second call with NOWAIT passes that guest by: it comes with the
keys that need no monitor, the others come whole. So a call that does not come back is left
hanging and another one is made; each call that hangs marks one guest for the next ones.
Where the domains are shared out to several calls, only the share of a guest that hangs is asked
for again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..domain import Domain
from ..log import log
from ..schema import Group
from .calls import Call
from .errors import LibvirtError
from .session import Session, Unreachable
from .shares import GRACE_SECONDS, Names, Share, Shares, Use, together

#: So many guests may hang at once before the others come without the keys that need a monitor.
#: Calls side by side may all hang at once, and so be some more. Each call that hangs occupies a
#: worker of the daemon; libvirtd has 20 of them for all clients.
MOST_HANGING = 4

#: How long calls that hung may take to come to their end when one of them does.
_SETTLE_SECONDS = 0.1

#: libvirt's way to ask for all groups that the driver has.
_ALL_GROUPS = 0


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
        self._shares = Shares(session, backing_chain, domains, parallel_calls)
        bits = sum(group.bit for group in groups)
        self._groups = _ALL_GROUPS if everything else bits or None
        self._light_groups = sum(g.bit for g in groups if not g.needs_monitor) or None
        self._proofs = frozenset(group.proof for group in groups if group.proof)
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
        pending = self._shares.out(deadline - time.monotonic())
        patience = max(GRACE_SECONDS, deadline - time.monotonic())
        shares: list[Share] = []
        try:
            while pending and len(self._hanging) < MOST_HANGING:
                # Where calls hang, each domain has to be looked at.
                alone = not self._hanging and self._parallel_calls == 1
                came, pending = self._shares.ask(
                    pending, self._groups, patience, self._hanging, use if alone else None
                )
                shares += came
                if not self._hanging:
                    self._usual_seconds = self._shares.seconds
                patience = self._grace()
            if pending:
                light = self._fetch_light(pending, patience)
                active = frozenset(domain.name for domain in light.domains if domain.active)
                return Answer([*shares, light], active | self._incomplete(shares))
        except LibvirtError:
            self._shares.give(shares)
            raise
        except Unreachable as trouble:
            if not shares:
                raise
            log.debug("%d shares of the domains are missing: %s", len(pending), trouble)
        return self._judged(shares)

    def _fetch_light(self, pending: Sequence[Names], patience: float) -> Share:
        """What needs no monitor, of all domains that are left: that no guest ever holds up."""
        if self._light is not None and not self._light.done:
            raise self._session.unanswered()
        hanging: list[Call[Any]] = []
        shares, _ = self._shares.ask([together(pending)], self._light_groups, patience, hanging)
        if not shares:
            self._light = hanging[0]
            raise self._session.unanswered()
        return shares[0]

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
                self._shares.give(shares)
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
        return min(self._timeout / 1e9, max(GRACE_SECONDS, 4 * self._usual_seconds))
