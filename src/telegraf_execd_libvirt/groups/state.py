"""Group ``state``: the state of a domain and its reason."""

from __future__ import annotations

from typing import Optional

from ..domain.record import STATE_NAMES
from .schema import Group, Metric, Type, gauge

_UNKNOWN = ("unknown", "libvirt does not know it")

#: virDomain*Reason by the name of the state: name and meaning of each reason, in the order of the
#: numbers.
REASONS = {
    "nostate": (_UNKNOWN,),
    "running": (
        _UNKNOWN,
        ("booted", "started"),
        ("migrated", "came from another host"),
        ("restored", "restored from a saved state"),
        ("from_snapshot", "reverted to a snapshot"),
        ("unpaused", "resumed after a pause"),
        ("migration_canceled", "resumed after a migration that was canceled or failed"),
        ("save_canceled", "resumed after a save that was canceled or failed"),
        ("wakeup", "woken up after it was suspended"),
        ("crashed", "resumed after a crash"),
        ("postcopy", "runs here in the post-copy phase of a migration"),
        ("postcopy_failed", "runs here; the post-copy phase of its migration has failed"),
    ),
    "blocked": (_UNKNOWN,),
    "paused": (
        _UNKNOWN,
        ("user", "paused by a user, as with virsh suspend"),
        ("migration", "paused while it is migrated offline"),
        ("save", "paused while its state is saved"),
        ("dump", "paused while its memory is dumped"),
        ("ioerror", "paused by an I/O error of a disk, such as a full storage pool"),
        ("watchdog", "paused by its watchdog, as the guest hangs"),
        ("from_snapshot", "reverted to a snapshot of a paused domain"),
        ("shutting_down", "paused while it shuts down"),
        ("snapshot", "paused while a snapshot is made"),
        ("crashed", "paused after a crash"),
        ("starting_up", "paused while it starts"),
        ("postcopy", "runs on another host in the post-copy phase of a migration"),
        ("postcopy_failed", "paused as the post-copy phase of its migration has failed"),
        ("api_error", "libvirt could not resume it at the end of an operation"),
    ),
    "shutdown": (_UNKNOWN, ("user", "is being shut down by a user or by the guest")),
    "shutoff": (
        _UNKNOWN,
        ("shutdown", "shut down by a user or by the guest"),
        ("destroyed", "ended by force, as with virsh destroy"),
        ("crashed", "the domain or its process has crashed"),
        ("migrated", "moved to another host"),
        ("saved", "its state is saved"),
        ("failed", "it could not start"),
        ("from_snapshot", "reverted to a snapshot of a domain that is off"),
        ("daemon", "ended by libvirt, which could not manage it after a restart of the daemon"),
    ),
    "crashed": (_UNKNOWN, ("panicked", "the guest's kernel has panicked")),
    "pmsuspended": (_UNKNOWN,),
}

#: The group ``domain`` has these fields too.
STATE_FIELDS = (
    gauge(
        "state",
        "virDomainState",
        "0 no state, 1 running, 2 blocked, 3 paused, 4 shutting down, 5 shut off, "
        "6 crashed, 7 suspended by the guest's power management",
        Type.INT,
    ),
    gauge(
        "reason", "virDomain*Reason", "reason for the state; each state has its own enum", Type.INT
    ),
)


def reason_name(state: int, reason: int) -> Optional[str]:
    """The name of a reason; None if the number is not one of libvirt's."""
    reasons = REASONS[STATE_NAMES[state]] if 0 <= state < len(STATE_NAMES) else ()
    return reasons[reason][0] if 0 <= reason < len(reasons) else None


_STATE = Metric(prefix="state", help="State of the domain", fields=STATE_FIELDS)

GROUP = Group(name="state", bit=1 << 0, metrics=(_STATE,))
