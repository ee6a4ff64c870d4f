"""What was read from XML is kept until an event, another life of the domain, or old age."""

from __future__ import annotations

import time
from typing import Optional

import pytest

from telegraf_execd_libvirt.connection.xml_cache import XmlCache


def parse(xml: str) -> str:
    """The result is the text itself; `broken` cannot be used."""
    if xml == "broken":
        raise ValueError("broken")
    return xml


def read(cache: XmlCache[str], xml: Optional[str], life: int = 1) -> Optional[str]:
    """Read this XML of the one domain."""
    return cache.read("a", life, lambda: xml)


def test_it_is_kept_for_one_life() -> None:
    """An entry is known in the life in which it was read, and in no other."""
    cache = XmlCache(parse, "", 600)
    assert cache.find("a", 1) == (None, True)
    assert read(cache, "one") == "one"
    assert cache.find("a", 1) == ("one", False)
    assert cache.find("a", -1) == cache.find("b", 1) == (None, True)


def test_old_age(monkeypatch: pytest.MonkeyPatch) -> None:
    """After at most the given time, and not before three quarters of it, an entry is due; it stays
    known until it is read again."""
    cache = XmlCache(parse, "", 600)
    now = time.monotonic()
    for _ in range(100):
        read(cache, "one")
        monkeypatch.setattr(time, "monotonic", lambda: now + 449)
        assert cache.find("a", 1) == ("one", False)
        monkeypatch.setattr(time, "monotonic", lambda: now + 601)
        assert cache.find("a", 1) == ("one", True)
        monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "monotonic", lambda: now + 601)
    assert read(cache, "two") == "two"
    assert cache.find("a", 1) == ("two", False)


def test_ages_are_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of entries that were read at once, some are due early and others late."""
    cache = XmlCache(parse, "", 600)
    now = time.monotonic()
    for number in range(1000):
        cache.read(str(number), 1, lambda: "one")
    for seconds, least, most in ((490, 100, 500), (560, 500, 900)):
        monkeypatch.setattr(time, "monotonic", lambda seconds=seconds: now + seconds)
        assert least < sum(cache.find(str(number), 1)[1] for number in range(1000)) < most


def test_an_event_while_it_is_read() -> None:
    """An event makes an entry unknown; XML that was read before the event is used, but not kept."""
    cache = XmlCache(parse, "", 600)
    read(cache, "one")
    cache.forget("a")
    assert cache.find("a", 1) == (None, True)

    def fetch() -> str:
        cache.forget("a")
        return "two"

    assert cache.read("a", 1, fetch) == "two"
    assert cache.find("a", 1) == (None, True)


def test_an_equal_result_is_the_same_object() -> None:
    """What did not change keeps its object, so that lines need not be made anew."""
    cache = XmlCache(lambda xml: [xml], [], 600)
    assert cache.read("a", 1, lambda: "one") is cache.read("a", 1, lambda: "one")
    assert cache.read("a", 1, lambda: "two") == ["two"]


def test_xml_that_cannot_be_read_or_used() -> None:
    """XML that does not come leaves everything as it was; XML that cannot be used is an entry."""
    cache = XmlCache(parse, "nothing", 600)
    read(cache, "one")
    assert read(cache, None) is None and cache.find("a", 1) == ("one", False)

    def fetch() -> str:
        return b"\xff".decode()

    for broken in (lambda: "broken", fetch):
        assert cache.read("b", 1, broken) == "nothing"
        assert cache.find("b", 1) == ("nothing", False)
