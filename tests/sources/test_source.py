"""The declarations of all sources, and the lines of those that only write what a call answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.scope import DISKS, FakeScope, Thing, read
from telegraf_execd_libvirt.sources import SOURCES

FOLDER = Path(__file__).parents[2] / "src" / "telegraf_execd_libvirt" / "sources"


def test_sources_are_declared_completely() -> None:
    """Each source has the name of its file, and what it needs is explained."""
    for name, source in SOURCES.items():
        assert name == source.name
        assert source.summary and source.calls and source.metrics
        assert source.read_only or source.advice


def test_sources_are_one_file_each() -> None:
    """Each file that declares a source is in the registry."""
    declaring = {p.stem for p in FOLDER.glob("*.py") if "\nSOURCE = " in p.read_text("utf-8")}
    assert declaring == set(SOURCES)


#: What calls answer about a domain with two disks and an interface.
ANSWERS = {
    "blockIoTune": {"vda": {"read_iops_sec": 7, "new": 1}, "vdb": {}}.get,
    "diskErrors": {"vda": 2},
    "getCPUStats": [{"cpu_time": 5, "vcpu_time": 4}, {"cpu_time": 7}],
    "interfaceParameters": {"inbound.average": 10, "outbound.peak": 20},
    # Quotas and limits that limit nothing are written as 0.
    "memoryParameters": {
        **{"hard_limit": 2_097_152, "soft_limit": 9_007_199_254_740_991},
        "swap_hard_limit": 9_007_199_254_740_988,
    },
    "schedulerParameters": {
        **{"cpu_shares": 100, "vcpu_period": 100_000, "vcpu_quota": 50_000, "emulator_quota": -1},
        **{"global_quota": 18_446_744_073_709_551, "iothread_quota": 17_592_186_044_415, "new": 3},
    },
}

#: The lines of each source.
LINES = {
    "block_limit": ["libvirt_block_limit,device=vda,DOMAIN read_iops_sec=7i,new=1i"],
    "cpu_limit": [
        "libvirt_cpu_limit,DOMAIN cpu_shares=100i,vcpu_period=100000i,vcpu_quota=50000i,"
        "emulator_quota=0i,iothread_quota=0i,global_quota=0i,new=3i"
    ],
    "disk_error": [
        "libvirt_disk_error_total,DOMAIN count=1i",
        "libvirt_disk_error,device=vda,DOMAIN error=2i",
    ],
    "host_cpu": [
        "libvirt_host_cpu,cpu=0,DOMAIN cpu_time=5i,vcpu_time=4i",
        "libvirt_host_cpu,cpu=1,DOMAIN cpu_time=7i",
    ],
    "interface_limit": [
        "libvirt_interface_limit,domain_name=a,interface=vnet0,project=shop "
        "inbound_average=10i,outbound_peak=20i"
    ],
    "memory_limit": [
        "libvirt_memory_limit,DOMAIN hard_limit=2097152i,soft_limit=0i,swap_hard_limit=0i"
    ],
}


@pytest.mark.parametrize("name", LINES)
def test_lines_of_what_a_call_answers(name: str) -> None:
    """They are those of the running domains whose calls succeed."""
    off = Thing("off", ANSWERS, number=-1, xml=DISKS)
    found = read(name, FakeScope(Thing("a", ANSWERS, xml=DISKS), Thing("failing", xml=DISKS), off))
    assert found == [line.replace("DOMAIN", "domain_name=a,project=shop") for line in LINES[name]]


def test_a_domain_without_disk_errors_is_counted() -> None:
    """The number of its disks with errors is 0."""
    found = read("disk_error", FakeScope(Thing("a", {"diskErrors": {}})))
    assert found == ["libvirt_disk_error_total,domain_name=a,project=shop count=0i"]


def test_network() -> None:
    """A network has its bridge as a tag, and leases if it is active."""
    answers = {"isActive": 1, "isPersistent": 1, "autostart": 0, "DHCPLeases": [{}, {}]}
    active = Thing("default", {**answers, "bridgeName": "virbr0"})
    inactive = Thing("direct", {**answers, "isActive": 0})
    assert read("network", FakeScope(host={"listAllNetworks": [active, inactive]})) == [
        "libvirt_network,bridge=virbr0,network=default "
        "active=1i,persistent=1i,autostart=0i,dhcp_leases=2i",
        "libvirt_network,network=direct active=0i,persistent=1i,autostart=0i",
    ]


def test_a_drive_without_a_medium_has_no_limits() -> None:
    """libvirt fails for an empty drive, so block_limit does not ask for it."""
    drive = "<disk device='{}'>{}<target dev='sd{}'/></disk>"
    medium = "<source file='/iso'/>"
    drives = [("cdrom", "", "a"), ("floppy", "", "b"), ("cdrom", medium, "c"), ("disk", "", "d")]
    xml = "".join(drive.format(*each) for each in drives)
    scope = FakeScope(Thing("a", xml=f"<domain><devices>{xml}</devices></domain>"))
    read("block_limit", scope)
    assert [arguments[0] for _, _, arguments in scope.calls] == ["sdc", "sdd"]
