"""The source storage_pool: pools and their volumes."""

from __future__ import annotations

from typing import Any

from support.scope import FakeScope, Thing, read


def pool(name: str = "default", **answers: Any) -> Thing:
    """A directory pool."""
    known = {"info": [2, 200, 50, 150], "isActive": 1, "autostart": 0}
    return Thing(name, {**known, **answers}, xml="<pool type='dir'/>")


def test_storage_pool() -> None:
    """A pool has its type, state and sizes; a pool of unknown size has no percentage."""
    pools = [pool(), pool("off", info=[0, 0, 0, 0], isActive=0), pool(info=None)]
    found = read("storage_pool", FakeScope(host={"listAllStoragePools": pools}))
    assert found == [
        "libvirt_storage_pool,pool=default,type=dir state=2i,capacity=200i,allocation=50i,"
        "available=150i,used_percent=25,active=1i,autostart=0i",
        "libvirt_storage_pool,pool=off,type=dir state=0i,capacity=0i,allocation=0i,"
        "available=0i,active=0i,autostart=0i",
    ]


def test_storage_volumes() -> None:
    """With `volumes` each volume has a line too."""
    volumes = [Thing("disk 1", {"info": [0, 100, 30]}), Thing("gone")]
    scope = FakeScope(
        host={"listAllStoragePools": [pool(listAllVolumes=volumes)]}, options={"volumes": True}
    )
    assert read("storage_pool", scope)[1:] == [
        r"libvirt_storage_volume,pool=default,volume=disk\ 1 capacity=100i,allocation=30i"
    ]
