"""What hangs, and why: the health of guests, the calls to libvirt, the processes of guests."""

from __future__ import annotations

from .model import GREEN, GREY, ORANGE, RED, YELLOW, Panel, Row
from .queries import GUEST, GUESTS, HOSTS, NODE, ONE_GUEST, Scope, gauge
from .tables import table

_LEGEND = "{host} {libvirt_uri}"

#: States of a process that does not run: D, T and Z of ps, as Telegraf's procstat names them.
_STANDING = "blocked|stop|zombie"

_PROCESSES = Scope(
    f'{ONE_GUEST.influxql} AND "status" =~ /^({_STANDING})$/',
    f'{ONE_GUEST.promql[:-1]},status=~"{_STANDING}"}}',
)

#: virDomainControlState and virDomainControlErrorReason.
_CONTROL = {
    0: ("works", GREEN),
    1: ("a job runs", YELLOW),
    2: ("occupied by a call", ORANGE),
    3: ("error", RED),
}
_ERRORS = {
    0: ("none", GREY),
    1: ("unknown", RED),
    2: ("monitor has failed", RED),
    3: ("internal", RED),
}

ROW = Row(
    "What hangs and why",
    (
        Panel(
            "Guests not responding",
            "Guests that did not answer in the last 2 minutes, and libvirt's control interface to "
            "them. Occupied: QEMU does not answer a call; see its process and its storage. Job: a "
            "migration, save or backup runs. Error: the monitor is broken; the guest has to be "
            "restarted. Locked: an operation such as a start or stop hangs in libvirt.",
            table(
                GUESTS,
                "libvirt_domain_health",
                {
                    "complete": "answers",
                    "control_state": "control",
                    "control_time_ms": "control for",
                    "control_details": "error",
                    "locked": "locked",
                    "locked_time_ms": "locked for",
                },
                GUEST,
            ),
            kind="table",
            height=6,
            words={
                "answers": {0: ("no", RED)},
                "control": _CONTROL,
                "error": _ERRORS,
                "locked": {1: ("locked", ORANGE)},
            },
            units=dict.fromkeys(("control for", "locked for"), "ms"),
            width=14,
            no_value="none",
        ),
        Panel(
            "Processes that do not run",
            "Processes of guests in state blocked (D: waits for storage), stop (T: was stopped by a"
            " signal or a debugger) or zombie (Z: has ended). Needs Telegraf's procstat, see "
            "docs/recipes.md.",
            table(
                _PROCESSES,
                "procstat",
                {"num_threads": "threads"},
                (*GUEST, "status"),
            ),
            kind="table",
            height=6,
            width=10,
            no_value="none",
        ),
        Panel(
            "Hanging calls",
            "Calls to libvirt that did not return in time. A guest, its storage or the daemon "
            "hangs: see the guests that do not respond, and the log of the daemon.",
            (gauge(HOSTS, "libvirt_health", "calls_hanging", NODE, _LEGEND),),
            width=8,
            thresholds=((1, RED),),
            decimals=0,
        ),
        Panel(
            "Collect time",
            "Duration of a collection. It must stay below Telegraf's interval: raise that, read "
            "fewer statistics groups, or set parallel_calls on hosts with hundreds of guests.",
            (gauge(HOSTS, "libvirt_health", "collect_time_ns", NODE, _LEGEND),),
            unit="ns",
            width=8,
            thresholds=((5_000_000_000, RED),),
        ),
        Panel(
            "Longest call",
            "Duration of the longest request to libvirt in each collection. It rises before calls "
            "hang: look for a guest with slow storage, a busy host, or a daemon that is near its "
            "limits of clients and workers.",
            (gauge(HOSTS, "libvirt_health", "longest_call_time_ns", NODE, _LEGEND),),
            unit="ns",
            width=8,
            thresholds=((5_000_000_000, RED),),
        ),
    ),
)
