"""What is remembered about the domains that the log has named."""

from __future__ import annotations

import pytest

from telegraf_execd_libvirt.connection import facts
from telegraf_execd_libvirt.connection.completeness import Completeness
from telegraf_execd_libvirt.connection.facts import Facts
from telegraf_execd_libvirt.connection.xml_cache import XmlCache


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
