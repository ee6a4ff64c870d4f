"""Additional statistics ``storage_pool``: storage pools, and with ``volumes`` their volumes."""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type


def _size(key: str, help: str) -> Field:
    return Field(key, Type.ULLONG, Kind.GAUGE, "bytes", help)


def _flag(key: str, help: str) -> Field:
    return Field(key, Type.INT, Kind.GAUGE, "", help)


GROUP = Group(
    name="storage_pool",
    bit=0,
    needs_monitor=False,
    metrics=(
        Metric(
            measurement="libvirt_storage_pool",
            prefix="storage_pool",
            subject="pool",
            extra_tags=("type",),
            help="One storage pool; sizes are of the pool's last refresh, which the plugin never "
            "requests",
            fields=(
                Field(
                    "state",
                    Type.INT,
                    Kind.GAUGE,
                    "virStoragePoolState",
                    "0 inactive, 1 building, 2 running, 3 degraded, 4 inaccessible",
                ),
                _size("capacity", "size of the pool"),
                _size("allocation", "used space"),
                _size("available", "free space"),
                Field("used_percent", Type.DOUBLE, Kind.GAUGE, "%", "used space, of the size"),
                _flag("active", "1 if the pool is started, else 0"),
                _flag("autostart", "1 if the pool starts with the daemon, else 0"),
            ),
        ),
        Metric(
            measurement="libvirt_storage_volume",
            prefix="storage_volume",
            subject="pool",
            extra_tags=("volume",),
            help="One volume of an active pool; only with the option volumes",
            fields=(
                _size("capacity", "size that a guest sees"),
                _size("allocation", "used space"),
            ),
        ),
    ),
)
