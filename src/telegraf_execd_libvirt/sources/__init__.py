"""Registry of the sources. A new source is a file here, its group's file, and one line below.

Invariant: the order below is the order in the documentation.
"""

from __future__ import annotations

from . import block_job, job
from .source import Source

#: The sources by their names in ``additional_statistics``.
SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        job.SOURCE,
        block_job.SOURCE,
    )
}
