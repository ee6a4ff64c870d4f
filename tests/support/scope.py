"""A scope for sources without libvirt: objects with prepared answers.

The rule: it answers as libvirt-python does; a call that was not prepared fails, which gives None.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.domain.devices import Devices, parse
from telegraf_execd_libvirt.domain.inventory import inventory
from telegraf_execd_libvirt.domain.record import Domain, record
from telegraf_execd_libvirt.domain.xml import parse_xml
from telegraf_execd_libvirt.lines.encode import Encoder
from telegraf_execd_libvirt.sources import SOURCES
from telegraf_execd_libvirt.sources.source import Fetch, Source

#: A domain with two disks and an interface that have names, and one of each without.
DISKS = (
    "<domain><devices><disk><target dev='vda'/></disk><disk/><disk><target dev='vdb'/></disk>"
    "<interface><target dev='vnet0'/></interface><interface/></devices></domain>"
)


@dataclass(eq=False)
class Thing:
    """A domain, pool, volume or network; `answers` has the results of its methods."""

    name: str
    answers: dict[str, Any] = field(default_factory=dict)
    number: int = 1
    xml: str = "<domain/>"
    hangs: bool = False
    tags: Mapping[str, str] = field(default_factory=lambda: {"project": "shop"})
    identity: str = ""

    @property
    def uuid(self) -> str:
        """As unique as the identity, or without one as the name."""
        return f"uuid-{self.identity or self.name}"


class FakeScope:
    """The same methods as the scope of a real connection."""

    def __init__(
        self,
        *things: Thing,
        options: Mapping[str, Any] | None = None,
        host: Mapping[str, Any] | None = None,
        timeout: float = 5.0,
    ) -> None:
        self.things = list(things)
        self.options = options or {}
        self.timeout = timeout
        self.error: Any = None
        self.held: Any = None
        self.counted = 0
        #: What limits have left out.
        self.dropped: dict[str, int] = {}
        #: The last tags of domains by UUID.
        self.known_tags: dict[str, Mapping[str, str]] = {}
        #: The errors of methods that fail.
        self.failures: Mapping[str, Any] = {}
        #: The name and the arguments of each call.
        self.calls: list[tuple[str, str, tuple[Any, ...]]] = []
        self._host = host or {}

    def domains(
        self,
        active: bool = False,
        any_state: bool = False,
        hung: bool = False,
        arriving: bool = True,
    ) -> Iterator[Thing]:
        for thing in self.things:
            if (thing.number != -1 or not active) and (hung or not thing.hangs):
                yield thing

    def having(self, filter: int) -> frozenset[str] | None:
        found = self.host("listAllDomains", filter)
        return None if found is None else frozenset(thing.uuid for thing in found)

    sees_all = True
    uri = "qemu:///system"

    def selects(self, name: str) -> bool:
        return not name.startswith("other")

    def is_hung(self, handle: Thing) -> bool:
        return handle.hangs

    def uuid(self, handle: Thing) -> str:
        return handle.uuid

    def name(self, handle: Thing) -> str:
        return handle.name

    def xml(self, handle: Thing) -> ET.Element:
        try:
            return parse_xml(handle.xml)
        except ValueError:
            return ET.Element("unknown")

    def devices(self, handle: Thing) -> Devices:
        return parse(handle.xml)

    def inventory(self, handle: Thing, kind: str) -> Sequence[Mapping[str, str]]:
        return inventory(kind, parse_xml(handle.xml))

    def changes(self, handle: Thing) -> Sequence[str] | None:
        changes: Sequence[str] | None = handle.answers.get("changes")
        return changes

    def host(self, method: str, *arguments: Any) -> Any:
        result = self._host.get(method)
        return result(*arguments) if callable(result) else result

    def call(self, handle: Thing, method: str, *arguments: Any) -> Any:
        self.calls.append((handle.name, method, arguments))
        if method == "name":
            return handle.name
        if method in self.failures:
            self.error = self.failures[method]
            return None
        result = handle.answers.get(method)
        return result(*arguments) if callable(result) else result

    quietly = call_present = call

    @contextmanager
    def changed(self, handle: Thing, method: str, value: Any, usual: Any) -> Iterator[list[bool]]:
        failed: list[bool] = []
        self.call(handle, method, value, 0)
        try:
            yield failed
        finally:
            if not self.set(handle, method, usual):
                failed.append(True)

    def set(self, handle: Thing, method: str, value: Any) -> bool:
        return self.call(handle, method, value, 0) is not None

    def hold(self, error: Any) -> None:
        self.held = self.held or error or "a call did not return"

    def drop(self, count: int, text: str) -> None:
        if count:
            self.dropped[text] = self.dropped.get(text, 0) + count

    def lack(self, text: str) -> None:
        if self.error is not None:
            self.dropped.setdefault(f"{text}: {self.error}", 0)

    def tags(self, handle: Thing) -> Mapping[str, str]:
        return handle.tags

    def last_tags(self, uuid: str) -> Mapping[str, str]:
        return self.known_tags.get(uuid, {})

    def domain(self, handle: Thing, prefix: str, keys: Mapping[str, Any], **tags: str) -> Domain:
        return record(handle.name, prefix, keys, {**self.tags(handle), **tags})


def fetched(fetch: Fetch, scope: FakeScope) -> list[Domain]:
    """The records of one fetch."""
    return list(fetch(scope))


def defaults(source: Source, **changes: Any) -> dict[str, Any]:
    """The options of a source with some changes."""
    return {**source.defaults, **changes}


def lines(source: Source, records: list[Domain]) -> list[str]:
    """The line protocol of these records, without timestamps."""
    config = HypervisorConfig(additional_statistics=(source.name,))
    text = Encoder(config, source.group).encode_once(records, 0).decode()
    return [line.removesuffix(" 0") for line in text.splitlines()]


def read(name: str, scope: FakeScope) -> list[str]:
    """The lines of one fetch of a source, with its default options unless the scope has others."""
    source = SOURCES[name]
    scope.options = scope.options or defaults(source)
    return lines(source, fetched(source.new(), scope))
