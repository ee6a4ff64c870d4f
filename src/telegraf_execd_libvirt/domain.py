"""What a source of statistics gives for one domain: its identity and flat keys.

Rule guarded: whoever fills the keys (the bulk call, or calls for one domain), they are named
and typed as libvirt's bulk statistics, so that one translation serves all sources.
"""

from __future__ import annotations

from typing import NamedTuple, Union

#: A statistic as libvirt-python hands it over.
Value = Union[int, float, bool, str]

#: Flat domstats keys (``net.0.rx.bytes``) and their values.
Stats = dict[str, Value]


class Domain(NamedTuple):
    """One domain and its statistics; ``active`` is whether it runs, from the same answer."""

    name: str
    active: bool
    stats: Stats
