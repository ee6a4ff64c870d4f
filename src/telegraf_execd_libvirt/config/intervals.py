"""The table ``[inputs.libvirt.group_intervals]``: how often each group of statistics is asked.

Invariant: each name is that of a group that can be asked alone; a summary has no interval.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

from ..groups import ADDITIONAL_STATISTICS, STATISTICS_GROUPS
from ..groups.schema import Group
from ..groups.vcpu_mapping import GROUP as VCPU_MAPPING
from ..sources import SOURCES
from .values import Problems, boolean, duration
from .words import explain_unknown, join

_GROUPS = (*STATISTICS_GROUPS, VCPU_MAPPING.name)


class GroupIntervals(NamedTuple):
    """Intervals in nanoseconds: of groups by name, and of all others (0: each tick). ``spread``:
    each tick asks for a share of the domains."""

    groups: Mapping[str, int] = MappingProxyType({})
    default: int = 0
    spread: bool = True

    def of(self, names: Collection[str]) -> dict[str, float]:
        """The seconds of each of these groups, 0 at each tick; empty if none has an interval."""
        if not (self.groups or self.default):
            return {}
        return {name: self.groups.get(name, self.default) / 1e9 for name in names}


def group_intervals(value: object, path: str, problems: Problems) -> GroupIntervals:
    """Check the table."""
    if not isinstance(value, dict):
        problems.expected(path, "a table", value)
        return GroupIntervals()
    default, spread, groups = 0, True, {}
    for name, raw in value.items():
        at = join(path, name)
        if name == "default":
            default = duration(raw, at, problems)
        elif name == "spread":
            spread = boolean(raw, at, problems)
        elif name in _GROUPS:
            groups[name] = duration(raw, at, problems)
        elif name in SOURCES:
            problems.add(at, f"is a source; its interval belongs in [inputs.libvirt.{name}]")
        elif name in ADDITIONAL_STATISTICS:
            problems.add(at, "is a summary and has no interval: it is written at each tick")
        else:
            problems.add(at, explain_unknown(name, ["default", "spread", *_GROUPS]))
    if value and not (groups or default):
        problems.warn(join(path, "spread"), "has no effect: no group has an interval")
    return GroupIntervals(groups, default, spread)


def check_unused(
    intervals: GroupIntervals, read: Collection[Group], path: str, problems: Problems
) -> None:
    """Warn of groups that are not ``read``."""
    for name in intervals.groups:
        if all(group.name != name for group in read):
            of = "additional_statistics" if name == VCPU_MAPPING.name else "statistics_groups"
            problems.warn(
                join(join(path, "group_intervals"), name), f'has no effect: "{name}" is not in {of}'
            )
