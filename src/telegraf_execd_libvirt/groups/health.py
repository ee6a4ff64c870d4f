"""Additional statistics ``health``: the state of the collection itself, also if it fails.

The names below are an API: add fields, never rename them. The keys have namespaces that libvirt
does not use.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from ..domain.record import Domain, Stats, Value, record
from .schema import Field, Group, Metric, Type, counter, gauge, text


def _gauge(key: str, help: str, unit: str = "") -> Field:
    return gauge(key, unit, help, Type.INT)


def _counter(key: str, help: str) -> Field:
    return counter(key, "", help, Type.INT)


_HEALTH = Metric(
    prefix="health",
    subject="libvirt_uri",
    help="The collection of one hypervisor; written at each tick, also if it failed",
    fields=(
        _gauge("up", "1 if the hypervisor was read in this tick, else 0"),
        _gauge("domains", "number of domains read in this tick"),
        _gauge("domains_incomplete", "of these, domains without the keys that need their monitor"),
        _gauge("domains_locked", "domains that were not read because libvirt has locked them"),
        _gauge("collect_time_ns", "duration of the tick until its lines were ready", "ns"),
        _gauge(
            "longest_call_time_ns",
            "duration of the longest request to libvirt in the tick, such as the bulk call for a "
            "batch of domains; until the end of the tick if it hangs",
            "ns",
        ),
        _gauge("calls_hanging", "libvirt calls that did not return in time"),
        _counter("reconnects", "number of reconnects"),
        _counter("errors", "ticks in which the hypervisor could not be read"),
        _counter("defects", "errors of this program itself since its start; the log has them"),
        _gauge(
            "domains_untagged",
            "domains whose XML could not be read in time, so that their lines have the additional "
            "tags of their last XML, or none; only if tags or summaries need the XML",
        ),
        text("daemon_version", "libvirt version of the daemon, after the first connection"),
        text("libvirt_version", "version of the libvirt library in this process"),
    ),
)

_DOMAIN_HEALTH = Metric(
    prefix="domain_health",
    help="A domain that was not read completely; not written for others",
    fields=(
        _gauge("complete", "0: the keys that need the domain's monitor are missing"),
        _gauge(
            "locked", "1: libvirt has locked the domain, so no key could be read; else not written"
        ),
        _gauge("locked_time_ms", "time since that was found", "ms"),
        _gauge(
            "control_state",
            "libvirt's control interface to the domain: 0 works, 1 a job runs, 2 occupied by a "
            "call, 3 error; not of a locked domain",
            "virDomainControlState",
        ),
        _gauge(
            "control_details",
            "1 unknown error, 2 the monitor has failed, 3 internal error; else 0",
            "virDomainControlErrorReason",
        ),
        _gauge("control_time_ms", "time in this state, if it is a job or occupied", "ms"),
    ),
)

_SOURCE_HEALTH = Metric(
    prefix="source_health",
    subject="libvirt_uri",
    extra_tags=("source",),
    help="A source with its own rhythm, after its last fetch; written at each tick",
    fields=(
        _gauge("up", "1 if the last fetch worked and none hangs, else 0"),
        _gauge("records", "number of lines of the last fetch"),
        _gauge("collect_time_ns", "duration of the last fetch", "ns"),
        _counter("dropped", "lines and events that were left out because of a limit"),
        _counter(
            "errors",
            "fetches that failed or did not return in time, without calls that the driver lacks; "
            "guest_agent makes four at a time",
        ),
        _gauge("hanging", "fetches that did not return in time and still hang"),
        _gauge("counted", "agents that are connected; only of guest_agent"),
    ),
)

GROUP = Group(name="health", metrics=(_HEALTH, _DOMAIN_HEALTH, _SOURCE_HEALTH))

#: The key of a domain that came without the keys that need its monitor, and its value.
INCOMPLETE: dict[str, Value] = {"domain_health.complete": 0}

#: The keys of a domain that libvirt has locked.
LOCKED: dict[str, Value] = {**INCOMPLETE, "domain_health.locked": 1}


def control(state: int, details: int, milliseconds: int) -> Stats:
    """The keys about the control interface of a domain, from libvirt's virDomainControlInfo."""
    values = {"state": state, "details": details, "time_ms": milliseconds}
    return {f"domain_health.control_{name}": value for name, value in values.items()}


def locked(seconds: float) -> Stats:
    """The keys of a domain that was found to be locked this long ago."""
    return {**LOCKED, "domain_health.locked_time_ms": int(seconds * 1000)}


class Health(NamedTuple):
    """One hypervisor after a tick, by the names of the fields. ``daemon_version`` is empty before
    the first connection; ``domains_untagged`` is None if neither tags nor summaries need XML."""

    up: bool
    domains: int
    domains_incomplete: int
    domains_locked: int
    collect_time_ns: int
    longest_call_time_ns: int
    calls_hanging: int
    reconnects: int
    errors: int
    defects: int
    libvirt_version: str
    daemon_version: str = ""
    domains_untagged: Optional[int] = None

    def record(self, uri: str) -> Domain:
        """The record of the hypervisor; ``uri`` is what may be shown of its URI."""
        values = {
            **self._asdict(),
            "up": int(self.up),
            "daemon_version": self.daemon_version or None,
        }
        return record(uri, "health", values, {})


class SourceHealth(NamedTuple):
    """One source of one hypervisor after its last fetch, by the names of the fields."""

    source: str
    up: bool
    records: int
    collect_time_ns: int
    errors: int
    hanging: int
    dropped: int = 0
    counted: Optional[int] = None

    def record(self, uri: str) -> Domain:
        """The record of the source; ``uri`` is what may be shown of the hypervisor's URI."""
        values = {**self._asdict(), "up": int(self.up)}
        return record(uri, "source_health", values, {"source": values.pop("source")})
