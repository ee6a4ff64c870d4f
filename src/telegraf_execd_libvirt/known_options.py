"""The options of an ``[[inputs.libvirt]]`` table, each with the function that checks its value.

Invariant: an option that is not in :data:`OPTIONS` is an error, except the tables of sources.
"""

from __future__ import annotations

from . import options, selection_options, tag_options
from .groups import ADDITIONAL_STATISTICS, STATISTICS_GROUPS
from .options import Problems
from .sources import SOURCES
from .uri import redact_uri, unknown_values

DEFAULT_URI = "qemu:///system"

#: libvirtd serves 5 requests of one client at the same time, and has 20 workers for all clients.
MOST_PARALLEL_CALLS = 5


def uri(value: object, path: str, problems: Problems) -> str:
    """Check a libvirt URI or the name of a libvirt URI alias; empty: the default."""
    text = options.string(value, path, problems)
    if not text.isprintable():
        problems.expected(path, "a URI without control characters", redact_uri(text))
    elif "/" in text and "://" not in text:
        problems.add(path, "expected driver[+transport]://[host]/path, such as qemu:///system")
    for parameter, known, unknown in unknown_values(text):
        problems.expected(path, f"{parameter} with {known}", unknown)
    return text or DEFAULT_URI


def _groups(value: object, path: str, problems: Problems) -> tuple[str, ...]:
    return options.choices(value, path, problems, list(STATISTICS_GROUPS))


def _additional(value: object, path: str, problems: Problems) -> tuple[str, ...]:
    return options.choices(value, path, problems, [*ADDITIONAL_STATISTICS, *SOURCES])


def _metric_set(value: object, path: str, problems: Problems) -> str:
    return options.choice(value, path, problems, ["telegraf", "full"])


def _parallel_calls(value: object, path: str, problems: Problems) -> int:
    return options.integer(value, path, problems, 1, MOST_PARALLEL_CALLS)


#: The function that checks and converts the value of each option.
OPTIONS: dict[str, options.Getter] = {
    "libvirt_uri": uri,
    "domains": options.strings,
    "statistics_groups": _groups,
    "additional_statistics": _additional,
    "tags": options.string_table,
    "timeout": options.duration,
    "interval": options.duration,
    "influx_uint_support": options.boolean,
    "metric_set": _metric_set,
    "backing_chain": options.boolean,
    "bulk_statistics": options.boolean,
    "parallel_calls": _parallel_calls,
    "domain_include": selection_options.globs,
    "domain_exclude": selection_options.globs,
    "domain_state_include": selection_options.states,
    "additional_domain_tags": tag_options.domain_tags,
    "additional_device_tags": tag_options.device_tags,
    "metadata_tags": tag_options.metadata_tags,
}

#: Names from an example in the README of the built-in plugin, which that plugin does not read.
OLD_NAMES = {"domain_names": "domains", "libvirt_metrics": "statistics_groups"}
