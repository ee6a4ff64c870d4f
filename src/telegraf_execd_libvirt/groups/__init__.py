"""Registry of the statistics groups. A new group is a new file in this folder and one line here.

Invariant: the order below is the order of the output.
"""

from __future__ import annotations

from importlib import import_module

from .schema import Group

#: The groups of libvirt's bulk statistics; keys are the values of ``statistics_groups``, which are
#: the names of their files.
STATISTICS_GROUPS: dict[str, Group] = {
    name: import_module(f".{name}", __package__).GROUP
    for name in (
        "state",
        "cpu_total",
        "balloon",
        "vcpu",
        "interface",
        "block",
        "perf",
        "iothread",
        "memory",
        "dirtyrate",
        "vm",
    )
}

#: The groups of Telegraf's built-in plugin; the default there and here.
TELEGRAF_GROUPS: tuple[str, ...] = tuple(name for name in STATISTICS_GROUPS if name != "vm")

#: Statistics beside the groups; keys are the values of ``additional_statistics``.
ADDITIONAL_STATISTICS: dict[str, Group] = {
    name: import_module(f".{name}", __package__).GROUP
    for name in ("vcpu_mapping", "health", "domain", "node")
}
