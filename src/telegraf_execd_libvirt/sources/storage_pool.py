"""Source ``storage_pool``: storage pools, and with the option ``volumes`` their volumes.

A refresh of a pool needs more rights than a read-only connection has, so the sizes are those of the
last refresh by another program.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from ..domain.record import Domain, record
from ..groups.schema import Metric, Type, gauge
from .source import Option, Scope, Source

#: The type of an active pool is read again after this time: it may have been stopped, defined
#: anew and started between two fetches.
_OLDEST_TYPE_SECONDS = 300.0


class _Pools:
    def __init__(self) -> None:
        #: The types of the pools by UUID (dir, logical, rbd and so on), and when they are read
        #: again: a pool that is not active may get another type at any time.
        self._types: dict[str, tuple[str, float]] = {}

    def __call__(self, scope: Scope) -> Iterator[Domain]:
        known = {}
        for pool in scope.host("listAllStoragePools", 0) or ():
            uuid, now = scope.uuid(pool), time.monotonic()
            active = scope.call(pool, "isActive")
            kind, until = self._types.get(uuid, ("", 0.0))
            if not active or now >= until:
                kind = scope.xml(pool).get("type") or kind
                until = now + _OLDEST_TYPE_SECONDS if active and kind else 0.0
            known[uuid] = kind, until
            info = scope.call(pool, "info")
            if info is None:
                continue
            state, capacity, allocation, available = info
            keys = {
                "state": state,
                "capacity": capacity,
                "allocation": allocation,
                "available": available,
                "used_percent": 100 * allocation / capacity if capacity else None,
                "active": active,
                "autostart": scope.call(pool, "autostart"),
            }
            yield record(scope.name(pool), "storage_pool", keys, {"type": kind})
            if active and scope.options["volumes"]:
                yield from _volumes(scope, pool)
        self._types = known


def _volumes(scope: Scope, pool: Any) -> Iterator[Domain]:
    for volume in scope.call(pool, "listAllVolumes", 0) or ():
        info = scope.call(volume, "info")
        if info is not None:
            keys = {"capacity": info[1], "allocation": info[2]}
            tags = {"volume": scope.name(volume)}
            yield record(scope.name(pool), "storage_volume", keys, tags)


SOURCE = Source(
    name="storage_pool",
    summary="storage pools, and with an option their volumes",
    reads="storage pools; with `volumes = true` also their volumes",
    calls="three for each pool, and one more for a pool that is new or not active, otherwise every "
    "five minutes; with `volumes` also one for each active pool and each volume. Pools are not "
    "refreshed: the sizes are those of the last refresh, such as by [`virsh pool-refresh`]"
    "(metrics.md#notes).",
    empty="no storage pool is defined",
    new=_Pools,
    options=(
        Option(
            "volumes",
            default=False,
            comment="Read the volumes of each pool as well",
            help="read the volumes of active pools as well.",
        ),
    ),
    metrics=(
        Metric(
            prefix="storage_pool",
            subject="pool",
            extra_tags=("type",),
            help="One storage pool; sizes are of the pool's last refresh, which the plugin never "
            "requests",
            fields=(
                gauge(
                    "state",
                    "virStoragePoolState",
                    "0 inactive, 1 building, 2 running, 3 degraded, 4 inaccessible",
                    Type.INT,
                ),
                gauge("capacity", "bytes", "size of the pool"),
                gauge("allocation", "bytes", "used space"),
                gauge("available", "bytes", "free space"),
                gauge("used_percent", "%", "used space, of the size", Type.DOUBLE),
                gauge("active", "", "1 if the pool is started, else 0", Type.INT),
                gauge("autostart", "", "1 if the pool starts with the daemon, else 0", Type.INT),
            ),
        ),
        Metric(
            prefix="storage_volume",
            subject="pool",
            extra_tags=("volume",),
            help="One volume of an active pool; only with the option volumes",
            fields=(
                gauge("capacity", "bytes", "size that a guest sees"),
                gauge("allocation", "bytes", "used space"),
            ),
        ),
    ),
)
