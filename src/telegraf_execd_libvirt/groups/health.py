"""Additional statistics ``health``: how the collection itself fares, also when it fails.

The names below are an API: fields are added, never renamed.
"""

from __future__ import annotations

from ..schema import Field, Group, Kind, Metric, Type


def _gauge(key: str, help: str, unit: str = "") -> Field:
    return Field(key, Type.INT, Kind.GAUGE, unit, help)


def _counter(key: str, help: str) -> Field:
    return Field(key, Type.INT, Kind.COUNTER, "", help)


GROUP = Group(
    name="health",
    bit=0,
    needs_monitor=False,
    metrics=(
        Metric(
            measurement="libvirt_health",
            prefix="health",
            subject="libvirt_uri",
            help="One hypervisor's collection; written at each tick, also when it cannot be read",
            fields=(
                _gauge("up", "1 if the hypervisor was read in this tick, else 0"),
                _gauge("domains", "domains that were read in this tick"),
                _gauge(
                    "domains_incomplete",
                    "of those, the ones that came without the keys that need their monitor",
                ),
                _gauge("collect_time_ns", "how long the tick took until its lines were made", "ns"),
                _gauge("calls_hanging", "calls into libvirt that have not come back in time"),
                _counter("reconnects", "how often the connection was made again"),
                _counter("errors", "ticks in which the hypervisor could not be read"),
                Field(
                    "daemon_version",
                    Type.STRING,
                    Kind.INFO,
                    "",
                    "version of the libvirt that serves the hypervisor, once it was reached",
                ),
                Field(
                    "libvirt_version",
                    Type.STRING,
                    Kind.INFO,
                    "",
                    "version of the libvirt library in this process",
                ),
            ),
        ),
        Metric(
            measurement="libvirt_domain_health",
            prefix="domain_health",
            help="A domain that is not wholly read; only while that is so",
            fields=(_gauge("complete", "0: the keys that need the domain's monitor are missing"),),
        ),
    ),
)
