"""The source storage_pool: pools and their volumes."""

from __future__ import annotations

from typing import Any

from pytest_mock import MockerFixture

from support.scope import FakeScope, Thing, defaults, fetched, read
from telegraf_execd_libvirt.sources import SOURCES


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


def test_a_pool_that_is_defined_anew(mocker: MockerFixture) -> None:
    """A pool that is not active may get another type, with its UUID: that is read at each fetch
    then, at its start, and at last after some minutes. An XML that cannot be read changes
    nothing."""
    clock = mocker.patch("telegraf_execd_libvirt.sources.storage_pool.time.monotonic")
    clock.return_value = 1000.0
    changing, source = pool(), SOURCES["storage_pool"]
    scope = FakeScope(host={"listAllStoragePools": [changing]}, options=defaults(source))
    reads, fetch = mocker.spy(scope, "xml"), source.new()

    def kind(active: int, xml: str) -> tuple[str, int]:
        """The type of the pool, and the number of times that its XML was read for that."""
        reads.reset_mock()
        changing.answers["isActive"], changing.xml = active, xml
        (found,) = fetched(fetch, scope)
        return found.identity.tags["type"], reads.call_count

    rbd, logical = "<pool type='rbd'/>", "<pool type='logical'/>"
    assert kind(1, "<pool type='dir'/>") == ("dir", 1)
    assert kind(1, rbd) == ("dir", 0)
    assert kind(0, rbd) == kind(0, rbd) == ("rbd", 1)
    assert kind(1, logical) == ("logical", 1)
    assert kind(1, rbd) == ("logical", 0)
    clock.return_value += 301.0
    assert kind(1, "<broken") == ("logical", 1)
    clock.return_value += 301.0
    assert kind(1, rbd) == ("rbd", 1)
