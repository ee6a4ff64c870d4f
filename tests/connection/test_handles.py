"""The handles that a connection keeps do not become more while guests come and go."""

from __future__ import annotations

import gc
from pathlib import Path

import libvirt
import pytest

from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.connection import api
from telegraf_execd_libvirt.connection.completeness import Completeness
from telegraf_execd_libvirt.connection.facts import Facts
from telegraf_execd_libvirt.connection.reader import Reader
from telegraf_execd_libvirt.connection.requests import (
    BatchRequest,
    ListRequest,
    Progress,
    Request,
    Wanted,
    XmlRequest,
)
from telegraf_execd_libvirt.connection.xml_cache import XmlCache
from telegraf_execd_libvirt.domain.record import NO_IDENTITY, Identity
from telegraf_execd_libvirt.groups import STATISTICS_GROUPS

GUESTS = 5
DOMAIN = "<domain type='test'><name>{}</name><memory>1</memory><os><type>hvm</type></os></domain>"


@pytest.fixture
def host(tmp_path: Path) -> libvirt.virConnect:
    """A host of the test driver with some guests."""
    (tmp_path / "node.xml").write_text("<node/>")
    host = libvirt.open(f"test://{tmp_path}/node.xml")
    for number in range(GUESTS):
        host.createXML(DOMAIN.format(f"guest{number}"))
    return host


@pytest.mark.parametrize("way", ["all at once", "by names", "by UUIDs", "looked up"])
def test_guests_that_come_and_go(host: libvirt.virConnect, way: str) -> None:
    """Each tick one guest ends and another one starts."""
    selection = HypervisorConfig().selection
    wanted = Wanted([STATISTICS_GROUPS["state"]], selection, identity=True)
    identities: XmlCache[Identity] = XmlCache(lambda xml: NO_IDENTITY, NO_IDENTITY, 60.0)
    facts = Facts(Completeness(()), XmlCache(len, 0, 60.0), identities)  # type: ignore[arg-type]
    reader = Reader("test:///default", wanted, facts, Progress())
    reader.connection._connection = host  # its guests are those of this connection only

    def ask(request: Request) -> None:
        for _ in reader.answer(request):
            pass

    def handles() -> int:
        return sum(isinstance(each, libvirt.virDomain) for each in gc.get_objects())

    before = handles()
    for number in range(GUESTS, 4 * GUESTS):
        host.lookupByName(f"guest{number - GUESTS}").destroy()
        host.createXML(DOMAIN.format(f"guest{number}"))
        names = [f"guest{number - back}" for back in range(GUESTS)]
        uuids = {name: api.uuid(host.lookupByName(name)) for name in names}
        if way == "all at once":
            ask(BatchRequest())
            ask(XmlRequest(names[:1]))
        elif way == "by names":
            ask(ListRequest())
            ask(BatchRequest(names))
            ask(XmlRequest(names))
        else:
            ask(BatchRequest(names, uuids, look_up=way == "looked up"))
            ask(XmlRequest(names, uuids=uuids))
        assert handles() - before <= GUESTS
