"""Failures that no hypervisor produces on demand: libvirt's own calls are made to fail."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from threading import Barrier
from typing import Any

import libvirt
import pytest
from pytest_mock import MockerFixture

from support.plugin import SECONDS, eventually
from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.connection import api
from telegraf_execd_libvirt.connection.api import Connection
from telegraf_execd_libvirt.connection.completeness import Completeness
from telegraf_execd_libvirt.connection.facts import Facts
from telegraf_execd_libvirt.connection.reader import Reader
from telegraf_execd_libvirt.connection.requests import (
    Abandoned,
    BatchRequest,
    Listing,
    ListRequest,
    Piece,
    Progress,
    Wanted,
)
from telegraf_execd_libvirt.connection.xml_cache import XmlCache
from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.groups import STATISTICS_GROUPS
from telegraf_execd_libvirt.hypervisor.hypervisor import Hypervisor
from telegraf_execd_libvirt.hypervisor.messages import Outcome, Reading
from telegraf_execd_libvirt.log import log

NOWAIT = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
NAMES = [f"guest{number}" for number in range(7)]


def tick(hypervisor: Hypervisor) -> tuple[list[Domain], Outcome]:
    """The domains of one tick, and its outcome."""
    hypervisor.tick(time.time_ns())
    domains: list[Domain] = []
    for result in hypervisor.results(until=time.monotonic() + SECONDS):
        if isinstance(result, Reading):
            domains += result.domains
        elif isinstance(result, Outcome):
            return domains, result
    raise AssertionError("a tick has no end")


def read(hypervisor: Hypervisor) -> list[Domain]:
    """The domains of one tick, which must not fail."""
    domains, outcome = tick(hypervisor)
    assert outcome.trouble is None
    return domains


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """The URI of a test driver with some domains."""
    domains = "".join(
        f"<domain type='test'><name>{name}</name><memory>1</memory><vcpu>1</vcpu>"
        "<os><type>hvm</type></os></domain>"
        for name in NAMES
    )
    file = tmp_path / "node.xml"
    file.write_text(f"<node>{domains}</node>")
    return f"test://{file}"


@pytest.fixture
def hypervisor(uri: str) -> Hypervisor:
    """A hypervisor of the test driver with these domains. After a first tick, which lists them, it
    reads them by one call."""
    config = HypervisorConfig(libvirt_uri=uri, statistics_groups=("state",))
    hypervisor = Hypervisor(config, "test")
    assert len(read(hypervisor)) == len(NAMES)
    return hypervisor


def refuse_one(mocker: MockerFixture, error: Exception) -> None:
    """Make each bulk call that includes guest3 fail, as in libvirt."""
    real = libvirt.virConnect.domainListGetStats

    def all_at_once(connection: Any, *_: Any) -> Any:
        raise error

    def listed(connection: Any, domains: list[Any], *rest: Any) -> Any:
        if any(domain.name() == "guest3" for domain in domains):
            raise error
        return real(connection, domains, *rest)

    mocker.patch.object(libvirt.virConnect, "getAllDomainStats", all_at_once)
    mocker.patch.object(libvirt.virConnect, "domainListGetStats", listed)


def libvirt_error(mocker: MockerFixture, code: int, domain: int) -> libvirt.libvirtError:
    """An error of libvirt's with this code and domain."""
    error = libvirt.libvirtError("made up")
    error.err = (code, domain, "made up", 2, None, None, None, -1, -1)
    return error


@pytest.mark.parametrize("kind", ["not UTF-8", "too large"])
def test_one_domain_that_cannot_be_read_costs_itself_only(
    hypervisor: Hypervisor, mocker: MockerFixture, kind: str
) -> None:
    """A text that is not UTF-8, or an answer that is too large, does not take the others away."""
    bad_text = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    refuse_one(mocker, bad_text if kind == "not UTF-8" else libvirt_error(mocker, 39, 7))
    for _ in range(2):
        names = {domain.name for domain in read(hypervisor)}
        assert names == {*NAMES} - {"guest3"}


