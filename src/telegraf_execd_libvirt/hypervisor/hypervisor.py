"""One hypervisor, tick by tick: its readings, its health, and the log of what changes.

Invariant: a collection always ends and never raises for what libvirt does; a change of the
hypervisor's state is logged once, with the reason and advice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ..config.config import HypervisorConfig
from ..config.duration import format_duration
from ..connection.api import library_version
from ..connection.errors import ErrorKind, LibvirtError, Unreachable
from ..connection.facts import Completeness, Facts
from ..connection.reader import Reader
from ..connection.requests import NO_HOST, Host, Wanted
from ..connection.xml_cache import XmlCache
from ..domain.devices import NO_DEVICES
from ..domain.devices import parse as parse_devices
from ..domain.record import NO_IDENTITY
from ..groups import node, vcpu_mapping
from ..groups.health import Health
from ..log import log
from ..uri import is_remote, redact_uri
from .dispatch import Dispatcher
from .gather import Gatherer
from .patience import LATE_TICKS, Patience
from .pool import Pool
from .tick import Tick

#: The XML is read again after this, for drivers and changes without an event.
_OLDEST_DEVICES_SECONDS = 60.0
_OLDEST_IDENTITY_SECONDS = 600.0

#: The largest number of names in one line of the log.
_NAMES_SHOWN = 10


@dataclass(frozen=True)
class Outcome:
    """The result of a tick; ``trouble`` is the reason if nothing was read.

    ``domains`` is the number of domains that were read. ``incomplete`` names those without the keys
    that need their monitor; ``anonymous`` is the number of those whose XML could not be read in
    time. ``unread`` is the number of domains that exist and were not read.
    """

    domains: int = 0
    incomplete: frozenset[str] = frozenset()
    unread: int = 0
    anonymous: int = 0
    host: Host = NO_HOST
    trouble: Optional[Unreachable] = None

    @property
    def up(self) -> bool:
        """Whether the hypervisor was read."""
        return self.trouble is None


class Hypervisor:
    """Reads the wanted domains of one hypervisor."""

    def __init__(self, config: HypervisorConfig, name: str) -> None:
        self.name = f"{name} ({redact_uri(config.libvirt_uri)})"
        self.driver = self.version = ""
        #: The outcome of the last tick.
        self.outcome = Outcome()
        #: The number of domains when the connection was made, selected or not, if it is known.
        self.existing: Optional[int] = None
        self._config = config
        self._identities = config.identities
        selection = config.selection
        self._wanted = Wanted(
            groups=config.read_groups,
            selection=selection,
            everything=config.full and config.statistics_groups is None,
            backing_chain=config.backing_chain,
            bulk=config.bulk_statistics,
            mapping=vcpu_mapping.GROUP in config.additions,
            identity=self._identities.wanted,
            host=node.GROUP in config.additions,
        )
        patience = Patience(config.timeout / 1e9)
        is_far = is_remote(config.libvirt_uri)
        self._pool = Pool(self._connect, config.parallel_calls, patience, is_far)
        calls = config.parallel_calls
        dispatcher = Dispatcher(self._pool, patience, selection.by_name, calls)
        #: Reads the domains of a tick.
        self.gatherer = Gatherer(self._pool, patience, dispatcher, self._wanted.host)
        #: What is known about the hypervisor; the sources use it too.
        self.facts = self._new_facts()
        self._facts_of = 0
        self._library_version = library_version()
        self._errors = 0
        #: The states that were logged since the hypervisor was read last; "up" if it is read.
        self._states: set[str] = set()
        self._told_late = False
        self._told: tuple[bool, frozenset[str]] = (False, frozenset())
        self._told_unread = False

    @property
    def has_identities(self) -> bool:
        """Whether the domains' XML is wanted, so that their lines may have additional tags."""
        return self._wanted.identity

    def health(self, seconds: float) -> Health:
        """The health after a tick that took this long."""
        return Health(
            up=self.outcome.up,
            domains=self.outcome.domains,
            domains_incomplete=len(self.outcome.incomplete),
            domains_untagged=self.outcome.anonymous if self._wanted.identity else None,
            collect_time_ns=int(seconds * 1e9),
            calls_hanging=self.gatherer.hanging + self._pool.hanging,
            reconnects=self._pool.reconnects,
            errors=self._errors,
            libvirt_version=self._library_version,
            daemon_version=self.version,
        )

    def begin(self) -> Tick:
        """Begins a tick. Read it with ``gatherer.gather(tick)``, then call :meth:`end`."""
        return self.gatherer.begin()

    def end(self, tick: Tick) -> Outcome:
        """Ends a tick; returns its result, also kept in ``outcome``."""
        if tick.read:
            read = tick.delivery
            found = Outcome(read.count, read.incomplete, tick.unread, read.anonymous, tick.host)
        else:
            found = Outcome(trouble=self._trouble(tick))
        self.outcome = found
        return found

    def check_connected(self) -> None:
        """Raises LibvirtError if the last tick could not read the hypervisor. Only ticks try to
        connect then, not sources: a host may lock this one out after many refused attempts."""
        if (trouble := self.outcome.trouble) is not None:
            raise LibvirtError(0, 0, trouble.reason, known=ErrorKind.LOST)

    def _connect(self) -> Reader:
        """A new connection. After a lost connection all facts are dropped: the daemon and its
        domains may be different now."""
        if self._facts_of != self._pool.losses:
            self._facts_of = self._pool.losses
            self.facts = self._new_facts()
        reader = Reader(self._config.libvirt_uri, self._wanted, self.facts)
        self.driver, self.version = reader.connection.driver, reader.connection.version
        self.existing = reader.count
        return reader

    def _new_facts(self) -> Facts:
        return Facts(
            Completeness(self._wanted.groups),
            XmlCache(parse_devices, NO_DEVICES, _OLDEST_DEVICES_SECONDS),
            XmlCache(self._identities.read, NO_IDENTITY, _OLDEST_IDENTITY_SECONDS),
        )

    def _trouble(self, tick: Tick) -> Unreachable:
        timeout = format_duration(self._config.timeout)
        error = tick.error or (self._pool.refusal if tick.refused else None)
        if error is not None:
            return Unreachable.by(error, self._config.libvirt_uri)
        if self.gatherer.hanging:
            return Unreachable("silent", f"the daemon does not answer within {timeout}")
        return Unreachable(
            "silent",
            f"no answer to an attempt to connect within {timeout}",
            "is the daemon stopped, or the host or the way to it down?",
        )

    def log_changes(self, tick: Tick) -> None:
        """Logs what has changed with this tick."""
        late = self.gatherer.late
        if len(late) >= LATE_TICKS and not self._told_late:
            self._told_late = True
            log.warning(
                "%s: a call took %.1f s, longer than the timeout; the timeout is too short "
                "for this hypervisor",
                self.name,
                max(late.values()),
            )
        trouble = self.outcome.trouble
        if trouble is not None:
            self._errors += 1
            self._log_state(trouble.state, f"cannot be read: {trouble}")
            return
        self.log_up()
        self._log_unread(tick)
        self._log_hanging()

    def log_up(self) -> None:
        """Logs that the hypervisor is read, if that is new."""
        self._log_state("up", f"connected: driver {self.driver}, libvirt {self.version}")

    def _log_state(self, state: str, text: str) -> None:
        if state in self._states:
            return
        if state == "up" or "up" in self._states:
            self._states.clear()
        self._states.add(state)
        (log.info if state == "up" else log.error)("%s: %s", self.name, text)

    def _log_unread(self, tick: Tick) -> None:
        if self.outcome.unread and not self._told_unread:
            reason = tick.error or f"no answer within {format_duration(self._config.timeout)}"
            log.warning("%s: %d domains not read: %s", self.name, self.outcome.unread, reason)
        self._told_unread = self.outcome.unread > 0

    def _log_hanging(self) -> None:
        now = (self.gatherer.hanging > 0, self.outcome.incomplete)
        if now == self._told:
            return
        self._told = now
        hanging, names = now
        if names:
            shown = ", ".join(sorted(names)[:_NAMES_SHOWN])
            more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
            log.warning("%s: guests not responding: %s%s", self.name, shown, more)
        elif hanging:
            log.warning("%s: a libvirt call is hung; using another connection", self.name)
        else:
            log.info("%s: all guests respond again", self.name)
