"""The record of one domain: identity and flat keys.

Invariant: keys are named and typed as in libvirt's bulk statistics, whether the bulk call or calls
for one domain fill them, so that one translation serves all sources.
"""

from __future__ import annotations

from typing import NamedTuple, Union

#: A statistic as libvirt-python returns it.
Value = Union[int, float, bool, str]

#: The names of virDomainState, by number.
STATE_NAMES = (
    "nostate",
    "running",
    "blocked",
    "paused",
    "shutdown",
    "shutoff",
    "crashed",
    "pmsuspended",
)

#: Flat domstats keys (``net.0.rx.bytes``) and their values.
Stats = dict[str, Value]


class Domain(NamedTuple):
    """One domain and its statistics; ``active`` comes from the same answer."""

    name: str
    active: bool
    stats: Stats
