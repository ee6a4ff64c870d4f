"""Sums over the vCPUs, interfaces and disks of a domain, for its summary.

Invariant: a value that is no integer costs itself only. The backing images of a disk do not count:
what they read and write is in the disk's own numbers.
"""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter
from typing import Callable, NamedTuple, Optional, cast

from ..domain.record import Stats, Value
from .schema import counter, is_index

#: Fields that are summed up for all vCPUs, interfaces or disks, by the first and last words of the
#: keys.
SUMMED = {
    ("vcpu", "time"): counter("vcpu_time", "ns", "CPU time of all vCPUs"),
    ("vcpu", "delay"): counter("steal_time", "ns", "steal time of all vCPUs"),
    ("block", "rd.bytes"): counter("disk_read_bytes", "bytes", "bytes read from all disks"),
    ("block", "wr.bytes"): counter("disk_write_bytes", "bytes", "bytes written to all disks"),
    ("block", "rd.reqs"): counter("disk_read_requests", "requests", "reads of all disks"),
    ("block", "wr.reqs"): counter("disk_write_requests", "requests", "writes of all disks"),
    ("block", "fl.reqs"): counter("disk_flush_requests", "requests", "flushes of all disks"),
    ("block", "rd.times"): counter("disk_read_time", "ns", "time spent on reads of all disks"),
    ("block", "wr.times"): counter("disk_write_time", "ns", "time spent on writes of all disks"),
    ("block", "fl.times"): counter("disk_flush_time", "ns", "time spent on flushes of all disks"),
    ("net", "rx.bytes"): counter("net_rx_bytes", "bytes", "bytes received by all interfaces"),
    ("net", "tx.bytes"): counter("net_tx_bytes", "bytes", "bytes sent by all interfaces"),
}

_INTEGERS = {int}


class _Layout(NamedTuple):
    """The keys of a domain that are summed up.

    ``parts`` has the sum, the key and, for disks, the index; ``names`` the indexes and the keys of
    the disks' names, in the order of the indexes. ``sums`` has a function for each sum, which takes
    all its values.
    """

    parts: tuple[tuple[str, str, str], ...]
    names: tuple[tuple[str, str], ...]
    sums: tuple[tuple[str, Callable[[Stats], tuple[Value, ...]]], ...]


def sums_of(stats: Stats) -> dict[str, int]:
    """The keys of the sums; a sum without values is absent."""
    layout = _layout(tuple(stats))
    # The backing images of a disk follow it and have its name.
    disks: set[Value] = set()
    behind = set()
    for index, key in layout.names:
        if stats[key] in disks:
            behind.add(index)
        disks.add(stats[key])
    sums: dict[str, int] = {}
    if not behind:
        for name, take in layout.sums:
            values = take(stats)
            if {*map(type, values)} != _INTEGERS:
                sums.clear()
                break
            sums[name] = sum(cast("tuple[int, ...]", values))
        else:
            return sums  # the usual case; the rest costs twice as much
    for name, key, index in layout.parts:
        value = number_of(stats, key)
        if value is not None and index not in behind:
            sums[name] = sums.get(name, 0) + value
    return sums


@lru_cache(maxsize=1_024)
def _layout(keys: tuple[str, ...]) -> _Layout:
    """The layout of these keys, cached: domains share sets of keys, and keep them between ticks."""
    parts, names = [], []
    for key in keys:
        first, _, rest = key.partition(".")
        index, _, last = rest.partition(".")
        if not is_index(index):
            continue
        if (first, last) in SUMMED:
            name = f"domain.{SUMMED[first, last].name}"
            parts.append((name, key, index if first == "block" else ""))
        elif (first, last) == ("block", "name"):
            names.append((index, key))
    by_sum: dict[str, list[str]] = {}
    for name, key, _ in parts:
        by_sum.setdefault(name, []).append(key)
    return _Layout(
        tuple(parts),
        tuple(sorted(names, key=lambda name: (len(name[0]), name[0]))),
        tuple((name, _taker(keys)) for name, keys in by_sum.items()),
    )


def _taker(keys: list[str]) -> Callable[[Stats], tuple[Value, ...]]:
    """A function that takes the values of these keys, always as a tuple."""
    if len(keys) > 1:
        return itemgetter(*keys)
    (key,) = keys
    return lambda stats: (stats[key],)


def number_of(stats: Stats, key: str) -> Optional[int]:
    """The value of a key if it is an integer."""
    value = stats.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
