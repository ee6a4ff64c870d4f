"""vcpu_mapping of real guests, compared with what virsh reports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.hypervisor import OFF, Hypervisor
from support.plugin import Plugin, eventually

GUEST = "pinned"

#: Three vCPUs, of which number 1 is not plugged in; the first one may use one CPU only.
VCPUS = """<vcpu current='2'>3</vcpu><vcpus>
<vcpu id='0' enabled='yes' hotpluggable='no' order='1'/>
<vcpu id='1' enabled='no' hotpluggable='yes'/>
<vcpu id='2' enabled='yes' hotpluggable='yes' order='2'/></vcpus>
<cputune><vcpupin vcpu='0' cpuset='0'/></cputune>"""


@pytest.fixture
def pinned(hypervisor: Hypervisor) -> Iterator[Hypervisor]:
    """A hypervisor with one more guest, whose vCPUs are pinned and have gaps in their numbers."""
    xml = hypervisor.virsh("dumpxml", "--inactive", OFF)
    xml = re.sub("<uuid>.*</uuid>", "", xml).replace(f"<name>{OFF}<", f"<name>{GUEST}<")
    # The disk belongs to the other guest.
    xml = re.sub("<disk .*</disk>", "", xml, flags=re.DOTALL)
    hypervisor.define_xml(re.sub("<vcpu.*</vcpu>", VCPUS, xml))
    try:
        yield hypervisor
    finally:
        hypervisor.undefine(GUEST)


def tick(plugin: Plugin) -> tuple[dict[int, str], dict[int, int]]:
    """One tick: the affinity of each vCPU of the guest, and its current CPU."""
    plugin.metrics.forget()
    plugin.tick()
    lines = plugin.metrics.wait_for(
        lambda lines: lines and lines[-1].startswith("libvirt_health,"), "a tick"
    )
    start = rf"domain_name={GUEST},vcpu_id=(\d+)"
    text = "\n".join(lines)
    affinities = re.findall(rf'^libvirt_cpu_affinity,{start} cpu_id="(.*)"', text, re.MULTILINE)
    current = re.findall(rf"^libvirt_vcpu,{start} .*\bcpu_id=(\d+)i", text, re.MULTILINE)
    return (
        {int(number): cpus for number, cpus in affinities},
        {int(number): int(cpu) for number, cpu in current},
    )


def listed(cpus: str) -> str:
    """virsh's form of some CPUs, `y-y`, as numbers."""
    return ",".join(str(number) for number, mark in enumerate(cpus) if mark == "y")


def test_mapping_is_that_of_virsh(pinned: Hypervisor, tmp_path: Path) -> None:
    """Affinities and current CPUs are those that virsh reports, of a guest that is off, that runs,
    and that is off again; a new pinning of a running guest is in the next tick, and a guest that is
    defined anew is asked again."""
    before = pinned.virsh("vcpuinfo", GUEST)
    every = listed("y" * len(re.findall(r"Affinity: +(\S+)", before)[0]))
    config = tmp_path / "plugin.conf"
    config.write_text(
        f'[[inputs.libvirt]]\nlibvirt_uri = "{pinned.uri}"\ntimeout = "5s"\n'
        'additional_statistics = ["vcpu_mapping", "health"]\n'
    )
    with Plugin("--config", config) as plugin:
        for _ in range(2):
            assert tick(plugin) == ({0: "0", 1: every}, {})
        pinned.start_guest(GUEST)
        info = pinned.virsh("vcpuinfo", GUEST)
        numbers = [int(number) for number in re.findall(r"VCPU: +(\d+)", info)]
        masks = [listed(mask) for mask in re.findall(r"Affinity: +(\S+)", info)]
        assert numbers == [0, 2] and masks == ["0", every]
        assert eventually(lambda: tick(plugin)[1][0] == 0)  # a vCPU moves when it next runs
        for _ in range(2):
            affinities, current = tick(plugin)
            assert affinities == dict(zip(numbers, masks))
            assert current[0] == 0 and 0 <= current[2] <= int(every.rpartition(",")[2])
        pinned.virsh("vcpupin", GUEST, "2", "0", "--live")
        assert tick(plugin)[0] == {0: "0", 2: "0"}
        assert eventually(lambda: tick(plugin) == ({0: "0", 2: "0"}, {0: 0, 2: 0}))
        pinned.stop_guest(GUEST)
        assert tick(plugin) == ({0: "0", 1: every}, {})
        definition = pinned.virsh("dumpxml", "--inactive", GUEST)
        pinned.define_xml(definition.replace("vcpupin vcpu='0'", "vcpupin vcpu='1'"))
        assert eventually(lambda: tick(plugin)[0] == {0: every, 1: "0"})
