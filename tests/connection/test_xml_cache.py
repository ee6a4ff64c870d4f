"""The cache of the domains' XML: what it keeps, and when it reads again."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable
from typing import Optional, Union
from unittest.mock import Mock

import pytest
from pytest_mock import MockerFixture

from support.plugin import SECONDS
from telegraf_execd_libvirt.connection.xml_cache import XmlCache
from telegraf_execd_libvirt.domain.devices import NO_DEVICES, Devices, parse

RUNS, OFF = 1, -1


class Cache(XmlCache[Devices]):
    def vcpus(self, name: str, life: int, read: Callable[[], Optional[str]]) -> Optional[int]:
        """The number of vCPUs."""
        found = self.get(name, life, read)
        assert found is not None
        return found.vcpus


class Source:
    """The XML of a domain with a number of vCPUs; counts how often it is read."""

    def __init__(self, vcpus: int = 1) -> None:
        self.vcpus = vcpus
        self.reads = 0

    def __call__(self) -> str:
        self.reads += 1
        return f"<domain><vcpu>{self.vcpus}</vcpu></domain>"


@pytest.fixture
def cache() -> Cache:
    return Cache(parse, NO_DEVICES, 60.0)


@pytest.fixture
def clock(mocker: MockerFixture) -> Callable[[float], None]:
    """Set the cache's clock to this number of seconds. All entries are valid for a minute."""
    mocker.patch("telegraf_execd_libvirt.connection.xml_cache.random.uniform", return_value=1.0)
    now = mocker.patch("telegraf_execd_libvirt.connection.xml_cache.time.monotonic")
    now.return_value = 1000.0

    def set_to(seconds: float) -> None:
        now.return_value = 1000.0 + seconds

    return set_to


@pytest.mark.parametrize("life", [RUNS, 2, OFF])
def test_when_the_xml_is_read_again(cache: Cache, life: int) -> None:
    """It is read once for each domain, and again after an event of that domain, or after a start or
    a stop without an event."""
    first, second = Source(1), Source(2)
    for _ in range(3):
        assert cache.vcpus("a", RUNS, first) == 1
        assert cache.vcpus("b", RUNS, second) == 2
    assert first.reads == second.reads == 1
    first.vcpus = 3
    if life == RUNS:
        cache.forget("a")
    for _ in range(2):
        assert cache.vcpus("a", life, first) == 3
        assert cache.vcpus("b", RUNS, second) == 2
    assert (first.reads, second.reads) == (2, 1)


def test_an_event_during_the_read_is_not_lost(cache: Cache) -> None:
    """If an event arrives while the XML is being read, the next call reads again."""
    source = Source()

    def read() -> str:
        xml = source()
        source.vcpus = 2
        cache.forget("a")
        return xml

    assert cache.vcpus("a", RUNS, read) == 1
    for _ in range(2):
        assert cache.vcpus("a", RUNS, source) == 2
    assert source.reads == 2


def test_an_old_entry_is_read_again(cache: Cache, clock: Callable[[float], None]) -> None:
    """An entry is valid for a minute, counted from the start of its read."""
    source = Source()

    def slow() -> str:
        clock(20)
        return source()

    cache.get("a", RUNS, slow)
    for seconds, reads in ((20, 1), (60, 1), (61, 2), (121, 2), (122, 3)):
        clock(seconds)
        cache.get("a", RUNS, source)
        assert source.reads == reads, seconds


def test_entries_of_domains_that_are_gone_are_dropped(
    cache: Cache, clock: Callable[[float], None]
) -> None:
    """The cache does not grow when domains come and go without events."""
    kept: list[weakref.ref[Devices]] = []
    for minute in range(10):
        clock(61 * minute)
        for number in range(5):
            found = cache.get(f"{minute}-{number}", RUNS, Source())
            assert found is not None
            kept.append(weakref.ref(found))
        del found
        assert sum(entry() is not None for entry in kept) <= 20


