"""Registry of the sources. A new source is a file in this folder, and its name in the list below.

Invariant: the order below is the order in the documentation.
"""

from __future__ import annotations

from importlib import import_module

from .source import Source

#: The sources by their names in ``additional_statistics``, which are the names of their files.
SOURCES: dict[str, Source] = {
    name: import_module(f"{__name__}.{name}").SOURCE
    for name in (
        "job",
        "block_job",
        "storage_pool",
        "event",
        "disk_error",
        "snapshot",
        "network",
        "block_limit",
        "interface_limit",
        "cpu_limit",
        "memory_limit",
        "numa_cell",
        "interface_address",
        "message",
        "host_cpu",
        "guest_agent",
        "domain_config",
        "domain_info",
        "block_info",
        "interface_info",
        "hostdev_info",
    )
}
