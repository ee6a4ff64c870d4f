"""The summary of a hypervisor: its host, and sums over its domains. Its names are an API."""

from __future__ import annotations

import pytest

from support.translation import points
from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.groups import STATISTICS_GROUPS
from telegraf_execd_libvirt.groups.node import GROUP, Node

NODE_INFO = ["x86_64", 16_000, 8, 2_400, 1, 1, 4, 2]
MEMORY = {"total": 16_384_001, "free": 5_000, "buffers": 1, "cached": 2}
CPU = {"kernel": 1, "user": 2, "idle": 3, "iowait": 4}

EMPTY = {
    "node.domains_running": 0,
    "node.domains_paused": 0,
    "node.domains_shutoff": 0,
    "node.domains_crashed": 0,
    "node.domains_other": 0,
    "node.vcpus_defined": 0,
    "node.vcpus_running": 0,
    "node.memory_defined_kib": 0,
    "node.memory_running_kib": 0,
}


def test_every_field() -> None:
    """The line of a hypervisor has all fields, in the documented order, and its URI as a tag."""
    node = Node()
    for active, state, vcpus, memory in ((True, 1, 1, 10), (True, 3, 20, 200), (False, 5, 300, 3)):
        size = {"vcpu.current": vcpus, "balloon.maximum": memory, "balloon.current": 1}
        node.add(active, {"state.state": state, "vcpu.maximum": 999, **size})
    record = Domain("qemu:///system", True, node.keys(NODE_INFO, MEMORY, CPU))
    (point,) = points([GROUP], record)
    assert point.measurement == "libvirt_node"
    assert point.tags == (("libvirt_uri", "qemu:///system"),)
    assert point.fields == (
        ("cpus", 8),
        ("memory_kib", 16_384_001),
        ("memory_free_kib", 5_000),
        ("cpu_user", 2),
        ("cpu_system", 1),
        ("cpu_idle", 3),
        ("cpu_iowait", 4),
        ("domains_running", 1),
        ("domains_paused", 1),
        ("domains_shutoff", 1),
        ("domains_crashed", 0),
        ("domains_other", 0),
        ("vcpus_defined", 321),
        ("vcpus_running", 21),
        ("memory_defined_kib", 213),
        ("memory_running_kib", 210),
    )
    assert [name for name, _ in point.fields] == [field.name for field in GROUP.metrics[0].fields]


def test_hypervisor_without_domains() -> None:
    """Counts and sums are 0 then; what the driver does not report of its host is absent."""
    assert Node().keys((), {}, {}) == EMPTY
    assert Node().keys([], {}, {}) == EMPTY


def test_memory_of_the_host() -> None:
    """Without statistics of the memory, its size comes from the host's description, in MiB."""
    found = Node().keys(NODE_INFO, {}, {})
    assert found == {**EMPTY, "node.cpus": 8, "node.memory_kib": 16_384_000}


def test_what_is_no_number_is_absent() -> None:
    """A value of the host that is no number, or is negative, costs itself only."""
    found = Node().keys(["x", None, -1], {"free": 1, "total": "?"}, {"user": 2, "idle": -1})
    assert found == {**EMPTY, "node.memory_free_kib": 1, "node.cpu_user": 2}


@pytest.mark.parametrize("state", [*range(9), -1, "running", None])
def test_each_domain_counts_once(state: object) -> None:
    """Each state counts in one field; those without a field are the others."""
    node = Node()
    node.add(True, {} if state is None else {"state.state": state})  # type: ignore[dict-item]
    counted = {1: "running", 3: "paused", 5: "shutoff", 6: "crashed"}
    name = counted.get(state, "other") if isinstance(state, int) else "other"
    assert node.keys((), {}, {}) == {**EMPTY, f"node.domains_{name}": 1}


def test_domains_without_their_size() -> None:
    """A domain without the keys adds nothing; its state is counted."""
    node = Node()
    node.add(True, {"state.state": 1, "vcpu.current": "x", "balloon.maximum": 1.5})
    node.add(False, {})
    expected = {**EMPTY, "node.domains_running": 1, "node.domains_other": 1}
    assert node.keys((), {}, {}) == expected


def test_needed_groups_are_libvirts() -> None:
    """The groups whose keys are read are groups of the bulk statistics."""
    words = [word for name in GROUP.needs for word in STATISTICS_GROUPS[name].words]
    assert words == ["state", "balloon", "vcpu"]
