"""Additional statistics ``domain``: one line per domain with what most dashboards need.

The keys below are computed from those of the bulk statistics and from the domain's XML, in a
namespace that libvirt does not use. The names are an API: add fields, never rename them.

Invariant: a value that cannot be known is absent, never 0. Counters stay counters: there are no
rates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Optional

from ..domain.record import STATE_NAMES, Stats, Value
from .schema import Group, Metric, Type, counter, gauge, text
from .state import STATE_FIELDS, reason_name
from .sums import SUMMED, number_of, sums_of

#: Oldest report of a guest about its memory that is used, in seconds.
_OLDEST_REPORT = 300

_RUNNING, _SHUT_OFF = STATE_NAMES.index("running"), STATE_NAMES.index("shutoff")

#: Fields that are copied, by the key of the bulk statistics: the size of the domain, and the memory
#: that it takes on the host.
_SIZES = {
    "vcpu.current": gauge("vcpus", "", "number of online vCPUs", Type.UINT),
    "balloon.current": gauge("memory_kib", "KiB", "current memory of the domain"),
    "balloon.maximum": gauge("memory_max_kib", "KiB", "maximum memory of the domain"),
}
_RESIDENT = {
    "balloon.rss": gauge("rss_kib", "KiB", "host memory of the domain's process (resident set)")
}

#: Numbers that are copied from an identity.
_NUMBERS = (
    gauge(
        "started_at",
        "s",
        "Unix time at which the domain started or arrived here: that of its file NAME.pid if the "
        "daemon is on this host, else of the event; absent if that is not known",
        Type.LLONG,
    ),
    gauge(
        "agent_connected",
        "",
        "1 if the QEMU guest agent of the running domain is connected, else 0; absent without a "
        "channel for it",
        Type.INT,
    ),
    gauge(
        "balloon_period",
        "s",
        "interval of the guest's reports about its memory; 0: none; absent without a balloon",
        Type.UINT,
    ),
)

#: Texts that are copied from an identity.
_TEXTS = (
    text("uuid", "UUID of the domain"),
    text("title", "title in the domain's XML"),
    text("os_type", "type of the guest, such as hvm"),
    text("machine", "machine type, such as pc-q35-7.2"),
)

_DOMAIN = Metric(
    prefix="domain",
    help="One line per domain with the values that most dashboards need",
    fields=(
        *STATE_FIELDS,
        gauge("state_name", "", "name of the state, as in domain_state_include", Type.STRING),
        gauge(
            "reason_name",
            "",
            "name of the reason, as in the table of docs/recipes.md; absent for an unknown number",
            Type.STRING,
        ),
        gauge("running", "", "1 if the state is running, else 0", Type.INT),
        *_SIZES.values(),
        gauge(
            "memory_used_kib",
            "KiB",
            "memory that the guest uses: available without usable, else without unused; "
            "absent without the guest's report, or if it is older than 5 minutes",
        ),
        gauge(
            "memory_used_percent", "%", "the same, of the memory that the guest sees", Type.DOUBLE
        ),
        gauge("balloon_age_s", "s", "age of the guest's last report about its memory", Type.LLONG),
        *_RESIDENT.values(),
        counter(
            "cpu_time",
            "ns",
            "CPU time of the domain, in guest and hypervisor code",
            active_only=True,
        ),
        *SUMMED.values(),
        *_NUMBERS,
        *_TEXTS,
    ),
)

GROUP = Group(
    name="domain",
    needs=("state", "cpu_total", "balloon", "vcpu", "interface", "block"),
    metrics=(_DOMAIN,),
)

#: The keys of what is copied from an identity, by the names there.
_OF_XML = tuple((field.key, f"domain.{field.key}") for field in (*_NUMBERS, *_TEXTS))

_COPIED = {key: f"domain.{field.name}" for key, field in {**_SIZES, **_RESIDENT}.items()}

_COMPUTED = {
    "state": ("state", "reason", "state_name", "reason_name", "running"),
    "balloon": ("memory_used_kib", "memory_used_percent", "balloon_age_s"),
    "cpu_total": ("cpu_time",),
}

#: The statistics groups from which the keys are computed; texts come from the XML.
GROUP_OF = {
    **{f"domain.{name}": group for group, names in _COMPUTED.items() for name in names},
    **{copy: key.partition(".")[0] for key, copy in _COPIED.items()},
    **{
        f"domain.{field.name}": "interface" if word == "net" else word
        for (word, _), field in SUMMED.items()
    },
}


def summarize(stats: Stats, info: Mapping[str, Value], now: float) -> Stats:
    """The keys of the summary.

    ``info`` is from the domain's XML, as in an identity; ``now`` is the Unix time in
    seconds. Keys without a value are absent.
    """
    return {key: value for key, value in _items(stats, info, now) if value is not None}


def _items(
    stats: Stats, info: Mapping[str, Value], now: float
) -> Iterator[tuple[str, Optional[Value]]]:
    state = number_of(stats, "state.state")
    if state is not None:
        yield "domain.state", state
        reason = number_of(stats, "state.reason")
        yield "domain.reason", reason
        if 0 <= state < len(STATE_NAMES):
            yield "domain.state_name", STATE_NAMES[state]
        if reason is not None:
            yield "domain.reason_name", reason_name(state, reason)
        yield "domain.running", int(state == _RUNNING)
    for key, copy in _COPIED.items():
        yield copy, number_of(stats, key)
    yield from _memory(stats, now)
    if state != _SHUT_OFF:
        yield "domain.cpu_time", number_of(stats, "cpu.time")
    yield from sums_of(stats).items()
    for name, key in _OF_XML:
        value = info.get(name)
        yield key, None if value == "" else value


def _memory(stats: Stats, now: float) -> Iterator[tuple[str, Value]]:
    """The memory that the guest uses; unknown without a balloon driver in the guest."""
    updated = number_of(stats, "balloon.last-update")
    if updated:
        yield "domain.balloon_age_s", max(0, int(now - updated))
    if updated is not None and now - updated > _OLDEST_REPORT:  # also 0: never
        return
    available = number_of(stats, "balloon.available")
    free = number_of(stats, "balloon.usable")
    if free is None:
        free = number_of(stats, "balloon.unused")
    if available and free is not None and 0 <= free <= available:
        yield "domain.memory_used_kib", available - free
        yield "domain.memory_used_percent", 100.0 * (available - free) / available
