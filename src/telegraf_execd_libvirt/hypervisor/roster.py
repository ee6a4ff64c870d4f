"""The domains of one hypervisor as they were last seen, and those that libvirt has locked.

While libvirt holds the lock of one domain, each call that touches it waits, and so does each call
about all domains. Calls for other domains are not affected. So the known domains are asked by their
handles until the call about all domains returns.

Invariant: at most one call about all domains waits behind a lock, and one look-up of each locked
domain. No thread, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Optional

from ..domain.record import NO_IDENTITY, Domain, Identity
from ..groups.health import locked
from .messages import Link, Reading
from .patience import MOST_LOCKED_BY_STORAGE


@dataclass
class Lock:
    """A locked domain: the connection whose call waits for it, if any, whether a request with
    ``block`` may hold the lock itself, and the monotonic time at which it was found."""

    link: Optional[Link]
    by_block: bool
    since: float


class Roster:
    """The known domains."""

    def __init__(self) -> None:
        #: The UUIDs of the selected domains by name, in libvirt's order; empty: not known.
        self.uuids: Mapping[str, str] = {}
        #: The number of domains, selected or not; None if it is not known.
        self.existing: Optional[int] = None
        self.locked: dict[str, Lock] = {}
        #: Whether a lock delays calls about all domains, and the connection whose call waits.
        self.blocked = False
        self.listing: Optional[Link] = None
        #: Whether to do without ``block``.
        self.without_block = False
        #: The last identities of the domains by name, as far as they are known.
        self.identities: dict[str, Identity] = {}

    @property
    def free(self) -> dict[str, str]:
        """The UUIDs of the domains that are not locked, by name."""
        return {name: uuid for name, uuid in self.uuids.items() if name not in self.locked}

    @property
    def any_held(self) -> bool:
        """Whether a lock is held, as far as is known; ``blocked`` lasts until all are listed."""
        return bool(self.locked) or self.listing is not None

    @property
    def waiting(self) -> int:
        """The number of calls that wait behind locks."""
        return sum(link is not None for link in self._links())

    def waits(self, link: Link) -> bool:
        """Whether the call of this connection waits behind a lock."""
        return link in self._links()

    def _links(self) -> list[Optional[Link]]:
        return [self.listing, *(lock.link for lock in self.locked.values())]

    def note(self, uuids: Mapping[str, str]) -> None:
        """Takes the UUIDs of all selected domains; nobody may change them later."""
        old, self.uuids = self.uuids, uuids
        if self.uuids != old or not self.identities.keys() <= uuids.keys():
            for name in [n for n in self.identities if old.get(n, "") != uuids.get(n)]:
                del self.identities[name]  # another domain may have its name

    def identify(self, reading: Reading) -> None:
        """Notes who domains are, for their lines while they are locked, or without XML."""
        tagged = [domain for domain in reading.domains if domain.identity is not NO_IDENTITY]
        self.identities.update((d.name, d.identity) for d in tagged if d.identity is not None)

    def locked_domains(self, now: float) -> list[Domain]:
        """The locked domains with the keys of their health."""
        known = self.identities
        return [
            Domain(name, True, locked(now - lock.since), known.get(name, NO_IDENTITY))
            for name, lock in self.locked.items()
        ]

    def block(self, listing: Optional[Link]) -> None:
        """Calls about all domains hang behind a lock; one of them may hang already."""
        self.blocked = True
        self.listing = self.listing or listing

    def lock(self, name: str, link: Link, by_block: bool, now: float) -> None:
        """A look-up of this domain hangs; an earlier one may have hung as well."""
        known = self.locked.get(name)
        self.locked[name] = Lock(link, by_block, known.since if known else now)
        by_storage = sum(lock.by_block for lock in self.locked.values())
        self.without_block = self.without_block or by_storage >= MOST_LOCKED_BY_STORAGE

    def answered(self, names: Iterable[str]) -> None:
        """A request for these domains has brought its answer, so none of them is locked."""
        for name in self.locked.keys() & set(names) if self.locked else ():
            if self.locked[name].link is None:
                del self.locked[name]

    def returned(self, link: Link, alive: bool) -> list[str]:
        """A call has ended; returns the domains that are not locked any more. If the connection is
        dead, the lock may still be held, so another call has to wait for it. A call about all
        domains may have passed a domain before that was locked, whose own look-up still waits."""
        is_list = link is self.listing
        mine = [
            name
            for name, lock in self.locked.items()
            if lock.link is link or (is_list and lock.link is None)
        ]
        for name in mine:
            if alive:
                del self.locked[name]
            elif self.locked[name].link is link:
                self.locked[name].link = None
        if is_list:
            self.listing = None
            self.blocked = bool(self.locked)
        if not any(lock.by_block for lock in self.locked.values()):
            self.without_block = False
        return mine if alive else []
