"""The metrics of real guests, compared with `virsh domstats` key by key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.hypervisor import LINUX, OFF, SHUT_OFF, Hypervisor
from support.metrics import Series, expected_fields, fields_of, is_known
from support.plugin import eventually, run
from support.ticks import Tick, Ticks

RESTLESS = re.compile(r"balloon\.(rss|unused|available|usable|disk_caches|last-update)")
"""Values that guest or host change at any moment, up or down."""

# QEMU's monitor reports most of them in the bulk statistics only; getCPUStats() needs the cgroup
# controller cpuacct, which session guests lack.
BULK_ONLY = re.compile(
    r"cpu\.(haltpoll\.(success|fail)\.time|cache\.monitor\.count|user|system)"
    r"|block\.\d+\.allocation|iothread\.\d+\.poll-(max-ns|grow|shrink)|vcpu\.\d+\.(wait|delay)"
    r"|dirtyrate\.(calc_(status|start_time|period|mode)|megabytes_per_second)"
)
"""Keys of these guests' bulk statistics that no call for a single domain returns."""

GUEST = "pinned"

#: Three vCPUs, of which number 1 is not plugged in; the first one may use one CPU only.
VCPUS = """<vcpu current='2'>3</vcpu><vcpus>
<vcpu id='0' enabled='yes' hotpluggable='no' order='1'/>
<vcpu id='1' enabled='no' hotpluggable='yes'/>
<vcpu id='2' enabled='yes' hotpluggable='yes' order='2'/></vcpus>
<cputune><vcpupin vcpu='0' cpuset='0'/></cputune>"""


def flat(stats: dict[str, dict[str, str]]) -> dict[tuple[Series, str], tuple[str, str, str]]:
    """The fields expected from the statistics of all domains."""
    return {at: value for name in stats for at, value in expected_fields(name, stats[name]).items()}


def found_in(tick: Tick) -> dict[tuple[Series, str], object]:
    """The fields of a tick, without health."""
    return fields_of(line for line in tick.lines if not line.startswith("libvirt_health"))


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        ([], re.compile("nothing")),
        (["parallel_calls = 4"], re.compile("nothing")),
        (["bulk_statistics = false"], BULK_ONLY),
    ],
    ids=["bulk", "parallel", "single"],
)
def test_values_are_those_of_virsh(
    hypervisor: Hypervisor,
    start: Callable[..., Ticks],
    options: list[str],
    left_out: re.Pattern[str],
) -> None:
    """Each key that Telegraf's plugin knows is one field, also in a later tick; there are no other
    fields, and each value is one that virsh has before or after."""
    ticks = start(*options).calm()
    while True:
        before = flat(hypervisor.domstats())
        tick = ticks.tick()
        after = flat(hypervisor.domstats())
        if tick.whole:  # a guest may be silent for a moment
            break
    found = found_in(tick)
    assert set(before) == set(after) and set(found) <= set(before) and len(found) > 150
    missing = {before[at][0] for at in set(before) - set(found)}
    assert {key for key in missing if not left_out.fullmatch(key)} == set()
    for at, value in found.items():
        key, low, kind = before[at]
        high = after[at][1]
        if isinstance(value, str):
            assert value == low == high, key
        elif kind == "counter":
            assert int(low) <= int(str(value)) <= int(high), key
        elif not RESTLESS.fullmatch(key):
            assert str(value) in (low, high), key
    time = (("libvirt_cpu", frozenset({("domain_name", LINUX)})), "time")
    first = int(str(found[time]))
    assert ticks.until(lambda tick: int(str(found_in(tick).get(time, 0))) > first)


def test_full_set(hypervisor: Hypervisor, start: Callable[..., Ticks]) -> None:
    """In the full set each key is one field, CPU times are two. The table of keys has each."""
    stats = hypervisor.domstats()
    keys = [
        (name, key)
        for name in stats
        for key in stats[name]
        if stats[name]["state.state"] != SHUT_OFF
        or key not in ("cpu.time", "cpu.user", "cpu.system")
    ]
    assert [key for _, key in keys if not is_known(key)] == []
    fields = found_in(start('metric_set = "full"').until(lambda tick: tick.whole))
    assert len([at for at in fields if at[1] != "cpu_time"]) == len(keys)


