"""The source block_job: running jobs of disks."""

from __future__ import annotations

from pytest_mock import MockerFixture

from support.scope import DISKS, FakeScope, Thing, fetched, lines, read
from telegraf_execd_libvirt.sources import SOURCES

BLOCK_JOB = 16


def test_block_job() -> None:
    """A disk with a job has a line with its target; others have none."""

    def info(disk: str, flags: int) -> dict[str, int]:
        return {"type": 2, "bandwidth": 0, "cur": 5, "end": 10} if disk == "vdb" else {}

    scope = FakeScope(Thing("a", {"blockJobInfo": info}, xml=DISKS))
    assert read("block_job", scope) == [
        "libvirt_block_job,device=vdb,domain_name=a,project=shop "
        "type=2i,current=5i,end=10i,progress_percent=50,bandwidth=0i"
    ]


def test_jobs_that_ended_are_counted(mocker: MockerFixture) -> None:
    """Jobs that ended are counted by disk and type, and by their outcome; one that becomes ready
    has not ended."""
    mocker.patch("time.time", return_value=1700.5)
    source = SOURCES["block_job"]
    fetch = source.new()
    for type, status in ((2, 0), (2, 1), (2, 2), (2, 3), (9, 0)):
        fetch.happened(BLOCK_JOB, "uuid-a", "a", ("vda", type, status))
    start = "libvirt_block_job_completed,device=vda,domain_name=a,project=shop,type="
    assert lines(source, fetched(fetch, FakeScope(Thing("a")))) == [
        f"{start}9 count=1i,failed=0i,canceled=0i,last=1700i",
        f"{start}copy count=3i,failed=1i,canceled=1i,last=1700i",
    ]
