"""Source ``domain_info``: UUID, title, machine, firmware and CPU of each domain."""

from __future__ import annotations

from .info import info_source

SOURCE = info_source("domain_info", "domains", "One domain")
