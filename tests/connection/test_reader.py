"""Failures that no hypervisor produces on demand: libvirt's own calls are made to fail."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from threading import Barrier
from typing import Any
from unittest.mock import Mock

import libvirt
import pytest
from pytest_mock import MockerFixture

from support.driver import driver_uri, libvirt_error
from support.plugin import SECONDS, TEST_DRIVER
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
    WatchRequest,
    XmlRequest,
)
from telegraf_execd_libvirt.connection.xml_cache import XmlCache
from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.groups import STATISTICS_GROUPS
from telegraf_execd_libvirt.hypervisor.hypervisor import Hypervisor
from telegraf_execd_libvirt.hypervisor.messages import Outcome, Reading
from telegraf_execd_libvirt.log import log

NOWAIT = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
NAMES = [f"guest{number}" for number in range(7)]
ALL, LISTED = "getAllDomainStats", "domainListGetStats"


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


def read(hypervisor: Hypervisor) -> list[str]:
    """The names of the domains of one tick, which must not fail."""
    domains, outcome = tick(hypervisor)
    assert outcome.trouble is None
    assert all(domain.stats["state.state"] == 1 for domain in domains)
    return sorted(domain.name for domain in domains)


@pytest.fixture(autouse=True)
def no_handles_of_other_tests() -> None:
    """libvirt forgets an error if a handle is freed before the error is raised."""
    gc.collect()


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """The URI of a test driver with some domains."""
    return driver_uri(tmp_path, *NAMES)


@pytest.fixture
def hypervisor(uri: str) -> Hypervisor:
    """A hypervisor of the test driver with these domains. After a first tick, which lists them, it
    reads them by one call."""
    hypervisor = Hypervisor(HypervisorConfig(libvirt_uri=uri, statistics_groups=("state",)), "test")
    assert read(hypervisor) == NAMES
    return hypervisor


@pytest.fixture
def one_by_one() -> Hypervisor:
    """A hypervisor whose statistics come from calls for one domain."""
    return Hypervisor(HypervisorConfig(libvirt_uri=TEST_DRIVER), "test")


def failing(mocker: MockerFixture, method: str, *errors: Exception) -> list[Exception]:
    """Let the next calls of a method fail; returns the errors that are left."""
    kind = libvirt.virConnect if hasattr(libvirt.virConnect, method) else libvirt.virDomain
    real, left = getattr(kind, method), [*errors]

    def call(*arguments: Any) -> Any:
        if left:
            raise left.pop()
        return real(*arguments)

    mocker.patch.object(kind, method, call)
    return left


def test_only_qemu_has_keys_of_its_monitor(tmp_path: Path) -> None:
    """A guest of another driver that lacks what others of it have is complete."""
    file = Path(driver_uri(tmp_path, "a", "b").partition("://")[2])
    balloon = "<devices><memballoon model='virtio'/></devices>"
    file.write_text(file.read_text().replace("</domain>", f"{balloon}</domain>", 1))
    hypervisor = Hypervisor(HypervisorConfig(libvirt_uri=f"test://{file}"), "test")
    domains, outcome = tick(hypervisor)
    assert [
        "balloon.rss" in each.stats for each in sorted(domains, key=lambda domain: domain.name)
    ] == [True, False]
    assert not outcome.incomplete


@pytest.mark.parametrize("kind", ["not UTF-8", "too large", "its QEMU has ended"])
def test_one_domain_that_cannot_be_read_costs_itself_only(
    hypervisor: Hypervisor, mocker: MockerFixture, kind: str
) -> None:
    """A text that is not UTF-8, an answer that is too large, or a monitor that is closed does not
    take the others away."""
    bad_text = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    errors = {"too large": libvirt_error(39, 7), "its QEMU has ended": libvirt_error(1, 10)}
    error = errors.get(kind, bad_text)
    real = libvirt.virConnect.domainListGetStats

    def listed(connection: Any, domains: list[Any], *rest: Any) -> Any:
        if any(domain.name() == "guest3" for domain in domains):
            raise error
        return real(connection, domains, *rest)

    mocker.patch.object(libvirt.virConnect, ALL, side_effect=error)
    mocker.patch.object(libvirt.virConnect, LISTED, listed)
    for _ in range(2):
        assert read(hypervisor) == sorted({*NAMES} - {"guest3"})


@pytest.mark.parametrize(("code", "domain"), [(38, 10), (1, 10), (68, 10), (38, 7), (6, 20)])
def test_a_call_that_fails_once_is_made_again(
    hypervisor: Hypervisor, mocker: MockerFixture, code: int, domain: int
) -> None:
    """One failure, of the connection or of a guest that dies under the call, loses nothing; one
    that stays is the reason why there are no statistics."""
    left = failing(mocker, ALL, libvirt_error(code, domain))
    assert read(hypervisor) == NAMES and not left
    left += 9 * [libvirt_error(code, domain)]
    failing(mocker, LISTED, *left)
    domains, outcome = tick(hypervisor)
    assert domains == [] and outcome.trouble is not None
    assert "made up" in outcome.trouble.reason


def test_flags_that_the_driver_does_not_know_are_left_out(
    hypervisor: Hypervisor, mocker: MockerFixture
) -> None:
    """If the call fails with and without NOWAIT, NOWAIT is not at fault and stays in use. A driver
    that refuses NOWAIT only is asked without it, and from then on at once."""
    real, refused, flags = libvirt.virConnect.getAllDomainStats, {NOWAIT, 0}, []

    def call(connection: Any, groups: int, wanted: int) -> Any:
        flags.append(wanted)
        if wanted in refused:
            raise libvirt_error(8, 0)
        return real(connection, groups, wanted)

    mocker.patch.object(libvirt.virConnect, ALL, call)
    domains, outcome = tick(hypervisor)
    assert domains == [] and not outcome.up
    refused.clear()
    assert read(hypervisor) == NAMES
    refused.add(NOWAIT)
    assert read(hypervisor) == read(hypervisor) == NAMES
    assert flags == [NOWAIT, 0, NOWAIT, NOWAIT, 0, 0]


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
            raise libvirt_error(8, 0)
        return real(connection, domains, groups, wanted)

    mocker.patch.object(libvirt.virConnect, LISTED, without_nowait)
    info = mocker.spy(log, "info")
    for _ in range(3):
        assert read(several) == NAMES
    assert flags[:2] == [NOWAIT, NOWAIT] and set(flags[2:]) == {0}
    assert sum("NOWAIT" in call.args[-1] for call in info.mock_calls) == 1


def test_a_driver_without_bulk_statistics(hypervisor: Hypervisor, mocker: MockerFixture) -> None:
    """A driver without bulk statistics gets one bulk call, and then calls for one domain only."""
    bulk = mocker.patch.object(libvirt.virConnect, ALL, side_effect=libvirt_error(3, 0))
    assert read(hypervisor) == read(hypervisor) == NAMES
    assert bulk.call_count == 1


def test_calls_for_one_domain_side_by_side(uri: str) -> None:
    """Domains that are read by calls for one domain are divided among the connections, too."""
    config = HypervisorConfig(libvirt_uri=uri, bulk_statistics=False, parallel_calls=3)
    shared = Hypervisor(config, "test")
    assert read(shared) == read(shared) == NAMES


def test_what_fits_in_an_answer_is_learnt(hypervisor: Hypervisor, mocker: MockerFixture) -> None:
    """If libvirt refuses answers with more than three domains, the first tick loses nothing, and
    the next one requests only as many domains as fit."""
    real = libvirt.virConnect.domainListGetStats
    asked: list[int] = []

    def listed(connection: Any, domains: list[Any], *rest: Any) -> Any:
        asked.append(len(domains))
        if len(domains) > 3:
            raise libvirt_error(39, 7)
        return real(connection, domains, *rest)

    bulk = mocker.patch.object(libvirt.virConnect, ALL, side_effect=libvirt_error(39, 7))
    mocker.patch.object(libvirt.virConnect, LISTED, listed)
    assert read(hypervisor) == NAMES and asked == [4, 2, 2, 3]
    asked.clear()
    assert read(hypervisor) == NAMES and asked == [2, 2, 2, 1]
    assert bulk.call_count == 1


def test_a_batch_that_fails_for_good(uri: str, mocker: MockerFixture) -> None:
    """Batches that were read are written, although another one fails; its domains are counted."""
    config = HypervisorConfig(libvirt_uri=uri, statistics_groups=("state",), parallel_calls=2)
    real = libvirt.virConnect.domainListGetStats
    bad: set[str] = set()

    def listed(connection: Any, domains: list[Any], *rest: Any) -> Any:
        names = {domain.name() for domain in domains}
        if len(names) == 4:  # the larger one of the two batches; libvirt chooses the order
            bad.update(names)
        if names & bad:
            raise libvirt_error(1, 10)
        return real(connection, domains, *rest)

    mocker.patch.object(libvirt.virConnect, LISTED, listed)
    domains, outcome = tick(Hypervisor(config, "test"))
    assert {domain.name for domain in domains} == {*NAMES} - bad
    assert outcome.up and outcome.unread == len(bad) == 4


def test_answers_that_never_fit(hypervisor: Hypervisor, mocker: MockerFixture) -> None:
    """If even single domains are too large for an answer, three of them are enough to know: the
    tick fails after few calls."""
    mocker.patch.object(libvirt.virConnect, ALL, side_effect=libvirt_error(39, 7))
    listed = mocker.patch.object(libvirt.virConnect, LISTED, side_effect=libvirt_error(39, 7))
    domains, outcome = tick(hypervisor)
    assert domains == [] and not outcome.up
    assert listed.call_count == 6  # of 12: halves of the domains, down to the third single one


def test_what_fails_once_for_one_domain(one_by_one: Hypervisor, mocker: MockerFixture) -> None:
    """A call that fails like one on a dead connection is made again in the same tick; what the
    driver does not have is not asked for again on the same connection."""
    flags = mocker.spy(libvirt.virDomain, "blockStatsFlags")
    plain = mocker.spy(libvirt.virDomain, "blockStats")
    left = failing(mocker, "info", libvirt_error(38, 7))
    ((domain,), _) = tick(one_by_one)
    assert domain.stats["balloon.current"] == 2097152 and not left
    flags.reset_mock()
    plain.reset_mock()
    for _ in range(3):
        assert "block.0.rd.bytes" in tick(one_by_one)[0][0].stats
    assert flags.call_count == 0 and plain.call_count == 3


def test_xml_is_read_again_when_the_domain_changes(
    one_by_one: Hypervisor, mocker: MockerFixture
) -> None:
    """XML is read once for a domain, and again after an event such as a new start."""
    xml = mocker.spy(libvirt.virDomain, "XMLDesc")
    for _ in range(3):
        read(one_by_one)
    assert xml.call_count == 1
    connection = libvirt.open(TEST_DRIVER)  # the same domains: they live in this process
    guest = connection.lookupByName("test")
    guest.destroy()
    guest.create()
    read(one_by_one)
    assert xml.call_count == 2


def test_xml_from_before_the_first_event(uri: str, mocker: MockerFixture) -> None:
    """XML that was read before events come is read again, as no event told of its changes."""
    wanted = Wanted([STATISTICS_GROUPS["state"]], HypervisorConfig().selection, identity=True)
    facts = Facts(Completeness(wanted.groups), XmlCache(len, 0, 60.0), XmlCache(len, 0, 60.0))
    reader = Reader(uri, wanted, facts, Progress())
    xml, ask = mocker.spy(libvirt.virDomain, "XMLDesc"), XmlRequest(NAMES[:1])
    for request, reads in ((ask, 1), (ask, 1), (WatchRequest(), 1), (ask, 2), (ask, 2)):
        assert len([*reader.answer(request)]) == isinstance(request, XmlRequest)
        assert xml.call_count == reads
    reader.close()


def test_what_is_not_known_costs_itself_only(one_by_one: Hypervisor, mocker: MockerFixture) -> None:
    """Where one call fails for one device, or libvirt's counter is -1, the rest of the domain is
    there."""
    failing(mocker, "interfaceStats", *(libvirt_error(1, 10) for _ in range(9)))
    mocker.patch.object(libvirt.virDomain, "blockStats", return_value=(1, 2, 3, -1, -1))
    ((domain,), _) = tick(one_by_one)
    assert {"net.0.name", "vcpu.1.time", "block.0.wr.reqs"} <= domain.stats.keys()
    assert not {"net.0.rx.bytes", "block.0.wr.bytes", "block.0.errors"} & domain.stats.keys()


def test_known_domains_are_asked_without_a_list(uri: str, mocker: MockerFixture) -> None:
    """With their UUIDs domains are looked up one by one, which leaves out those that are gone and
    shows where it waits; no call is made about all domains."""
    wanted = Wanted([STATISTICS_GROUPS["state"]], HypervisorConfig().selection, bulk=True)
    facts = Facts(Completeness(wanted.groups), XmlCache(len, 0, 60.0), XmlCache(len, 0, 60.0))
    progress = Progress()
    reader = Reader(uri, wanted, facts, progress)
    (listing,) = reader.answer(ListRequest(), facts)
    assert isinstance(listing, Listing) and {*listing.uuids} == {*NAMES}
    for method in ("listAllDomains", ALL):
        mocker.patch.object(libvirt.virConnect, method, Mock(side_effect=AssertionError))
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
    connection = Connection(TEST_DRIVER)
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
