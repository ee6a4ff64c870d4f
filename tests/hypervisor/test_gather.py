"""One tick after another, by connections that a test makes up: what hangs, fails or comes late.

The rule: each connection ends with its test.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Union, cast

import pytest

from support.plugin import SECONDS, eventually
from telegraf_execd_libvirt.connection.errors import LibvirtError
from telegraf_execd_libvirt.connection.reader import Reader
from telegraf_execd_libvirt.connection.requests import BatchRequest as Request
from telegraf_execd_libvirt.connection.requests import Listing, Piece
from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.hypervisor.dispatch import BATCH, Dispatcher
from telegraf_execd_libvirt.hypervisor.gather import Gatherer
from telegraf_execd_libvirt.hypervisor.patience import MOST_HANGING, Patience
from telegraf_execd_libvirt.hypervisor.pool import Pool
from telegraf_execd_libvirt.hypervisor.tick import Tick

Content = Iterator[Union[Listing, Piece]]
Answer = Callable[[Request], Content]

FAILED = LibvirtError(1, 10, "a guest died")


def names(count: int, start: int = 0) -> list[str]:
    """The names of some domains."""
    return [f"guest{number}" for number in range(start, start + count)]


def piece(domains: Sequence[str], partial: Sequence[str] = ()) -> Piece:
    """These domains, some of them incomplete."""
    return Piece([Domain(name, True, {}) for name in domains], frozenset(partial))


def answer_all(everything: Sequence[str]) -> Answer:
    """The answer of a healthy hypervisor with these domains."""

    def answer(request: Request) -> Content:
        wanted = everything if request.names is None else request.names
        if request.list_first:
            yield Listing(everything)
            wanted = everything[: request.list_first]
        yield piece(wanted)

    return answer


def fail(request: Request) -> Content:
    """Fail with an error of libvirt's."""
    raise FAILED
    yield  # a generator


class Host:
    """A hypervisor that answers as the test says, and the gatherer that reads it.

    Each request takes the next of `answers`; without any, all `domains` answer.
    """

    def __init__(
        self,
        domains: Sequence[str],
        timeout: float,
        parallel_calls: int = 1,
        selects: bool = False,
    ) -> None:
        self.domains = list(domains)
        self.answers: list[Answer] = []
        self.always: Answer | None = None
        self.asked: list[Request] = []
        self.connections = self.open = 0
        self.release = threading.Event()
        patience = Patience(timeout)
        self.pool = Pool(self._connect, parallel_calls, patience)
        dispatcher = Dispatcher(self.pool, patience, selects, parallel_calls)
        self.gatherer = Gatherer(self.pool, patience, dispatcher, host=False)

    def _connect(self) -> Reader:
        self.connections += 1
        self.open += 1
        self.newest = Connection(self)
        return cast(Reader, self.newest)

    def hang(self, request: Request) -> Content:
        """Hang until the test releases it; then answer."""
        assert self.release.wait(SECONDS)
        yield from answer_all(self.domains)(request)

    def tick(self) -> tuple[Tick, list[str]]:
        """One tick and the names of its domains."""
        self.asked.clear()
        tick = self.gatherer.begin()
        found = [
            domain.name for reading in self.gatherer.gather(tick) for domain in reading.domains
        ]
        assert len(found) == len({*found}) == tick.delivery.count
        return tick, found

    def close(self) -> None:
        """End all connections."""
        self.release.set()
        self.answers.clear()
        self.always = None
        while self.gatherer.hanging or self.pool.hanging:
            self.gatherer.begin()
            time.sleep(0.01)
        while (worker := self.pool.acquire()) is not None:
            worker.close()
        assert eventually(lambda: self.open == 0)


class Connection:
    """A connection to the host of a test."""

    connection: Any = property(lambda self: self)
    count: int | None = None
    at = ""

    def __init__(self, host: Host) -> None:
        self._host = host

    def alive(self) -> bool:
        """Whether the connection lives."""
        return True

    def close(self) -> None:
        """Close it."""
        self._host.open -= 1

    def read(self, request: Request) -> Content:
        """The answer to a request."""
        host = self._host
        host.asked.append(request)
        answer = host.answers.pop(0) if host.answers else host.always
        yield from (answer or answer_all(host.domains))(request)


