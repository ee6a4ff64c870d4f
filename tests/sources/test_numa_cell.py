"""The source numa_cell: memory and pages of the host's NUMA cells."""

from __future__ import annotations

from typing import Any

import pytest

from support.scope import FakeScope, read

#: Two cells, whose numbers have a gap; libvirt writes the topology like this.
CAPABILITIES = (
    "<capabilities><host><topology><cells num='2'>"
    "<cell id='0'><memory unit='KiB'>2097152</memory><pages unit='KiB' size='4'>393216</pages>"
    "<pages unit='KiB' size='2048'>256</pages></cell>"
    "<cell id='2'><memory unit='GiB'>1</memory><pages unit='KiB' size='4'>9</pages></cell>"
    "</cells></topology></host></capabilities>"
)


def test_numa_cell() -> None:
    """Each cell has its memory, and its pages of each size; free values only if libvirt reports
    them."""
    free = {0: {4: 260_000, 2048: 5}, 2: {4: 1}}
    host = {
        "getCapabilities": CAPABILITIES,
        "getCellsFreeMemory": [1 << 30, 0, 4096],
        "getFreePages": lambda sizes, cell, _: {cell: {size: free[cell][size] for size in sizes}},
    }
    assert read("numa_cell", FakeScope(host=host)) == [
        "libvirt_numa_cell,cell=0,libvirt_uri=qemu:///system memory=2097152i,memory_free=1048576i",
        "libvirt_numa_pages,cell=0,libvirt_uri=qemu:///system,page_size=4 "
        "total=393216i,free=260000i",
        "libvirt_numa_pages,cell=0,libvirt_uri=qemu:///system,page_size=2048 total=256i,free=5i",
        "libvirt_numa_cell,cell=2,libvirt_uri=qemu:///system memory=1048576i,memory_free=4i",
        "libvirt_numa_pages,cell=2,libvirt_uri=qemu:///system,page_size=4 total=9i,free=1i",
    ]
    del host["getCellsFreeMemory"], host["getFreePages"]
    lines = read("numa_cell", FakeScope(host=host))
    assert len(lines) == 5 and "free=" not in "".join(lines)


@pytest.mark.parametrize("capabilities", [None, "", "<capabilities/>", "<cell", "<cell id='x'/>"])
def test_a_host_without_a_topology(capabilities: Any) -> None:
    """A driver that reports no cells has no lines."""
    if capabilities == "<cell id='x'/>":
        capabilities = CAPABILITIES.replace("<cell id='2'>", "<cell id='x'>")
    assert read("numa_cell", FakeScope(host={"getCapabilities": capabilities})) == []
