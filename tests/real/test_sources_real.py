"""Sources on a real hypervisor: jobs, disks, events, pools, and what a stopped guest costs."""

from __future__ import annotations

import json
import os
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from support.hypervisor import LINUX, PAUSED, Hypervisor, HypervisorError
from support.metrics import Series, fields_of
from support.missing import available, leave_out
from support.plugin import Plugin, eventually, run
from support.watcher import BOOT_SECONDS, Watcher, beside, write_config


def test_a_job_is_seen_and_counted(hypervisor: Hypervisor, watch: Callable[..., Watcher]) -> None:
    """Saving a guest is a job with libvirt's parameters, and is counted when it has ended."""
    watcher = watch("job event snapshot")
    try:
        with beside(hypervisor, "managedsave", LINUX):
            line = watcher.wait_for(f"libvirt_job,domain_name={LINUX},operation=save type=2i,")
        assert "time_elapsed_ms=" in line and "memory_total=" in line
        assert "progress_percent=" in line
        snapshot = f"libvirt_snapshot,domain_name={LINUX} "
        assert eventually(lambda: "managed_save=1i" in watcher.wait_for(snapshot))
        event = f"libvirt_event,detail={{}},domain_name={LINUX},event={{}} count=1i"
        watcher.wait_for(event.format("saved", "stopped"))
        job = watcher.wait_for(f"libvirt_job_completed,domain_name={LINUX},operation=save count=1i")
        assert "last_memory_total=" in job and "last_memory_processed=" in job
        hypervisor.start_guest(LINUX)
        watcher.wait_for(event.format("restored", "started"))
    finally:
        # Other tests expect a guest that was booted.
        hypervisor.virsh("managedsave-remove", LINUX)
        with suppress(HypervisorError):  # it does not run if the test has failed
            hypervisor.stop_guest(LINUX)


def test_a_block_job_is_seen(hypervisor: Hypervisor, watch: Callable[..., Watcher]) -> None:
    """A slow copy of a disk is a block job, and is counted when it was canceled."""
    watcher = watch("block_job")
    copy = hypervisor.own_folder("copy") / "copy.raw"
    hypervisor.virsh(
        *("blockcopy", LINUX, "vdb", str(copy), "--format", "raw"),
        *("--bandwidth", "1", "--transient-job"),
    )
    line = watcher.wait_for(f"libvirt_block_job,device=vdb,domain_name={LINUX} ")
    assert "type=2i" in line and "end=16777216i" in line and "bandwidth=1i" in line
    assert "progress_percent=" in line
    hypervisor.virsh("blockjob", LINUX, "vdb", "--abort")
    watcher.wait_for(
        f"libvirt_block_job_completed,device=vdb,domain_name={LINUX},type=copy "
        "count=1i,failed=0i,canceled=1i"
    )


def test_snapshots_are_counted(hypervisor: Hypervisor, watch: Callable[..., Watcher]) -> None:
    """Snapshots of a guest that is off and a checkpoint of one that runs are counted, with the
    times of virsh."""
    path = hypervisor.own_folder("snapshots") / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "1M"], check=True)
    path.chmod(0o666)
    hypervisor.define_xml(
        "<domain type='qemu'><name>snapped</name><memory unit='MiB'>32</memory>"
        "<os><type arch='x86_64'>hvm</type></os><devices><disk type='file' device='disk'>"
        f"<driver name='qemu' type='qcow2'/><source file='{path}'/><target dev='vda'/></disk>"
        "</devices></domain>"
    )
    try:
        for name in ("first", "second"):
            hypervisor.virsh("snapshot-create-as", "snapped", name)
        disks = ("--diskspec", "vda,checkpoint=bitmap", "--diskspec", "vdb,checkpoint=no")
        hypervisor.virsh("checkpoint-create-as", LINUX, "backup", *disks)
        xml = [
            hypervisor.virsh("snapshot-dumpxml", "snapped", name) for name in ("first", "second")
        ]
        xml.append(hypervisor.virsh("checkpoint-dumpxml", LINUX, "backup"))
        times = [ET.fromstring(text).findtext("creationTime") for text in xml]
        watcher = watch("snapshot")
        watcher.wait_for(
            f"libvirt_snapshot,domain_name=snapped snapshots=2i,oldest_snapshot={times[0]}i,"
            f"newest_snapshot={times[1]}i,checkpoints=0i,has_current=1i,managed_save=0i "
        )
        watcher.wait_for(
            f"libvirt_snapshot,domain_name={LINUX} snapshots=0i,checkpoints=1i,"
            f"oldest_checkpoint={times[2]}i,newest_checkpoint={times[2]}i,has_current=0i,"
        )
        assert "checkpoints=0i" in watcher.wait_for("libvirt_snapshot,domain_name=idle1 ")
    finally:
        hypervisor.virsh("checkpoint-delete", LINUX, "backup")
        hypervisor.virsh("undefine", "snapped", "--snapshots-metadata")


