"""Source ``numa_cell``: free memory and free pages of each NUMA cell of the host.

Invariant: a host without NUMA is one cell, as libvirt reports it. The numbers of cells may have
gaps, so each cell is asked for its pages.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Optional

from ..domain.record import Domain, record
from ..domain.xml import parse_xml
from ..groups.schema import Metric, gauge
from .source import MINUTE, Scope, Source

#: libvirt's factors of the units that it writes into capabilities.
_KIB = {"KiB": 1, "MiB": 1024, "GiB": 1024 * 1024}

#: libvirt-python takes no larger number of cells.
_MOST_CELLS = 10_000


def _fetch(scope: Scope) -> Iterator[Domain]:
    cells = _cells(scope.host("getCapabilities"))
    count = max(cells, default=-1) + 1
    free = scope.host("getCellsFreeMemory", 0, count) or () if cells else ()
    for number, cell in cells.items():
        tags = {"cell": str(number)}
        keys = {
            "memory": _kib(cell.find("memory")),
            "memory_free": free[number] // 1024 if number < len(free) else None,
        }
        yield record(scope.uri, "numa_cell", keys, tags)
        totals = _pages(cell)
        found = scope.host("getFreePages", [*totals], number, 1) if totals else None
        of_cell = (found or {}).get(number, {})
        for size, total in totals.items():
            pages = {"total": total, "free": of_cell.get(size)}
            yield record(scope.uri, "numa_pages", pages, {**tags, "page_size": str(size)})


def _cells(capabilities: Optional[str]) -> dict[int, ET.Element]:
    """The cells of the host by their numbers."""
    if not capabilities:
        return {}
    try:
        found = parse_xml(capabilities).iterfind("host/topology/cells/cell")
        cells = {int(cell.get("id", "")): cell for cell in found}
    except ValueError:
        return {}
    return {number: cell for number, cell in cells.items() if 0 <= number < _MOST_CELLS}


def _pages(cell: ET.Element) -> dict[int, int]:
    """The number of all pages of a cell, by their size in KiB."""
    found = {}
    for pages in cell.iterfind("pages"):
        factor, size = _KIB.get(pages.get("unit", "")), pages.get("size", "")
        if factor and size.isdigit() and (pages.text or "").isdigit():
            found[int(size) * factor] = int(pages.text or "")
    return found


def _kib(memory: Optional[ET.Element]) -> Optional[int]:
    factor = _KIB.get(memory.get("unit", "")) if memory is not None else None
    text = (memory.text or "") if memory is not None else ""
    return int(text) * factor if factor and text.isdigit() else None


SOURCE = Source(
    name="numa_cell",
    summary="free memory and free pages of each NUMA cell of the host",
    reads="free and total memory of each NUMA cell of the host, and its pages of each size, with "
    "huge pages",
    calls="`virConnectGetCapabilities` and `virNodeGetCellsFreeMemory`, and "
    "`virNodeGetFreePages` for each cell",
    empty="the hypervisor reports no NUMA cells",
    new=lambda: _fetch,
    interval=MINUTE,
    metrics=(
        Metric(
            prefix="numa_cell",
            subject="libvirt_uri",
            extra_tags=("cell",),
            help="One NUMA cell of the host; a host without NUMA is one cell",
            fields=(
                gauge("memory", "KiB", "memory, with that of huge pages"),
                gauge("memory_free", "KiB", "free memory, without the page cache"),
            ),
        ),
        Metric(
            prefix="numa_pages",
            subject="libvirt_uri",
            extra_tags=("cell", "page_size"),
            help="The pages of one size of a NUMA cell; page_size is in KiB",
            fields=(
                gauge("total", "pages", "number of pages, without those of other sizes"),
                gauge("free", "pages", "of these, free ones"),
            ),
        ),
    ),
)
