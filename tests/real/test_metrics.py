"""The metrics of real guests, compared with `virsh domstats` key by key."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from support.dump import is_known
from support.hypervisor import LINUX, ODD, OFF, SHUT_OFF, Hypervisor
from support.metrics import Series, expected_fields, fields_of
from support.plugin import Plugin, run

# Values that guest or host change at any moment, up or down.
RESTLESS = (
    *("balloon.rss", "balloon.unused", "balloon.available", "balloon.usable"),
    *("balloon.disk_caches", "balloon.last-update"),
)


def once(hypervisor: Hypervisor, tmp_path: Path, *options: str) -> list[str]:
    """The lines of one collection with these options."""
    config = tmp_path / "plugin.conf"
    config.write_text(
        f'[[inputs.libvirt]]\nlibvirt_uri = "{hypervisor.uri}"\n' + "\n".join(options)
    )
    done = run("--config", config, "--once")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def flat(stats: dict[str, dict[str, str]]) -> dict[tuple[Series, str], tuple[str, str, str]]:
    """The fields expected from the statistics of all domains."""
    return {at: value for name in stats for at, value in expected_fields(name, stats[name]).items()}


def test_every_key_of_virsh_is_there(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """Each key that Telegraf's plugin knows is one field; there are no other fields."""
    before = flat(hypervisor.domstats())
    lines = fields_of(once(hypervisor, tmp_path))
    after = flat(hypervisor.domstats())
    assert set(lines) == set(before) == set(after)
    assert len(lines) > 200
    for at, found in lines.items():
        key, low, kind = before[at]
        high = after[at][1]
        if isinstance(found, str):
            assert found == low == high, key
        elif kind == "counter":
            assert int(low) <= found <= int(high), key
        elif key not in RESTLESS:
            assert str(found) in (low, high), key


def test_every_key_is_in_the_table(hypervisor: Hypervisor) -> None:
    """The table of keys has each key that this libvirt reports."""
    keys = {key for stats in hypervisor.domstats().values() for key in stats}
    assert len(keys) > 50
    assert {key for key in keys if not is_known(key)} == set()


