"""What a collection costs, for ``--check``: the time for each group of statistics, and for a tick.

Invariant: groups are asked by ticks of the engine, as in a collection, and on its connections.
Nothing is measured while a guest does not respond.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Optional

from ..config.config import HypervisorConfig
from ..config.values import format_duration
from ..connection.requests import Groups
from ..groups import vcpu_mapping
from ..hypervisor.hypervisor import Hypervisor
from ..hypervisor.messages import Outcome

#: Each time is the shortest of this many ticks, or of one if a tick takes longer than this.
_ROUNDS = 3
_LONG_SECONDS = 0.5

#: The default of Telegraf's agent, in nanoseconds.
_INTERVAL = 10 * 10**9


def costs(config: HypervisorConfig, hypervisor: Hypervisor, running: int) -> list[str]:
    """Lines about the times, while this many guests run; empty if they cannot be measured."""
    names = [group.name for group in config.read_groups]
    names += [vcpu_mapping.GROUP.name] if vcpu_mapping.GROUP in config.additions else []
    if not (running and names):
        return []
    hypervisor.plan.host = False
    whole, none = (_time(hypervisor, frozenset(groups)) for groups in (names, ()))
    if whole is None or none is None:
        return []
    alone = {name: _time(hypervisor, frozenset({name})) for name in names}
    times = {name: max(0.0, seconds - none) for name, seconds in alone.items() if seconds}
    dear = sorted(times, key=lambda name: -times[name])
    parts = [f"{name} {_ms(times[name] / running)}" for name in dear]
    return [
        f"time for each guest that runs: {', '.join(parts)}",
        f"a tick takes {_ms(whole)} now{_average(config, times, whole)}",
    ]


def _average(config: HypervisorConfig, times: Mapping[str, float], whole: float) -> str:
    """The mean of ticks if groups have intervals."""
    intervals = config.group_intervals.of(times)
    if not intervals or not times:
        return ""
    # On a busy host no group may take longer than a tick without groups.
    shares = times if any(times.values()) else dict.fromkeys(times, 1.0)
    total = sum(shares.values())
    each = config.interval or _INTERVAL
    asked = sum(
        seconds * min(1.0, each / 1e9 / (intervals[name] or each / 1e9))
        for name, seconds in shares.items()
    )
    text = f"{_ms(whole * asked / total)} on average, every {format_duration(each)}"
    return f" with all groups; with group_intervals {text}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"


def _time(hypervisor: Hypervisor, groups: Groups) -> Optional[float]:
    """The seconds of a tick that asks for these groups only; None if it fails."""
    hypervisor.plan.only = groups
    found: list[float] = []
    while len(found) < _ROUNDS and max(found, default=0.0) < _LONG_SECONDS:
        hypervisor.tick(time.time_ns())
        outcome = next(each for each in hypervisor.results() if isinstance(each, Outcome))
        if not outcome.up or outcome.incomplete or outcome.unread or outcome.locked:
            return None
        found.append(outcome.seconds)
    return min(found)
