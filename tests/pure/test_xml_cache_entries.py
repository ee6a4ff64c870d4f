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
    assert cache.known("a", 1) is None and cache.is_due("a")
    assert read(cache, "one") == "one"
    assert cache.known("a", 1) == "one" and not cache.is_due("a")
    assert cache.known("a", -1) is None and cache.known("b", 1) is None


def test_old_age(monkeypatch: pytest.MonkeyPatch) -> None:
    """After at most the given time, and not before three quarters of it, an entry is due; it stays
    known until it is read again."""
    cache = XmlCache(parse, "", 600)
    now = time.monotonic()
    for _ in range(100):
        read(cache, "one")
        monkeypatch.setattr(time, "monotonic", lambda: now + 449)
        assert not cache.is_due("a")
        monkeypatch.setattr(time, "monotonic", lambda: now + 601)
        assert cache.is_due("a") and cache.known("a", 1) == "one"
        monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "monotonic", lambda: now + 601)
    assert read(cache, "two") == "two"
    assert cache.known("a", 1) == "two" and not cache.is_due("a")


def test_ages_are_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of entries that were read at once, some are due early and others late."""
    cache = XmlCache(parse, "", 600)
    now = time.monotonic()
    for number in range(1000):
        cache.read(str(number), 1, lambda: "one")
    for seconds, least, most in ((490, 100, 500), (560, 500, 900)):
        monkeypatch.setattr(time, "monotonic", lambda seconds=seconds: now + seconds)
        assert least < sum(cache.is_due(str(number)) for number in range(1000)) < most


def test_an_event_while_it_is_read() -> None:
    """An event makes an entry unknown; XML that was read before the event is used, but not kept."""
    cache = XmlCache(parse, "", 600)
    read(cache, "one")
    cache.forget("a")
    assert cache.known("a", 1) is None and cache.is_due("a")

    def fetch() -> str:
        cache.forget("a")
        return "two"

    assert cache.read("a", 1, fetch) == "two"
    assert cache.known("a", 1) is None


def test_an_equal_result_is_the_same_object() -> None:
    """What did not change keeps its object, so that lines need not be made anew."""
    cache = XmlCache(lambda xml: [xml], [], 600)
    assert cache.read("a", 1, lambda: "one") is cache.read("a", 1, lambda: "one")
    assert cache.read("a", 1, lambda: "two") == ["two"]


def test_xml_that_cannot_be_read_or_used() -> None:
    """XML that does not come leaves everything as it was; XML that cannot be used is an entry."""
    cache = XmlCache(parse, "nothing", 600)
    read(cache, "one")
    assert read(cache, None) is None and cache.known("a", 1) == "one"

    def fetch() -> str:
        return b"\xff".decode()

    for broken in (lambda: "broken", fetch):
        assert cache.read("b", 1, broken) == "nothing"
        assert cache.known("b", 1) == "nothing" and not cache.is_due("b")
