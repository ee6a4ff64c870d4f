"""Each source by itself: what it asks, and the lines that it makes of the answers."""

from __future__ import annotations

import time
from typing import Any

import pytest

from support.scope import FakeScope, Thing, defaults, fetched
from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.groups.schema import Group
from telegraf_execd_libvirt.lines.encode import Encoder
from telegraf_execd_libvirt.sources import SOURCES, event, guest_agent
from telegraf_execd_libvirt.sources.counters import MOST_COUNTERS
from telegraf_execd_libvirt.sources.event_names import KINDS, names
from telegraf_execd_libvirt.sources.scope import Abandoned

DISKS = (
    "<domain><devices><disk><target dev='vda'/></disk><disk/><disk><target dev='vdb'/></disk>"
    "<interface><target dev='vnet0'/></interface><interface/></devices></domain>"
)
LIFECYCLE, IO_ERROR, AGENT, COMPLETED = 0, 6, 18, 21


def lines(group: Group, records: list[Domain]) -> list[str]:
    """The line protocol of these records, without timestamps."""
    config = HypervisorConfig(additional_statistics=(group.name,))
    text = Encoder(config, group).encode_plain(records, 0).decode()
    return [line.removesuffix(" 0") for line in text.splitlines()]


def read(name: str, scope: FakeScope) -> list[str]:
    """The lines of one fetch of a source."""
    source = SOURCES[name]
    scope.options = scope.options or defaults(source)
    return lines(source.group, fetched(source.new(), scope))


def test_job() -> None:
    """A running job has every parameter of libvirt, times in milliseconds by their name."""
    parameters = {"type": 2, "operation": 5, "time_elapsed": 17, "data_total": 9, "new_thing": 3}
    running = Thing("a", {"jobStats": parameters})
    none, off = Thing("b", {"jobStats": {"type": 0}}), Thing("c", number=-1)
    hung = Thing("d", {"jobStats": parameters}, hangs=True)
    scope = FakeScope(running, none, off, hung, Thing("failing"))
    assert read("job", scope) == [
        "libvirt_job,domain_name=a,operation=migration_out,project=shop "
        "type=2i,time_elapsed_ms=17i,data_total=9i,new_thing=3i"
    ]
    assert [name for name, _, _ in scope.calls] == ["a", "b", "failing"]


def test_completed_jobs_are_counted() -> None:
    """Completed jobs are counted by operation, also those of a hung domain. A domain that has left
    the host, as after a migration, is written once more."""
    source = SOURCES["job"]
    fetch = source.new()
    domain = Thing("a", hangs=True)
    scope = FakeScope(domain)
    assert fetched(fetch, scope) == []
    assert scope.kinds == (COMPLETED,)
    for success in (True, False):
        done = {"operation": 8, "time_elapsed": 5, "success": success}
        scope.changed(COMPLETED, domain.uuid, "a", (done,))
    expected = [
        "libvirt_job_completed,domain_name=a,operation=dump,project=shop "
        "count=2i,failed=1i,time_elapsed_ms=10i"
    ]
    assert lines(source.group, fetched(fetch, scope)) == expected
    scope.things = []
    assert lines(source.group, fetched(fetch, scope)) == expected
    assert fetched(fetch, scope) == []
    scope.things = [domain]
    assert fetched(fetch, scope) == []


def test_block_job() -> None:
    """A disk with a job has a line with its target; others have none."""

    def info(disk: str, flags: int) -> dict[str, int]:
        return {"type": 2, "bandwidth": 0, "cur": 5, "end": 10} if disk == "vdb" else {}

    scope = FakeScope(Thing("a", {"blockJobInfo": info}, xml=DISKS))
    assert read("block_job", scope) == [
        "libvirt_block_job,device=vdb,domain_name=a,project=shop "
        "type=2i,current=5i,end=10i,bandwidth=0i"
    ]


def pool(**answers: Any) -> Thing:
    """A directory pool."""
    known = {"info": [2, 200, 50, 150], "isActive": 1, "autostart": 0}
    return Thing("default", {**known, **answers}, xml="<pool type='dir'/>")


