"""Source ``storage_pool``: storage pools, and with the option ``volumes`` their volumes.

A refresh of a pool needs more rights than a read-only connection has, so the sizes are those of the
last refresh by another program.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Optional

from ..domain.record import Domain, record
from ..domain.xml import parse_xml
from ..groups import storage_pool
from .source import Source

if TYPE_CHECKING:
    from .scope import Scope


class _Pools:
    def __init__(self) -> None:
        #: The types of the pools by UUID; a pool keeps its type.
        self._types: dict[str, str] = {}

    def __call__(self, scope: Scope) -> Iterator[Domain]:
        known = {}
        for pool in scope.host("listAllStoragePools", 0) or ():
            uuid = scope.uuid(pool)
            kind = known[uuid] = self._types.get(uuid) or _type(scope.xml(pool))
            info = scope.call(pool, "info")
            if info is None:
                continue
            state, capacity, allocation, available = info
            active = scope.call(pool, "isActive")
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
        name = scope.call(volume, "name")  # None if it is not UTF-8, as files may be named
        info = scope.call(volume, "info") if name is not None else None
        if info is not None:
            keys = {"capacity": info[1], "allocation": info[2]}
            tags = {"volume": name}
            yield record(scope.name(pool), "storage_volume", keys, tags)


def _type(xml: Optional[str]) -> str:
    """The type of a pool: dir, logical, rbd and so on; empty if its XML cannot be read."""
    try:
        return parse_xml(xml or "").get("type") or ""
    except ValueError:
        return ""


SOURCE = Source(
    group=storage_pool.GROUP,
    new=_Pools,
    options={"volumes": False},
)