class Uuid(str):
    """A text that can have weak references."""


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_reads_that_fail_leave_nothing(cache: Cache, error: Optional[type[Exception]]) -> None:
    """Domains that end before their XML is read take no memory."""
    uuid = Uuid("a")
    kept = weakref.ref(uuid)
    with contextlib.suppress(RuntimeError):
        cache.get(uuid, RUNS, Mock(return_value=None, side_effect=error))
    del uuid
    assert kept() is None


def test_what_was_read_last(cache: Cache, clock: Callable[[float], None]) -> None:
    """After an event, and in another life of its domain, an entry is out of date and still there;
    not for ever."""
    assert cache.last("a") is None
    found = cache.get("a", RUNS, Source())
    assert cache.last("a") is found
    cache.forget("a")
    assert cache.find("a", RUNS) == cache.find("a", OFF) == (None, True)
    assert cache.last("a") is found
    assert cache.get("a", RUNS, Source()) is found
    cache.forget("a")
    for seconds in (61, 122):
        clock(seconds)
        cache.get("b", RUNS, Source())
    assert cache.last("a") is None and cache.last("b") is not None


def test_an_old_entry_is_due_and_still_known(cache: Cache, clock: Callable[[float], None]) -> None:
    """A caller that need not wait finds the old entry, also if its XML cannot be fetched again.
    What did not change keeps its object, so that lines need not be made anew."""
    assert cache.find("a", RUNS) == (None, True)
    found = cache.get("a", RUNS, Source())
    assert cache.find("a", RUNS) == (found, False)
    assert cache.find("a", OFF) == cache.find("b", RUNS) == (None, True)
    clock(61)
    assert cache.find("a", RUNS) == (found, True)
    assert cache.get("a", RUNS, lambda: None) is None
    assert cache.find("a", RUNS) == (found, True)
    assert cache.get("a", RUNS, Source()) is found
    clock(122)
    assert cache.vcpus("a", RUNS, Source(2)) == 2
    cache.forget("a")
    assert cache.find("a", RUNS) == (None, True)


def test_ages_are_spread(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of entries that were read at once, some are due early and others late: none before three
    quarters of the time, all after it."""
    names, now = [str(number) for number in range(1000)], time.monotonic()
    for name in names:
        cache.get(name, RUNS, Source())
    for seconds, least, most in ((44, 0, 0), (49, 100, 500), (56, 500, 900), (61, 1000, 1000)):
        monkeypatch.setattr(time, "monotonic", lambda seconds=seconds: now + seconds)
        assert least <= sum(cache.find(name, RUNS)[1] for name in names) <= most


@pytest.mark.parametrize("xml", [None, "<domain", "<!DOCTYPE domain><domain/>", b"\xff"])
def test_xml_that_cannot_be_read(cache: Cache, xml: Union[str, bytes, None]) -> None:
    """XML that cannot be fetched is requested at the next call; bad XML is read once."""
    reads = []

    def read() -> Optional[str]:
        reads.append(xml)
        return xml.decode() if isinstance(xml, bytes) else xml

    found = [cache.get("a", RUNS, read) for _ in range(3)]
    assert found == 3 * [None if xml is None else Devices((), (), None)]
    assert len(reads) == (3 if xml is None else 1)


def test_two_threads_read_the_same_domain(cache: Cache) -> None:
    """If two threads read a domain and an event arrives between, the older XML is not kept."""
    source, began, go_on = Source(), threading.Event(), threading.Event()

    def slow() -> str:
        xml = source()
        began.set()
        assert go_on.wait(SECONDS)
        return xml

    thread = threading.Thread(target=cache.get, args=("a", RUNS, slow))
    thread.start()
    assert began.wait(SECONDS)
    cache.forget("a")
    source.vcpus = 2
    assert cache.vcpus("a", RUNS, source) == 2
    go_on.set()
    thread.join()
    assert cache.vcpus("a", RUNS, source) == 2
    assert source.reads == 2