@pytest.fixture
def host() -> Iterator[Callable[..., Host]]:
    """Create a host; see Host for the arguments."""
    hosts: list[Host] = []

    def create(*arguments: Any, **options: Any) -> Host:
        hosts.append(Host(*arguments, **options))
        return hosts[-1]

    yield create
    for created in hosts:
        created.close()


def test_all_batches(host: Callable[..., Host]) -> None:
    """All domains are read, each once; a host that is known to fit in one batch is not listed."""
    small, large = host(names(5), 5.0), host(names(2 * BATCH + 1), 5.0, parallel_calls=2)
    for number in range(3):
        assert small.tick()[1] == small.domains
        assert len(small.asked) == 1 and bool(small.asked[0].list_first) == (number == 0)
        assert sorted(large.tick()[1]) == sorted(large.domains)
        assert len(large.asked) == 3 and large.asked[0].list_first == BATCH


def test_a_late_answer_changes_nothing(host: Callable[..., Host]) -> None:
    """What an abandoned request of an earlier tick brings is not in a later tick."""
    busy = host(names(3), 0.6)
    ended = threading.Event()

    def late(request: Request) -> Content:
        assert busy.release.wait(SECONDS)
        yield Listing(["ghost", *names(3)])
        yield piece(["ghost"], partial=["ghost"])
        yield piece(["ghost", *names(3)])
        ended.set()

    busy.answers = [late, late, fail, fail]
    tick, found = busy.tick()
    assert not found and not tick.read and busy.gatherer.hanging

    def meanwhile(request: Request) -> Content:
        busy.release.set()
        assert ended.wait(SECONDS)
        time.sleep(0.05)  # its answers are in the queue
        yield from answer_all(busy.domains)(request)

    busy.answers = [meanwhile]
    for _ in range(3):
        tick, found = busy.tick()
        assert found == busy.domains and not tick.delivery.incomplete and not tick.unread
    assert busy.gatherer.hanging == 0


def test_several_lists_of_one_tick(host: Callable[..., Host]) -> None:
    """If two requests of one tick list the domains, each batch is requested once."""
    crowd = host(names(2 * BATCH + 50), 1.5)
    listed = threading.Event()

    def slow(request: Request) -> Content:
        assert crowd.release.wait(SECONDS)
        yield Listing([*reversed(crowd.domains)])
        listed.set()
        yield piece(crowd.domains[:BATCH])

    def release(request: Request) -> Content:
        crowd.release.set()
        assert listed.wait(SECONDS)
        yield from answer_all(crowd.domains)(request)

    crowd.answers = [slow, answer_all(crowd.domains), release]
    tick, found = crowd.tick()
    assert found == crowd.domains and not tick.unread
    assert [request.list_first for request in crowd.asked] == [BATCH, BATCH, 0, 0]
    assert [request.names for request in crowd.asked[2:]] == [
        crowd.domains[BATCH : 2 * BATCH],
        crowd.domains[2 * BATCH :],
    ]


def test_a_defect_is_raised(host: Callable[..., Host]) -> None:
    """An exception that is not libvirt's ends the tick, and the next tick works; a request of the
    ended tick that still runs is not repeated in the next one."""

    def defect(request: Request) -> Content:
        raise ZeroDivisionError("a defect")
        yield  # a generator

    def list_and_hang(request: Request) -> Content:
        yield Listing(broken.domains)
        yield from broken.hang(request)

    def longer_than_patience(request: Request) -> Content:
        time.sleep(0.3)
        yield from answer_all(broken.domains)(request)

    broken = host(names(2 * BATCH), 0.6, parallel_calls=2)
    broken.answers = [list_and_hang, defect]
    with pytest.raises(ZeroDivisionError, match="a defect"):
        broken.tick()
    assert broken.gatherer.hanging == 1
    broken.answers = [answer_all(broken.domains), longer_than_patience]
    _, found = broken.tick()
    assert sorted(found) == sorted(broken.domains)
    assert not [request for request in broken.asked if request.names == broken.domains[:BATCH]]
    broken.release.set()
    assert eventually(lambda: broken.tick() and broken.gatherer.hanging == 0)


