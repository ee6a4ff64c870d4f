"""The lines of a hypervisor's domains: translation and line protocol under a configuration.

Rule guarded: the same domains and the same timestamp give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

from .config import HypervisorConfig
from .domain import Domain
from .groups import STATISTICS_GROUPS
from .lineprotocol import format_line
from .translate import Translator


class Encoder:
    """Writes domains as lines, with the groups, tags and integers that are configured."""

    def __init__(self, config: HypervisorConfig) -> None:
        # In the full set nothing that came is left out, so all the declarations count.
        groups = (*STATISTICS_GROUPS.values(),) if config.full else config.groups
        self._translator = Translator((*groups, *config.additions), config.full)
        self._tags = config.tags
        self._uint_support = config.influx_uint_support

    def lines(self, domains: Iterable[Domain], timestamp: int) -> str:
        """All lines, each with its newline; ``timestamp`` in nanoseconds of Unix time."""
        return "".join(
            format_line(
                point.measurement,
                {**self._tags, **dict(point.tags)},
                point.fields,
                timestamp,
                self._uint_support,
            )
            for domain in domains
            for point in self._translator.points(domain)
        )
