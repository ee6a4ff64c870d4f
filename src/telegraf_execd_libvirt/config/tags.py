"""The option that adds tags from metadata, and the check of the names of all tags.

Invariant: each tag of a line has one origin, and no field of the line has its name. A name that two
options give, that the plugin's own metrics have, or that databases reserve, is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..domain.xml import PATH_FORMAT, MetadataTag, is_path
from ..groups import ADDITIONAL_STATISTICS, STATISTICS_GROUPS
from ..groups.schema import Group
from ..sources import SOURCES
from .values import Problems, Unset, string
from .words import explain_unknown, join, show

_METADATA_OPTIONS = ("namespace", "path", "tag")

#: InfluxDB discards points with such a tag; Prometheus keeps the metric's name there.
_RESERVED = ("time", "_field", "_measurement", "__name__")

_GROUPS = (*STATISTICS_GROUPS.values(), *ADDITIONAL_STATISTICS.values())


def metadata_tags(value: object, path: str, problems: Problems) -> tuple[MetadataTag, ...]:
    """An array of tables, each with a namespace, a path and the name of a tag."""
    if not isinstance(value, list):
        problems.expected(path, "[[inputs.libvirt.metadata_tags]] tables", value)
        return ()
    return tuple(
        _metadata_tag(table, f"{path}[{index}]", problems) for index, table in enumerate(value)
    )


def _metadata_tag(table: object, path: str, problems: Problems) -> MetadataTag:
    if not isinstance(table, dict):
        problems.expected(path, "a table", table)
        return MetadataTag("", "", "")
    for name in table:
        if name not in _METADATA_OPTIONS:
            text = explain_unknown(name, list(_METADATA_OPTIONS))
            problems.add(join(path, name), text)
    values = {name: _required(table, name, path, problems) for name in _METADATA_OPTIONS}
    location = values["path"]
    if location and not isinstance(location, Unset) and not is_path(location):
        problems.expected(join(path, "path"), PATH_FORMAT, location)
    return MetadataTag(**values)


def _required(table: Mapping[str, object], name: str, path: str, problems: Problems) -> str:
    """A non-empty string of a table, which must have it; "" after an error."""
    at = join(path, name)
    if name not in table:
        problems.add(at, "is missing")
        return ""
    text = string(table[name], at, problems)
    if table[name] == "":
        problems.expected(at, "a non-empty string", "")
    return text


def check(values: Mapping[str, Any], options: Iterable[str], path: str, problems: Problems) -> None:
    """Check the names of all tags of one hypervisor; ``options`` are those of its table."""
    origins = {
        name: option
        for option in ("additional_domain_tags", "additional_device_tags")
        for name in values.get(option, ())
    }
    # The tags of sources are ordinary words, so only those of the configured sources count.
    sources = [SOURCES[name] for name in values.get("additional_statistics", ()) if name in SOURCES]
    groups = (*_GROUPS, *(source.group for source in sources))
    reserved = {tag for group in groups for metric in group.metrics for tag in metric.all_tags}

    def claim(name: str, origin: str, at: str) -> None:
        """Note where a tag comes from; report a name that is already in use."""
        if name in reserved:
            problems.add(at, "is a tag of the plugin's own metrics")
        elif name in _RESERVED:
            problems.add(at, "is reserved by databases; the tag needs another name")
        elif name.endswith("\\") or not name.isprintable():
            problems.add(at, "expected a name without control characters or a backslash at its end")
        elif name in origins:
            problems.add(at, f"the tag {show(name)} comes from {origins[name]} already")
        else:
            origins[name] = origin

    for name in values.get("tags", {}):
        at = join(join(path, "tags"), name)
        if name in options:
            problems.warn(
                at, f"is read as a tag; the option {name} belongs above the table of tags"
            )
        claim(name, "tags", at)
    for index, item in enumerate(values.get("metadata_tags", ())):
        if item.tag and not isinstance(item.tag, Unset):
            origin = f"metadata_tags[{index}]"
            claim(item.tag, origin, f"{path}.{origin}.tag")


def check_fields(
    values: Mapping[str, Any], groups: Iterable[Group], full: bool, path: str, problems: Problems
) -> None:
    """Check that no tag has the name of a field of these groups."""
    fields: dict[str, str] = {}
    for metric in (metric for group in groups for metric in group.metrics):
        for field in metric.fields:
            if (full or not field.full) and field.name not in _RESERVED:
                fields.setdefault(field.name, metric.measurement)
    given = {name: join(join(path, "tags"), name) for name in values.get("tags", {})}
    for index, item in enumerate(values.get("metadata_tags", ())):
        given.setdefault(item.tag, f"{path}.metadata_tags[{index}].tag")
    for name in (name for name in given if name in fields):
        problems.add(given[name], f"is a field of {fields[name]}; the tag needs another name")
    for name in values.get("additional_domain_tags", ()):
        if name in fields:
            text = f"the tag {name} takes the place of the field {name} of {fields[name]}"
            problems.warn(join(path, "additional_domain_tags"), text)
