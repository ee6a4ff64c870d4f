"""One hypervisor as a source of statistics, whatever becomes of its daemon.

Rule guarded: a fetch always comes to an end and never raises for what libvirt does; a change of
the hypervisor's state is logged once, with the reason and what helps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..config import HypervisorConfig
from ..domain import Domain
from ..groups import health, vcpu_mapping
from ..health import INCOMPLETE, Health
from ..log import log
from ..output import Buffer
from ..uri import redact
from . import binding
from .binding import Connection
from .bulk import Bulk
from .errors import LibvirtError, Meaning
from .session import Session, Unreachable
from .supplements import Supplements
from .vcpu_mapping import drop_strays

#: A connection that was lost can be made again at once; and one guest whose QEMU dies under a call
#: makes it fail for all guests. Asking again in the same tick, nothing is lost.
_WORTH_ANOTHER_CALL = (Meaning.LOST, Meaning.FAILED, Meaning.BUSY)

#: More names than these do not help in one line of the log.
_NAMES_SHOWN = 10


#: Makes lines of domains; given how many seconds after the beginning they were asked for, and the
#: lines of others that these are to be added to.
Encode = Callable[[Iterable[Domain], float, Optional[Buffer]], Buffer]


@dataclass(frozen=True)
class Snapshot:
    """What one reading of a hypervisor brought: domains, or lines where an encoder was given.

    ``incomplete`` has the names of domains that did not answer, ``late`` is how many seconds after
    the beginning the call was made that brought it, for others may have hung before.
    """

    driver: str
    version: str
    count: int
    domains: Sequence[Domain]
    lines: Optional[Buffer]
    incomplete: frozenset[str]
    late: float


class Hypervisor:
    """Reads the statistics of the wanted domains of one hypervisor."""

    def __init__(self, config: HypervisorConfig, name: str) -> None:
        self.name = f"{name} ({redact(config.libvirt_uri)})"
        self._uri = config.libvirt_uri
        self._timeout = config.timeout
        self._session = Session(
            config.libvirt_uri, config.timeout, config.bulk_statistics, config.parallel_calls
        )
        self._bulk = Bulk(
            self._session,
            groups=config.groups,
            everything=config.full and config.statistics_groups is None,
            backing_chain=config.backing_chain,
            domains=config.domains,
            timeout=config.timeout,
            parallel_calls=config.parallel_calls,
        )
        self._supplements = Supplements(
            self._session,
            groups=config.groups,
            mapping=vcpu_mapping.GROUP in config.additions,
            timeout=config.timeout,
        )
        self._with_health = health.GROUP in config.additions
        self.health = Health(binding.library_version())
        self._state = ""
        self._told_late = False
        self._held_up: tuple[bool, frozenset[str]] = (False, frozenset())

    def fetch(self, encode: Optional[Encode] = None) -> Optional[Snapshot]:
        """The statistics of this moment, or None; what is wrong then is in the log."""
        try:
            snapshot = self.read(encode)
        except Unreachable as trouble:
            self.health.errors += 1
            self._tell(trouble.state, f"cannot be read: {trouble}")
            return None
        finally:
            self.health.reconnects = self._session.reconnects
            self.health.calls_hanging = self._session.hanging
            self._tell_late()
        self.health.daemon_version = snapshot.version
        self._tell("up", f"connected: driver {snapshot.driver}, libvirt {snapshot.version}")
        self._tell_held_up(snapshot.incomplete)
        return snapshot

    def read(self, encode: Optional[Encode] = None) -> Snapshot:
        """The statistics of this moment; raises Unreachable."""
        started = time.monotonic()
        try:
            try:
                return self._read(started, encode)
            except LibvirtError as error:
                if error.meaning not in _WORTH_ANOTHER_CALL:
                    raise
                log.debug("%s: asking again after: %s", self.name, error.message)
                return self._read(started, encode)
        except LibvirtError as error:
            raise Unreachable.by(error, self._uri) from None

    def _read(self, started: float, encode: Optional[Encode]) -> Snapshot:
        def use(domains: Iterable[Domain], connection: Connection, asked: float, used: Any) -> Any:
            if encode is None or self._supplements.wanted(connection):
                return None
            return encode(domains, asked - started, used)

        deadline = started + self._timeout / 1e9
        answer = self._bulk.fetch(use)
        sweeps = self._supplements.ask(answer.shares, deadline - time.monotonic())
        incomplete = answer.incomplete.union(*(sweep.missing for sweep in sweeps))
        domains: list[Domain] = []
        for share, sweep in zip(answer.shares, sweeps):
            if sweep.found or (incomplete and self._with_health):
                for domain in share.domains:
                    domain.stats.update(sweep.found.get(domain.name, {}))
                    drop_strays(domain.stats)
                    if self._with_health and domain.name in incomplete:
                        domain.stats.update(INCOMPLETE)
            domains += share.domains
            if sweep.left is None:
                self._session.give(share.connection)
            else:
                self._session.leave(sweep.left, share.connection)
        connection, lines = answer.shares[0].connection, answer.shares[0].used
        asked = (*(share.asked for share in answer.shares), *(sweep.asked for sweep in sweeps))
        late = max(asked) - started
        if lines is None:
            lines = encode(domains, late, None) if encode else None
        return Snapshot(
            driver=connection.driver,
            version=connection.version,
            count=sum(len(share.sizes) for share in answer.shares),
            domains=domains,
            lines=lines,
            incomplete=incomplete,
            late=late,
        )

    def _tell(self, state: str, text: str) -> None:
        if state != self._state:
            self._state = state
            (log.info if state == "up" else log.error)("%s: %s", self.name, text)

    def _tell_late(self) -> None:
        if self._bulk.late_seconds and not self._told_late:
            self._told_late = True
            log.warning(
                "%s: a call took %.1f s, longer than the timeout; if no guest hung meanwhile, "
                "the timeout is too short for this hypervisor",
                self.name,
                self._bulk.late_seconds,
            )

    def _tell_held_up(self, names: frozenset[str]) -> None:
        now = (self._session.hanging > 0, names)
        if now == self._held_up:
            return
        self._held_up = now
        if now[1]:
            shown = ", ".join(sorted(now[1])[:_NAMES_SHOWN])
            more = f" and {len(now[1]) - _NAMES_SHOWN} more" if len(now[1]) > _NAMES_SHOWN else ""
            log.warning("%s: domains that do not answer: %s%s", self.name, shown, more)
        elif now[0]:
            log.warning("%s: a call hangs; statistics come from calls beside it", self.name)
        else:
            log.info("%s: all domains answer again", self.name)
