"""Source ``hostdev_info``: address and type of each device that is passed through to a domain."""

from __future__ import annotations

from .info import info_source

SOURCE = info_source(
    "hostdev_info",
    "passed-through devices",
    "One device of the host that is passed through to a domain",
)
