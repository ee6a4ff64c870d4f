"""Source ``event``: counters of libvirt's events.

Events are counted as they come, in libvirt's event thread, and written at the tick. A flood of
events, such as I/O errors, costs one counter. Events during a reconnect are lost.

Invariant: the numbers are those of virDomainEventID and of the enums of each event.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..domain.record import Domain
from ..groups.schema import Metric, Type, counter, gauge
from .counters import Counters
from .job import operation
from .source import Source

if TYPE_CHECKING:
    from .scope import Scope

LIFECYCLE, REBOOT, WATCHDOG, IO_ERROR, CONTROL_ERROR = 0, 1, 3, 6, 7
AGENT, JOB_COMPLETED, BLOCK_THRESHOLD, MEMORY_FAILURE = 18, 21, 24, 25

#: The kinds of events that are counted.
KINDS = (
    LIFECYCLE,
    REBOOT,
    WATCHDOG,
    IO_ERROR,
    CONTROL_ERROR,
    AGENT,
    JOB_COMPLETED,
    BLOCK_THRESHOLD,
    MEMORY_FAILURE,
)

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


class Events:
    """The events of one hypervisor."""

    def __init__(self) -> None:
        self._counters = Counters("event")

    def __call__(self, scope: Scope) -> Iterator[Domain]:
        self._counters.watch(scope, KINDS, self._count)
        yield from self._counters.records(scope)

    def _count(
        self, scope: Scope, kind: int, uuid: str, name: str, arguments: tuple[Any, ...]
    ) -> None:
        event_name, detail = names(kind, arguments)
        at = (("event", event_name), ("detail", detail))
        self._counters.add(scope, uuid, name, at, {"count": 1}, {"last": int(time.time())})


def names(kind: int, arguments: Sequence[Any]) -> tuple[str, str]:
    """The event and its detail, which may be empty; ``arguments`` are those of libvirt-python's
    callback after the domain."""
    if kind == LIFECYCLE:
        number, detail = arguments
        if not 0 <= number < len(_LIFECYCLE):
            return f"lifecycle_{number}", str(detail)
        event, details = _LIFECYCLE[number]
        return event, _word(details, detail)
    if kind == REBOOT:
        return "reboot", ""
    if kind == WATCHDOG:
        return "watchdog", _word(_WATCHDOG, arguments[0])
    if kind == IO_ERROR:
        _, _, action, reason = arguments
        return "io_error", str(reason or _word(_IO_ERROR, action))
    if kind == CONTROL_ERROR:
        return "control_error", ""
    if kind == AGENT:
        return "agent", _word(_AGENT, arguments[0])
    if kind == JOB_COMPLETED:
        return "job_completed", operation(arguments[0])
    if kind == BLOCK_THRESHOLD:
        return "block_threshold", str(arguments[0])
    if kind == MEMORY_FAILURE:
        return "memory_failure", _word(_MEMORY_FAILURE, arguments[0])
    return f"event_{kind}", ""


def _word(words: str, number: int) -> str:
    """The word at a position; the number itself if libvirt is newer than this list."""
    known = words.split()
    return known[number] if 0 <= number < len(known) else str(number)


SOURCE = Source(
    name="event",
    summary="counters of events: lifecycle, reboot, watchdog, I/O errors and others",
    reads="counters of libvirt's events, by event and detail: `started`, `stopped`, `crashed` and "
    "the other lifecycle events, `reboot`, `watchdog`, `io_error`, `block_threshold`, `agent`, "
    "`job_completed`, `control_error`, `memory_failure`",
    calls="one to list the domains. Events are counted from the first connection on; those during "
    "a reconnect are lost. Counters of a domain that no longer exists are written once more and "
    "then dropped.",
    new=Events,
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
