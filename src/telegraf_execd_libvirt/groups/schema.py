"""Records with which each group of statistics declares its metrics.

Invariant: a metric is declared once. Translation, the documentation and the completeness tests read
these records; there is no second list of keys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

_PLACEHOLDER = re.compile(r"<([a-z_]+)>")

#: An index in a lookup pattern.
INDEX = "#"

#: A word chosen by the hypervisor, in the key and in the name of a field.
ANY = "*"


class Type(Enum):
    """The type of a libvirt typed parameter; it selects the line protocol type.

    ``YES_NO`` and ``ONE_ZERO`` are libvirt booleans that Telegraf writes as the string ``"yes"`` or
    ``"no"`` and as the integer 1 or 0.
    """

    INT = "int"
    UINT = "uint"
    LLONG = "llong"
    ULLONG = "ullong"
    DOUBLE = "double"
    STRING = "string"
    YES_NO = "boolean as yes/no"
    ONE_ZERO = "boolean as 1/0"


class Kind(Enum):
    """How a value behaves over time."""

    COUNTER = "counter"
    GAUGE = "gauge"
    INFO = "info"


@dataclass(frozen=True)
class Field:
    """One field of a metric.

    ``key`` is the part of libvirt's key after the metric's prefix (``rx.bytes``). ``active_only``
    drops the value for inactive domains: libvirt 8.8 to 11.3, and possibly later versions, report
    the daemon's own CPU time for them. ``full`` marks fields of the full set, which Telegraf's
    built-in plugin does not have.
    """

    key: str
    type: Type
    kind: Kind
    unit: str
    help: str
    name: str = ""
    active_only: bool = False
    full: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.key.replace(".", "_").replace("-", "_"))


def counter(key: str, unit: str, help: str, type: Type = Type.ULLONG, **options: Any) -> Field:
    """A field that only grows; ``options`` are those of :class:`Field`."""
    return Field(key, type, Kind.COUNTER, unit, help, **options)


def gauge(key: str, unit: str, help: str, type: Type = Type.ULLONG, **options: Any) -> Field:
    """A field that grows and shrinks."""
    return Field(key, type, Kind.GAUGE, unit, help, **options)


def info(key: str, unit: str, help: str, type: Type = Type.ULLONG, **options: Any) -> Field:
    """A number that describes the object of the metric."""
    return Field(key, type, Kind.INFO, unit, help, **options)


def text(key: str, help: str, **options: Any) -> Field:
    """A text that describes the object of the metric."""
    return Field(key, Type.STRING, Kind.INFO, "", help, **options)


@dataclass(frozen=True)
class Metric:
    """One measurement and its libvirt keys.

    ``prefix`` is the start of these keys, with each number written as its tag: ``vcpu.<vcpu_id>``.
    ``measurement`` is by default ``libvirt`` and the words of the prefix, as in ``libvirt_vcpu``.
    ``subject`` is the tag that names the object of the metric. ``extra_tags`` are tags that its
    records bring themselves, because their values are texts and not numbers in the keys.
    """

    prefix: str
    help: str
    fields: tuple[Field, ...]
    measurement: str = ""
    subject: str = "domain_name"
    extra_tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.measurement:
            words = _PLACEHOLDER.sub("", self.prefix).replace(".", " ").split()
            object.__setattr__(self, "measurement", "_".join(["libvirt", *words]))

    @property
    def all_tags(self) -> tuple[str, ...]:
        """The tags, also those that the records bring themselves."""
        return (*self.tags, *self.extra_tags)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags: the subject, then the index tags in the order of the key."""
        return (self.subject, *self.indexes)

    @property
    def indexes(self) -> tuple[str, ...]:
        """The index tags, in the order of the key."""
        return tuple(_PLACEHOLDER.findall(self.prefix))

    def key_pattern(self, field: Field) -> str:
        """The readable key of a field: ``net.<interface_id>.rx.bytes``."""
        return f"{self.prefix}.{field.key}"

    def lookup_pattern(self, field: Field) -> str:
        """The key of a field with each index as ``#``: ``net.#.rx.bytes``."""
        return f"{self.lookup_prefix}.{field.key}"

    @property
    def lookup_prefix(self) -> str:
        """The prefix with each index as ``#``: ``net.#``."""
        return _PLACEHOLDER.sub(INDEX, self.prefix)


def total(prefix: str, help: str, of: str, full: bool = False) -> Metric:
    """The number of objects of one kind that a domain has, in a line with no index."""
    fields = (gauge("count", "", of, Type.UINT, full=full),)
    return Metric(prefix, help, fields, f"libvirt_{prefix.replace('.', '_')}_total")


class Group(NamedTuple):
    """A group of statistics; ``name`` is its name in the configuration.

    ``bit`` is the group's VIR_DOMAIN_STATS_* bit, 0 for statistics that need separate calls.
    ``needs_monitor``: libvirt asks QEMU's monitor, so a hung guest can block the call.
    ``monitor_key`` is a key that each running QEMU guest has if its monitor answered, or "".
    ``needs`` names the statistics groups from whose keys the group's own are computed.
    """

    name: str
    metrics: tuple[Metric, ...]
    bit: int = 0
    needs_monitor: bool = False
    monitor_key: str = ""
    needs: tuple[str, ...] = ()

    @property
    def words(self) -> frozenset[str]:
        """The first words of the group's keys."""
        return frozenset(metric.prefix.partition(".")[0] for metric in self.metrics)


def is_index(word: str) -> bool:
    """Whether a word of a key is a number: ASCII digits only, none of Unicode's others."""
    return word.isascii() and word.isdigit()