def test_a_pool_and_a_network(hypervisor: Hypervisor, watch: Callable[..., Watcher]) -> None:
    """A directory pool and its volumes have the values of virsh, also a file whose name is not
    UTF-8; a network those of its leases.

    A session daemon may start a network that uses a bridge of the host. It starts no dnsmasq, so
    the test writes the file in which libvirt looks for the leases.
    """
    try:
        hypervisor.virsh("pool-list")
        hypervisor.virsh("net-list")
    except Exception as error:
        leave_out(f"needs libvirt's storage and network drivers: {error}")
    folder = hypervisor.own_folder("pool")
    for command, xml in (
        ("pool", f"<pool type='dir'><name>p</name><target><path>{folder}</path></target></pool>"),
        (
            "net",
            "<network><name>n</name><forward mode='bridge'/><bridge name='hvbr7'/></network>",
        ),
    ):
        hypervisor.virsh(f"{command}-define", "/dev/stdin", stdin=xml)
    try:
        hypervisor.virsh("pool-start", "p")
        hypervisor.virsh("vol-create-as", "p", "v 1", "1M")
        Path(os.fsdecode(os.fsencode(folder) + b"/latin\xe9.img")).write_bytes(b"image")
        hypervisor.virsh("pool-refresh", "p")
        watcher = watch("storage_pool network", storage_pool="volumes = true")
        line = watcher.wait_for("libvirt_storage_pool,pool=p,type=dir ")
        capacity = hypervisor.virsh("pool-info", "p", "--bytes")
        number = capacity.partition("Capacity:")[2].split()[0]
        assert f"capacity={number}i" in line and "state=2i" in line and "active=1i" in line
        volume = watcher.wait_for(r"libvirt_storage_volume,pool=p,volume=v\ 1 ")
        assert "capacity=1048576i" in volume
        assert "allocation=" in watcher.wait_for(
            r"libvirt_storage_volume,pool=p,volume=latin\xe9.img capacity=5i"
        )
        network = watcher.wait_for("libvirt_network,bridge=hvbr7,network=n ")
        assert " active=0i,persistent=1i,autostart=0i " in network
        lease = {"ip-address": "192.0.2.9", "mac-address": "52:54:00:00:00:01"}
        hypervisor.own_folder("run/libvirt/dnsmasq")
        leases = hypervisor.own_folder("run/libvirt/dnsmasq/lib") / "hvbr7.status"
        leases.write_text(json.dumps([{**lease, "expiry-time": int(time.time()) + 3600}]))
        leases.chmod(0o644)
        hypervisor.virsh("net-start", "n")
        hypervisor.virsh("net-autostart", "n")
        line = "libvirt_network,bridge=hvbr7,network=n active=1i,persistent=1i,autostart=1i,"
        assert "dhcp_leases=1i " in watcher.wait_for(line)
        hypervisor.virsh("net-destroy", "n")
    finally:
        hypervisor.virsh("pool-destroy", "p")
        hypervisor.virsh("pool-undefine", "p")
        hypervisor.virsh("net-undefine", "n")


