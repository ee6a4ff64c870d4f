"""Registry of the statistics groups. A new group is a new file in this folder and one line here.

Invariant: the order below is the order of the output.
"""

from __future__ import annotations

from . import (
    balloon,
    block,
    cpu_total,
    dirtyrate,
    domain,
    health,
    interface,
    iothread,
    memory,
    node,
    perf,
    state,
    vcpu,
    vcpu_mapping,
    vm,
)
from .schema import Group

#: The groups of libvirt's bulk statistics; keys are the values of ``statistics_groups``.
STATISTICS_GROUPS: dict[str, Group] = {
    group.name: group
    for group in (
        state.GROUP,
        cpu_total.GROUP,
        balloon.GROUP,
        vcpu.GROUP,
        interface.GROUP,
        block.GROUP,
        perf.GROUP,
        iothread.GROUP,
        memory.GROUP,
        dirtyrate.GROUP,
        vm.GROUP,
    )
}

#: The groups of Telegraf's built-in plugin; the default there and here.
TELEGRAF_GROUPS: tuple[str, ...] = tuple(name for name in STATISTICS_GROUPS if name != "vm")

#: Statistics beside the groups; keys are the values of ``additional_statistics``.
ADDITIONAL_STATISTICS: dict[str, Group] = {
    group.name: group for group in (vcpu_mapping.GROUP, health.GROUP, domain.GROUP, node.GROUP)
}
