"""What is remembered about the domains that the log has named."""

from __future__ import annotations

import pytest

from telegraf_execd_libvirt.connection import facts
from telegraf_execd_libvirt.connection.completeness import Completeness
from telegraf_execd_libvirt.connection.facts import Facts
from telegraf_execd_libvirt.connection.xml_cache import XmlCache
from telegraf_execd_libvirt.domain.devices import NO_DEVICES, parse
from telegraf_execd_libvirt.domain.record import NO_IDENTITY
from telegraf_execd_libvirt.domain.xml import parse_xml


def test_a_domain_is_named_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time for another reason; guests that come and go need no more memory."""
    monkeypatch.setattr(facts, "_MOST_NAMED", 4)
    known = Facts(Completeness([]), XmlCache(len, 0, 60.0), XmlCache(len, 0, 60.0))
    for number in range(10):
        for _ in range(3):
            known.tell(f"uuid-{number}", "no statistics:", "too large")
            known.tell(f"uuid-{number}", "its name is not UTF-8; written as", "x")
        assert len(known.named) <= 4
    assert caplog.messages == [
        f"domain uuid-{number}: {text}"
        for number in range(10)
        for text in ("no statistics: too large", "its name is not UTF-8; written as x")
    ]


def test_broken_xml_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """However many caches read it, and however often; another mistake is another warning."""

    def identity(xml: str) -> object:
        return parse_xml(xml) and NO_IDENTITY

    known = Facts(
        Completeness([]), XmlCache(parse, NO_DEVICES, 0.0), XmlCache(identity, NO_IDENTITY, 0.0)
    )
    for uuid, xml in (("a", "<domain"), ("b", "<domain"), ("a", "<!DOCTYPE d><domain/>")):
        for _ in range(2):
            for cache in (known.devices, known.identities):
                cache.forget(uuid)
                cache.get(uuid, 1, lambda xml=xml: xml)
            known.restarts.get(uuid, 1, lambda xml=xml: (xml, xml))
    assert [message.partition(":")[0] for message in caplog.messages] == [
        *("domain a", "domain b", "domain a")
    ]
