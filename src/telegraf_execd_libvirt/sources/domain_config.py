"""Source ``domain_config``: what is configured of each domain, beside what runs.

Its lines have the measurement and the tags of ``domain``, so a query finds the fields of both.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from typing import Any, Optional

from ..domain.record import Domain
from ..domain.restart import PARTS
from ..domain.xml import parse_xml
from ..groups.schema import Metric, Type, gauge, text
from .source import MINUTE, Scope, Source

#: Filters for the list of domains: VIR_CONNECT_LIST_DOMAINS_*.
_PERSISTENT, _AUTOSTART = 1 << 2, 1 << 10

#: The capabilities of the host are read again after this time: QEMU may be a newer one.
_CAPABILITIES_SECONDS = 600.0

#: A machine type: the type of guests, the architecture and the name.
_Machine = tuple[Optional[str], Optional[str], Optional[str]]


class _Configs:
    def __init__(self) -> None:
        #: Whether each machine type is deprecated; until when that counts.
        self._machines: dict[_Machine, bool] = {}
        self._until = 0.0

    def __call__(self, scope: Scope) -> Iterator[Domain]:
        handles = [*scope.domains(hung=True)]
        persistent = _listed(scope, _PERSISTENT)
        autostart = _listed(scope, _AUTOSTART)
        self._read_machines(scope)
        for handle in handles:
            is_persistent = _has(scope, handle, persistent, "isPersistent")
            changes = scope.changes(handle) if is_persistent else None
            keys = {
                "autostart": _has(scope, handle, autostart, "autostart"),
                "persistent": is_persistent,
                "restart_required": None if changes is None else int(bool(changes)),
                "restart_changes": None if changes is None else ",".join(changes),
                "machine_deprecated": self._is_deprecated(scope, handle),
            }
            yield scope.domain(handle, "domain_config", keys)

    def _read_machines(self, scope: Scope) -> None:
        now = time.monotonic()
        if now >= self._until and (found := scope.host("getCapabilities")):
            self._until, self._machines = now + _CAPABILITIES_SECONDS, _machines(found)

    def _is_deprecated(self, scope: Scope, handle: Any) -> Optional[int]:
        for tags in scope.inventory(handle, "domain_info"):
            found = self._machines.get((tags.get("os_type"), tags.get("arch"), tags.get("machine")))
            return None if found is None else int(found)
        return None


def _machines(capabilities: str) -> dict[_Machine, bool]:
    """Whether each machine type of the host is deprecated; none if the XML is not libvirt's."""
    try:
        root = parse_xml(capabilities)
    except ValueError:
        return {}
    return {
        (guest.findtext("os_type"), arch.get("name"), machine.text): (
            machine.get("deprecated") == "yes"
        )
        for guest in root.iterfind("guest")
        for arch in guest.iterfind("arch")
        for machine in arch.iter("machine")
    }


def _listed(scope: Scope, filter: int) -> Optional[Collection[str]]:
    """The UUIDs of the domains that a filter selects; None if that is not known, or if a call about
    all domains would hang."""
    handles = scope.host("listAllDomains", filter) if scope.sees_all else None
    return None if handles is None else {scope.uuid(handle) for handle in handles}


def _has(
    scope: Scope, handle: Any, listed: Optional[Collection[str]], method: str
) -> Optional[int]:
    """Whether a domain is listed, or else what a call for this domain says."""
    if listed is not None:
        return int(scope.uuid(handle) in listed)
    found = None if scope.is_hung(handle) else scope.call(handle, method)
    return None if found is None else int(found)


SOURCE = Source(
    name="domain_config",
    summary="autostart, and what a restart of the domain would change",
    reads="whether each domain starts with the host, is defined permanently, and has a deprecated "
    f"machine type; what of it a restart would change: {', '.join(PARTS)}",
    calls="three to list the domains; two for the XML of each new or changed domain that runs, one "
    "if it does not, kept for 5 to 10 minutes; one each 10 minutes for the host's capabilities",
    new=_Configs,
    interval=MINUTE,
    inventory=("domain_info",),
    metrics=(
        Metric(
            prefix="domain_config",
            measurement="libvirt_domain",
            help="What is configured of a domain, beside what runs",
            fields=(
                gauge("autostart", "", "1 if the domain starts with the daemon, else 0", Type.INT),
                gauge(
                    "persistent",
                    "",
                    "1 if the domain is defined permanently, 0 if it is gone when it stops",
                    Type.INT,
                ),
                gauge(
                    "restart_required",
                    "",
                    "1 if a restart would change the running domain, as its definition is another "
                    "one, else 0; absent for a domain that is not persistent",
                    Type.INT,
                ),
                text("restart_changes", "what it would change, separated by commas; may be empty"),
                gauge(
                    "machine_deprecated",
                    "",
                    "1 if the machine type is deprecated, so that a later QEMU does not have it, "
                    "else 0; absent if the host does not know it",
                    Type.INT,
                ),
            ),
        ),
    ),
)
