"""Source ``block_info``: bus, format, cache and source of each disk."""

from __future__ import annotations

from .info import info_source

SOURCE = info_source("block_info", "disks", "One disk of a domain")