@pytest.mark.parametrize(("code", "domain"), [(38, 10), (1, 10), (68, 10), (38, 7), (6, 20)])
def test_a_call_that_fails_once_is_made_again(
    hypervisor: Hypervisor, mocker: MockerFixture, code: int, domain: int
) -> None:
    """One failure, of the connection or of a guest that dies under the call, loses nothing."""
    real = libvirt.virConnect.getAllDomainStats
    failures = [libvirt_error(mocker, code, domain)]

    def once(connection: Any, *arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(connection, *arguments)

    mocker.patch.object(libvirt.virConnect, "getAllDomainStats", once)
    assert {found.name for found in read(hypervisor)} == {*NAMES}
    assert failures == []


def test_a_call_that_fails_for_good_is_reported(
    hypervisor: Hypervisor, mocker: MockerFixture
) -> None:
    """A failure that stays is the reason why there are no statistics."""

    def never(*_: Any) -> Any:
        raise libvirt_error(mocker, 1, 10)

    mocker.patch.object(libvirt.virConnect, "getAllDomainStats", never)
    domains, outcome = tick(hypervisor)
    assert domains == [] and outcome.trouble is not None
    assert outcome.trouble.reason == "made up"


def test_flags_that_the_driver_does_not_know_are_left_out(
    hypervisor: Hypervisor, mocker: MockerFixture
) -> None:
    """A driver that refuses NOWAIT is asked without it, and from then on at once."""
    real = libvirt.virConnect.getAllDomainStats
    flags: list[int] = []

    def without_nowait(connection: Any, groups: int, wanted: int) -> Any:
        flags.append(wanted)
        if wanted & NOWAIT:
            raise libvirt_error(mocker, 8, 0)
        return real(connection, groups, wanted)

    mocker.patch.object(libvirt.virConnect, "getAllDomainStats", without_nowait)
    assert len(read(hypervisor)) == len(read(hypervisor)) == len(NAMES)
    assert flags == [NOWAIT, 0, 0]


def test_a_call_that_is_refused_with_and_without_a_flag(
    hypervisor: Hypervisor, mocker: MockerFixture
) -> None:
    """If the call without NOWAIT fails as well, NOWAIT is not at fault and stays in use."""
    real = libvirt.virConnect.getAllDomainStats
    flags: list[int] = []

    def refuse(connection: Any, groups: int, wanted: int) -> Any:
        flags.append(wanted)
        raise libvirt_error(mocker, 8, 0)

    mocker.patch.object(libvirt.virConnect, "getAllDomainStats", refuse)
    domains, outcome = tick(hypervisor)
    assert domains == [] and not outcome.up
    assert flags == [NOWAIT, 0]

    def answer(connection: Any, groups: int, wanted: int) -> Any:
        flags.append(wanted)
        return real(connection, groups, wanted)

    mocker.patch.object(libvirt.virConnect, "getAllDomainStats", answer)
    assert len(read(hypervisor)) == len(NAMES)
    assert flags == [NOWAIT, 0, NOWAIT]


def test_a_flag_is_given_up_for_all_connections(uri: str, mocker: MockerFixture) -> None:
    """A driver that refuses NOWAIT causes one message, although several connections find out."""
    config = HypervisorConfig(libvirt_uri=uri, statistics_groups=("state",), parallel_calls=2)
    several = Hypervisor(config, "test")
    real = libvirt.virConnect.domainListGetStats
    flags: list[int] = []
    refused = Barrier(2, timeout=SECONDS)  # both connections find out before one goes on

    def without_nowait(connection: Any, domains: list[Any], groups: int, wanted: int) -> Any:
        flags.append(wanted)
        if wanted & NOWAIT:
            refused.wait()
            raise libvirt_error(mocker, 8, 0)
        return real(connection, domains, groups, wanted)

    mocker.patch.object(libvirt.virConnect, "domainListGetStats", without_nowait)
    info = mocker.spy(log, "info")
    for _ in range(3):
        assert sorted(domain.name for domain in read(several)) == NAMES
    assert flags[:2] == [NOWAIT, NOWAIT] and set(flags[2:]) == {0}
    assert sum("NOWAIT" in call.args[-1] for call in info.mock_calls) == 1


def test_a_driver_without_bulk_statistics(hypervisor: Hypervisor, mocker: MockerFixture) -> None:
    """A driver without bulk statistics gets one bulk call, and then calls for one domain only."""
    asked: list[int] = []

    def none(_: Any, groups: int, flags: int) -> Any:
        asked.append(groups)
        raise libvirt_error(mocker, 3, 0)

    mocker.patch.object(libvirt.virConnect, "getAllDomainStats", none)
    for _ in range(2):
        found = read(hypervisor)
        assert {domain.name for domain in found} == {*NAMES}
        assert all(domain.stats["state.state"] == 1 for domain in found)
    assert len(asked) == 1


def test_calls_for_one_domain_side_by_side(uri: str) -> None:
    """Domains that are read by calls for one domain are divided among the connections, too."""
    config = HypervisorConfig(
        libvirt_uri=uri,
        statistics_groups=("state", "balloon"),
        bulk_statistics=False,
        parallel_calls=3,
    )
    shared = Hypervisor(config, "test")
    for _ in range(2):
        found = read(shared)
        assert sorted(domain.name for domain in found) == NAMES
        assert all(domain.stats["balloon.maximum"] == 1 for domain in found)


def test_what_fits_in_an_answer_is_learnt(hypervisor: Hypervisor, mocker: MockerFixture) -> None:
    """If libvirt refuses answers with more than three domains, the first tick loses nothing, and
    the next one requests only as many domains as fit."""
    real = libvirt.virConnect.domainListGetStats
    asked: list[int] = []

    def all_at_once(*_: Any) -> Any:
        asked.append(len(NAMES))
        raise libvirt_error(mocker, 39, 7)

    def listed(connection: Any, domains: list[Any], *rest: Any) -> Any:
        asked.append(len(domains))
        if len(domains) > 3:
            raise libvirt_error(mocker, 39, 7)
        return real(connection, domains, *rest)

    mocker.patch.object(libvirt.virConnect, "getAllDomainStats", all_at_once)
    mocker.patch.object(libvirt.virConnect, "domainListGetStats", listed)
    assert {domain.name for domain in read(hypervisor)} == {*NAMES}
    assert asked == [7, 4, 2, 2, 3]
    asked.clear()
    assert {domain.name for domain in read(hypervisor)} == {*NAMES}
    assert asked == [2, 2, 2, 1]


def test_a_connection_that_dies_under_the_calls_for_one_domain(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    """A call that fails like one on a dead connection is made again in the same tick."""
    hypervisor = Hypervisor(HypervisorConfig(libvirt_uri="test:///default"), "test")
    real = libvirt.virDomain.info
    failures = [libvirt_error(mocker, 38, 7)]

    def once(domain: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(domain)

    mocker.patch.object(libvirt.virDomain, "info", once)
    (domain,) = read(hypervisor)
    assert domain.stats["balloon.current"] == 2097152 and failures == []


def test_a_call_that_the_driver_lacks_is_tried_once(mocker: MockerFixture) -> None:
    """What a driver does not have is not asked for again on the same connection."""
    hypervisor = Hypervisor(HypervisorConfig(libvirt_uri="test:///default"), "test")
    flags = mocker.spy(libvirt.virDomain, "blockStatsFlags")
    plain = mocker.spy(libvirt.virDomain, "blockStats")
    for _ in range(3):
        (domain,) = read(hypervisor)
        assert "block.0.rd.bytes" in domain.stats
    assert flags.call_count == 1 and plain.call_count == 3


def test_xml_is_read_again_when_the_domain_changes(mocker: MockerFixture) -> None:
    """XML is read once for a domain, and again after an event such as a new start."""
    hypervisor = Hypervisor(HypervisorConfig(libvirt_uri="test:///default"), "test")
    xml = mocker.spy(libvirt.virDomain, "XMLDesc")
    for _ in range(3):
        read(hypervisor)
    assert xml.call_count == 1
    connection = libvirt.open("test:///default")  # the same domains: they live in this process
    guest = connection.lookupByName("test")
    guest.destroy()
    guest.create()
    read(hypervisor)
    assert xml.call_count == 2


def test_a_device_that_fails_costs_itself_only(mocker: MockerFixture) -> None:
    """Where one call fails for one device, the rest of the domain is there."""
    hypervisor = Hypervisor(HypervisorConfig(libvirt_uri="test:///default"), "test")

    def fails(*_: Any) -> Any:
        raise libvirt_error(mocker, 1, 10)

    mocker.patch.object(libvirt.virDomain, "interfaceStats", fails)
    (domain,) = read(hypervisor)
    assert "net.0.name" in domain.stats and "net.0.rx.bytes" not in domain.stats
    assert "block.0.rd.bytes" in domain.stats and "vcpu.1.time" in domain.stats


def test_a_timeout_that_is_too_short_is_said_once(uri: str, mocker: MockerFixture) -> None:
    """If complete answers arrive late, the log says that the timeout is too short."""
    config = HypervisorConfig(libvirt_uri=uri, statistics_groups=("state",), timeout=100_000_000)
    slow = Hypervisor(config, "test")
    assert eventually(lambda: tick(slow)[0])
    real = libvirt.virConnect.getAllDomainStats

    def late(*arguments: Any) -> Any:
        time.sleep(0.5)
        return real(*arguments)

    def said() -> int:
        return sum("the timeout is too short" in call.args[-1] for call in logged.mock_calls)

    logged = mocker.spy(log, "log")
    mocker.patch.object(libvirt.virConnect, "getAllDomainStats", late)
    assert eventually(lambda: tick(slow) and said())
    for _ in range(3):
        assert tick(slow)[0] == []
        time.sleep(0.2)
    assert said() == 1


def test_minus_one_is_not_known(mocker: MockerFixture) -> None:
    """libvirt's -1 for a counter that the driver does not know is left out."""
    hypervisor = Hypervisor(HypervisorConfig(libvirt_uri="test:///default"), "test")
    mocker.patch.object(libvirt.virDomain, "blockStats", return_value=(1, 2, 3, -1, -1))
    (domain,) = read(hypervisor)
    assert domain.stats["block.0.wr.reqs"] == 3
    assert "block.0.wr.bytes" not in domain.stats and "block.0.errors" not in domain.stats


def test_known_domains_are_asked_without_a_list(uri: str, mocker: MockerFixture) -> None:
    """With their UUIDs domains are looked up one by one, which leaves out those that are gone and
    shows where it waits; no call is made about all domains."""
    selection = HypervisorConfig().selection
    wanted = Wanted([STATISTICS_GROUPS["state"]], selection, bulk=True)
    facts = Facts(Completeness(wanted.groups), XmlCache(len, 0, 60.0), XmlCache(len, 0, 60.0))
    progress = Progress()
    reader = Reader(uri, wanted, facts, progress)
    (listing,) = reader.answer(ListRequest(), facts)
    assert isinstance(listing, Listing) and {*listing.uuids} == {*NAMES}
    for method in ("listAllDomains", "getAllDomainStats"):
        mocker.patch.object(libvirt.virConnect, method, side_effect=AssertionError)
    asked = []
    real = libvirt.virConnect.lookupByUUIDString

    def look_up(connection: Any, uuid: str) -> Any:
        asked.append(progress.at)
        assert progress.looks_up
        return real(connection, uuid)

    mocker.patch.object(libvirt.virConnect, "lookupByUUIDString", look_up)
    uuids = {**listing.uuids, "gone": "00000000-0000-0000-0000-000000000001"}
    request = BatchRequest([*NAMES[:2], "gone"], uuids, look_up=True)
    for _ in range(2):
        (piece,) = reader.answer(request, facts)
        assert isinstance(piece, Piece) and [d.name for d in piece.domains] == NAMES[:2]
    assert asked == 2 * [*NAMES[:2], "gone"] and not (progress.looks_up or progress.at)
    progress.abandoned = True
    with pytest.raises(Abandoned):
        next(reader.answer(request, facts))
    reader.close()


def test_a_domain_that_was_defined_anew_is_found_by_its_name() -> None:
    """A look-up takes the UUID; if no domain has it any more, the name; or else it finds none."""
    # libvirt forgets an error if a handle of another test is freed before the error is raised.
    gc.collect()
    connection = Connection("test:///default")
    (handle,) = connection.domains(0)
    other = "00000000-0000-4000-8000-000000000000"
    for name, uuid in (("other", api.uuid(handle)), ("test", other), ("test", "")):
        found = connection.look_up(name, uuid)
        assert found is not None and api.name(found) == "test"
    assert connection.look_up("other", other) is None


def test_the_uuids_are_those_of_the_domains(uri: str) -> None:
    """Also of one that was defined anew and started, and of one that took the name of another."""
    wanted = Wanted([STATISTICS_GROUPS["state"]], HypervisorConfig().selection)
    facts = Facts(Completeness(wanted.groups), XmlCache(len, 0, 60.0), XmlCache(len, 0, 60.0))
    reader = Reader(uri, wanted, facts, Progress(), read_only=False)
    first, second, third = (reader.connection.look_up(name, "") for name in NAMES[:3])
    assert first is not None and second is not None and third is not None

    def check() -> None:
        (piece,) = reader.answer(BatchRequest(), facts)
        assert isinstance(piece, Piece)
        handles = reader.connection.domains(0)
        assert piece.uuids == {api.name(handle): api.uuid(handle) for handle in handles}

    check()
    for handle in (first, second):
        handle.destroy()
    check()
    first.undefine()
    second.rename(NAMES[0])
    xml = third.XMLDesc().replace(api.uuid(third), "").replace(NAMES[2], NAMES[1])
    reader.connection.handle.defineXML(xml)
    for at in (0, 1):
        check()
        found = reader.connection.look_up(NAMES[at], "")
        assert found is not None
        found.create()
    check()
    reader.close()
