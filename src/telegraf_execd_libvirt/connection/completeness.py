"""Which domains came without the keys that need their monitor.

Invariant: what a domain's driver cannot give is not missing. A domain is incomplete only if it
lacks keys while its monitor does not answer. A domain that a migration brings to this host lacks
nothing: libvirt does not ask its monitor until then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Callable, Optional

from ..domain.record import Domain, Stats, is_arriving
from ..groups import STATISTICS_GROUPS
from ..groups.schema import Group
from . import api
from .api import Handle, Records
from .xml_cache import XmlCache

#: The end of a disk's key that only the monitor provides. A guest without disks has no such key,
#: and a drive without a medium may lack it.
_DISK_KEY = ".rd.reqs"

#: The groups with a key that a running QEMU guest has if its monitor was asked, and these keys.
_EVIDENCE = [group for group in STATISTICS_GROUPS.values() if group.monitor_key]
_EVIDENCE_KEYS = frozenset(group.monitor_key for group in _EVIDENCE)

#: A key of each QEMU guest, also if its monitor does not answer.
_BALLOON_KEY = "balloon.current"

#: A domain that has no key of its monitor is asked again after at most this time.
_OLDEST_MUTE_SECONDS = 600.0


class Completeness:
    """Which domains came without the keys that need their monitor, answer by answer.

    There are no false alarms: a guest that is off, that lost a device, or whose driver never has
    such keys is complete. libvirt leaves out all keys that need the monitor or none of them. Not
    each guest has each of these keys: halt polling needs KVM, a vhost-user disk has no counters.
    """

    def __init__(self, groups: Sequence[Group], seen: Optional[set[str]] = None) -> None:
        self._groups = groups
        self._parts: dict[frozenset[str], Completeness] = {}
        self._keys = frozenset(group.monitor_key for group in groups if group.monitor_key)
        self._disks = any(group.name == "block" for group in groups)
        #: Whether the states of domains are read anyway.
        self._state = any(group.name == "state" for group in groups)
        #: The keys of monitors that domains have had, for all requests; whether one of these.
        self._all_seen: set[str] = set() if seen is None else seen
        self._seen = False
        #: The domains whose monitor answers without a wanted key.
        self._mute = XmlCache(bool, False, _OLDEST_MUTE_SECONDS)
        #: The bits of the groups that show that a monitor answers, unless all are read anyway.
        self._evidence = sum({g.bit for g in _EVIDENCE} - {g.bit for g in groups})

    def of(self, names: Optional[frozenset[str]]) -> Completeness:
        """That of requests for the groups of these names only (None: for all)."""
        if names is None:
            return self
        if names not in self._parts:
            groups = [group for group in self._groups if group.name in names]
            self._parts[names] = Completeness(groups, self._all_seen)
        return self._parts[names]

    def incomplete(
        self,
        handles: Sequence[Handle],
        domains: Sequence[Domain],
        ask: Callable[[list[Handle], int], Records],
    ) -> frozenset[str]:
        """The names of the domains that lack keys which they can have. Where that is not known,
        ``ask`` reads these domains once more, with the groups of these bits."""
        found = self._unanswered(handles, domains, ask)
        if found and not self._state:
            asked = [handle for handle in handles if api.name(handle) in found]
            states = ask(asked, STATISTICS_GROUPS["state"].bit)
            found -= {api.name(handle) for handle, stats in states if is_arriving(stats)}
        return found

    def _unanswered(
        self,
        handles: Sequence[Handle],
        domains: Sequence[Domain],
        ask: Callable[[list[Handle], int], Records],
    ) -> frozenset[str]:
        """The same, with domains that arrive if their states are not read."""
        lacking = self._lacking(domains)
        if not self._evidence or not (lacking or len(self._mute)):
            return lacking
        silent: dict[str, Handle] = {}
        for handle in handles:
            if api.name(handle) in lacking:
                silent[api.uuid(handle)] = handle
            else:
                self._mute.forget(api.uuid(handle))
        due = [each for uuid, each in silent.items() if self._mute.find(uuid, api.life(each))[1]]
        mute = {
            api.uuid(handle): True
            for handle, stats in (ask(due, self._evidence) if due else ())
            if self._is_mute(stats)
        }
        return frozenset(
            api.name(handle)
            for uuid, handle in silent.items()
            if not self._mute.get(uuid, api.life(handle), partial(mute.get, uuid))
        )

    def _lacking(self, domains: Sequence[Domain]) -> frozenset[str]:
        """The names of the running domains without a key of their monitor; empty until at least
        one domain has had such a key."""
        lacking = [d for d in domains if self._keys.isdisjoint(d.stats) and self._can_have(d)]
        if self._disks and lacking:
            lacking = [domain for domain in lacking if not self._answers(domain.stats)]
        if not self._seen:
            self._see(filter(self._can_have, domains))
            if not self._seen:
                return frozenset()
        return frozenset(domain.name for domain in lacking if not is_arriving(domain.stats))

    def _can_have(self, domain: Domain) -> bool:
        """Whether it runs, and, if only disks have such keys, has disks."""
        if self._keys or not domain.active:
            return domain.active
        return self._disks and bool(domain.stats.get("block.count"))

    def _see(self, domains: Iterable[Domain]) -> None:
        """Looks whether a domain has a key of its monitor, or has had it in any answer."""
        for domain in domains:
            self._all_seen |= self._keys.intersection(domain.stats)
            if self._disks and any(key.endswith(_DISK_KEY) for key in domain.stats):
                self._all_seen.add(_DISK_KEY)
        disk = {_DISK_KEY} if self._disks else set()
        self._seen = not self._all_seen.isdisjoint(self._keys | disk)

    def _is_mute(self, stats: Stats) -> bool:
        """Whether an answer with the ``evidence`` has none of the wanted keys, though the monitor
        answers, or though nothing could show that it does."""
        has_evidence = _BALLOON_KEY not in stats or not _EVIDENCE_KEYS.isdisjoint(stats)
        return has_evidence and not self._answers(stats)

    def _answers(self, stats: Stats) -> bool:
        if not self._keys.isdisjoint(stats):
            return True
        return self._disks and any(key.endswith(_DISK_KEY) for key in stats)
