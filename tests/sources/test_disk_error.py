"""The source disk_error: disks with I/O errors."""

from __future__ import annotations

from support.scope import FakeScope, Thing, read


def test_disk_error() -> None:
    """Each running domain has the number of its disks with errors, each such disk a line."""
    good, bad = Thing("a", {"diskErrors": {}}), Thing("b", {"diskErrors": {"vda": 2}})
    assert read("disk_error", FakeScope(good, bad, Thing("failing"))) == [
        "libvirt_disk_error_total,domain_name=a,project=shop count=0i",
        "libvirt_disk_error_total,domain_name=b,project=shop count=1i",
        "libvirt_disk_error,device=vda,domain_name=b,project=shop error=2i",
    ]
