"""What is configured of the guests of a real hypervisor, beside what runs."""

from __future__ import annotations

from collections.abc import Callable

from support.hypervisor import ODD, Hypervisor
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
