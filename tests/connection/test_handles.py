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
    Identities,
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


def reader_of(host: libvirt.virConnect, bulk: bool = True) -> Reader:
    """A reader of the state and the XML of the guests of this connection."""
    selection = HypervisorConfig().selection
    wanted = Wanted([STATISTICS_GROUPS["state"]], selection, bulk=bulk, identity=True)
    identities: XmlCache[Identity] = XmlCache(lambda xml: NO_IDENTITY, NO_IDENTITY, 60.0)
    facts = Facts(Completeness(()), XmlCache(len, 0, 60.0), identities)  # type: ignore[arg-type]
    reader = Reader("test:///default", wanted, facts, Progress())
    reader.connection._connection = host
    return reader


@pytest.mark.parametrize("way", ["all at once", "by names", "by UUIDs", "looked up"])
def test_guests_that_come_and_go(host: libvirt.virConnect, way: str) -> None:
    """Each tick one guest ends and another one starts."""
    reader = reader_of(host)

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


@pytest.mark.parametrize("way", ["by names", "by UUIDs"])
def test_a_guest_that_was_defined_anew(host: libvirt.virConnect, way: str) -> None:
    """Each connection that knows its old handle finds the new guest of that name: in the same
    request for statistics, and in the next one for XML."""
    readers = [reader_of(host) for _ in range(2)]
    names = [f"guest{number}" for number in range(GUESTS)]

    def read(reader: Reader, of: type = BatchRequest) -> list[str]:
        """The names in the answer to a request for all guests."""
        uuids = {name: api.uuid(host.lookupByName(name)) for name in names}
        request = of(names, uuids=uuids if way == "by UUIDs" else None)
        found: list[str] = []
        for part in reader.answer(request):
            found += (
                part.found
                if isinstance(part, Identities)
                else (domain.name for domain in part.domains)
            )
        return sorted(found)

    for reader in readers:
        assert read(reader) == read(reader, XmlRequest) == names
    old = host.lookupByName("guest2")
    old.destroy()
    for reader in readers:
        reader._facts.forget(api.uuid(old))  # as the event does
    host.createXML(DOMAIN.format("guest2"))
    assert read(readers[0]) == read(readers[0], XmlRequest) == names
    assert read(readers[1], XmlRequest) == [*names[:2], *names[3:]]
    assert read(readers[1], XmlRequest) == read(readers[1]) == names


def test_a_guest_that_starts_on_a_driver_without_bulk_statistics(host: libvirt.virConnect) -> None:
    """Each connection sees it, also one that knows the guest since it was off."""
    guest = host.defineXML(DOMAIN.format("guest"))
    readers = [reader_of(host, bulk=False) for _ in range(2)]
    for runs in (False, True):
        for reader in readers:
            ((domain,),) = (piece.domains for piece in reader.answer(BatchRequest(["guest"])))
            assert (domain.active, domain.stats["state.state"]) == (runs, 1 if runs else 5)
        if not runs:
            guest.create()
