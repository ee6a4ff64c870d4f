"""The metrics of a real Linux container, whose driver has no bulk statistics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.containers import INTERFACE, NAME, Containers
from support.metrics import fields_of
from support.plugin import eventually, run
from support.watcher import write_config


@pytest.fixture(scope="module")
def containers() -> Iterator[Containers]:
    """A libvirt whose container runs."""
    with Containers() as started:
        yield started


def collect(containers: Containers) -> dict[str, dict[str, Any]]:
    """The container's fields by measurement, from a run without errors and warnings."""
    done = run("--once", "--uri", containers.uri)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if not line.startswith("I! ")] == []
    found: dict[str, dict[str, Any]] = {}
    fields = fields_of(done.stdout.splitlines())
    for ((measurement, tags), field), value in fields.items():
        assert dict(tags)["domain_name"] == NAME
        found.setdefault(measurement, {})[field] = value
    return found


def seconds(info: dict[str, str]) -> float:
    """The CPU time from virsh, which rounds it to 0.1 s."""
    return float(info["CPU time"].rstrip("s"))


def kibibytes(text: str) -> int:
    """An amount of memory from virsh."""
    amount, unit = text.split()
    assert unit == "KiB"
    return int(amount)


def test_running_container(containers: Containers) -> None:
    """All statistics of the driver are written, with the values of virsh. Counters grow."""
    before, sent_before = containers.dominfo(), containers.domifstat()
    found = collect(containers)
    after, sent_after = containers.dominfo(), containers.domifstat()

    assert set(found) == {
        *("libvirt_state", "libvirt_cpu", "libvirt_balloon", "libvirt_vcpu_total"),
        *("libvirt_net_total", "libvirt_net", "libvirt_block_total"),
    }
    assert before["State"] == after["State"] == "running"
    assert found["libvirt_state"]["state"] == 1

    cpu = found["libvirt_cpu"]
    most = seconds(after) + 0.06
    assert seconds(before) - 0.06 <= cpu["time"] / 1e9 <= most
    assert 0 < cpu["user"] + cpu["system"] <= most * 1e9  # libvirt reads them after the time

    balloon = found["libvirt_balloon"]
    assert balloon["current"] == balloon["maximum"] == kibibytes(after["Max memory"]) == 32 * 1024
    assert 0 < balloon["rss"] < balloon["maximum"]
    assert balloon["rss"] == pytest.approx(kibibytes(after["Used memory"]), abs=2048)

    assert found["libvirt_vcpu_total"] == {"current": 1, "maximum": 1}
    assert int(after["CPU(s)"]) == 1
    assert found["libvirt_block_total"] == {"count": 0}
    assert found["libvirt_net_total"] == {"count": 1}
    for key, low in sent_before.items():
        name = key.replace("_packets", "_pkts")
        assert low <= found["libvirt_net"][name] <= sent_after[key], key

    def all_have_grown() -> bool:
        now = collect(containers)
        more_time = now["libvirt_cpu"]["time"] > cpu["time"]
        return more_time and now["libvirt_net"]["rx_pkts"] > found["libvirt_net"]["rx_pkts"]

    assert eventually(all_have_grown)


def test_container_that_is_off(containers: Containers) -> None:
    """A container that is shut off has its state and sizes, but no counters."""
    containers.virsh("destroy", NAME)
    try:
        assert containers.dominfo()["State"] == "shut off"
        off = collect(containers)
    finally:
        containers.virsh("start", NAME)
    assert off["libvirt_state"]["state"] == 5
    assert off["libvirt_balloon"] == {"current": 32 * 1024, "maximum": 32 * 1024}
    assert off["libvirt_vcpu_total"] == {"current": 1, "maximum": 1}
    assert not {"libvirt_cpu", "libvirt_net"} & set(off)


def test_limits_and_addresses(containers: Containers, tmp_path: Path) -> None:
    """The limits of the cgroups and the address in the ARP table of the host are those of virsh. A
    quota that was taken away is none."""
    config = write_config(
        tmp_path / "plugin.conf", containers.uri, "cpu_limit memory_limit interface_address"
    )
    containers.virsh("schedinfo", NAME, "--live", "vcpu_quota=-1")
    (line,) = (
        line
        for line in run("--once", "--config", config).stdout.splitlines()
        if line.startswith("libvirt_cpu_limit,")
    )
    assert "vcpu_quota=0i" in line
    containers.virsh("schedinfo", NAME, "--live", "cpu_shares=200", "vcpu_quota=50000")
    containers.virsh("memtune", NAME, "--live", "--hard-limit", "65536")
    address = (
        f"libvirt_interface_address,address=192.0.2.2,domain_name={NAME},interface={INTERFACE}"
    )

    def found() -> bool:
        nonlocal lines
        lines = run("--once", "--config", config).stdout.splitlines()
        return any(line.startswith(f"{address} lease=0i,arp=1i,mac=") for line in lines)

    lines: list[str] = []
    assert eventually(found), lines
    fields = {(name, field): value for ((name, _), field), value in fields_of(lines).items()}
    cpu = [fields["libvirt_cpu_limit", name] for name in ("cpu_shares", "vcpu_quota")]
    assert cpu == [200, 50_000]
    memory = [fields["libvirt_memory_limit", name] for name in ("hard_limit", "soft_limit")]
    assert memory == [65_536, 0]
