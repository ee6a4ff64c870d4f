"""The same questions for what is real and for what stands for it in the tests.

The rule: an answer is reduced to what must be equal on any host: names, types and relations.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import libvirt

from telegraf_execd_libvirt.sources.source import Scope

ACTIVE, INACTIVE = (
    libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE,
    libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE,
)

#: The error of a call that a driver lacks.
UNSUPPORTED = "unsupported"


def shape(value: Any) -> Any:
    """The types in an answer; a list is as its first element, numbers in keys do not count."""
    if isinstance(value, dict):
        found = {re.sub(r"\d+", "#", str(key)): shape(each) for key, each in value.items()}
        return dict(sorted(found.items()))
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, tuple):
        shapes = [shape(each) for each in value]
        return shapes[0] if all(each == shapes[0] for each in shapes) else tuple(shapes)
    return type(value).__name__


def ask_daemon(uri: str, running: str) -> dict[str, Any]:
    """What a client is told by a daemon or a driver; `running` is the name of a guest that runs."""
    connection = libvirt.openReadOnly(uri)
    guest = connection.lookupByName(running)

    def names(flags: int) -> list[str]:
        return sorted(each.name() for each in connection.listAllDomains(flags))

    def statistics(flags: int) -> Any:
        ((_, found),) = connection.domainListGetStats([guest], 0, flags)
        return found

    questions: dict[str, Callable[[], Any]] = {
        "version": lambda: shape(connection.getLibVersion()),
        "host": lambda: shape(connection.getInfo()),
        "cpus": lambda: shape(connection.getCPUMap()),
        "cpu": lambda: shape(connection.getCPUStats(-1)),
        "memory": lambda: shape(connection.getMemoryStats(-1)),
        "all are listed": lambda: sorted(names(ACTIVE) + names(INACTIVE)) == names(0),
        "active are counted": lambda: len(names(ACTIVE)) == connection.numOfDomains(),
        "inactive are counted": lambda: len(names(INACTIVE)) == connection.numOfDefinedDomains(),
        "found by UUID": lambda: connection.lookupByUUID(guest.UUID()).name() == running,
        "id": lambda: guest.ID() > 0,
        "XML": lambda: (
            re.findall(r"^<domain|<name>.*</name>", guest.XMLDesc())[1:]
            == [f"<name>{running}</name>"]
        ),
        "info": lambda: shape(guest.info()),
        "vcpus": lambda: shape(guest.vcpus()),
        "pins": lambda: shape(guest.vcpuPinInfo()),
        "job": lambda: shape(guest.jobStats()),
        "networks": lambda: type(connection.listAllNetworks()).__name__,
        "statistics": lambda: shape(statistics(0)),
        "only the state": lambda: shape(connection.getAllDomainStats(1)[0][1]),
        "statistics of all": lambda: (
            sorted(each.name() for each, _ in connection.getAllDomainStats()) == names(0)
        ),
        "statistics of active ones": lambda: (
            sorted(each.name() for each, _ in connection.getAllDomainStats(0, ACTIVE))
            == names(ACTIVE)
        ),
    }
    answers: dict[str, Any] = {}
    for question, ask in questions.items():
        try:
            answers[question] = ask()
        except libvirt.libvirtError as error:
            is_known = error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT
            answers[question] = error.get_error_code() if is_known else UNSUPPORTED
    return answers


def ask_scope(scope: Scope, name: str) -> dict[str, Any]:
    """What a source is told by its scope; `name` is the name of a guest that runs."""
    guests = {scope.name(handle): handle for handle in scope.domains()}
    active = [scope.name(handle) for handle in scope.domains(active=True)]
    guest = guests[name]
    record = scope.domain(guest, "job", {"type": 2}, operation="save")
    answers = {
        "domains": sorted(guests),
        "active": sorted(active),
        "all": scope.sees_all,
        "selected": scope.selects(name),
        "hung": scope.is_hung(guest),
        "uuid": scope.uuid(guest),
        "XML": scope.xml(guest).findtext("name"),
        "devices": scope.devices(guest),
        "tags": dict(scope.tags(guest)),
        "record": record,
        "state": scope.call(guest, "state"),
        "quietly": scope.quietly(guest, "state"),
        "present": scope.call_present(guest, "state"),
        "no error": scope.error,
        "host": scope.host("getInfo"),
        "a call that fails": scope.call(guest, "blockJobInfo", "none", 0),
    }
    answers["its error"] = scope.error is not None
    answers["set"] = scope.set(guest, "agentSetResponseTimeout", -9)
    scope.drop(2, "too many")
    scope.drop(0, "none")
    answers["dropped"] = dict(scope.dropped)
    scope.hold(None)
    answers["held"] = scope.held is not None
    return answers