def test_a_driver_that_the_daemon_lacks(tmp_path: Path) -> None:
    """A source whose driver is not installed is not supported, once; it is no error, and the others
    work."""
    name = "libvirt_driver_storage.so"
    with available(lambda: Hypervisor(idle_guests=1, linux=False)) as hypervisor:
        (folder,) = {
            Path(line.split()[-1]).parent
            for line in Path(f"/proc/{hypervisor.daemon_pid}/maps").read_text().splitlines()
            if "/libvirt_driver_qemu.so" in line
        }
        drivers = hypervisor.own_folder("drivers")
        for path in folder.glob("libvirt_driver_*.so"):
            if path.name != name:
                (drivers / path.name).symlink_to(path)
        hypervisor.kill_daemon()
        hypervisor.variables["LIBVIRT_DRIVER_DIR"] = str(drivers)
        hypervisor.start_daemon()
        config = write_config(tmp_path / "plugin.conf", hypervisor.uri, "storage_pool snapshot")
        checked = run("--config", config, "--check").stdout
        reason = "this function is not supported by the connection driver"
        assert f"  source storage_pool: not supported: {reason}" in checked
        assert "  source snapshot: works" in checked
        with Plugin("--config", config) as plugin:
            watcher = Watcher(plugin)
            start = "libvirt_source_health,libvirt_uri=qemu+unix:///session,source="
            for _ in range(3):
                plugin.metrics.forget()
                line = watcher.wait_for(f"{start}storage_pool up=0i,")
                assert ",errors=0i," in line
                watcher.wait_for(f"{start}snapshot up=1i,records=")
            plugin.finish()
            assert len(plugin.wait_for_message(f"storage_pool: {reason}")) == 1


def test_events_are_counted(hypervisor: Hypervisor, watch: Callable[..., Watcher]) -> None:
    """Start, stop, reset and crash of guests are counted by event and detail."""
    watcher = watch("event")
    hypervisor.define("short")
    for _ in range(2):
        hypervisor.start_guest("short")
        hypervisor.stop_guest("short")
    watcher.wait_for("libvirt_event,detail=booted,domain_name=short,event=started count=2i")
    watcher.wait_for("libvirt_event,detail=destroyed,domain_name=short,event=stopped count=2i")
    hypervisor.start_guest("short")
    hypervisor.virsh("reset", "short")
    # The firmware may reset the machine once more.
    watcher.wait_for("libvirt_event,domain_name=short,event=reboot count=")
    subprocess.run(["kill", "-9", str(hypervisor.guest_pid("short"))], check=True)
    watcher.wait_for("libvirt_event,detail=failed,domain_name=short,event=stopped count=1i")
    hypervisor.virsh("undefine", "short")
    watcher.wait_for("libvirt_event,detail=removed,domain_name=short,event=undefined count=1i")


def test_a_disk_without_space(hypervisor: Hypervisor, watch: Callable[..., Watcher]) -> None:
    """A guest whose disk is full is paused, has a disk error and an event."""
    if not hypervisor.has_mounts:
        leave_out("needs the privilege to mount")
    watcher = watch("disk_error event")
    disk = hypervisor.small_folder("small", 32) / "disk.raw"
    prefix = ["nsenter", "-t", str(hypervisor.daemon_pid), "-m"]
    subprocess.run([*prefix, "truncate", "-s", "8M", str(disk)], check=True)
    subprocess.run([*prefix, "chmod", "666", str(disk)], check=True)
    hypervisor.define_linux(
        "full",
        "<disk type='file' device='disk'>"
        "<driver name='qemu' type='raw' error_policy='stop' cache='writethrough'/>"
        f"<source file='{disk}'/><target dev='vda' bus='virtio'/></disk>",
    )
    try:
        hypervisor.start_guest("full")
        watcher.wait_for("libvirt_disk_error,device=vda,domain_name=full error=2i", BOOT_SECONDS)
        watcher.wait_for("libvirt_disk_error_total,domain_name=full count=1i")
        watcher.wait_for("libvirt_event,detail=enospc,domain_name=full,event=io_error count=")
        watcher.wait_for("libvirt_event,detail=ioerror,domain_name=full,event=suspended count=1i")
        assert hypervisor.domstats("full", "--state")["full"]["state.state"] == PAUSED
        watcher.wait_for(f"libvirt_state,domain_name=full state={PAUSED}i")
    finally:
        hypervisor.undefine("full")


