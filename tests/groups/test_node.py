"""The summary of a hypervisor: its host, and sums over its domains. Its names are an API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from support.translation import points
from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.groups import STATISTICS_GROUPS
from telegraf_execd_libvirt.groups.node import GROUP, Node

NODE_INFO = ["x86_64", 16_000, 8, 2_400, 1, 1, 4, 2]
MEMORY = {"total": 16_384_001, "free": 5_000, "buffers": 1, "cached": 2, "available": 3}
CPU = {"kernel": 1, "user": 2, "idle": 3, "iowait": 4}

#: The sums of a hypervisor without domains.
EMPTY: dict[str, Any] = {
    **{f"domains_{name}": 0 for name in ("running", "paused", "shutoff", "crashed", "other")},
    **{"vcpus_defined": 0, "vcpus_running": 0, "memory_defined_kib": 0, "memory_running_kib": 0},
}


def keys(node: Node, *host: Any) -> dict[str, Any]:
    """The keys of a summary without their prefix."""
    return {key[len("node.") :]: value for key, value in node.keys(*(host or ((), {}, {}))).items()}


def test_every_field() -> None:
    """The line of a hypervisor has all fields, in the documented order, and its URI as a tag."""
    node = Node()
    for active, state, vcpus, memory in ((True, 1, 1, 10), (True, 3, 20, 200), (False, 5, 300, 3)):
        size = {"vcpu.current": vcpus, "balloon.maximum": memory, "balloon.current": 1}
        node.add(active, {"state.state": state, "vcpu.maximum": 999, **size})
    record = Domain("qemu:///system", True, node.keys(NODE_INFO, MEMORY, CPU, 7_002_001))
    (point,) = points([GROUP], record)
    assert point.measurement == "libvirt_node"
    assert point.tags == (("libvirt_uri", "qemu:///system"),)
    expected = {
        **{"cpus": 8, "memory_kib": 16_384_001, "memory_free_kib": 5_000},
        **{"memory_available_kib": 3, "memory_buffers_kib": 1, "memory_cached_kib": 2},
        **{"cpu_user": 2, "cpu_system": 1, "cpu_idle": 3, "cpu_iowait": 4},
        **{"domains_running": 1, "domains_paused": 1, "domains_shutoff": 1, "domains_crashed": 0},
        **{"domains_other": 0, "vcpus_defined": 321, "vcpus_running": 21},
        **{"memory_defined_kib": 213, "memory_running_kib": 210},
        **{"hypervisor_version": "7.2.1", "hypervisor_version_number": 7_002_001},
    }
    assert point.fields == tuple(expected.items())
    assert [*expected] == [field.name for field in GROUP.metrics[0].fields]


@pytest.mark.parametrize(
    ("info", "memory", "cpu", "expected"),
    [
        ((), {}, {}, {}),  # what the driver does not report is absent
        ([], {}, {}, {}),
        # Without statistics of the memory, its size is that of the description, in MiB.
        (NODE_INFO, {}, {}, {"cpus": 8, "memory_kib": 16_384_000}),
        # What is no number, or is negative, costs itself only.
        (
            *(["x", None, -1], {"free": 1, "total": "?"}, {"user": 2, "idle": -1}),
            {"memory_free_kib": 1, "cpu_user": 2},
        ),
    ],
)
def test_the_host(info: Sequence[Any], memory: Any, cpu: Any, expected: dict[str, int]) -> None:
    """Counts and sums of a hypervisor without domains are 0."""
    assert keys(Node(), info, memory, cpu) == {**EMPTY, **expected}


@pytest.mark.parametrize("state", [*range(9), -1, "running", None])
def test_each_domain_counts_once(state: Any) -> None:
    """Each state counts in one field; those without a field are the others."""
    node = Node()
    node.add(True, {} if state is None else {"state.state": state})
    name = {1: "running", 3: "paused", 5: "shutoff", 6: "crashed"}.get(state, "other")
    assert keys(node) == {**EMPTY, f"domains_{name}": 1}


def test_domains_without_their_size() -> None:
    """A domain without the keys adds nothing; its state is counted."""
    node = Node()
    node.add(True, {"state.state": 1, "vcpu.current": "x", "balloon.maximum": 1.5})
    node.add(False, {})
    assert keys(node) == {**EMPTY, "domains_running": 1, "domains_other": 1}


def test_needed_groups_are_libvirts() -> None:
    """The groups whose keys are read are groups of the bulk statistics."""
    words = [word for name in GROUP.needs for word in STATISTICS_GROUPS[name].words]
    assert words == ["state", "balloon", "vcpu"]
