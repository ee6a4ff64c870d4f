"""What is configured of the guests of a real hypervisor, beside what runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.hypervisor import LINUX, ODD, OFF, Hypervisor
from support.metrics import fields_of
from support.plugin import run
from support.watcher import Watcher


def test_what_a_restart_would_change(hypervisor: Hypervisor, watch: Callable[..., Watcher]) -> None:
    """A restart changes no guest that runs as it is defined; after another definition it does,
    until the guest starts again. Autostart and a deprecated machine type are those of virsh."""
    cheap = (
        "<domain type='qemu'><name>changed</name><memory unit='KiB'>{}</memory><os><type>hvm</type>"
        "</os><cpu mode='host-model'/><devices><serial type='pty'/><graphics type='vnc'/></devices>"
        "</domain>"
    )
    hypervisor.define_xml(cheap.format(33001))
    hypervisor.define_program("old", b"", machine="pc-i440fx-1.5")
    try:
        hypervisor.start_guest("changed")
        hypervisor.virsh("autostart", "changed")
        watcher = watch("domain_config")
        start = "libvirt_domain,domain_name={} autostart={}i,persistent=1i,restart_required={}i,"
        for name in (*hypervisor.guests, "changed"):
            if name != ODD:
                line = start.format(name, int(name == "changed"), 0)
                watcher.wait_for(f'{line}restart_changes="",machine_deprecated=0i ')
        uuid = hypervisor.virsh("domuuid", "changed").strip()
        again = cheap.replace("<memory", f"<uuid>{uuid}</uuid><memory")
        hypervisor.define_xml(again.format(40000).replace("host-model", "host-passthrough"))
        watcher.wait_for(start.format("changed", 1, 1) + 'restart_changes="cpu,memory",')
        hypervisor.stop_guest("changed")
        watcher.plugin.metrics.forget()
        watcher.wait_for(start.format("changed", 1, 0) + 'restart_changes="",')
        watcher.wait_for(start.format("old", 0, 0) + 'restart_changes="",machine_deprecated=1i ')
    finally:
        for name in ("changed", "old"):
            hypervisor.undefine(name)


def test_the_summaries(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """A guest has started when its QEMU began; without a channel its agent is unknown; its balloon
    reports each second. The host has its memory and the version of QEMU."""
    path = tmp_path / "plugin.conf"
    path.write_text(
        f'[[inputs.libvirt]]\nlibvirt_uri = "{hypervisor.uri}"\nstatistics_groups = []\n'
        'additional_statistics = ["domain", "node"]\n'
    )
    found = fields_of(run("--config", path, "--once").stdout.splitlines())
    values: dict[tuple[str, ...], Any] = {
        (*dict(tags).values(), name): value for ((_, tags), name), value in found.items()
    }
    boot = next(
        int(line.split()[1])
        for line in Path("/proc/stat").read_text().splitlines()
        if line.startswith("btime ")
    )
    for name in (LINUX, "idle1"):
        stat = Path(f"/proc/{hypervisor.guest_pid(name)}/stat").read_text().rpartition(")")[2]
        began = boot + int(stat.split()[19]) / os.sysconf("SC_CLK_TCK")
        assert abs(values[name, "started_at"] - began) < 5
        assert values[name, "balloon_period"] == 1
        assert (name, "agent_connected") not in values
    assert (OFF, "started_at") not in values
    assert values[LINUX, "disk_read_requests"] > 0
    (uri,) = {key[0] for key in values if key[1] == "cpus"}
    assert 0 < values[uri, "memory_cached_kib"] < values[uri, "memory_kib"]
    assert 0 < values[uri, "memory_available_kib"] < values[uri, "memory_kib"]
    version = values[uri, "hypervisor_version"]
    assert f"Running hypervisor: QEMU {version}" in hypervisor.virsh("version")
