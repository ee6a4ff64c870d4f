"""Source ``snapshot``: snapshots, checkpoints and the saved state of each domain.

Invariant: only domains that have snapshots or checkpoints are asked for them; libvirt's filters say
which ones have, and if none has, one domain is asked whether the driver has any. Times are read
anew at each fetch, as a backup may use the same name again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Optional

from ..domain.record import Domain
from ..domain.xml import parse_xml
from ..groups.schema import Metric, Type, gauge
from .source import MINUTE, Scope, Source

#: VIR_CONNECT_LIST_DOMAINS_*: the filters of domains that have them.
_MANAGED_SAVE, _SNAPSHOTS, _CHECKPOINTS = 256, 4096, 16384

#: VIR_DOMAIN_SNAPSHOT_LIST_* and VIR_DOMAIN_CHECKPOINT_LIST_*: those without a parent, and those
#: without children. The oldest one has no parent, and the newest one no children.
_ROOTS, _LEAVES = 1, 4

#: VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN; snapshots have no such flag.
_NO_DOMAIN = 2

#: The number of domains that say whether the driver has snapshots.
_SAMPLES = 3

_Keys = dict[str, Any]


def _fetch(scope: Scope) -> Iterator[Domain]:
    having = [scope.having(each) for each in (_MANAGED_SAVE, _SNAPSHOTS, _CHECKPOINTS)]
    handles = [*scope.domains()]
    if handles and not any(having) and _is_refused(scope, handles):
        having = [None] * len(having)  # a driver without snapshots has the filters, too
    saved, snapshots, checkpoints = having
    for handle in handles:
        uuid = scope.uuid(handle)
        keys = _snapshots(scope, handle, snapshots is not None and uuid not in snapshots)
        keys.update(
            _checkpoints(scope, handle, checkpoints is not None and uuid not in checkpoints)
        )
        if saved is None:
            keys["managed_save"] = scope.call(handle, "hasManagedSaveImage", 0)
        else:
            keys["managed_save"] = int(uuid in saved)
        yield scope.domain(handle, "snapshot", keys)


def _is_refused(scope: Scope, handles: list[Any]) -> bool:
    """Whether no domain can be asked for snapshots; the first ones may have gone meanwhile."""
    return all(scope.call(handle, "snapshotNum", 0) is None for handle in handles[:_SAMPLES])


def _snapshots(scope: Scope, handle: Any, none: bool) -> _Keys:
    """The keys about snapshots; ``none``: it is known that there are none."""
    if none:
        return {"snapshots": 0, "has_current": 0}
    number = scope.call(handle, "snapshotNum", 0)
    current = scope.call(handle, "hasCurrentSnapshot", 0)
    keys = {"snapshots": number, "has_current": current}
    if number:
        keys.update(_times(scope, handle, "listAllSnapshots", "snapshot", 0))
    return keys


def _checkpoints(scope: Scope, handle: Any, none: bool) -> _Keys:
    if none:
        return {"checkpoints": 0}
    found: Optional[Collection[Any]] = scope.call(handle, "listAllCheckpoints", 0)
    keys = {"checkpoints": None if found is None else len(found)}
    if found:
        keys.update(_times(scope, handle, "listAllCheckpoints", "checkpoint", _NO_DOMAIN))
    return keys


def _times(scope: Scope, handle: Any, method: str, what: str, flags: int) -> _Keys:
    """The times of the oldest and the newest one."""
    found = {
        scope.name(each): each
        for filter in (_ROOTS, _LEAVES)
        for each in scope.call(handle, method, filter) or ()
    }
    times = [_time(scope.call(each, "getXMLDesc", flags)) for each in found.values()]
    known = [time for time in times if time is not None]
    return {f"oldest_{what}": min(known), f"newest_{what}": max(known)} if known else {}


def _time(xml: Optional[str]) -> Optional[int]:
    try:
        return int(parse_xml(xml or "").findtext("creationTime", ""))
    except ValueError:
        return None


SOURCE = Source(
    name="snapshot",
    summary="numbers and times of snapshots and checkpoints, saved states",
    reads="snapshots and checkpoints with the times of the oldest and the newest one, saved states",
    calls="four for the hypervisor, and one for a domain if none has any; for each domain with "
    "snapshots four and one or two for their times, for each domain with checkpoints three and one "
    "or two",
    new=lambda: _fetch,
    interval=5 * MINUTE,
    metrics=(
        Metric(
            prefix="snapshot",
            help="Snapshots, checkpoints and the saved state of a domain",
            fields=(
                gauge("snapshots", "", "number of snapshots", Type.UINT),
                gauge("oldest_snapshot", "s", "Unix time of the oldest snapshot", Type.LLONG),
                gauge("newest_snapshot", "s", "Unix time of the newest snapshot", Type.LLONG),
                gauge("checkpoints", "", "number of checkpoints", Type.UINT),
                gauge("oldest_checkpoint", "s", "Unix time of the oldest checkpoint", Type.LLONG),
                gauge("newest_checkpoint", "s", "Unix time of the newest checkpoint", Type.LLONG),
                gauge("has_current", "", "1 if a snapshot is current, else 0", Type.INT),
                gauge(
                    "managed_save",
                    "",
                    "1 if the domain continues from a saved state at its next start, else 0",
                    Type.INT,
                ),
            ),
        ),
    ),
)
