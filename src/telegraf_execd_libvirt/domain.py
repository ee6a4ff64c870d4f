"""What a source of statistics gives for one domain: its identity and flat keys.

Rule guarded: whoever fills the keys (the bulk call, or calls for one domain), they are named
and typed as libvirt's bulk statistics, so that one translation serves all sources.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Union

#: A statistic as libvirt-python hands it over.
Value = Union[int, float, bool, str]

#: Flat domstats keys (``net.0.rx.bytes``) and their values.
Stats = dict[str, Value]


class Domain(NamedTuple):
    """One domain and its statistics; ``active`` is whether it runs, from the same answer.

    ``handle`` is what libvirt calls the domain by, where there is one. It keeps its connection
    open: nobody holds on to it for longer than a tick.
    """

    name: str
    active: bool
    stats: Stats
    handle: Any = None
