"""The option that adds tags from metadata, and the check of the names of all tags.

Invariant: each tag of a line has one origin. A name that two options give, or that the plugin's own
metrics have, is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..domain.xml import PATH_FORMAT, MetadataTag, is_path
from ..groups import ADDITIONAL_STATISTICS, STATISTICS_GROUPS
from ..sources import SOURCES
from .values import Problems, Unset, explain_unknown, join, show, string

_METADATA_OPTIONS = ("namespace", "path", "tag")

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