def test_storage_pool() -> None:
    """A pool has its type, state and sizes; a pool of unknown size has no percentage."""
    pools = [pool(), pool(info=[0, 0, 0, 0], isActive=0), pool(info=None)]
    found = read("storage_pool", FakeScope(host={"listAllStoragePools": pools}))
    assert found == [
        "libvirt_storage_pool,pool=default,type=dir state=2i,capacity=200i,allocation=50i,"
        "available=150i,used_percent=25,active=1i,autostart=0i",
        "libvirt_storage_pool,pool=default,type=dir state=0i,capacity=0i,allocation=0i,"
        "available=0i,active=0i,autostart=0i",
    ]


def test_storage_volumes() -> None:
    """With `volumes` each volume has a line too."""
    volumes = [Thing("disk 1", {"info": [0, 100, 30]}), Thing("gone")]
    scope = FakeScope(
        host={"listAllStoragePools": [pool(listAllVolumes=volumes)]}, options={"volumes": True}
    )
    assert read("storage_pool", scope)[1:] == [
        r"libvirt_storage_volume,pool=default,volume=disk\ 1 capacity=100i,allocation=30i"
    ]


def test_disk_error() -> None:
    """Each running domain has the number of its disks with errors, each such disk a line."""
    good, bad = Thing("a", {"diskErrors": {}}), Thing("b", {"diskErrors": {"vda": 2}})
    assert read("disk_error", FakeScope(good, bad, Thing("failing"))) == [
        "libvirt_disk_error_total,domain_name=a,project=shop count=0i",
        "libvirt_disk_error_total,domain_name=b,project=shop count=1i",
        "libvirt_disk_error,device=vda,domain_name=b,project=shop error=2i",
    ]


def test_snapshot() -> None:
    """A domain has the numbers that its driver reports, also if it does not run."""
    answers = {"snapshotNum": 2, "listAllCheckpoints": ["c"], "hasManagedSaveImage": 1}
    assert read("snapshot", FakeScope(Thing("a", answers, number=-1))) == [
        "libvirt_snapshot,domain_name=a,project=shop snapshots=2i,checkpoints=1i,managed_save=1i"
    ]


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


