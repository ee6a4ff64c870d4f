"""The records of a guest's own report, from libvirt's flat keys of ``guestInfo``.

Invariant: texts come from the guest, which may be hostile. They are one line of bounded length, and
a guest has a bounded number of lines.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from ..domain.xml import clean

#: Lines of file systems and of interfaces of one guest, users, and addresses of an interface; more
#: are left out.
MOST_LINES = 64

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
    ``users``."""
    yield from islice(_filesystems(info, excluded), MOST_LINES)
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
    yield from islice(_interfaces(info), MOST_LINES)


def _filesystems(info: Info, excluded: Container[str]) -> Iterator[Line]:
    for start in _starts(info, "fs"):
        kind = _text(info.get(f"{start}.fstype"))
        if kind in excluded:
            continue
        total, used = info.get(f"{start}.total-bytes"), info.get(f"{start}.used-bytes")
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
