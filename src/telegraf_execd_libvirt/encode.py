"""The lines of a hypervisor's domains: translation and line protocol under a configuration.

Rule guarded: the same domains and the same timestamp give the same bytes, by whichever way.
"""

from __future__ import annotations

from collections.abc import Iterable

from .config import HypervisorConfig
from .domain import Domain
from .groups import STATISTICS_GROUPS
from .lineprotocol import format_line
from .templates import STAMP, Template
from .translate import Translator


class Encoder:
    """Writes domains as lines, with the groups, tags and integers that are configured."""

    def __init__(self, config: HypervisorConfig) -> None:
        # In the full set nothing that came is left out, so all the declarations count.
        groups = (*STATISTICS_GROUPS.values(),) if config.full else config.groups
        self._translator = Translator((*groups, *config.additions), config.full)
        self._tags = config.tags
        self._uint_support = config.influx_uint_support
        self._templates: dict[str, Template] = {}

    def lines(self, domains: Iterable[Domain], timestamp: int) -> str:
        """All lines of the domains of a tick, each with its newline; ``timestamp`` in nanoseconds
        of Unix time. Templates are kept for the domains of the latest tick only."""
        templates: dict[str, Template] = {}
        parts = []
        stamp = str(timestamp)
        for domain in domains:
            template = self._templates.get(domain.name)
            text = None if template is None else template.fill(domain)
            if template is None or text is None:
                template = self._template(domain)
                text = template.fill(domain)
            templates[domain.name] = template
            if text is None:
                parts.append(self.slow_lines([domain], timestamp))
            else:
                parts.append(text.replace(STAMP, stamp))
        self._templates = templates
        return "".join(parts)

    def slow_lines(self, domains: Iterable[Domain], timestamp: int) -> str:
        """The same lines by the plain way, value by value."""
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

    def _template(self, domain: Domain) -> Template:
        keys = tuple(domain.stats)
        layout = self._translator.layout(keys, domain.active)
        return Template(domain, keys, layout, self._tags, self._uint_support)