def test_the_full_set_has_every_key(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """In the full set each key is one field; CPU times are two."""
    stats = hypervisor.domstats()
    off = {name for name in stats if stats[name]["state.state"] == SHUT_OFF}
    keys = [
        (name, key)
        for name in stats
        for key in stats[name]
        if not (name in off and re.fullmatch(r"cpu\.(time|user|system)", key))
    ]
    fields = fields_of(once(hypervisor, tmp_path, 'metric_set = "full"'))
    assert len([at for at in fields if at[1] != "cpu_time"]) == len(keys)


def test_names_are_the_guests(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """Each guest has its name, without backslashes at the end."""
    found = {dict(series[1])["domain_name"] for series, _ in fields_of(once(hypervisor, tmp_path))}
    assert found == {name.rstrip("\\") for name in hypervisor.guests}
    assert ODD.rstrip("\\") in found


def test_only_the_wanted_domains_and_groups(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """Only the configured domains and groups are written; an unknown name is no error."""
    lines = once(
        hypervisor,
        tmp_path,
        f'domains = ["{LINUX}", "nobody knows it"]',
        'statistics_groups = ["vcpu", "state"]',
    )
    found = fields_of(lines)
    assert {dict(series[1])["domain_name"] for series, _ in found} == {LINUX}
    assert {series[0] for series, _ in found} == {
        *("libvirt_state", "libvirt_vcpu", "libvirt_vcpu_total")
    }


def test_counters_grow_between_ticks(hypervisor: Hypervisor) -> None:
    """The CPU time of a busy guest is higher at a later tick."""
    at = (("libvirt_cpu", frozenset({("domain_name", LINUX)})), "time")
    with Plugin("--uri", hypervisor.uri) as plugin:
        seen: list[dict[tuple[Series, str], object]] = []
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            done = len(plugin.metrics.lines)
            plugin.tick()
            plugin.metrics.wait_for(
                lambda lines, done=done: any("odd" in line for line in lines[done:]), "a tick"
            )
            stamps = {line.rpartition(" ")[2] for line in plugin.metrics.lines}
            newest = max(stamps)
            lines = [line for line in plugin.metrics.lines if line.endswith(newest)]
            seen.append(fields_of(lines))
            first, last = seen[0], seen[-1]
            if at in last and last[at] > first[at]:
                break
        assert last[at] > first[at]
        assert plugin.finish() == 0


def test_dirty_rate_and_perf_appear(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """The groups dirtyrate and perf have values once they are enabled."""
    hypervisor.virsh("domdirtyrate-calc", LINUX, "--seconds", "1")
    if hypervisor.perf:
        hypervisor.virsh("perf", LINUX, "--enable", "cpu_clock,page_faults", "--live")
    deadline = time.monotonic() + 20
    while "dirtyrate.megabytes_per_second" not in hypervisor.domstats(LINUX)[LINUX]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    found = fields_of(once(hypervisor, tmp_path, f'domains = ["{LINUX}"]'))
    names = {(series[0], field) for series, field in found}
    assert ("libvirt_dirtyrate", "megabytes_per_second") in names
    if hypervisor.perf:
        assert {("libvirt_perf", "cpu_clock"), ("libvirt_perf", "page_faults")} <= names


def test_vcpu_mapping(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """The mapping has the pinning of all guests, and the current CPU of running ones."""
    hypervisor.virsh("vcpupin", LINUX, "1", "0")
    try:
        found = fields_of(once(hypervisor, tmp_path, 'additional_statistics = ["vcpu_mapping"]'))
    finally:
        hypervisor.virsh("vcpupin", LINUX, "1", "r")

    def tags(domain: str, vcpu: str) -> frozenset[tuple[str, str]]:
        return frozenset({("domain_name", domain), ("vcpu_id", vcpu)})

    everywhere = found[("libvirt_cpu_affinity", tags(LINUX, "0")), "cpu_id"]
    assert str(everywhere).split(",")[0] == "0"
    assert found[("libvirt_cpu_affinity", tags(LINUX, "1")), "cpu_id"] == "0"
    assert found[("libvirt_cpu_affinity", tags(OFF, "0")), "cpu_id"] == everywhere
    # For a moment after the pinning the vCPU may still run on any CPU.
    assert found[("libvirt_vcpu", tags(LINUX, "1")), "cpu_id"] in range(os.cpu_count() or 1)
    assert (("libvirt_vcpu", tags(OFF, "0")), "cpu_id") not in found
    without = fields_of(once(hypervisor, tmp_path))
    assert {at for at in found if at[1] != "cpu_id"} == set(without)


def test_mapping_alone(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """The mapping without any group gives only the affinity."""
    lines = once(
        hypervisor,
        tmp_path,
        "statistics_groups = []",
        'additional_statistics = ["vcpu_mapping"]',
    )
    assert {series[0] for series, _ in fields_of(lines)} == {"libvirt_cpu_affinity"}


def test_check_reports_it(hypervisor: Hypervisor) -> None:
    """--check reports the driver, the number of domains and the groups."""
    done = run("--check", "--uri", hypervisor.uri)
    assert done.returncode == 0
    assert "reachable: yes: driver QEMU, libvirt" in done.stdout
    count = len(hypervisor.guests)
    assert f"domains: {count}, of which {count - 1} run" in done.stdout
    assert "reported: state, cpu_total, balloon, vcpu," in done.stdout


@pytest.mark.parametrize("uint", [False, True])
def test_unsigned_integers_where_wanted(hypervisor: Hypervisor, tmp_path: Path, uint: bool) -> None:
    """With influx_uint_support unsigned values end in `u`; signed values still end in `i`."""
    lines = once(hypervisor, tmp_path, f"influx_uint_support = {str(uint).lower()}")
    (cpu,) = [line for line in lines if line.startswith(f"libvirt_cpu,domain_name={LINUX} ")]
    assert cpu.partition(",user=")[0].endswith("u" if uint else "i")
    (state,) = [line for line in lines if line.startswith(f"libvirt_state,domain_name={LINUX} ")]
    assert " state=1i,reason=1i " in state


def test_calls_side_by_side_give_the_same_lines(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """Parallel calls change neither the series nor their fields."""
    alone = once(hypervisor, tmp_path)
    shared = once(hypervisor, tmp_path, "parallel_calls = 4")
    series = [sorted(line.split(" ")[0] for line in lines) for lines in (shared, alone)]
    assert series[0] == series[1]
    assert set(fields_of(shared)) == set(fields_of(alone))