@pytest.mark.parametrize("parallel_calls", [1, 3])
def test_requests_that_hang_are_bounded(host: Callable[..., Host], parallel_calls: int) -> None:
    """However long a hypervisor hangs, the number of requests and connections is bounded, and
    a tick ends at the timeout; afterwards only the connections in use stay open."""
    silent = host(names(3), 0.3, parallel_calls=parallel_calls)
    silent.tick()
    silent.always = silent.hang
    most = MOST_HANGING + parallel_calls
    for _ in range(6):
        started = time.monotonic()
        tick, found = silent.tick()
        assert not found and not tick.read
        assert time.monotonic() - started < 0.3 + 0.2
        assert 1 <= silent.gatherer.hanging <= most and silent.open <= most + parallel_calls
    assert silent.tick() and not silent.asked
    silent.always = None
    silent.release.set()
    assert eventually(lambda: silent.tick()[1] == silent.domains and not silent.gatherer.hanging)
    silent.tick()
    assert eventually(lambda: silent.open <= parallel_calls)


def test_a_later_failure_costs_no_answer(host: Callable[..., Host]) -> None:
    """What was read before a request fails stays read."""

    def fail_in_the_middle(request: Request) -> Content:
        yield piece(crowd.domains[BATCH : BATCH + 10])
        raise FAILED

    crowd = host(names(2 * BATCH), 5.0)
    crowd.answers = [answer_all(crowd.domains), fail_in_the_middle, fail]
    tick, found = crowd.tick()
    assert found == crowd.domains[: BATCH + 10]
    assert tick.read and tick.error is FAILED
    assert crowd.tick()[1] == crowd.domains


def test_only_incomplete_domains_are_asked_again(host: Callable[..., Host]) -> None:
    """Domains that came incomplete are requested again, and nothing else is."""

    def incomplete(*partial: str) -> Answer:
        return lambda request: iter([piece(request.names or names(4), partial)])

    some = host(names(4), 5.0)
    some.tick()
    some.answers = [incomplete("guest1", "guest3"), incomplete("guest3")]
    tick, found = some.tick()
    assert found == ["guest0", "guest2", "guest1", "guest3"] and not tick.delivery.incomplete
    assert [sorted(request.names or ()) for request in some.asked] == [
        [],
        ["guest1", "guest3"],
        ["guest3"],
    ]


def test_a_request_that_hangs_delays_no_other_domain(host: Callable[..., Host]) -> None:
    """The repeat beside it brings the other domains; an answer of the first one still counts."""
    some = host(names(4), 3.0)
    some.tick()
    arrived: list[tuple[str, float]] = []
    some.answers = [some.hang, lambda request: iter([piece(names(4), ["guest2"])])]
    started = time.monotonic()
    tick = some.gatherer.begin()
    for reading in some.gatherer.gather(tick):
        arrived += [(domain.name, time.monotonic() - started) for domain in reading.domains]
        if len(arrived) == 3:
            some.release.set()
    assert [name for name, _ in arrived] == ["guest0", "guest1", "guest3", "guest2"]
    assert arrived[-1][1] < 1.0 and not tick.delivery.incomplete


def test_a_slow_domain_does_not_count_as_hung(host: Callable[..., Host]) -> None:
    """Only the domain in whose calls a request hangs now is asked for less; one that delayed the
    request before is complete."""
    some = host(names(3), 2.4)
    some.tick()
    asked: list[frozenset[str]] = []

    def slow_then_hung(request: Request) -> Content:
        slow = some.newest
        slow.at = "guest1"
        time.sleep(0.6)  # longer than its patience
        slow.at = "guest2"
        yield from some.hang(request)

    def slow_as_well(request: Request) -> Content:
        asked.append(request.stuck)
        time.sleep(0.4)
        yield piece(names(3), [*request.stuck])

    def answer(request: Request) -> Content:
        asked.append(request.stuck)
        yield piece(names(3), [*request.stuck])
        some.release.set()

    some.answers = [slow_then_hung, slow_as_well, answer]
    _, found = some.tick()
    assert asked == [{"guest1"}, {"guest2"}]
    assert sorted(found) == names(3)
