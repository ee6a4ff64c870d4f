"""The records of a guest's own report, from libvirt's flat keys of ``guestInfo``.

Invariant: texts come from the guest, which may be hostile. They are one line of bounded length, and
a guest has a bounded number of lines, and of new series in a day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from ..domain.xml import clean

#: Lines of file systems and of interfaces of one guest, users, and addresses of an interface; more
#: are left out.
MOST_LINES = 64

#: Series that one guest may write within a day; a database keeps each of them.
MOST_SERIES = 256
_DAY_SECONDS = 86_400.0

#: Members of a family of keys that are looked at.
_MOST_MEMBERS = 4096

_OS = (
    *("id", "name", "pretty-name", "version", "version-id", "variant", "variant-id"),
    *("kernel-release", "kernel-version", "machine"),
)

Info = Mapping[str, Any]


class Line(NamedTuple):
    """The prefix of a metric, its keys, and its tags beside the domain's."""

    prefix: str
    keys: Mapping[str, Any]
    tags: Mapping[str, str]


def lines(info: Info, excluded: Container[str], users: bool) -> Iterator[Line]:
    """All lines of a guest, without file systems of ``excluded`` types; names of users with
    ``users``. A guest may have too many, see :class:`Limits`."""
    yield from _filesystems(info, excluded)
    if "user.count" in info:
        keys: dict[str, Any] = {"count": info["user.count"]}
        if users:
            starts = islice(_starts(info, "user"), MOST_LINES)
            names = {_text(info.get(f"{start}.name")) for start in starts}
            keys["names"] = ",".join(sorted(names - {""}))
        yield Line("guest_user", keys, {})
    os = {name.replace("-", "_"): _text(info.get(f"os.{name}")) for name in _OS}
    os["hostname"] = _text(info.get("hostname"))
    os["timezone"] = _text(info.get("timezone.name"))
    known: dict[str, Any] = {name: text for name, text in os.items() if text}
    if "timezone.offset" in info:
        known["timezone_offset_s"] = info["timezone.offset"]
    if known:
        yield Line("guest_os", known, {})
    load = {f"load{end}": info.get(f"load.{end}m") for end in (1, 5, 15)}
    if any(value is not None for value in load.values()):
        yield Line("guest_load", load, {})
    yield from _interfaces(info)


class Limits:
    """The series that guests have written within a day, by UUID: the time of each by its hash."""

    def __init__(self) -> None:
        self._written: dict[str, dict[int, float]] = {}

    def __len__(self) -> int:
        return len(self._written)

    def admit(self, uuid: str, lines: Iterable[Line], now: float) -> tuple[list[Line], int]:
        """Those of a guest's ``lines`` that it may write at this monotonic time, one for each
        series, and the number of those that a limit leaves out."""
        written = self._written[uuid] = self._recent(self._written.get(uuid, {}), now)
        admitted: dict[int, Line] = {}
        numbers: Counter[str] = Counter()
        dropped = set()
        for line in lines:
            series = hash((line.prefix, *sorted(line.tags.items())))
            if series in admitted or series in dropped:
                continue
            is_new = series not in written and len(written) >= MOST_SERIES
            if is_new or numbers[line.prefix] >= MOST_LINES:
                dropped.add(series)
                continue
            numbers[line.prefix] += 1
            written[series] = now
            admitted[series] = line
        return [*admitted.values()], len(dropped)

    def forget_others(self, uuids: Container[str], now: float) -> None:
        """Drops guests that are not there any more, a day after their last line: a guest that
        starts again has no further series."""
        for uuid in [uuid for uuid in self._written if uuid not in uuids]:
            if not self._recent(self._written[uuid], now):
                del self._written[uuid]

    def _recent(self, written: Mapping[int, float], now: float) -> dict[int, float]:
        return {series: at for series, at in written.items() if now - at < _DAY_SECONDS}


def _filesystems(info: Info, excluded: Container[str]) -> Iterator[Line]:
    for start in _starts(info, "fs"):
        kind = _text(info.get(f"{start}.fstype"))
        if kind in excluded:
            continue
        total, used = info.get(f"{start}.total-bytes"), info.get(f"{start}.used-bytes")
        if total is None and used is None:
            continue
        keys = {
            "total_bytes": total,
            "used_bytes": used,
            "used_percent": 100 * used / total if total and used is not None else None,
        }
        tags = {
            "mountpoint": _text(info.get(f"{start}.mountpoint")),
            "fstype": kind,
            "device": _text(info.get(f"{start}.name")),
        }
        yield Line("guest_filesystem", keys, tags)


def _interfaces(info: Info) -> Iterator[Line]:
    for start in _starts(info, "if"):
        name = _text(info.get(f"{start}.name"))
        addresses = []
        for address in islice(_starts(info, f"{start}.addr"), MOST_LINES):
            prefix = info.get(f"{address}.prefix")
            end = "" if prefix is None else f"/{prefix}"
            addresses.append(_text(info.get(f"{address}.addr")) + end)
        keys = {"mac": _text(info.get(f"{start}.hwaddr")) or None, "addresses": ",".join(addresses)}
        if name:
            yield Line("guest_interface", keys, {"interface": name})


def _starts(info: Info, family: str) -> Iterator[str]:
    """The starts of the keys of each member of a family: fs.0, fs.1 and so on."""
    count = info.get(f"{family}.count", 0)
    for number in range(min(count, _MOST_MEMBERS)):
        yield f"{family}.{number}"


def _text(value: object) -> str:
    return clean(None if value is None else str(value)) or ""
