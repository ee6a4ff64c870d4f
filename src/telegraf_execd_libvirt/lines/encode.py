"""The lines of a hypervisor's domains: translation and line protocol under a configuration.

Invariant: the same domains and the same timestamp give the same bytes, by the fast way and by the
plain one. A line has no field with the name of one of its tags. A source never writes two lines of
one series at a time. One thread uses an encoder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from typing import Callable, Optional

from ..config.config import HypervisorConfig
from ..domain.record import Domain
from ..groups import STATISTICS_GROUPS
from ..groups.schema import Group
from .protocol import FieldValue, format_line, format_tags
from .templates import TIMESTAMP_MARK, LineLayout, Template
from .translate import FieldMap, LaidOutLine, field_values, has_device_tags, lay_out, line_tags

#: There are few sets of keys; the bound limits memory if new ones come all the time.
_REMEMBERED_LAYOUTS = 1_024

#: Measurement, tags and fields of a line.
_Point = tuple[str, dict[str, str], Iterable[tuple[str, FieldValue]]]


def _raise(error: Exception) -> None:
    raise error


class Encoder:
    """Writes domains as lines, with the groups, tags and integers that are configured; or with a
    ``source`` every key of that group, declared or not. A domain that cannot be written is left
    out, and ``failed`` gets the error."""

    def __init__(
        self,
        config: HypervisorConfig,
        source: Optional[Group] = None,
        failed: Callable[[Exception], None] = _raise,
    ) -> None:
        self._failed = failed
        # The full set leaves no key out, so it needs all declarations.
        groups = (*STATISTICS_GROUPS.values(),) if config.full else config.groups
        if source is None:
            self._field_map = FieldMap((*groups, *config.additions), config.full)
        else:
            self._field_map = FieldMap((source,), full=True)
        self._tags = config.tags
        metadata = (item.tag for item in config.metadata_tags)
        self._tag_names = {*config.tags, *config.additional_domain_tags, *metadata}
        self._device_tag_names = {*config.additional_device_tags}
        self._uint_support = config.influx_uint_support
        #: What is known of a set of keys; made once for all domains that have them.
        self._layout = lru_cache(_REMEMBERED_LAYOUTS)(self._lay_out)
        #: The templates of domains, by the groups that were asked: they have different keys.
        self._templates: dict[Optional[frozenset[str]], dict[str, Template]] = {None: {}}
        self._seen: set[str] = set()

    def encode(self, domains: list[Domain], timestamp: int) -> bytes:
        """All lines of these domains in UTF-8, each with its newline; ``timestamp`` in
        nanoseconds of Unix time.

        The list is emptied: a domain is freed while the processor's cache still holds it, which
        saves 5 % of a tick (make bench, 1000 guests).
        """
        stamp = str(timestamp)
        texts = []
        groups: Optional[frozenset[str]] = None
        templates = self._templates[None]
        for domain in pop_each(domains):
            self._seen.add(domain.name)
            if domain.groups is not groups:
                groups = domain.groups
                templates = self._templates.setdefault(groups, {})
            try:
                template = templates.get(domain.name)
                text = template.fill(domain) if template and template.settled else None
                if template is None or text is None:
                    layout = self._layout(tuple(domain.stats), domain.active)
                    template = Template(layout, domain, self._tags, template)
                    templates[domain.name] = template
                    text = template.fill(domain)
                if text is None:
                    texts.append(self._plain(domain, timestamp))
                else:
                    texts.append(text.replace(TIMESTAMP_MARK, stamp))
            except Exception as defect:  # the edge of a domain
                templates.pop(domain.name, None)
                self._failed(defect)
        return _utf8("".join(texts))

    def encode_plain(self, domains: Iterable[Domain], timestamp: int) -> bytes:
        """The same lines by the plain way, value by value."""
        texts = []
        for domain in domains:
            try:
                texts.append(self._plain(domain, timestamp))
            except Exception as defect:  # the edge of a domain
                self._failed(defect)
        return _utf8("".join(texts))

    def encode_once(self, domains: Iterable[Domain], timestamp: int) -> bytes:
        """The same without further lines of a series: a database keeps any one of them. Guests
        name file systems and interfaces."""
        lines: dict[tuple[str, str], str] = {}
        for domain in domains:
            try:
                for measurement, tags, fields in self._points(domain):
                    line = format_line(measurement, tags, fields, timestamp, self._uint_support)
                    if line:
                        lines.setdefault((measurement, format_tags(tags)), line)
            except Exception as defect:  # the edge of a record
                self._failed(defect)
        return _utf8("".join(lines.values()))

    def forget_others(self, resting: Collection[str] = ()) -> None:
        """Drops the templates of domains that were not encoded since the last call, and do not
        rest."""
        kept = self._seen.union(resting) if resting else self._seen
        for groups, templates in self._templates.items():
            if not kept.issuperset(templates):
                found = {name: each for name, each in templates.items() if name in kept}
                self._templates[groups] = found
        self._seen.clear()

    def _plain(self, domain: Domain, timestamp: int) -> str:
        return "".join(
            format_line(*point, timestamp, self._uint_support) for point in self._points(domain)
        )

    def _points(self, domain: Domain) -> Iterator[_Point]:
        for line in self._layout(tuple(domain.stats), domain.active).lines:
            tags = {**self._tags, **line_tags(line, domain)}
            yield line.measurement, tags, field_values(line, domain)

    def _lay_out(self, keys: tuple[str, ...], active: bool) -> LineLayout:
        lines = map(self._without_tags, lay_out(self._field_map, keys, active))
        return LineLayout(keys, lines, self._uint_support)

    def _without_tags(self, line: LaidOutLine) -> LaidOutLine:
        """The line without fields that have the name of one of its tags, as no database can tell
        them apart."""
        names = {line.subject, *dict(line.tags), *self._tag_names}
        if has_device_tags(line):
            names |= self._device_tag_names
        return line._replace(fields=tuple(f for f in line.fields if f.name not in names))


def pop_each(domains: list[Domain]) -> Iterator[Domain]:
    """Yields each domain and drops it from the list."""
    domains.reverse()
    while domains:
        yield domains.pop()


def _utf8(text: str) -> bytes:
    """Encode as UTF-8; replace unencodable characters, which only a configuration has, by ``?``."""
    return text.encode("utf-8", "replace")
