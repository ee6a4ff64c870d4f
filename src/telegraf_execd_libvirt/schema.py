"""The records in which each group of statistics declares its metrics.

Rule guarded: a metric is declared once. Translation, the README's table and the completeness
tests read these records; there is no second list of keys anywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_PLACEHOLDER = re.compile(r"<([a-z_]+)>")

#: How an index is written in the patterns by which keys are looked up.
INDEX = "#"

#: Stands, in the key of a field and in its name, for a word that the hypervisor makes up.
ANY = "*"


class Type(Enum):
    """The type of a value as libvirt's typed parameters have it, and so how it is written.

    ``YES_NO`` and ``ONE_ZERO`` are booleans of libvirt that Telegraf's table writes as the
    string ``"yes"`` or ``"no"`` and as the integer 1 or 0.
    """

    INT = "int"
    UINT = "uint"
    LLONG = "llong"
    ULLONG = "ullong"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    STRING = "string"
    YES_NO = "boolean as yes/no"
    ONE_ZERO = "boolean as 1/0"


class Kind(Enum):
    """What a value means over time."""

    COUNTER = "counter"
    GAUGE = "gauge"
    INFO = "info"


@dataclass(frozen=True)
class Field:
    """One field of a metric.

    ``key`` is what follows the metric's prefix in libvirt's key (``rx.bytes``). ``active_only``
    marks values that libvirt also gives for a domain that does not run, where they are not the
    domain's (libvirt 8.8 to 11.3 and possibly later give the daemon's own CPU time). ``full``
    marks fields of the full set, which Telegraf's own plugin does not have.
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


@dataclass(frozen=True)
class Metric:
    """One measurement and the libvirt keys that it is made of.

    ``prefix`` is the start of those keys; a number in them is written as the tag that it
    becomes: ``vcpu.<vcpu_id>``. ``subject`` is the tag that names what the metric is about.
    """

    measurement: str
    prefix: str
    help: str
    fields: tuple[Field, ...]
    subject: str = "domain_name"

    @property
    def tags(self) -> tuple[str, ...]:
        """The metric's tags: its subject, then those that come from indexes, in the order of
        the key's segments."""
        return (self.subject, *self.indexes)

    @property
    def indexes(self) -> tuple[str, ...]:
        """The tags that come from indexes, in the order of the key's segments."""
        return tuple(_PLACEHOLDER.findall(self.prefix))

    def key_pattern(self, field: Field) -> str:
        """The key of a field as people read it: ``net.<interface_id>.rx.bytes``."""
        return f"{self.prefix}.{field.key}"

    def lookup_pattern(self, field: Field) -> str:
        """The key of a field as it is looked up, each index as ``#``: ``net.#.rx.bytes``."""
        return f"{self.lookup_prefix}.{field.key}"

    @property
    def lookup_prefix(self) -> str:
        """The prefix with each index as ``#``: ``net.#``."""
        return _PLACEHOLDER.sub(INDEX, self.prefix)


@dataclass(frozen=True)
class Group:
    """A group of statistics, by the name that users write in the configuration.

    ``bit`` is the group's VIR_DOMAIN_STATS_* bit, 0 for statistics that need calls of their own.
    ``needs_monitor`` tells whether QEMU's monitor is asked for it, so that a guest that hangs
    can hold up the call. ``monitor_key`` is a key that each running QEMU guest has if its monitor
    was asked; empty if the group has no such key.
    """

    name: str
    bit: int
    needs_monitor: bool
    metrics: tuple[Metric, ...]
    monitor_key: str = ""

    @property
    def words(self) -> frozenset[str]:
        """The words that the group's keys begin with."""
        return frozenset(metric.prefix.partition(".")[0] for metric in self.metrics)
