"""The lines of a hypervisor's domains: translation and line protocol under a configuration.

Rule guarded: the same domains and the same timestamp give the same bytes, by whichever way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Optional

from .config import HypervisorConfig
from .domain import Domain
from .groups import STATISTICS_GROUPS
from .lineprotocol import format_line
from .templates import STAMP, Form, Template
from .translate import Translator

#: Sets of keys are few; the bound is for guests that come and go with ever new ones.
_REMEMBERED_FORMS = 1_024

#: In bytes a single character is replaced in half of the time.
_STAMP = STAMP.encode()

#: So many domains' lines make a text of their own: large ones take fresh memory at each step.
_AT_A_TIME = 32


class Encoder:
    """Writes domains as lines, with the groups, tags and integers that are configured."""

    def __init__(self, config: HypervisorConfig) -> None:
        # In the full set nothing that came is left out, so all the declarations count.
        groups = (*STATISTICS_GROUPS.values(),) if config.full else config.groups
        self._translator = Translator((*groups, *config.additions), config.full)
        self._tags = config.tags
        self._uint_support = config.influx_uint_support
        self._forms: dict[tuple[tuple[str, ...], bool], Form] = {}
        self._templates: dict[str, Template] = {}
        self._before: dict[str, Template] = {}
        self._timestamp: Optional[int] = None

    def lines(self, domains: Iterable[Domain], timestamp: int) -> Iterator[bytes]:
        """All lines of these domains, those of some domains at a time, in UTF-8, each with its
        newline; ``timestamp`` in nanoseconds of Unix time. All the domains of a tick have the
        same one: templates are kept for those of the latest two.

        Nothing is kept of a domain whose lines are written: where nobody else has it either, it
        is taken apart while the processor's cache still holds it."""
        if timestamp != self._timestamp:
            self._timestamp, self._before, self._templates = timestamp, self._templates, {}
        templates = self._templates
        stamp = str(timestamp).encode()
        parts: list[str] = []
        for domain in domains:
            template = self._before.pop(domain.name, None) or templates.get(domain.name)
            text = template.fill(domain) if template and template.settled else None
            if template is None or text is None:
                template = Template(self._form(domain), domain, template)
                text = template.fill(domain)
            templates[domain.name] = template
            if text is not None:
                parts.append(text)
                if len(parts) < _AT_A_TIME:
                    continue
            yield _encoded(parts).replace(_STAMP, stamp)
            parts.clear()
            if text is None:
                yield self.slow_lines([domain], timestamp)
        yield _encoded(parts).replace(_STAMP, stamp)

    def slow_lines(self, domains: Iterable[Domain], timestamp: int) -> bytes:
        """The same lines by the plain way, value by value."""
        return _encoded(
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

    def _form(self, domain: Domain) -> Form:
        """The form for the domain's keys; made once for all domains that have them."""
        keys = tuple(domain.stats)
        form = self._forms.get((keys, domain.active))
        if form is None:
            if len(self._forms) >= _REMEMBERED_FORMS:
                self._forms.clear()
            lines = self._translator.layout(keys, domain.active)
            form = Form(keys, lines, self._tags, self._uint_support)
            self._forms[keys, domain.active] = form
        return form


def _encoded(texts: Iterable[str]) -> bytes:
    """In UTF-8; what that does not have, which only a configuration can bring, as ``?``."""
    return "".join(texts).encode("utf-8", "replace")
