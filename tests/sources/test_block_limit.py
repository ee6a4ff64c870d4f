"""The source block_limit: I/O limits of disks."""

from __future__ import annotations

from support.scope import DISKS, FakeScope, Thing, read


def test_block_limit() -> None:
    """A disk with a name has every parameter of its limits."""
    answers = {
        "blockIoTune": lambda disk, _: {"read_iops_sec": 7, "new": 1} if disk == "vda" else {}
    }
    assert read("block_limit", FakeScope(Thing("a", answers, xml=DISKS))) == [
        "libvirt_block_limit,device=vda,domain_name=a,project=shop read_iops_sec=7i,new=1i"
    ]


def test_a_drive_without_a_medium_has_no_limits() -> None:
    """libvirt fails for an empty drive, so it is not asked."""
    drive = "<disk device='{}'>{}<target dev='sd{}'/></disk>"
    medium = "<source file='/iso'/>"
    drives = [("cdrom", "", "a"), ("floppy", "", "b"), ("cdrom", medium, "c"), ("disk", "", "d")]
    xml = "".join(drive.format(*each) for each in drives)
    scope = FakeScope(Thing("a", xml=f"<domain><devices>{xml}</devices></domain>"))
    read("block_limit", scope)
    assert [arguments[0] for _, _, arguments in scope.calls] == ["sdc", "sdd"]
