"""Source ``event``: counters of libvirt's events.

Events are counted as they come, in libvirt's event thread, and written at the tick. A flood of
events, such as I/O errors, costs one counter. Events during a reconnect are lost.

Invariant: the numbers are those of virDomainEventID and of the enums of each event.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Callable

from ..domain.record import Domain
from ..domain.xml import MOST_CHARACTERS
from ..groups.schema import Metric, Type, counter, gauge
from .counters import Counters
from .job import operation
from .source import Scope, Source

#: virDomainEventType, each with its details.
_LIFECYCLE = (
    ("defined", "added updated renamed from_snapshot"),
    ("undefined", "removed renamed"),
    ("started", "booted migrated restored from_snapshot wakeup"),
    (
        "suspended",
        "paused migrated ioerror watchdog restored from_snapshot api_error postcopy "
        "postcopy_failed",
    ),
    ("resumed", "unpaused migrated from_snapshot postcopy postcopy_failed"),
    ("stopped", "shutdown destroyed crashed migrated saved failed from_snapshot"),
    ("shutdown", "finished guest host"),
    ("pmsuspended", "memory disk"),
    ("crashed", "panicked crashloaded"),
)
_WATCHDOG = "none pause reset poweroff shutdown debug inject_nmi"
_IO_ERROR = "none pause report"
_AGENT = "unknown connected disconnected"
_MEMORY_FAILURE = "hypervisor guest"


def _word(words: str, number: int) -> str:
    """The word at a position; the number itself if libvirt is newer than this list."""
    known = words.split()
    return known[number] if 0 <= number < len(known) else str(number)


def _lifecycle(number: int, detail: int) -> tuple[str, str]:
    if not 0 <= number < len(_LIFECYCLE):
        return f"lifecycle_{number}", str(detail)
    event, details = _LIFECYCLE[number]
    return event, _word(details, detail)


#: The event and its detail, which may be empty, of each kind that is counted. The arguments are
#: those of libvirt-python's callback after the domain.
NAMES: dict[int, Callable[..., tuple[str, str]]] = {
    0: _lifecycle,
    1: lambda *_: ("reboot", ""),
    3: lambda action, *_: ("watchdog", _word(_WATCHDOG, action)),
    6: lambda path, alias, action, reason: ("io_error", str(reason or _word(_IO_ERROR, action))),
    7: lambda *_: ("control_error", ""),
    18: lambda state, *_: ("agent", _word(_AGENT, state)),
    21: lambda parameters, *_: ("job_completed", operation(parameters)),
    24: lambda disk, *_: ("block_threshold", str(disk)),
    22: lambda alias, *_: ("device_removal_failed", str(alias)),
    25: lambda recipient, *_: ("memory_failure", _word(_MEMORY_FAILURE, recipient)),
    # A guest chooses its MAC addresses, so the detail is the device.
    27: lambda alias, *_: ("nic_mac_change", str(alias)),
    28: lambda vcpu, *_: ("vcpu_removed", str(vcpu)),
    29: lambda channel, state, *_: ("channel_lifecycle", f"{channel} {_word(_AGENT, state)}"),
}


class Events:
    """The events of one hypervisor."""

    def __init__(self) -> None:
        self._counters = Counters("event")

    def __call__(self, scope: Scope) -> Iterator[Domain]:
        yield from self._counters.records(scope)

    def happened(self, kind: int, uuid: str, name: str, arguments: tuple[Any, ...]) -> None:
        """Counts an event."""
        event, detail = NAMES[kind](*arguments)
        at = (("event", event), ("detail", detail[:MOST_CHARACTERS]))
        self._counters.add(uuid, name, at, {"count": 1}, {"last": int(time.time())})


SOURCE = Source(
    name="event",
    summary="counters of events: lifecycle, reboot, watchdog, I/O errors and others",
    reads="counters of libvirt's events, by event and detail: `started`, `stopped`, `crashed` and "
    "the other lifecycle events, `reboot`, `watchdog`, `io_error`, `block_threshold`, `agent`, "
    "`job_completed`, `control_error`, `memory_failure`, `device_removal_failed`, with libvirt "
    "11.2 `nic_mac_change`, with 12.4 `vcpu_removed` and `channel_lifecycle`",
    calls="one to list the domains. Events are counted from the first connection on; those during "
    "a reconnect are lost. Counters of a domain that no longer exists are written once more and "
    "then dropped.",
    empty="no event has come yet",
    new=Events,
    events=(*NAMES,),
    metrics=(
        Metric(
            prefix="event",
            extra_tags=("event", "detail"),
            help="Events of one kind since the plugin started; only kinds that came",
            fields=(
                counter("count", "", "number of events"),
                gauge("last", "s", "Unix time of the last one", Type.LLONG),
            ),
        ),
    ),
)
