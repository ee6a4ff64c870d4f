"""Alerts about guests, from the bulk statistics."""

from __future__ import annotations

from .alert_model import BY_GUEST, WHO, Alert, now, rate
from .queries import DISK, GUEST, NIC, VCPU, quoted

GUESTS = (
    Alert(
        "LibvirtGuestCrashed",
        "critical",
        "1m",
        "last_over_time(libvirt_state_state[2m]) == 6",
        now('"state" = 6', "state", "libvirt_state"),
        "2m",
        "> 0",
        f"{WHO} has crashed",
        "See the console of the guest and QEMU's log, then start the guest again.",
    ),
    Alert(
        "LibvirtGuestPausedByIoError",
        "critical",
        "1m",
        "last_over_time(libvirt_state_state[2m]) == 3 and on (host, domain_name) "
        "last_over_time(libvirt_state_reason[2m]) == 5",
        now('"state" = 3 AND "reason" = 5', "state reason", "libvirt_state"),
        "2m",
        "> 0",
        f"{WHO} is paused by an I/O error",
        "Usually the storage pool is full. Free space, then virsh resume.",
    ),
    Alert(
        "LibvirtGuestNotResponding",
        "warning",
        "5m",
        "last_over_time(libvirt_domain_health_complete[2m]) == 0",
        now('"complete" = 0', "complete", "libvirt_domain_health"),
        "2m",
        "> 0",
        f"{WHO} does not respond",
        "QEMU does not answer libvirt, or libvirt has locked the guest (locked = 1): an operation "
        "such as a start or stop hangs. Look for hanging storage, then at the QEMU process.",
    ),
    Alert(
        "LibvirtGuestSteal",
        "warning",
        "10m",
        f"100 * avg {BY_GUEST} (rate(libvirt_vcpu_delay[5m])) / 1e9 > 10",
        rate("delay", "libvirt_vcpu", VCPU, "mean").replace(
            'mean("r")', 'mean("r") * 100 / 1000000000', 1
        ),
        "5m",
        "> 10",
        f'The vCPUs of {WHO} wait {{{{ printf "%.1f" $value }}}} % of the time',
        "The host has too many running vCPUs for its CPUs: migrate guests.",
    ),
    Alert(
        "LibvirtGuestMemoryPressure",
        "warning",
        "10m",
        "libvirt_balloon_usable / libvirt_balloon_available < 0.05 "
        "and on (host, domain_name) time() - libvirt_balloon_last_update < 300 "
        f"and on (host, domain_name) sum {BY_GUEST} (rate(libvirt_balloon_major_fault[5m]) + "
        "rate(libvirt_balloon_swap_out[5m])) > 5",
        'SELECT mean("r") FROM (SELECT non_negative_derivative("major_fault", 1s) + '
        'non_negative_derivative("swap_out", 1s) AS "r" FROM "libvirt_balloon" '
        f'WHERE "usable" * 20 < "available" GROUP BY {quoted(GUEST)}) '
        f"WHERE $timeFilter GROUP BY {quoted(GUEST)}",
        "5m",
        "> 5",
        f"{WHO} has too little memory",
        "Less than 5 % of its memory is usable, and it swaps or reads programs from disk again. "
        "Give it more memory, or find the process that uses it.",
    ),
    Alert(
        "LibvirtGuestDiskLatency",
        "warning",
        "10m",
        f"sum {BY_GUEST} (rate(libvirt_block_rd_times[5m]) + rate(libvirt_block_wr_times[5m])) / "
        f"(sum {BY_GUEST} (rate(libvirt_block_rd_reqs[5m]) + rate(libvirt_block_wr_reqs[5m])) > 1)"
        " / 1e6 > 100",
        'SELECT sum("t") / sum("n") / 1000000 FROM (SELECT sum("t") AS "t", sum("n") AS "n" FROM '
        '(SELECT mean("t") AS "t", mean("n") AS "n" FROM (SELECT '
        'non_negative_derivative("rd_times", 1s) + non_negative_derivative("wr_times", 1s) AS "t", '
        'non_negative_derivative("rd_reqs", 1s) + non_negative_derivative("wr_reqs", 1s) AS "n" '
        f'FROM "libvirt_block" GROUP BY {quoted(DISK)}) GROUP BY {quoted(DISK)}) '
        f'GROUP BY {quoted(GUEST)}) WHERE "n" > 1 AND $timeFilter GROUP BY {quoted(GUEST)}',
        "5m",
        "> 100",
        f'Reads and writes of {WHO} take {{{{ printf "%.1f" $value }}}} ms',
        "The storage is overloaded or degraded. Compare with other guests of the same pool.",
    ),
    Alert(
        "LibvirtGuestNetworkDrops",
        "warning",
        "10m",
        f"sum {BY_GUEST} (rate(libvirt_net_rx_drop[5m]) + rate(libvirt_net_tx_drop[5m])) > 10",
        rate("rx_drop tx_drop", "libvirt_net", NIC),
        "5m",
        "> 10",
        f'Interfaces of {WHO} drop {{{{ printf "%.1f" $value }}}} packets per second',
        "The guest does not fetch packets in time, or a queue of the host is full.",
    ),
    Alert(
        "LibvirtGuestRestartsRepeatedly",
        "warning",
        "0m",
        f"max {BY_GUEST} (resets(libvirt_cpu_cpu_time[1h])) >= 3",
        'SELECT count("d") FROM (SELECT difference("cpu_time") AS "d" FROM "libvirt_cpu" '
        f'GROUP BY {quoted(GUEST)}) WHERE "d" < 0 AND $timeFilter GROUP BY {quoted(GUEST)}',
        "1h",
        "> 2",
        f'{WHO} was started {{{{ printf "%.1f" $value }}}} times within an hour',
        "Its CPU time began at 0 each time: it crashes and is restarted, or it is migrated "
        "back and forth. See QEMU's log and the events of the guest.",
    ),
)
