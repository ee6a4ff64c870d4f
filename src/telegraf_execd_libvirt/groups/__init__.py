"""The registry of statistics groups. A new kind of statistics is a new file here and one line.

Rule guarded: the order below is the order of the output.
"""

from __future__ import annotations

from ..schema import Group
from . import (
    balloon,
    block,
    cpu_total,
    dirtyrate,
    health,
    interface,
    iothread,
    memory,
    perf,
    state,
    vcpu,
    vcpu_mapping,
    vm,
)

#: Groups that libvirt's bulk call gives, by the names of ``statistics_groups``.
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

#: The groups that Telegraf's own plugin knows, which are the default there and here.
TELEGRAF_GROUPS: tuple[str, ...] = tuple(name for name in STATISTICS_GROUPS if name != "vm")

#: Statistics on top of the groups, by the names of ``additional_statistics``.
ADDITIONAL_STATISTICS: dict[str, Group] = {
    group.name: group for group in (vcpu_mapping.GROUP, health.GROUP)
}