def test_limits_are_those_of_virsh(hypervisor: Hypervisor, watch: Callable[..., Watcher]) -> None:
    """Limits of disks and interfaces are those that virsh has set."""
    hypervisor.virsh("blkdeviotune", LINUX, "vda", "--total-iops-sec", "5000", "--live")
    try:
        watcher = watch("block_limit interface_limit")
        line = watcher.wait_for(f"libvirt_block_limit,device=vda,domain_name={LINUX} ")
        assert "total_iops_sec=5000i" in line and "read_iops_sec=0i" in line
        if hypervisor.tap:
            start = f"libvirt_interface_limit,domain_name={LINUX},interface={hypervisor.tap} "
            assert "inbound_average=0i" in watcher.wait_for(start)
    finally:
        hypervisor.virsh("blkdeviotune", LINUX, "vda", "--total-iops-sec", "0", "--live")


def test_info_lines_follow_the_guest(hypervisor: Hypervisor, watch: Callable[..., Watcher]) -> None:
    """The info lines are those of the guest's XML, and the numbers of disks those of the
    statistics, also for a disk that was just attached."""
    watcher = watch("domain_info block_info interface_info hostdev_info")
    line = watcher.wait_for(
        f"libvirt_domain_info,arch=x86_64,cpu_mode=custom,cpu_model=qemu64,domain_name={LINUX},"
    )
    assert ",machine=pc-q35-7.2,os_type=hvm,title=Boots\\ Linux,uuid=" in line
    disk = hypervisor.own_folder("attached") / "disk.raw"
    disk.write_bytes(bytes(1 << 20))
    disk.chmod(0o666)
    hypervisor.virsh("attach-disk", LINUX, str(disk), "vdq", "--serial", "S1", "--cache", "none")
    try:
        stats = hypervisor.domstats(LINUX, "--block")[LINUX]
        names = [stats[f"block.{number}.name"] for number in range(int(stats["block.count"]))]
        assert names == ["vda", "vdb", "vdq"]
        for number, device in enumerate(["device=vda", "device=vdb", "cache=none,device=vdq"]):
            start = f"libvirt_block_info,block_id={number},bus=virtio,{device},domain_name={LINUX},"
            line = watcher.wait_for(start)
        assert line.startswith(f"{start}format=raw,serial=S1,source_type=file value=1i ")
    finally:
        hypervisor.virsh("detach-disk", LINUX, "vdq")


def test_cells_and_messages(hypervisor: Hypervisor, watch: Callable[..., Watcher]) -> None:
    """The pages of the host's cells are those of virsh; a guest that libvirt calls tainted is
    named with the reason."""
    hypervisor.define_xml(
        "<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
        "<name>tainted</name><memory unit='MiB'>32</memory><os><type>hvm</type></os>"
        "<qemu:commandline><qemu:arg value='-no-hpet'/></qemu:commandline></domain>"
    )
    hypervisor.start_guest("tainted")
    watcher = watch("numa_cell message")
    watcher.wait_for(
        "libvirt_message,domain_name=tainted tainted=1i,"
        'tainted_names="custom configuration parameters specified",deprecated=0i,io_errors=0i'
    )
    assert " tainted=0i," in watcher.wait_for("libvirt_message,domain_name=idle1 ")
    cell = ET.fromstring(hypervisor.virsh("capabilities")).find("host/topology/cells/cell")
    start = ",cell=0,libvirt_uri=qemu+unix:///session"
    assert cell is not None
    memory = cell.findtext("memory")
    watcher.wait_for(f"libvirt_numa_cell{start} memory={memory}i,memory_free=")
    for pages in cell.iterfind("pages"):
        size = pages.get("size")
        line = watcher.wait_for(f"libvirt_numa_pages{start},page_size={size} total={pages.text}i")
        if "free=" in line:
            free = hypervisor.virsh("freepages", "--cellno", "0", "--pagesize", f"{size}KiB")
            assert (",free=0i" in line) == (free.split()[-1] == "0")


