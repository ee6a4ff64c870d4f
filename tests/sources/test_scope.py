"""The scope of a source: which calls it makes again, and which errors are those of the source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import libvirt
import pytest
from pytest_mock import MockerFixture

from support.driver import libvirt_error
from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.connection import api
from telegraf_execd_libvirt.connection.api import Connection
from telegraf_execd_libvirt.connection.completeness import Completeness
from telegraf_execd_libvirt.connection.errors import ErrorKind, LibvirtError
from telegraf_execd_libvirt.connection.facts import Facts
from telegraf_execd_libvirt.connection.requests import FetchRequest, Progress
from telegraf_execd_libvirt.connection.xml_cache import XmlCache
from telegraf_execd_libvirt.domain.devices import NO_DEVICES, parse
from telegraf_execd_libvirt.domain.record import NO_IDENTITY, Domain, Identity
from telegraf_execd_libvirt.sources.scope import Scope, fetch


@pytest.fixture
def facts() -> Facts:
    """What is known about a hypervisor: nothing."""
    devices = XmlCache(parse, NO_DEVICES, 60.0)
    return Facts(Completeness(()), devices, XmlCache(lambda _: NO_IDENTITY, NO_IDENTITY, 60.0))


def scope(facts: Facts, identity: bool = False, **changes: Any) -> Scope:
    """The scope of one fetch, on a connection to the test driver."""
    request = FetchRequest(lambda scope: iter(()), {}, 5.0, **changes)
    connection, selection = Connection("test:///default"), HypervisorConfig().selection
    return Scope(connection, request, selection, facts, Progress(), identity)


def test_a_call_that_the_driver_lacks_is_made_once(facts: Facts, mocker: MockerFixture) -> None:
    """All sources remember it together, with its error, until the facts are dropped."""
    calls = mocker.spy(libvirt.virDomain, "blockStatsFlags")
    for known in (facts, facts, Facts(facts.completeness, facts.devices, facts.identities)):
        for _ in range(2):
            source = scope(known)
            (guest,) = source.domains()
            assert source.call(guest, "blockStatsFlags", "vda") is None
            assert source.error is not None and source.error.kind is ErrorKind.UNSUPPORTED
            assert source.error.__traceback__ is source.error.__context__ is None
            assert source.call(guest, "info") is not None
    assert calls.call_count == 2


def test_the_bulk_statistics_and_the_sources_remember_together(facts: Facts) -> None:
    """A call that the driver lacks is not made by a source after it was made for the statistics;
    another error says nothing about the driver."""
    source = scope(facts)
    (guest,) = source.domains()

    def fail() -> Any:
        raise error

    for code in (1, 3):
        error = LibvirtError(code, 10, "made up")
        assert facts.attempt((type(guest), "info"), fail, lambda: "info") is None
        assert (source.call(guest, "info") is None) == (source.error is error) == (code == 3)


def test_methods_of_one_name_are_different_calls(facts: Facts, mocker: MockerFixture) -> None:
    """If the host has no such call, domains may have it."""
    mocker.patch.object(libvirt.virConnect, "getCPUStats", side_effect=libvirt_error(3))
    source = scope(facts)
    (guest,) = source.domains()
    assert source.host("getCPUStats", -1, 0) is None
    assert source.call(guest, "getCPUStats", True) is not None


def test_a_volume_whose_pool_has_stopped(facts: Facts) -> None:
    """Its call costs itself only: libvirt calls it invalid, and a volume is never active."""

    class Volume:
        def info(self) -> Any:
            raise libvirt_error(55)

    source = scope(facts)
    assert source.call(Volume(), "info") is None and source.error is None


@pytest.mark.parametrize(("code", "works"), [(38, True), (38, False), (1, True)])
def test_a_call_that_speaks_of_a_lost_connection(
    facts: Facts, mocker: MockerFixture, code: int, works: bool
) -> None:
    """It ends the fetch if the connection is lost, or its way to the daemon of another driver, as
    libvirt does not open that again (code 1). If this daemon is missing, the other calls are
    made."""
    error = libvirt_error(code, 7)
    mocker.patch.object(libvirt.virDomain, "interfaceAddresses", side_effect=error)
    mocker.patch.object(libvirt.virConnect, "isAlive", return_value=int(works))
    source = scope(facts)
    (guest,) = source.domains()
    if works and code == 38:
        assert source.call(guest, "interfaceAddresses", 0, 0) is None
        assert source.error is not None and source.error.kind is ErrorKind.LOST
        assert source.call(guest, "info") is not None
        source.lack("no leases")
        assert source.dropped == {"no leases: made up": 0}
    else:
        with pytest.raises(LibvirtError):
            source.call(guest, "interfaceAddresses", 0, 0)


def test_tags_of_a_domain_whose_xml_cannot_be_read(facts: Facts, mocker: MockerFixture) -> None:
    """It keeps those that it had, so that its series go on; one whose calls hang is not asked."""
    facts.identities = XmlCache(lambda _: Identity({"project": "shop"}), NO_IDENTITY, 60.0)
    known = scope(facts, identity=True)
    (guest,) = known.domains()
    assert known.tags(guest) == {"project": "shop"}
    calls = mocker.patch.object(libvirt.virDomain, "XMLDesc", side_effect=libvirt_error(38))
    for skipped, count in ((frozenset(), 1), (frozenset({"test"}), 1)):
        facts.forget(known.uuid(guest))
        assert scope(facts, identity=True, skipped=skipped).tags(guest) == {"project": "shop"}
        assert calls.call_count == count


def test_tags_of_a_domain_that_was_never_read(facts: Facts) -> None:
    """Its UUID is known from its events, so that series of domains of one name stay apart."""
    assert scope(facts, identity=True).last_tags("u-1") == {}
    facts.uuid_tag = True
    assert scope(facts, identity=True).last_tags("u-1") == {"uuid": "u-1"}


def test_text_that_is_not_utf_8_costs_its_line(facts: Facts) -> None:
    """A name and an XML are readable though they are not UTF-8; a call with such a text somewhere
    in its answer fails alone."""

    class Broken:
        def name(self, *_: int) -> str:
            return b"latin\xe9".decode()

        XMLDesc = info = name

    source = scope(facts)
    assert source.name(Broken()) == source.call(Broken(), "XMLDesc") == r"latin\xe9"
    assert source.error is None
    assert source.call(Broken(), "info") is None
    assert source.error is not None and "UTF-8" in source.error.message


@pytest.mark.parametrize(
    ("kind", "method", "action"),
    [
        ("virDomain", "info", "domain.read"),
        ("virDomain", "guestInfo", "domain.write"),
        ("virConnect", "listAllDomains", "connect.search-domains"),
        ("virConnect", "listAllNetworks", "connect.search-networks"),
        ("virConnect", "getInfo", "connect.read"),
        ("virStoragePool", "info", "storage-pool.read"),
        ("virStoragePool", "listAllVolumes", "storage-pool.search-storage-vols"),
    ],
)
def test_a_refused_call(
    facts: Facts, monkeypatch: pytest.MonkeyPatch, kind: str, method: str, action: str
) -> None:
    """Its error ends the fetch, and has the polkit action that the call needs."""
    source, error = scope(facts), libvirt_error(libvirt.VIR_ERR_ACCESS_DENIED)
    (guest,), (pool,) = source.domains(), source.host("listAllStoragePools")
    monkeypatch.setattr(f"libvirt.{kind}.{method}", Mock(side_effect=error))
    handles = {"virDomain": guest, "virStoragePool": pool}
    with pytest.raises(LibvirtError) as raised:
        source.call(handles[kind], method) if kind in handles else source.host(method)
    assert raised.value.kind is ErrorKind.DENIED
    assert raised.value.action == f"org.libvirt.api.{action}"


def test_a_refused_call_beside_the_bulk_statistics(
    facts: Facts, caplog: pytest.LogCaptureFixture
) -> None:
    """Each action is named once in the log; what needs it is left out."""

    def refused() -> None:
        raise LibvirtError(88, 0, "access denied", action="org.libvirt.api.connect.read")

    for method in ("getInfo", "getCPUMap"):
        assert facts.attempt((Connection, method), refused, lambda: "no getInfo") is None
    (message,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert message.endswith(
        "access denied; the plugin's user needs the polkit action org.libvirt.api.connect.read"
    )


def test_known_domains_are_asked_without_a_list(facts: Facts, mocker: MockerFixture) -> None:
    """While calls about all domains hang, the known domains are looked up by their UUIDs; one that
    is gone is left out, and says nothing about others that are not listed."""
    (guest,) = scope(facts).domains()
    listed = mocker.spy(libvirt.virConnect, "listAllDomains")
    uuids = {"test": guest.UUIDString(), "gone": "00000000-0000-0000-0000-000000000001"}
    for active in (True, False):
        source = scope(facts, uuids=uuids)
        assert [source.name(handle) for handle in source.domains(active=active)] == ["test"]
        assert source.error is None and not source.sees_all
    assert listed.call_count == 0
    assert not [*scope(facts, uuids=uuids, skipped=frozenset({"test"})).domains()]


def test_the_destination_of_a_migration(facts: Facts, mocker: MockerFixture) -> None:
    """A domain that a migration brings to this host is not asked for what needs its monitor, and
    what it refuses is no error of the source."""
    bulk = mocker.patch.object(Connection, "statistics", autospec=True)
    mocker.patch.object(libvirt.virDomain, "jobStats", side_effect=libvirt_error(84))
    for states, arrives in (((3, 2), True), ((1, 10), True), ((3, 1), False), ((), False)):
        stats = dict(zip(("state.state", "state.reason"), states))
        bulk.side_effect = lambda _, handles, *__, stats=stats: [(each, stats) for each in handles]
        source = scope(facts)
        assert len([*source.domains(active=True)]) == 1
        assert len([*source.domains(active=True, arriving=False)]) == 1 - arrives
        (guest,) = source.domains()
        assert source.call_present(guest, "jobStats") is None
        assert (source.error is None) == arrives
    bulk.side_effect = LibvirtError(3, 10, "no bulk statistics")
    assert len([*scope(facts).domains(active=True, arriving=False)]) == 1


def test_what_a_fetch_leaves_out_and_counts(facts: Facts) -> None:
    """Both are in the answer of the fetch."""

    def read(source: Scope) -> Iterator[Domain]:
        source.counted += 2
        source.drop(0, "nothing")
        for _ in range(2):
            source.drop(3, "too much")
        return iter(())

    found = fetch(scope(facts), FetchRequest(read, {}, 5.0))
    assert (found.dropped, found.counted, found.domains) == ({"too much": 6}, 2, [])


def test_info_lines_share_the_xml(facts: Facts, mocker: MockerFixture) -> None:
    """The XML is read once for all of them, also for a domain that hangs then; an event makes it
    out of date, and what was known of a domain that hangs is forgotten with it."""
    reader = HypervisorConfig(additional_statistics=("domain_info", "block_info")).identities
    assert not reader.wanted  # a tick waits for no XML
    facts.identities = XmlCache(reader.read, NO_IDENTITY, 60.0)
    calls = mocker.spy(libvirt.virDomain, "XMLDesc")
    for skipped in (frozenset[str](), frozenset({"test"})):
        source = scope(facts, skipped=skipped)
        (guest,) = source.domains(hung=True)
        assert source.inventory(guest, "domain_info")[0]["uuid"] == guest.UUIDString()
        assert source.inventory(guest, "block_info")[0]["device"] == "vda"
    facts.forget(guest.UUIDString())
    assert source.inventory(guest, "domain_info") == ()
    assert calls.call_count == 1
    assert scope(facts).inventory(guest, "domain_info")
    assert calls.call_count == 2


def test_a_call_for_a_snapshot_may_wait_for_its_domain() -> None:
    """If the call for a snapshot hangs, it is its domain that is left out."""
    (guest,) = Connection("test:///default", read_only=False).domains(0)
    snapshot = guest.snapshotCreateXML("<domainsnapshot><name>first</name></domainsnapshot>")
    try:
        assert (api.domain_name(snapshot), api.name(snapshot)) == ("test", "first")
        assert (api.domain_name(guest), api.domain_name(guest.connect())) == ("test", "")
    finally:
        snapshot.delete()


def test_a_filter_of_the_list_says_nothing_about_a_source(facts: Facts) -> None:
    """Each driver has the filters: a source whose other calls the driver lacks is not supported."""
    source = scope(facts)
    (guest,) = source.domains()
    assert source.having(4096) == frozenset()
    assert source.call(guest, "blockStatsFlags", "vda") is None
    assert source.succeeded == 0
