"""Registry of the sources. A new source is a file here, its group's file, and one line below.

Invariant: the order below is the order in the documentation.
"""

from __future__ import annotations

from . import (
    block_job,
    block_limit,
    disk_error,
    event,
    guest_agent,
    host_cpu,
    interface_limit,
    job,
    network,
    snapshot,
    storage_pool,
)
from .source import Source

#: The sources by their names in ``additional_statistics``.
SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        job.SOURCE,
        block_job.SOURCE,
        storage_pool.SOURCE,
        event.SOURCE,
        disk_error.SOURCE,
        snapshot.SOURCE,
        network.SOURCE,
        block_limit.SOURCE,
        interface_limit.SOURCE,
        host_cpu.SOURCE,
        guest_agent.SOURCE,
    )
}
