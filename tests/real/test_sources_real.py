"""Sources on a real hypervisor: jobs, disks, pools, and what a stopped guest costs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from support.hypervisor import LINUX, PAUSED, Hypervisor, HypervisorError
from support.missing import Missing
from support.plugin import eventually
from support.process import finish
from support.watcher import Watcher, beside


def test_jobs_and_limits(hypervisor: Hypervisor, watch: Callable[..., Watcher]) -> None:
    """Saving a guest is a job with libvirt's parameters, and is counted when it has ended; a slow
    copy of a disk is a block job. Limits of disks and interfaces are those that virsh has set."""
    watcher = watch("job event snapshot block_job block_limit interface_limit")
    hypervisor.virsh("blkdeviotune", LINUX, "vda", "--total-iops-sec", "5000", "--live")
    of_disk = f"libvirt_block_limit,device=vda,domain_name={LINUX} "
    assert eventually(lambda: "total_iops_sec=5000i" in watcher.wait_for(of_disk))
    assert "read_iops_sec=0i" in watcher.wait_for(of_disk)
    if hypervisor.tap:
        start = f"libvirt_interface_limit,domain_name={LINUX},interface={hypervisor.tap} "
        assert "inbound_average=0i" in watcher.wait_for(start)
    hypervisor.virsh("blkdeviotune", LINUX, "vda", "--total-iops-sec", "0", "--live")

    copy = hypervisor.own_folder("copy") / "copy.raw"
    command = ("blockcopy", LINUX, "vdb", str(copy), "--format", "raw", "--bandwidth", "1")
    hypervisor.virsh(*command, "--transient-job")
    line = watcher.wait_for(f"libvirt_block_job,device=vdb,domain_name={LINUX} ")
    assert "type=2i" in line and "end=16777216i" in line and "bandwidth=1i" in line
    assert "progress_percent=" in line
    hypervisor.virsh("blockjob", LINUX, "vdb", "--abort")
    completed = f"libvirt_block_job_completed,device=vdb,domain_name={LINUX},type=copy "
    watcher.wait_for(f"{completed}count=1i,failed=0i,canceled=1i")
    try:
        save = f"libvirt_job,domain_name={LINUX},operation=save type=2i,"
        with beside(hypervisor, "managedsave", LINUX):  # there is no progress at first
            assert eventually(lambda: "progress_percent=" in watcher.wait_for(save))
        line = watcher.wait_for(save)
        assert "time_elapsed_ms=" in line and "memory_total=" in line
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


def test_pools_networks_and_snapshots(
    hypervisor: Hypervisor, watch: Callable[..., Watcher]
) -> None:
    """A directory pool and its volumes have the values of virsh, also a file whose name is not
    UTF-8; a network those of its leases. Snapshots of a guest that is off and a checkpoint of
    one that runs are counted, with the times of virsh.

    A session daemon may start a network that uses a bridge of the host. It starts no dnsmasq, so
    the test writes the file in which libvirt looks for the leases.
    """
    try:
        hypervisor.virsh("pool-list")
        hypervisor.virsh("net-list")
    except HypervisorError as error:
        raise Missing(f"libvirt's storage and network drivers: {error}") from error
    folder = hypervisor.own_folder("pool")
    disk = folder / "snapped.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "1M"], check=True)
    disk.chmod(0o666)
    target = f"<target><path>{folder}</path></target>"
    for command, xml in (
        ("pool-define", f"<pool type='dir'><name>p</name>{target}</pool>"),
        (
            "net-define",
            "<network><name>n</name><forward mode='bridge'/><bridge name='hvbr7'/></network>",
        ),
        (
            "define",
            "<domain type='qemu'><name>snapped</name><memory unit='MiB'>32</memory>"
            "<os><type arch='x86_64'>hvm</type></os><devices><disk type='file' device='disk'>"
            f"<driver name='qemu' type='qcow2'/><source file='{disk}'/><target dev='vda'/></disk>"
            "</devices></domain>",
        ),
    ):
        hypervisor.virsh(command, "/dev/stdin", stdin=xml)
    try:
        for name in ("first", "second"):
            hypervisor.virsh("snapshot-create-as", "snapped", name)
        disks = ("--diskspec", "vda,checkpoint=bitmap", "--diskspec", "vdb,checkpoint=no")
        hypervisor.virsh("checkpoint-create-as", LINUX, "backup", *disks)
        hypervisor.virsh("pool-start", "p")
        hypervisor.virsh("vol-create-as", "p", "v 1", "1M")
        Path(os.fsdecode(os.fsencode(folder) + b"/latin\xe9.img")).write_bytes(b"image")
        hypervisor.virsh("pool-refresh", "p")
        watcher = watch("storage_pool network snapshot", storage_pool="volumes = true")
        shown = [("snapshot-dumpxml", "snapped", name) for name in ("first", "second")]
        shown.append(("checkpoint-dumpxml", LINUX, "backup"))
        xml = [ET.fromstring(hypervisor.virsh(*command)) for command in shown]
        times = [each.findtext("creationTime") for each in xml]
        watcher.wait_for(
            f"libvirt_snapshot,domain_name=snapped snapshots=2i,oldest_snapshot={times[0]}i,"
            f"newest_snapshot={times[1]}i,checkpoints=0i,has_current=1i,managed_save=0i "
        )
        watcher.wait_for(
            f"libvirt_snapshot,domain_name={LINUX} snapshots=0i,checkpoints=1i,"
            f"oldest_checkpoint={times[2]}i,newest_checkpoint={times[2]}i,has_current=0i,"
        )
        assert "checkpoints=0i" in watcher.wait_for("libvirt_snapshot,domain_name=idle1 ")
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
        hypervisor.virsh("checkpoint-delete", LINUX, "backup")
        hypervisor.virsh("undefine", "snapped", "--snapshots-metadata")
        hypervisor.virsh("pool-destroy", "p")
        hypervisor.virsh("pool-undefine", "p")
        hypervisor.virsh("net-undefine", "n")


def test_a_disk_without_space(hypervisor: Hypervisor, watch: Callable[..., Watcher]) -> None:
    """A guest whose disk is full is paused, has a disk error and an event."""
    if not hypervisor.has_mounts:
        raise Missing("the privilege to mount")
    watcher = watch("disk_error event")
    folder = hypervisor.own_folder("small")
    disk = folder / "disk.raw"
    for command in (
        ("mount", "-t", "tmpfs", "-o", "size=32k,mode=777", "tmpfs", folder),
        ("truncate", "-s", "8M", disk),
        ("chmod", "666", disk),
    ):
        finish("nsenter", "-t", hypervisor.daemon_pid, "-m", *command)
    hypervisor.define_linux(
        "full",
        "<disk type='file' device='disk'>"
        "<driver name='qemu' type='raw' error_policy='stop' cache='writethrough'/>"
        f"<source file='{disk}'/><target dev='vda' bus='virtio'/></disk>",
    )
    hypervisor.start_guest("full")
    watcher.wait_for("libvirt_disk_error,device=vda,domain_name=full error=2i")
    watcher.wait_for("libvirt_disk_error_total,domain_name=full count=1i")
    watcher.wait_for("libvirt_event,detail=enospc,domain_name=full,event=io_error count=")
    watcher.wait_for("libvirt_event,detail=ioerror,domain_name=full,event=suspended count=1i")
    assert hypervisor.domstats("full", "--state")["full"]["state.state"] == PAUSED
    watcher.wait_for(f"libvirt_state,domain_name=full state={PAUSED}i")


def test_info_lines_follow_the_guest(hypervisor: Hypervisor, watch: Callable[..., Watcher]) -> None:
    """The info lines are those of the guest's XML, and the numbers of disks those of the
    statistics, also for a disk that was just attached."""
    watcher = watch("domain_info block_info interface_info hostdev_info")
    line = watcher.wait_for(
        f"libvirt_domain_info,arch=x86_64,cpu_mode=custom,cpu_model=qemu64,domain_name={LINUX},"
    )
    assert re.search(r",machine=pc-q35-[\d.]+,os_type=hvm,title=Boots\\ Linux,uuid=", line)
    disk = hypervisor.plug_disk(LINUX, "--serial", "S1", "--cache", "none")
    stats = hypervisor.domstats(LINUX, "--block")[LINUX]
    names = [stats[f"block.{number}.name"] for number in range(int(stats["block.count"]))]
    assert names == ["vda", "vdb", disk]
    for number, device in enumerate(["device=vda", "device=vdb", f"cache=none,device={disk}"]):
        start = f"libvirt_block_info,block_id={number},bus=virtio,{device},domain_name={LINUX},"
        line = watcher.wait_for(start)
    assert line.startswith(f"{start}format=raw,serial=S1,source_type=file value=1i ")


def test_cells_and_messages(hypervisor: Hypervisor, watch: Callable[..., Watcher]) -> None:
    """The pages of the host's cells are those of virsh; a guest that libvirt calls tainted is
    named with the reason."""
    hypervisor.define_xml(
        "<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
        "<name>tainted</name><memory unit='MiB'>32</memory><os><type>hvm</type></os>"
        "<qemu:commandline><qemu:arg value='-no-user-config'/></qemu:commandline></domain>"
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
