"""Tables whose series are identical."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.domain.record import Domain, Identity
from telegraf_execd_libvirt.program.twins import Twins


def found(*tables: Mapping[str, Any], names: str = "web db", **tags: str) -> list[str]:
    """What helps, if all tables read domains of these names and tags."""
    configs = [HypervisorConfig(**table) for table in tables]
    twins = Twins(configs)
    domains = [Domain(name, True, {}, Identity(tags)) for name in names.split()]
    texts = []
    for index in reversed(range(len(configs))):
        if shared := twins.shared(index):
            texts += twins.add(index, shared, domains)
            assert twins.add(index, shared, domains) == []
    for text, _ in texts:
        assert "write the same series" in text
        assert any(f'"{name}"' in text for name in ("web", "db", "qemu+unix:///system"))
    return [help for _, help in texts]


A, B = ({"libvirt_uri": f"qemu+tls://me@{host}/system"} for host in ("kvm1", "kvm2"))


def test_the_line_to_add() -> None:
    """It gives a table a tag that the other one does not have, once for each table."""
    assert found(A, B) == ['add to inputs.libvirt[1]: tags = { hypervisor = "kvm2" }']
    assert found(A, A) == ['add to inputs.libvirt[1]: tags = { hypervisor = "kvm1-1" }']
    assert sorted(found(A, B, A)) == [
        'add to inputs.libvirt[1]: tags = { hypervisor = "kvm2" }',
        'add to inputs.libvirt[2]: tags = { hypervisor = "kvm1-2" }',
    ]
    both = {"tags": {"hypervisor": "x"}}
    assert found({**A, **both}, {**B, **both}) == [
        'add to inputs.libvirt[1].tags: hypervisor_name = "kvm2"'
    ]


@pytest.mark.parametrize(
    "other",
    [
        {**B, "tags": {"rack": "r1"}},
        {**A, "statistics_groups": ("block",)},
        {**A, "statistics_groups": (), "additional_statistics": ("job",)},
        {**B, "statistics_groups": (), "additional_statistics": ("health", "job")},
    ],
)
def test_series_that_differ(other: Mapping[str, Any]) -> None:
    """Another tag, or other statistics, are no reason for a warning."""
    more = {"statistics_groups": ("state",), "additional_statistics": ("health",)}
    assert found({**A, **more}, other) == []


def test_tags_of_the_domains_count() -> None:
    """Domains of one name whose own tags differ have series of their own."""
    twins = Twins([HypervisorConfig(**A), HypervisorConfig(**B)])
    for index in (0, 1):
        domain = Domain("web", True, {}, Identity({"uuid": str(index)}))
        assert twins.add(index, twins.shared(index), [domain]) == []
    assert found(A, B, uuid="the same")


@pytest.mark.parametrize("name", ["health", "node", "numa_cell"])
def test_statistics_of_one_hypervisor(name: str) -> None:
    """Lines about the hypervisor itself have its URI as it is shown, without what is secret."""
    table = {"statistics_groups": (), "additional_statistics": (name,)}
    uris = [f"qemu+unix:///system?socket=/run/{number}" for number in range(2)]
    first, second = ({**table, "libvirt_uri": uri} for uri in uris)
    help = 'add to inputs.libvirt[1]: tags = { hypervisor = "qemu-1" }'
    assert found(first, second, names="") == [help]
    assert found(first, {**second, "tags": {"rack": "r1"}}, names="") == []
    assert found(first, {**table, **A}) == []
