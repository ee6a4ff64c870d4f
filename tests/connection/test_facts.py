"""What is remembered about the domains that the log has named; what files on this host say: the
names and times of running domains, and the memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

import pytest

from telegraf_execd_libvirt.connection import facts
from telegraf_execd_libvirt.connection.completeness import Completeness
from telegraf_execd_libvirt.connection.facts import (
    Facts,
    available_memory,
    running_names,
    started_at,
)
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


NAMES = {
    "web-1.pid": "web-1",
    "a.b.pid": "a.b",
    "R&amp;D.pid": "R&D",
    "say &quot;&apos;&lt;&gt;.pid": "say \"'<>",
    "a&amp;lt;.pid": "a&lt;",
    "b\udcff.pid": "b\\xff",  # a byte that is not UTF-8
}


@pytest.mark.parametrize("folder", ["qemu", "qemu/run"])
def test_names(tmp_path: Path, folder: str) -> None:
    """A name is escaped as in XML; the daemon's own file and files of other kinds are none."""
    path = tmp_path / folder
    path.mkdir(parents=True)
    for name in (*NAMES, "driver.pid", "web-1.xml"):
        (path / name).touch()
    uri = f"qemu:///system?socket={tmp_path}/libvirt-sock"
    assert running_names(uri) == sorted(NAMES.values())
    for file, name in NAMES.items():
        os.utime(path / file, (1.0, 1_800_000_000.9))
        assert started_at(uri, name) == (None if "\\x" in name else 1_800_000_000)
    assert started_at(uri, "../qemu/web-1") is started_at(uri, "gone") is None


@pytest.mark.parametrize(
    "uri", ["test:///default", "qemu+ssh://host/system", "qemu:///system?socket=/nowhere/socket"]
)
def test_no_names(uri: str) -> None:
    """There are none on another host, without a daemon of QEMU's, and without files."""
    assert running_names(uri) == []
    assert started_at(uri, "web-1") is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("MemTotal:  9 kB\nMemFree: 1 kB\nMemAvailable:   5 kB\nHugePages_Total: 0\n", 5),
        ("MemTotal: 8 kB\nMemAvailable: 5 kB\n", None),  # what a container sees
        ("MemTotal: 9 kB\n", None),
        ("MemTotal: 9 kB\nMemAvailable:\n", None),
        ("MemTotal: many\n", None),
        (None, None),
    ],
)
def test_available_memory(
    monkeypatch: pytest.MonkeyPatch, text: Optional[str], found: object
) -> None:
    """It is that of the host whose memory has this size."""

    def read(*_: object) -> str:
        if text is None:
            raise FileNotFoundError
        return text

    monkeypatch.setattr(Path, "read_text", read)
    assert available_memory(9) == found
