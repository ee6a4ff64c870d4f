"""Source ``interface_info``: MAC address, model and network of each interface."""

from __future__ import annotations

from .info import info_source

SOURCE = info_source("interface_info", "interfaces", "One network interface of a domain")
