"""The options of an ``[[inputs.libvirt]]`` table, each with the function that checks its value, and
those of the tables of sources, ``[inputs.libvirt.NAME]``.

Invariant: an option that is not in :data:`OPTIONS` is an error, except the tables of sources. These
have ``interval`` and ``timeout``, and beside them only what their source declares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..domain.identity import DEVICE_TAGS, DOMAIN_TAGS
from ..domain.mistakes import similar
from ..domain.record import STATE_NAMES
from ..domain.selection import compile_globs
from ..groups import ADDITIONAL_STATISTICS, STATISTICS_GROUPS
from ..sources import SOURCES
from ..sources.source import Source, SourceTable
from ..uri import (
    PARAMETERS,
    SSH,
    aliases,
    has_scheme,
    parameters,
    transport,
    unknown_values,
)
from . import tags
from .intervals import group_intervals
from .values import (
    Getter,
    Problems,
    Unset,
    boolean,
    choice,
    choices,
    duration,
    format_duration,
    integer,
    string,
    string_table,
    strings,
)
from .words import explain_unknown, join, meant, show

DEFAULT_URI = "qemu:///system"

#: Tables of Telegraf's own configuration.
_TELEGRAF_TABLES = ("agent", "global_tags", "outputs", "processors", "aggregators")

#: libvirtd serves 5 requests of one client at the same time, and has 20 workers for all clients.
MOST_PARALLEL_CALLS = 5


def uri(value: object, path: str, problems: Problems) -> str:
    """Check a libvirt URI or the name of a libvirt URI alias; empty: the default."""
    text = string(value, path, problems)
    if not text.isprintable():
        problems.add(path, "expected a URI without control characters")
    elif text and not (has_scheme(text) or isinstance(text, Unset) or text in aliases()):
        what = (
            "driver[+transport]://[host]/path, such as qemu:///system, or an alias of libvirt.conf"
        )
        problems.add(path, f"expected {what}")
    for parameter, known in unknown_values(text):
        problems.add(path, f"expected {parameter} with {known}")
    given = parameters(text)
    for number, name in enumerate(given, 1):
        if name not in PARAMETERS:  # it may be a secret, so it is not shown
            meant = similar(name, PARAMETERS)
            hint = f"; did you mean {meant[0]}?" if meant else ""
            problems.warn(path, f"libvirt does not know parameter {number} of the URI{hint}")
    if "socket" in given and transport(text) in SSH and given.get("proxy") != "native":
        problems.warn(path, "with socket= the far host needs nc, or the program of netcat=")
    return text or DEFAULT_URI


def _globs(value: object, path: str, problems: Problems) -> tuple[str, ...]:
    """An array of globs. One that passes here compiles later."""
    texts = strings(value, path, problems)
    other = "domain_include" if path.endswith("exclude") else "domain_exclude"
    for index, text in enumerate(texts):
        if text.startswith("!"):
            meant = f"{other} = [{show(text[1:])}]"
            problems.warn(
                f"{path}[{index}]", f'"!" negates only within brackets; did you mean {meant}?'
            )
        try:
            compile_globs(() if isinstance(text, Unset) else (text,))
        except ValueError as error:
            problems.add(f"{path}[{index}]", f"{error}, got {show(text)}")
    return texts


def _names(value: object, path: str, problems: Problems) -> tuple[str, ...]:
    """An array of names of domains, which are no globs."""
    texts = strings(value, path, problems)
    for index, text in enumerate(texts):
        if ("*" in text or "?" in text) and not isinstance(text, Unset):
            meant = f"domain_include = [{show(text)}]"
            problems.warn(f"{path}[{index}]", f"is a name, not a glob; did you mean {meant}?")
    return texts


def _tags(value: object, path: str, problems: Problems) -> dict[str, str]:
    """The constant tags. A table of TOML takes all options that follow it."""
    if isinstance(value, dict):
        others = {name for name, item in value.items() if not isinstance(item, str)}
        for name in [name for name in value if name in others]:
            if name in OPTIONS:
                text = f"is no tag; the option {name} belongs above the table of tags"
                problems.add(join(path, name), text)
            elif name in SOURCES:
                text = f"is no tag; did you mean [inputs.libvirt.{name}]?"
                problems.add(join(path, name), text)
            else:
                others.discard(name)
        value = {name: item for name, item in value.items() if name not in others}
    return string_table(value, path, problems)


def _elsewhere(names: Iterable[str], option: str) -> dict[str, str]:
    """For each name the option in which it belongs."""
    return dict.fromkeys(names, option)


#: The function that checks and converts the value of each option.
OPTIONS: dict[str, Getter] = {
    "libvirt_uri": uri,
    "domains": _names,
    "statistics_groups": choices(
        STATISTICS_GROUPS, _elsewhere([*ADDITIONAL_STATISTICS, *SOURCES], "additional_statistics")
    ),
    "additional_statistics": choices(
        [*ADDITIONAL_STATISTICS, *SOURCES], _elsewhere(STATISTICS_GROUPS, "statistics_groups")
    ),
    "tags": _tags,
    "timeout": duration,
    "interval": duration,
    "influx_uint_support": boolean,
    "metric_set": choice("telegraf", "full"),
    "backing_chain": boolean,
    "bulk_statistics": boolean,
    "parallel_calls": integer(1, MOST_PARALLEL_CALLS),
    "domain_include": _globs,
    "domain_exclude": _globs,
    "domain_state_include": choices(STATE_NAMES),
    "additional_domain_tags": choices(
        DOMAIN_TAGS, _elsewhere(DEVICE_TAGS, "additional_device_tags")
    ),
    "additional_device_tags": choices(
        DEVICE_TAGS, _elsewhere(DOMAIN_TAGS, "additional_domain_tags")
    ),
    "metadata_tags": tags.metadata_tags,
    "group_intervals": group_intervals,
}

#: Names from an example in the README of the built-in plugin, which that plugin does not read.
OLD_NAMES = {"domain_names": "domains", "libvirt_metrics": "statistics_groups"}

#: The options of the table of each source.
_OF_SOURCES: dict[str, Getter] = {"interval": duration, "timeout": duration}

#: The getter of an option that only one source has, by the type of its default.
_BY_TYPE: dict[type, Getter] = {bool: boolean, tuple: strings}


def source_table(source: Source, value: object, path: str, problems: Problems) -> SourceTable:
    """The table of one source."""
    if not isinstance(value, dict):
        problems.expected(path, "a table", value)
        return SourceTable()
    own = {option.name: _BY_TYPE[type(option.default)] for option in source.options}
    getters = {**_OF_SOURCES, **own}
    values: dict[str, Any] = {}
    for name, raw in value.items():
        at = join(path, name)
        if name in getters:
            values[name] = getters[name](raw, at, problems)
        else:
            problems.add(at, explain_unknown(name, [*getters]))
    common = {name: values.pop(name) for name in _OF_SOURCES if name in values}
    return SourceTable(**common, options=values)


def place(name: str) -> str:
    """Where a table or an option belongs that is outside of the tables of hypervisors."""
    last = name.rpartition(".")[2]
    option = last if last in (*OPTIONS, *SOURCES) else ""
    if name == last and name not in _TELEGRAF_TABLES:
        option = option or meant(name, [*OPTIONS, *SOURCES, "inputs"])
    is_table = name != last and not option and meant(last, ["libvirt"])
    if is_table or option == "inputs" or last == "libvirt":
        return "; did you mean [[inputs.libvirt]]?"
    if option in SOURCES:
        return f"; did you mean [inputs.libvirt.{option}]?"
    return f"; did you mean {option} below [[inputs.libvirt]]?" if option else ""


def without_misplaced(name: str, raw: object, path: str, problems: Problems) -> object:
    """The value of the option ``name``. A table of TOML takes all options that follow it: those of
    the hypervisor are reported and left out."""
    if isinstance(raw, list):
        each = enumerate(raw)
        return [without_misplaced(name, item, f"{path}[{n}]", problems) for n, item in each]
    if not isinstance(raw, dict) or name == "tags":
        return raw
    own = _OF_SOURCES if name in SOURCES else {}
    misplaced = [option for option in raw if option in OPTIONS and option not in own]
    for option in misplaced:
        problems.add(join(path, option), f"the option {option} belongs above this table")
    return {option: value for option, value in raw.items() if option not in misplaced}


def check_together(values: Mapping[str, Any], path: str, problems: Problems) -> None:
    """Check the options of one hypervisor that depend on each other."""
    if values.get("domains") and values.get("domain_include"):
        problems.add(
            join(path, "domain_include"),
            "cannot be combined with domains; put the names from domains here, as globs",
        )
    tags.check(values, OPTIONS, path, problems)
    tables = values.get("source_tables", {})
    for name in values.get("additional_statistics", ()):
        least = SOURCES[name].least_timeout if name in SOURCES else 0
        given = tables[name].timeout if name in tables else None
        if least and (given or values.get("timeout") or least) < least:
            at = join(join(path, name) if given else path, "timeout")
            text = (
                f"too short for {name}: expected at least {format_duration(least)}, since libvirt"
            )
            problems.warn(at, f"{text} counts the seconds of an agent as whole ones")
    for name in tables:
        if name not in values.get("additional_statistics", ()):
            problems.warn(
                join(path, name), f'has no effect: "{name}" is not in additional_statistics'
            )
