"""The source snapshot: snapshots, checkpoints and saved states."""

from __future__ import annotations

import pytest

from support.scope import FakeScope, Thing, read

SAVED, SNAPSHOTS, CHECKPOINTS = 256, 4096, 16384
ALL, ROOTS, LEAVES = 0, 1, 4


def thing(name: str, time: str) -> Thing:
    """A snapshot or a checkpoint with this creation time."""
    return Thing(name, {"getXMLDesc": f"<x><creationTime>{time}</creationTime></x>"})


@pytest.mark.parametrize("filters", [True, False])
def test_snapshot(filters: bool) -> None:
    """A domain has its numbers and times, also if it does not run. With libvirt's filters, domains
    without snapshots are not asked; without them each one is."""
    old, new, other = thing("old", "100"), thing("new", "300"), thing("other", "200")
    checkpoint = thing("checkpoint", "400")
    answers = {
        "snapshotNum": 3,
        "hasCurrentSnapshot": 1,
        "listAllSnapshots": {ROOTS: [old], LEAVES: [new, other]}.get,
        "listAllCheckpoints": lambda _: [checkpoint],
        "hasManagedSaveImage": 1,
    }
    nothing = {"snapshotNum": 0, "hasCurrentSnapshot": 0, "hasManagedSaveImage": 0}
    some, none = Thing("a", answers, number=-1), Thing("b", {**nothing, "listAllCheckpoints": []})
    broken = Thing("c", {**answers, "listAllSnapshots": lambda _: [thing("x", "y")]})
    having = {SAVED: [some], SNAPSHOTS: [some, broken], CHECKPOINTS: [some]}
    scope = FakeScope(some, none, broken, host={"listAllDomains": having.get} if filters else {})
    lines = read("snapshot", scope)
    assert lines[:2] == [
        "libvirt_snapshot,domain_name=a,project=shop snapshots=3i,"
        "oldest_snapshot=100i,newest_snapshot=300i,checkpoints=1i,oldest_checkpoint=400i,"
        "newest_checkpoint=400i,has_current=1i,managed_save=1i",
        "libvirt_snapshot,domain_name=b,project=shop "
        "snapshots=0i,checkpoints=0i,has_current=0i,managed_save=0i",
    ]
    assert "snapshots=3i" in lines[2] and "oldest_snapshot" not in lines[2]
    assert ("b" in [name for name, _, _ in scope.calls]) is not filters
    # One that has neither a parent nor a child is read once.
    read_times = [name for name, method, _ in scope.calls if method == "getXMLDesc"]
    assert read_times.count("checkpoint") == (1 if filters else 2)


@pytest.mark.parametrize("number", [0, None])
def test_a_driver_without_snapshots(number: int | None) -> None:
    """It has the filters, so one domain that has not gone is asked; if none answers, each one."""
    things = [Thing("a"), *(Thing(name, {"snapshotNum": number}) for name in "bcd")]
    scope = FakeScope(*things, host={"listAllDomains": lambda _: []})
    found = read("snapshot", scope)
    assert len(found) == (4 if number == 0 else 0)
    asked = [name for name, method, _ in scope.calls if method == "snapshotNum"]
    assert "".join(asked) == ("ab" if number == 0 else "abcabcd")
