"""Real guests read by the calls for one domain, held against the bulk statistics."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from support.hypervisor import LINUX, OFF, Hypervisor
from support.metrics import Series, expected_fields, fields_of
from support.plugin import Plugin, eventually, run

NOT_TO_BE_HAD = {
    # QEMU's monitor tells them in the bulk statistics alone
    *("cpu.haltpoll.success.time", "cpu.haltpoll.fail.time", "cpu.cache.monitor.count"),
    *("block.#.allocation", "iothread.#.poll-max-ns", "iothread.#.poll-grow"),
    *("iothread.#.poll-shrink", "vcpu.#.wait", "vcpu.#.delay"),
    *("dirtyrate.calc_status", "dirtyrate.calc_start_time", "dirtyrate.calc_period"),
    *("dirtyrate.calc_mode", "dirtyrate.megabytes_per_second", "perf.cpu_clock"),
    "perf.page_faults",
    # getCPUStats() needs the controller cpuacct, which a session's guests do not have
    *("cpu.user", "cpu.system"),
}
"""The keys of the bulk statistics of these guests that no call for one domain gives."""

RESTLESS = (
    *("balloon.rss", "balloon.unused", "balloon.available", "balloon.usable"),
    *("balloon.disk_caches", "balloon.last-update"),
)


def configured(hypervisor: Hypervisor, tmp_path: Path) -> Path:
    """A configuration that asks each domain by itself."""
    config = tmp_path / "plugin.conf"
    config.write_text(
        f'[[inputs.libvirt]]\n  libvirt_uri = "{hypervisor.uri}"\n  bulk_statistics = false\n'
        '  timeout = "2s"\n  additional_statistics = ["health"]\n'
    )
    return config


def flat(hypervisor: Hypervisor) -> dict[tuple[Series, str], tuple[str, str, str]]:
    """The fields that the bulk statistics of all domains should give."""
    stats = hypervisor.domstats()
    return {at: value for name in stats for at, value in expected_fields(name, stats[name]).items()}


def pattern(key: str) -> str:
    """A key with its numbers as `#`."""
    return ".".join("#" if word.isdigit() else word for word in key.split("."))


def test_values_are_those_of_the_bulk_statistics(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """Each value is the bulk one of the same moment, and what is missing is known."""
    config = configured(hypervisor, tmp_path)
    before = flat(hypervisor)
    done = run("--config", config, "--once")
    after = flat(hypervisor)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("libvirt_health")]
    found = fields_of(lines)
    assert set(found) <= set(before)
    assert {pattern(before[at][0]) for at in set(before) - set(found)} <= NOT_TO_BE_HAD
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
    """One tick: the seconds until its metrics were there, and its fields."""
    seen = len(plugin.metrics.lines)
    started = time.monotonic()
    plugin.tick()
    plugin.metrics.wait_for(
        lambda lines: any(line.startswith("libvirt_health,") for line in lines[seen:]), "a tick"
    )
    took = time.monotonic() - started
    return took, fields_of(plugin.metrics.lines[seen:])


def incomplete(fields: dict[tuple[Series, str], object]) -> object:
    """How many domains were not wholly asked."""
    return next(value for (_, name), value in fields.items() if name == "domains_incomplete")


def with_state(fields: dict[tuple[Series, str], object]) -> set[str]:
    """The domains whose state came."""
    return {dict(at[0][1])["domain_name"] for at in fields if at[0][0] == "libvirt_state"}


@pytest.mark.parametrize("hanging", [("idle1",), ("idle1", LINUX, "idle3")], ids=len)
def test_guests_that_hang_cost_themselves_only(
    hypervisor: Hypervisor, tmp_path: Path, hanging: tuple[str, ...]
) -> None:
    """The others are whole at each tick while calls for some hang, and those when that is over."""

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
    """Their states come at each tick, and all is as before when that is over."""
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


def test_a_disk_that_is_plugged_in_shows(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """A device that is added to a running guest is in the next tick: an event tells of it."""
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