def test_wanted_domains_and_groups(hypervisor: Hypervisor, start: Callable[..., Ticks]) -> None:
    """Only the configured domains and groups are written; an unknown name is no error. The group
    dirtyrate has values once it is enabled."""
    hypervisor.virsh("domdirtyrate-calc", LINUX, "--seconds", "1")
    calculated = "dirtyrate.megabytes_per_second"
    assert eventually(lambda: calculated in hypervisor.domstats(LINUX)[LINUX])
    groups = 'statistics_groups = ["vcpu", "state", "dirtyrate"]'
    ticks = start(f'domains = ["{LINUX}", "nobody knows it"]', groups)
    found = found_in(ticks.until(lambda tick: tick.whole))
    assert {dict(series[1])["domain_name"] for series, _ in found} == {LINUX}
    names = {(series[0], field) for series, field in found}
    assert ("libvirt_dirtyrate", "megabytes_per_second") in names
    expected = {"libvirt_state", "libvirt_vcpu", "libvirt_vcpu_total", "libvirt_dirtyrate"}
    assert {measurement for measurement, _ in names} == expected


def test_check(hypervisor: Hypervisor, write: Callable[..., Path]) -> None:
    """--check reports the driver, the number of domains and the groups, and why a user's own daemon
    has neither the limits of CPU and memory nor host_cpu."""
    done = run("--check", "--config", write(sources="host_cpu cpu_limit memory_limit"))
    assert "reachable: yes: driver QEMU, libvirt" in done.stdout
    count = len(hypervisor.guests)
    assert f"domains: {count}, of which {count - 1} run" in done.stdout
    assert "reported: state, cpu_total, balloon, vcpu," in done.stdout
    assert "cgroup CPUACCT controller is not mounted" in done.stdout
    for what in ("CPU", "Memory"):
        assert f"{what} tuning is not available in session mode" in done.stdout
    assert done.stdout.count("only the daemon of the system has it, such as qemu:///system") == 2


@pytest.fixture
def pinned(hypervisor: Hypervisor) -> Iterator[Hypervisor]:
    """A hypervisor with one more guest, whose vCPUs are pinned and have gaps in their numbers."""
    xml = hypervisor.virsh("dumpxml", "--inactive", OFF)
    xml = re.sub("<uuid>.*</uuid>", "", xml).replace(f"<name>{OFF}<", f"<name>{GUEST}<")
    # The disk belongs to the other guest.
    xml = re.sub("<disk .*</disk>", "", xml, flags=re.DOTALL)
    hypervisor.define_xml(re.sub("<vcpu.*</vcpu>", VCPUS, xml))
    yield hypervisor
    hypervisor.undefine(GUEST)


def test_vcpu_mapping(pinned: Hypervisor, start: Callable[..., Ticks]) -> None:
    """Affinities and current CPUs are those that virsh reports, of a guest that is off, that runs,
    that is pinned anew, and that is off again."""

    def mapping(tick: Tick) -> tuple[dict[str, str], dict[str, int]]:
        """The affinity of each vCPU of the guest, and its current CPU."""
        affinities, current = {}, {}
        for ((measurement, tags), field), value in found_in(tick).items():
            each = dict(tags)
            if field == "cpu_id" and each["domain_name"] == GUEST:
                if measurement == "libvirt_cpu_affinity":
                    affinities[each["vcpu_id"]] = str(value)
                else:
                    current[each["vcpu_id"]] = int(str(value))
        return affinities, current

    ticks = start(sources="vcpu_mapping")
    off = mapping(ticks.tick())
    pinned.start_guest(GUEST)
    masks = re.findall(r"Affinity: +(\S+)", pinned.virsh("vcpuinfo", GUEST))
    first, every = (
        ",".join(str(number) for number, mark in enumerate(mask) if mark == "y") for mask in masks
    )
    assert first == "0" and off == ({"0": "0", "1": every}, {})
    # A vCPU moves when it next runs.
    tick = ticks.until(lambda tick: mapping(tick)[1].get("0") == 0 and "2" in mapping(tick)[1])
    affinities, current = mapping(tick)
    assert affinities == {"0": "0", "2": every}
    assert str(current["2"]) in every.split(",")
    pinned.virsh("vcpupin", GUEST, "2", "0", "--live")
    # The firmware has halted this vCPU for good; its thread runs when the guest goes on.
    pinned.virsh("suspend", GUEST)
    pinned.virsh("resume", GUEST)
    ticks.until(lambda tick: mapping(tick) == ({"0": "0", "2": "0"}, {"0": 0, "2": 0}))
    pinned.stop_guest(GUEST)
    ticks.until(lambda tick: mapping(tick) == off)