def test_limits() -> None:
    """Disks and interfaces with a name have every parameter of their limits."""
    domain = Thing(
        "a",
        {
            "blockIoTune": lambda disk, _: {"read_iops_sec": 7, "new": 1} if disk == "vda" else {},
            "interfaceParameters": {"inbound.average": 10, "outbound.peak": 20},
        },
        xml=DISKS,
    )
    assert read("block_limit", FakeScope(domain)) == [
        "libvirt_block_limit,device=vda,domain_name=a,project=shop read_iops_sec=7i,new=1i"
    ]
    assert read("interface_limit", FakeScope(domain)) == [
        "libvirt_interface_limit,domain_name=a,interface=vnet0,project=shop "
        "inbound_average=10i,outbound_peak=20i"
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


def test_host_cpu() -> None:
    """Each physical CPU has a line."""
    times = [{"cpu_time": 5, "vcpu_time": 4}, {"cpu_time": 7}]
    assert read("host_cpu", FakeScope(Thing("a", {"getCPUStats": times}))) == [
        "libvirt_host_cpu,cpu=0,domain_name=a,project=shop cpu_time=5i,vcpu_time=4i",
        "libvirt_host_cpu,cpu=1,domain_name=a,project=shop cpu_time=7i",
    ]


@pytest.mark.parametrize(
    ("kind", "arguments", "expected"),
    [
        (LIFECYCLE, (2, 0), ("started", "booted")),
        (LIFECYCLE, (5, 2), ("stopped", "crashed")),
        (LIFECYCLE, (8, 0), ("crashed", "panicked")),
        (LIFECYCLE, (3, 99), ("suspended", "99")),
        (LIFECYCLE, (77, 1), ("lifecycle_77", "1")),
        (1, (), ("reboot", "")),
        (3, (2,), ("watchdog", "reset")),
        (IO_ERROR, ("/disk", "virtio-disk0", 1, "enospc"), ("io_error", "enospc")),
        (IO_ERROR, ("/disk", "virtio-disk0", 1, ""), ("io_error", "pause")),
        (7, (), ("control_error", "")),
        (18, (1, 2), ("agent", "connected")),
        (COMPLETED, ({"operation": 5},), ("job_completed", "migration_out")),
        (24, ("vda", "/disk", 10, 1), ("block_threshold", "vda")),
        (25, (1, 0, 0), ("memory_failure", "guest")),
    ],
)
def test_names_of_events(kind: int, arguments: tuple[Any, ...], expected: tuple[str, str]) -> None:
    """Events and details have libvirt's names; unknown ones their numbers."""
    assert kind in KINDS
    assert names(kind, arguments) == expected


def counters(records: list[Domain]) -> dict[tuple[str, ...], object]:
    """The counts by domain, event and detail."""
    found = {}
    for item in records:
        assert item.identity is not None
        tags = item.identity.tags
        found[item.name, tags["event"], tags.get("detail", "")] = item.stats["event.count"]
    assert len(found) == len(records), "a series twice"
    return found


def test_events_are_counted() -> None:
    """Events are counted by domain and kind, with the time of the last one."""
    fetch = event.Events()
    scope = FakeScope(Thing("a"), Thing("b"))
    assert fetched(fetch, scope) == []
    started = int(time.time())
    for _ in range(3):
        scope.changed(IO_ERROR, "uuid-a", "a", ("/disk", "d", 1, "eio"))
    scope.changed(LIFECYCLE, "uuid-b", "b", (2, 0))
    records = fetched(fetch, scope)
    assert counters(records) == {("a", "io_error", "eio"): 3, ("b", "started", "booted"): 1}
    assert started <= records[0].stats["event.last"] <= int(time.time())
    assert counters(fetched(fetch, scope)) == counters(records)


def test_events_of_a_domain_that_is_gone() -> None:
    """The last events of a domain are written once, with its tags, and then dropped."""
    fetch = event.Events()
    scope = FakeScope(Thing("a"))
    fetched(fetch, scope)
    scope.changed(LIFECYCLE, "uuid-a", "a", (2, 0))
    (before,) = fetched(fetch, scope)
    scope.things = []
    scope.changed(LIFECYCLE, "uuid-a", "a", (5, 0))
    scope.changed(LIFECYCLE, "uuid-other", "other", (5, 0))
    last = fetched(fetch, scope)
    assert counters(last) == {("a", "started", "booted"): 1, ("a", "stopped", "shutdown"): 1}
    assert before.identity and last[0].identity == before.identity
    assert fetched(fetch, scope) == []


def test_events_of_a_domain_that_is_defined_again() -> None:
    """A domain with the name of one that is gone has its events to itself: one line a series."""
    fetch = event.Events()
    first, second = Thing("a"), Thing("a", identity="another")
    scope = FakeScope(first)
    fetched(fetch, scope)
    scope.changed(LIFECYCLE, first.uuid, "a", (0, 0))
    scope.changed(LIFECYCLE, first.uuid, "a", (1, 0))
    scope.changed(LIFECYCLE, second.uuid, "a", (0, 0))
    scope.things = [second]
    assert counters(fetched(fetch, scope)) == {("a", "defined", "added"): 1}


def test_events_of_a_new_connection() -> None:
    """After a reconnect the counters go on; the old connection counts no more."""
    fetch = event.Events()
    old, new = FakeScope(Thing("a")), FakeScope(Thing("a"))
    fetched(fetch, old)
    old.changed(1, "uuid-a", "a", ())
    assert counters(fetched(fetch, new)) == {("a", "reboot", ""): 1}
    old.changed(1, "uuid-a", "a", ())
    new.changed(1, "uuid-a", "a", ())
    assert counters(fetched(fetch, new)) == {("a", "reboot", ""): 2}


def test_a_flood_of_events_is_bounded() -> None:
    """There is a limit on counters; known ones go on, and dropped ones make room."""
    fetch = event.Events()
    scope = FakeScope(Thing("a"))
    fetched(fetch, scope)
    scope.changed(1, "uuid-a", "a", ())
    for number in range(MOST_COUNTERS + 10):
        scope.changed(24, "uuid-x", "x", (f"disk{number}",))
    scope.changed(1, "uuid-a", "a", ())
    found = counters(fetched(fetch, scope))
    assert len(found) == MOST_COUNTERS
    assert found["a", "reboot", ""] == 2
    scope.changed(24, "uuid-a", "a", ("vda",))
    assert counters(fetched(fetch, scope))["a", "block_threshold", "vda"] == 1


CONNECTED = (
    "<domain><devices><channel><target name='org.qemu.guest_agent.0' state='connected'/></channel>"
    "</devices></domain>"
)

INFO = {
    "user.count": 2,
    "user.0.name": "root",
    "user.0.login-time": 1000,
    "user.1.name": "root",
    "os.id": "debian",
    "os.pretty-name": "Debian 12",
    "os.kernel-release": "6.1.0",
    "timezone.name": "UTC",
    "timezone.offset": 0,
    "hostname": "web\n1",
    "fs.count": 3,
    "fs.0.name": "vda1",
    "fs.0.mountpoint": "/",
    "fs.0.fstype": "ext4",
    "fs.0.total-bytes": 1000,
    "fs.0.used-bytes": 250,
    "fs.1.mountpoint": "/run",
    "fs.1.fstype": "tmpfs",
    "fs.2.mountpoint": "/mnt",
    "fs.2.fstype": "vfat",
    "fs.2.total-bytes": 10,
    "fs.2.used-bytes": 0,
    "if.count": 1,
    "if.0.name": "eth0",
    "if.0.hwaddr": "52:54:00:00:00:01",
    "if.0.addr.count": 2,
    "if.0.addr.0.addr": "192.0.2.2",
    "if.0.addr.0.prefix": 24,
    "if.0.addr.1.addr": "fe80::1",
    "if.0.addr.1.prefix": 64,
}


def agent(**changes: Any) -> Thing:
    """A guest whose agent answers."""
    answers = {"guestInfo": INFO, "agentSetResponseTimeout": 0}
    return Thing("a", {**answers, **changes}, xml=CONNECTED)


def test_guest_agent() -> None:
    """A guest's report becomes lines, without pseudo file systems and names of users."""
    assert read("guest_agent", FakeScope(agent())) == [
        "libvirt_guest_filesystem,device=vda1,domain_name=a,fstype=ext4,mountpoint=/,project=shop "
        "total_bytes=1000i,used_bytes=250i,used_percent=25",
        "libvirt_guest_filesystem,domain_name=a,fstype=vfat,mountpoint=/mnt,project=shop "
        "total_bytes=10i,used_bytes=0i,used_percent=0",
        "libvirt_guest_user,domain_name=a,project=shop count=2i",
        'libvirt_guest_os,domain_name=a,project=shop hostname="web 1",id="debian",'
        'pretty_name="Debian 12",kernel_release="6.1.0",timezone="UTC",timezone_offset_s=0i',
        "libvirt_guest_interface,domain_name=a,interface=eth0,project=shop "
        'mac="52:54:00:00:00:01",addresses="192.0.2.2/24,fe80::1/64"',
    ]


def test_options_of_the_guest_agent() -> None:
    """Names of users and other file systems are written if configured."""
    options = {"users": True, "filesystem_exclude": ("vfat", "ext4")}
    found = read("guest_agent", FakeScope(agent(), options=options))
    assert 'libvirt_guest_user,domain_name=a,project=shop count=2i,names="root"' in found
    assert not any("libvirt_guest_filesystem" in line for line in found)


def test_a_hostile_guest_is_bounded() -> None:
    """A guest cannot write any number of lines, nor long tags."""
    info: dict[str, Any] = {"fs.count": 1 << 31, "if.count": 1 << 31}
    for number in range(200):
        info[f"fs.{number}.mountpoint"] = "x" * 10_000 + str(number)
        info[f"fs.{number}.total-bytes"] = 1
        info[f"if.{number}.name"] = f"eth{number}"
    found = read("guest_agent", FakeScope(agent(guestInfo=info)))
    assert len(found) == 128
    assert max(map(len, found)) < 1000


def test_excluded_file_systems_do_not_count() -> None:
    """The limit is one of lines: file systems that are left out hide none behind them."""
    info: dict[str, Any] = {"fs.count": 101, "fs.100.mountpoint": "/", "fs.100.fstype": "ext4"}
    info.update({f"fs.{number}.fstype": "squashfs" for number in range(100)})
    info["fs.100.total-bytes"] = 1000
    (line,) = read("guest_agent", FakeScope(agent(guestInfo=info)))
    assert "mountpoint=/," in line


@pytest.mark.parametrize(
    "xml", ["<domain/>", CONNECTED.replace("'connected'", "'disconnected'"), "", "<broken"]
)
def test_guests_without_an_agent_are_not_asked(xml: str) -> None:
    """Only guests whose agent is connected are asked."""
    scope = FakeScope(Thing("a", xml=xml))
    assert read("guest_agent", scope) == []
    assert scope.calls == []


def test_the_timeout_of_the_agent_is_that_of_the_fetch() -> None:
    """The agent's timeout is half of the source's for the time of the call; then it is libvirt's
    default again, also if the call fails."""
    source = SOURCES["guest_agent"]
    for failures in ({}, {"guestInfo": "silent"}):
        scope = FakeScope(agent(), options=defaults(source), timeout=5.0)
        scope.failures = failures
        fetched(source.new(), scope)
        calls = [(method, arguments[0]) for _, method, arguments in scope.calls if arguments]
        limit = "agentSetResponseTimeout"
        assert calls[-3:] == [(limit, 2), ("guestInfo", 0), (limit, -2)]


def test_a_call_that_is_given_up_leaves_a_pause() -> None:
    """A guest whose call was given up is not asked again at once."""
    source = SOURCES["guest_agent"]
    fetch, domain = source.new(), agent(guestInfo=lambda *_: raise_abandoned())
    scope = FakeScope(domain, options=defaults(source))
    with pytest.raises(Abandoned):
        fetched(fetch, scope)
    asked = len(scope.calls)
    assert fetched(fetch, scope) == [] and len(scope.calls) == asked


def raise_abandoned() -> None:
    """As a scope does after its fetch has been given up."""
    raise Abandoned


def test_a_paused_guest_is_not_asked() -> None:
    """A guest that is paused has no lines of its agent, and is asked when it runs again."""
    source = SOURCES["guest_agent"]
    fetch, domain = source.new(), agent(state=[3, 1])
    scope = FakeScope(domain, options=defaults(source))
    assert fetched(fetch, scope) == [] and (scope.error, scope.held) == (None, None)
    domain.answers["state"] = [1, 1]
    assert len(fetched(fetch, scope)) == 5


def test_a_silent_agent_is_asked_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest that does not answer is asked after 1, 2, 4 … minutes, at most an hour."""
    source = SOURCES["guest_agent"]
    fetch, domain = source.new(), agent(guestInfo=None)
    scope = FakeScope(domain, options=defaults(source))
    now = 1000.0
    monkeypatch.setattr(guest_agent.time, "monotonic", lambda: now)
    asked = []
    for _ in range(60 * 6):
        before = len(scope.calls)
        fetched(fetch, scope)
        if len(scope.calls) > before:
            asked.append(int(now - 1000) // 60)
        now += 60
    assert asked == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303]
    domain.answers["guestInfo"] = INFO
    now += 3600
    assert len(fetched(fetch, scope)) == 5
    domain.answers["guestInfo"] = None
    fetched(fetch, scope)
    now += 60
    before = len(scope.calls)
    fetched(fetch, scope)
    assert len(scope.calls) > before


def test_a_silent_agent_stays_an_error_until_it_connects() -> None:
    """While a guest is not asked, its last error holds on; if its agent connects, it is asked."""
    source = SOURCES["guest_agent"]
    fetch, domain = source.new(), agent()
    scope = FakeScope(domain, options=defaults(source))
    scope.failures = {"guestInfo": "silent"}
    fetched(fetch, scope)
    assert (scope.kinds, scope.error) == ((AGENT,), "silent")
    asked = len(scope.calls)
    for arguments in ((), (2, 1)):  # no event, and one of an agent that has disconnected
        scope.error = scope.held = None
        scope.changed(AGENT, domain.uuid, "a", arguments)
        assert fetched(fetch, scope) == []
        assert (scope.error, scope.held, len(scope.calls)) == (None, "silent", asked)
    scope.failures, scope.held = {}, None
    scope.changed(AGENT, domain.uuid, "a", (1, 2))
    assert len(fetched(fetch, scope)) == 5
    assert (scope.error, scope.held) == (None, None)


def test_sources_are_declared_completely() -> None:
    """Each source has the name of its group, and what it needs is explained."""
    for name, source in SOURCES.items():
        assert name == source.name == source.group.name
        assert source.group.bit == 0
        assert source.read_only or source.advice
