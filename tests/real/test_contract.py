"""What stands for a real part in the tests answers as the real one: the same questions are asked of
libvirtd, of libvirt's test driver, and of the stand-in."""

from __future__ import annotations

from pathlib import Path

import libvirt
import pytest

from support.contract import UNSUPPORTED, ask_daemon, ask_scope
from support.crowd import Crowd, guest
from support.dump import is_known
from support.hypervisor import LINUX, Hypervisor
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
        Thing(
            domain.name(),
            {"state": domain.state()},
            domain.ID(),
            domain.XMLDesc(),
            tags={},
        )
        for domain in connection.listAllDomains()
    ]
    scope = FakeScope(*things, host={"getInfo": connection.getInfo()})
    scope.failures = dict.fromkeys(("blockJobInfo", "agentSetResponseTimeout"), "refused")
    fake = ask_scope(scope, name)
    assert fake.pop("uuid") and real.pop("uuid") == connection.lookupByName(name).UUIDString()
    assert fake == real
