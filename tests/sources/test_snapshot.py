"""The source snapshot: snapshots, checkpoints and saved states."""

from __future__ import annotations

from support.scope import FakeScope, Thing, read


def test_snapshot() -> None:
    """A domain has the numbers that its driver reports, also if it does not run."""
    answers = {"snapshotNum": 2, "listAllCheckpoints": ["c"], "hasManagedSaveImage": 1}
    assert read("snapshot", FakeScope(Thing("a", answers, number=-1))) == [
        "libvirt_snapshot,domain_name=a,project=shop snapshots=2i,checkpoints=1i,managed_save=1i"
    ]
