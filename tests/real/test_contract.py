"""What stands for a real part in the tests answers as the real one: the same questions are asked of
libvirtd, of libvirt's test driver, and of the stand-in. An answer is reduced to what must be equal
on any host: names, types and relations."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libvirt
import pytest

from support.crowd import Crowd, guest
from support.hypervisor import LINUX, Hypervisor
from support.metrics import is_known
from support.scope import FakeScope, Thing
from support.server import Daemon
from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.connection.api import Connection
from telegraf_execd_libvirt.connection.completeness import Completeness
from telegraf_execd_libvirt.connection.facts import Facts
from telegraf_execd_libvirt.connection.requests import FetchRequest, Progress
from telegraf_execd_libvirt.connection.xml_cache import XmlCache
from telegraf_execd_libvirt.domain.devices import NO_DEVICES, parse
from telegraf_execd_libvirt.domain.record import NO_IDENTITY
from telegraf_execd_libvirt.sources.scope import Scope

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


STATISTICS = ("statistics", "only the state")


def test_daemons(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """The scripted daemon answers each question as libvirtd does. The test driver does so, too, or
    lacks the call."""
    real = ask_daemon(hypervisor.uri, LINUX)
    assert UNSUPPORTED not in real.values()
    with Daemon(tmp_path / "socket", crowd=Crowd(4, off={guest(2)})) as daemon:
        fake = ask_daemon(daemon.uri, guest(1))
    test = ask_daemon("test:///default", "test")
    for question, answer in real.items():
        if question not in STATISTICS:
            assert fake[question] == answer, question
            assert test[question] in (answer, UNSUPPORTED), question
    for question in STATISTICS:
        keys = real[question]
        for other in (fake[question], test[question]):
            assert {key: other[key] for key in other.keys() & keys} == {
                key: keys[key] for key in other.keys() & keys
            }
    assert fake["only the state"] == real["only the state"]
    assert not [key for key in fake["statistics"] if not is_known(key.replace("#", "0"))]


@pytest.mark.parametrize("driver", ["libvirtd", "test"])
def test_scopes(hypervisor: Hypervisor, driver: str) -> None:
    """The stand-in for a source's scope, with the guests and the XML of a driver, answers as the
    scope of a connection."""
    uri, name = (hypervisor.uri, LINUX) if driver == "libvirtd" else ("test:///default", "test")
    devices = XmlCache(parse, NO_DEVICES, 60.0)
    facts = Facts(Completeness(()), devices, XmlCache(lambda _: NO_IDENTITY, NO_IDENTITY, 60.0))
    request = FetchRequest(lambda scope: iter(()), {}, 5.0)
    selection = HypervisorConfig().selection
    real = ask_scope(Scope(Connection(uri), request, selection, facts, Progress()), name)

    connection = libvirt.openReadOnly(uri)
    things = [
        Thing(domain.name(), {"state": domain.state()}, domain.ID(), domain.XMLDesc(), tags={})
        for domain in connection.listAllDomains()
    ]
    scope = FakeScope(*things, host={"getInfo": connection.getInfo()})
    scope.failures = dict.fromkeys(("blockJobInfo", "agentSetResponseTimeout"), "refused")
    fake = ask_scope(scope, name)
    assert fake.pop("uuid") and real.pop("uuid") == connection.lookupByName(name).UUIDString()
    assert fake == real
