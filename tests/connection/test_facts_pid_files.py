"""What files on this host say: the names and times of running domains, and the memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

import pytest

from telegraf_execd_libvirt.connection.facts import available_memory, running_names, started_at

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
