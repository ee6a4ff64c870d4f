"""Real guests, read by calls for single domains, compared with the bulk statistics."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from support.hypervisor import LINUX, OFF, Hypervisor
from support.metrics import Series, expected_fields, fields_of
from support.plugin import Plugin, eventually, run

BULK_ONLY = {
    # QEMU's monitor reports these in the bulk statistics only
    *("cpu.haltpoll.success.time", "cpu.haltpoll.fail.time", "cpu.cache.monitor.count"),
    *("block.#.allocation", "iothread.#.poll-max-ns", "iothread.#.poll-grow"),
    *("iothread.#.poll-shrink", "vcpu.#.wait", "vcpu.#.delay"),
    *("dirtyrate.calc_status", "dirtyrate.calc_start_time", "dirtyrate.calc_period"),
    *("dirtyrate.calc_mode", "dirtyrate.megabytes_per_second", "perf.cpu_clock"),
    "perf.page_faults",
    # getCPUStats() needs the cgroup controller cpuacct, which session guests lack
    *("cpu.user", "cpu.system"),
}
"""Keys of these guests' bulk statistics that no call for a single domain returns."""

RESTLESS = (
    *("balloon.rss", "balloon.unused", "balloon.available", "balloon.usable"),
    *("balloon.disk_caches", "balloon.last-update"),
)


def configured(hypervisor: Hypervisor, tmp_path: Path) -> Path:
    """A configuration that reads each domain by separate calls."""
    config = tmp_path / "plugin.conf"
    config.write_text(
        f'[[inputs.libvirt]]\n  libvirt_uri = "{hypervisor.uri}"\n  bulk_statistics = false\n'
        '  timeout = "2s"\n  additional_statistics = ["health"]\n'
    )
    return config


def flat(hypervisor: Hypervisor) -> dict[tuple[Series, str], tuple[str, str, str]]:
    """The fields expected from the bulk statistics of all domains."""
    stats = hypervisor.domstats()
    return {at: value for name in stats for at, value in expected_fields(name, stats[name]).items()}


def pattern(key: str) -> str:
    """A key with `#` for each number."""
    return ".".join("#" if word.isdigit() else word for word in key.split("."))


def test_values_are_those_of_the_bulk_statistics(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """Each value equals that of the bulk statistics; only known keys are missing."""
    config = configured(hypervisor, tmp_path)
    before = flat(hypervisor)
    done = run("--config", config, "--once")
    after = flat(hypervisor)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("libvirt_health")]
    found = fields_of(lines)
    assert set(found) <= set(before)
    assert {pattern(before[at][0]) for at in set(before) - set(found)} <= BULK_ONLY
    assert {at[0][0] for at in found} == {
        *("libvirt_state", "libvirt_cpu", "libvirt_balloon", "libvirt_vcpu_total", "libvirt_vcpu"),
        *("libvirt_net_total", "libvirt_block_total", "libvirt_block", "libvirt_iothread_total"),
        *(["libvirt_net"] if hypervisor.tap else []),
    }
    for at, value in found.items():
        key, low, kind = before[at]
        high = after[at][1]
        if isinstance(value, str):
            assert value == low == high, key
        elif kind == "counter":
            assert int(low) <= value <= int(high), key
        elif key not in RESTLESS:
            assert str(value) in (low, high), key


def tick(plugin: Plugin) -> tuple[float, dict[tuple[Series, str], object]]:
    """One tick: its duration in seconds, and its fields."""
    seen = len(plugin.metrics.lines)
    started = time.monotonic()
    plugin.tick()
    plugin.metrics.wait_for(
        lambda lines: any(line.startswith("libvirt_health,") for line in lines[seen:]), "a tick"
    )
    took = time.monotonic() - started
    return took, fields_of(plugin.metrics.lines[seen:])


def incomplete(fields: dict[tuple[Series, str], object]) -> object:
    """The number of incomplete domains."""
    return next(value for (_, name), value in fields.items() if name == "domains_incomplete")


def with_state(fields: dict[tuple[Series, str], object]) -> set[str]:
    """The domains with a state."""
    return {dict(at[0][1])["domain_name"] for at in fields if at[0][0] == "libvirt_state"}


@pytest.mark.parametrize("hanging", [("idle1",), ("idle1", LINUX, "idle3")], ids=len)
def test_guests_that_hang_cost_themselves_only(
    hypervisor: Hypervisor, tmp_path: Path, hanging: tuple[str, ...]
) -> None:
    """While guests hang, the others stay complete; afterwards all are complete."""

    def of_others(fields: dict[tuple[Series, str], object]) -> set[tuple[Series, str]]:
        return {
            at
            for at in fields
            if dict(at[0][1]).get("domain_name") not in hanging and "health" not in at[0][0]
        }

    with Plugin("--config", configured(hypervisor, tmp_path)) as plugin:
        _, whole = tick(plugin)
        assert incomplete(whole) == 0
        for guest in hanging:
            hypervisor.pause_process(guest)
        for number in range(4):
            took, fields = tick(plugin)
            assert took < (2 if number else 5) and of_others(fields) == of_others(whole)
            assert incomplete(fields) == len(hanging)
            assert with_state(fields) >= {*hanging}
        for guest in hanging:
            hypervisor.resume_process(guest)
        assert eventually(lambda: incomplete(tick(plugin)[1]) == 0)
        assert set(tick(plugin)[1]) == set(whole)


def test_all_guests_hang(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """While all guests hang, each tick has their states; afterwards all are complete."""
    with Plugin("--config", configured(hypervisor, tmp_path)) as plugin:
        _, whole = tick(plugin)
        running = [name for name in hypervisor.guests if name != OFF]
        assert len(running) > 4
        for guest in running:
            hypervisor.pause_process(guest)
        for number in range(4):
            took, fields = tick(plugin)
            assert took < (2 if number else 6)
            assert with_state(fields) == with_state(whole)
        for guest in running:
            hypervisor.resume_process(guest)
        assert eventually(lambda: incomplete(tick(plugin)[1]) == 0)
        assert set(tick(plugin)[1]) == set(whole)


def test_a_hotplugged_disk_appears(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """A disk added to a running guest is in a tick soon, because an event reports it."""
    disk = hypervisor.folder / "plugged.raw"
    disk.write_bytes(bytes(1 << 20))
    disk.chmod(0o666)
    with Plugin("--config", configured(hypervisor, tmp_path)) as plugin:

        def disks() -> int:
            seen = len(plugin.metrics.lines)
            plugin.tick()
            lines = plugin.metrics.wait_for(
                lambda lines: any(line.startswith("libvirt_health,") for line in lines[seen:]), "it"
            )
            start = f"libvirt_block_total,domain_name={LINUX} "
            (line,) = [line for line in lines[seen:] if line.startswith(start)]
            return int(line.partition("count=")[2].partition("i")[0])

        assert disks() == 2
        hypervisor.virsh("attach-disk", LINUX, str(disk), "vdz", "--live")
        try:
            assert eventually(lambda: disks() == 3, 10)
        finally:
            hypervisor.virsh("detach-disk", LINUX, "vdz", "--live")
        assert eventually(lambda: disks() == 2, 10)
