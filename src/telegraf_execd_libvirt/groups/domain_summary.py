"""The summary of one domain: the keys ``domain.*``, from its bulk statistics and its XML.

Invariant: a value that cannot be known is absent, never 0. Counters stay counters: there are no
rates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple, Optional

from ..domain.record import STATE_NAMES, Stats, Value
from .schema import is_index

#: The statistics groups whose keys are read.
NEEDED_GROUPS = ("state", "cpu_total", "balloon", "vcpu", "interface", "block")

#: Texts of an identity that are copied.
_TEXTS = ("uuid", "title", "os_type", "machine")

#: Oldest report of a guest about its memory that is used, in seconds.
_OLDEST_REPORT = 300

_RUNNING, _SHUT_OFF = STATE_NAMES.index("running"), STATE_NAMES.index("shutoff")

_COPIED = {
    "vcpu.current": "domain.vcpus",
    "balloon.current": "domain.memory_kib",
    "balloon.maximum": "domain.memory_max_kib",
    "balloon.rss": "domain.rss_kib",
}

#: The keys that are summed up for all vCPUs, interfaces or disks: first and last words.
_SUMMED = {
    ("vcpu", "time"): "domain.vcpu_time",
    ("vcpu", "delay"): "domain.steal_time",
    ("block", "rd.bytes"): "domain.disk_read_bytes",
    ("block", "wr.bytes"): "domain.disk_write_bytes",
    ("net", "rx.bytes"): "domain.net_rx_bytes",
    ("net", "tx.bytes"): "domain.net_tx_bytes",
}


class _Layout(NamedTuple):
    """The keys of a domain that are summed up.

    ``parts`` has the sum, the key and, for disks, the index; ``names`` the indexes and the keys of
    the disks' names, in the order of the indexes.
    """

    parts: tuple[tuple[str, str, str], ...]
    names: tuple[tuple[str, str], ...]


def summarize(stats: Stats, info: Mapping[str, str], now: float) -> Stats:
    """The keys of the summary.

    ``info`` has texts from the domain's XML, as in an identity; ``now`` is the Unix time in
    seconds. Keys without a value are absent.
    """
    return dict(_items(stats, info, now))


def _items(stats: Stats, info: Mapping[str, str], now: float) -> Iterator[tuple[str, Value]]:
    state = _number(stats, "state.state")
    if state is not None:
        yield "domain.state", state
        reason = _number(stats, "state.reason")
        if reason is not None:
            yield "domain.reason", reason
        if 0 <= state < len(STATE_NAMES):
            yield "domain.state_name", STATE_NAMES[state]
        yield "domain.running", int(state == _RUNNING)
    for key, copy in _COPIED.items():
        value = _number(stats, key)
        if value is not None:
            yield copy, value
    yield from _memory(stats, now)
    cpu_time = _number(stats, "cpu.time")
    if cpu_time is not None and state != _SHUT_OFF:
        yield "domain.cpu_time", cpu_time
    yield from _sums(stats).items()
    for name in _TEXTS:
        if info.get(name):
            yield f"domain.{name}", info[name]


def _memory(stats: Stats, now: float) -> Iterator[tuple[str, Value]]:
    """The memory that the guest uses; unknown without a balloon driver in the guest."""
    updated = _number(stats, "balloon.last-update")
    if updated:
        yield "domain.balloon_age_s", max(0, int(now - updated))
    if updated is not None and now - updated > _OLDEST_REPORT:  # also 0: never
        return
    available = _number(stats, "balloon.available")
    free = _number(stats, "balloon.usable")
    if free is None:
        free = _number(stats, "balloon.unused")
    if available and free is not None and 0 <= free <= available:
        yield "domain.memory_used_kib", available - free
        yield "domain.memory_used_percent", 100.0 * (available - free) / available


def _sums(stats: Stats) -> dict[str, int]:
    layout = _layout(tuple(stats))
    # The backing images of a disk follow it and have its name.
    disks: set[Value] = set()
    behind = set()
    for index, key in layout.names:
        if stats[key] in disks:
            behind.add(index)
        disks.add(stats[key])
    sums: dict[str, int] = {}
    for name, key, index in layout.parts:
        value = _number(stats, key)
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
        if (first, last) in _SUMMED:
            parts.append((_SUMMED[first, last], key, index if first == "block" else ""))
        elif (first, last) == ("block", "name"):
            names.append((index, key))
    return _Layout(tuple(parts), tuple(sorted(names, key=lambda name: (len(name[0]), name[0]))))


def _number(stats: Stats, key: str) -> Optional[int]:
    value = stats.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
