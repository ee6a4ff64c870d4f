"""The source block_job: running jobs of disks."""

from __future__ import annotations

from support.scope import DISKS, FakeScope, Thing, read


def test_block_job() -> None:
    """A disk with a job has a line with its target; others have none."""

    def info(disk: str, flags: int) -> dict[str, int]:
        return {"type": 2, "bandwidth": 0, "cur": 5, "end": 10} if disk == "vdb" else {}

    scope = FakeScope(Thing("a", {"blockJobInfo": info}, xml=DISKS))
    assert read("block_job", scope) == [
        "libvirt_block_job,device=vdb,domain_name=a,project=shop "
        "type=2i,current=5i,end=10i,bandwidth=0i"
    ]
