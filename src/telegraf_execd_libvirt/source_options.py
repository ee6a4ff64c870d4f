"""Getters for the tables of sources, ``[inputs.libvirt.NAME]``.

Invariant: each table has ``interval`` and ``timeout``, and beside them only what its source
declares.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import options
from .options import Getter, Problems
from .sources.source import Settings, Source, SourceTable

_COMMON: dict[str, Getter] = {"interval": options.duration, "timeout": options.duration}

#: The getter of an option that only one source has, by the type of its default.
_BY_TYPE: dict[type, Getter] = {bool: options.boolean, tuple: options.strings}


def table(source: Source, value: object, path: str, problems: Problems) -> SourceTable:
    """The table of one source."""
    if not isinstance(value, dict):
        problems.expected(path, "a table", value)
        return SourceTable()
    own = {name: _BY_TYPE[type(default)] for name, default in source.options.items()}
    getters = {**_COMMON, **own}
    values: dict[str, Any] = {}
    for name, raw in value.items():
        at = options.join(path, name)
        if name in getters:
            values[name] = getters[name](raw, at, problems)
        else:
            problems.add(at, options.explain_unknown(name, [*getters]))
    common = {name: values.pop(name) for name in _COMMON if name in values}
    return SourceTable(**common, options=values)


def check(values: Mapping[str, Any], path: str, problems: Problems) -> None:
    """Warn about tables of sources that are not in additional_statistics."""
    for name in values.get("source_tables", {}):
        if name not in values.get("additional_statistics", ()):
            problems.warn(
                options.join(path, name), f'has no effect: "{name}" is not in additional_statistics'
            )


def resolved(source: Source, given: SourceTable, timeout: int) -> Settings:
    """A table with defaults; ``timeout`` is that of the hypervisor."""
    return Settings(
        interval=source.interval if given.interval is None else given.interval,
        timeout=timeout if given.timeout is None else given.timeout,
        options={**source.options, **given.options},
    )
