"""What bulk statistics do not have, asked domain by domain.

Rule guarded: where bulk statistics have all that is wanted, nothing is asked; and a call that
hangs on one domain keeps no other one's keys from coming in the same tick.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from ..log import log
from ..schema import Group
from .binding import Connection
from .domain_calls import DomainCalls
from .drivers import FILLED, has_in_bulk
from .session import Session, Unreachable
from .shares import Share
from .sweep import Sweep, Sweeper

#: What a sweep may take where the bulk call has used up the timeout.
_LEAST_SECONDS = 0.25


class Supplements:
    """Fills the groups that a driver's bulk statistics lack, and with ``mapping`` the mapping of
    vCPUs, which none has."""

    def __init__(
        self, session: Session, groups: Sequence[Group], mapping: bool, timeout: int
    ) -> None:
        self._session = session
        self._groups = groups
        self._mapping = mapping
        self._timeout = timeout
        self._sweeper = Sweeper()

    def wanted(self, connection: Connection) -> bool:
        """Whether there is anything to ask for by this connection."""
        return self._mapping or bool(self._lacking(connection))

    def ask(self, shares: Sequence[Share], seconds: float) -> list[Sweep]:
        """What bulk statistics do not have of each share's domains; raises LibvirtError where a
        connection dies."""
        lacking = self._lacking(shares[0].connection)
        if not lacking and not self._mapping:
            return [Sweep()] * len(shares)
        sweeps = self._sweeper.sweep(
            [
                (share.domains, DomainCalls(share.connection, lacking, self._mapping).ask)
                for share in shares
            ],
            max(seconds, _LEAST_SECONDS),
        )
        errors = [sweep.error for sweep in sweeps if sweep.error]
        if errors:
            for share, sweep in zip(shares, sweeps):
                if sweep.error:
                    self._session.lose(share.connection)
                elif sweep.left:
                    self._session.leave(sweep.left, share.connection)
                else:
                    self._session.give(share.connection)
            raise errors[0]
        return [self._go_on(sweep, lacking) for sweep in sweeps]

    def _go_on(self, sweep: Sweep, lacking: Sequence[Group]) -> Sweep:
        """The same sweep with the domains whose turn did not come, by way of another connection
        than the one in which a call hangs."""
        found, missing, last, asked = dict(sweep.found), sweep.missing, sweep, sweep.asked
        while last.rest:
            grace = min(self._timeout / 1e9, self._sweeper.grace)
            try:
                connection = self._session.take(grace)
            except Unreachable as trouble:
                log.debug("%d domains are not asked: %s", len(last.rest), trouble)
                break
            begun = time.monotonic()
            calls = DomainCalls(connection, lacking, self._mapping)
            rest = frozenset(domain.name for domain in last.rest)
            [last] = self._sweeper.sweep([(last.rest, calls.ask_anew)], grace)
            if last.error:
                self._session.lose(connection)
                break
            if last.left:
                self._session.leave(last.left, connection)
            else:
                self._session.give(connection)
            if last.found:
                found.update(last.found)
                asked = begun
            missing = missing - rest | last.missing
        return replace(sweep, found=found, missing=missing, asked=asked)

    def _lacking(self, connection: Connection) -> list[Group]:
        """The wanted groups that this driver's bulk statistics do not have."""
        return [
            group
            for group in self._groups
            if group.name in FILLED
            and not (connection.has_bulk and has_in_bulk(connection.driver, group.name))
        ]