def test_limits_need_the_daemon_of_the_system(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """--check says why a user's own daemon has no limits of CPU and memory."""
    config = write_config(tmp_path / "plugin.conf", hypervisor.uri, "cpu_limit memory_limit")
    checked = run("--config", config, "--check").stdout
    for what in ("CPU", "Memory"):
        assert f"{what} tuning is not available in session mode" in checked
    assert checked.count("only the daemon of the system has it, such as qemu:///system") == 2


def test_host_cpu_needs_a_cgroup(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """Without a cgroup for guests, --check and the log say why there is nothing, once."""
    config = write_config(tmp_path / "plugin.conf", hypervisor.uri, "host_cpu")
    reason = "cgroup CPUACCT controller is not mounted"
    assert reason in run("--config", config, "--check").stdout
    with Plugin("--config", config) as plugin:
        for number in range(1, 4):
            plugin.tick()
            plugin.metrics.wait_for(
                lambda lines, number=number: (
                    sum(line.startswith("libvirt_health,") for line in lines) >= number
                ),
                "health",
            )
            time.sleep(0.2)
        plugin.finish()
        assert len(plugin.wait_for_message(reason)) == 1


def test_a_stopped_guest_costs_sources_its_own_lines(
    hypervisor: Hypervisor, tmp_path: Path
) -> None:
    """With all sources on, a QEMU that is stopped delays neither the bulk lines nor other guests
    in the sources, and all of it comes back."""
    sources = "job block_job disk_error snapshot block_limit event"
    config = write_config(tmp_path / "plugin.conf", hypervisor.uri, sources)
    text = config.read_text().replace('["state"]', '["state", "block"]')
    config.write_text(text.replace('interval = "1ms"', 'interval = "1ms"\ntimeout = "1s"'))

    def series(lines: list[str]) -> set[Series]:
        return {found for found, _ in fields_of(lines)}

    def block_limit(lines: list[str], name: str) -> bool:
        start = f"libvirt_block_limit,device=vda,domain_name={name} "
        return any(line.startswith(start) for line in lines)

    with Plugin("--config", config) as plugin:

        def tick() -> list[str]:
            """The lines of one tick."""
            plugin.metrics.forget()
            started = time.monotonic()
            plugin.tick()
            lines = plugin.metrics.wait_for(
                lambda lines: any(line.startswith("libvirt_health,") for line in lines), "health"
            )
            assert time.monotonic() - started < 7
            time.sleep(0.5)
            return lines

        for _ in range(3):
            tick()
        usual = {s for s in series(tick()) if s[0] in ("libvirt_state", "libvirt_block")}
        hypervisor.pause_process("idle1")
        try:
            seen: list[str] = []
            for _ in range(8):
                lines = tick()
                seen += lines + plugin.metrics.lines
                missing = usual - series(lines)
                assert {dict(tags)["domain_name"] for _, tags in missing} <= {"idle1"}
            assert block_limit(seen, "idle2") and block_limit(seen, LINUX)
        finally:
            hypervisor.resume_process("idle1")

        def recovered() -> bool:
            lines = tick()
            found = [line for line in lines if line.startswith("libvirt_source_health,")]
            return (
                usual <= series(lines)
                and len(found) == len(sources.split())
                and all(" up=1i," in line and ",hanging=0i" in line for line in found)
            )

        assert eventually(recovered, 60)
