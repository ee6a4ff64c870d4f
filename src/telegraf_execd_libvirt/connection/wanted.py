"""What a configuration asks of each connection.

Invariant: data only; the same for all connections to a hypervisor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from ..domain.selection import Selection
from ..groups import STATISTICS_GROUPS
from ..groups.schema import Group

_ALL_GROUPS = 0


@dataclass(frozen=True)
class Wanted:
    """What to read: the groups, or with ``everything`` all groups of the driver, known or not.
    ``mapping`` adds the mapping of vCPUs, ``identity`` the domains' XML, ``host`` the host."""

    groups: Sequence[Group]
    selection: Selection
    everything: bool = False
    backing_chain: bool = False
    bulk: bool = True
    mapping: bool = False
    identity: bool = False
    host: bool = False

    @property
    def all_groups(self) -> Sequence[Group]:
        """The groups to read, with ``state`` if states select domains."""
        state = STATISTICS_GROUPS["state"]
        if self.selection.by_state and state not in self.groups:
            return [*self.groups, state]
        return self.groups

    def mask(self, no_monitor: bool) -> Optional[int]:
        """The bits of the groups; ``no_monitor``: without groups that need it; None if empty."""
        if self.everything and not no_monitor:
            return _ALL_GROUPS
        groups = self.all_groups
        return sum(g.bit for g in groups if not (no_monitor and g.needs_monitor)) or None
