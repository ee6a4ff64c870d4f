"""What the simulation does not look at: the seconds in messages, a daemon that refuses clients, a
restart of it between two ticks, one lock after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from telegraf_execd_libvirt.connection.errors import LibvirtError
from telegraf_execd_libvirt.connection.requests import (
    BatchRequest,
    ControlRequest,
    FetchRequest,
    HostRequest,
    Listing,
    ListRequest,
    Piece,
    Records,
    WatchRequest,
    XmlRequest,
)
from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.hypervisor.batch import Batch
from telegraf_execd_libvirt.hypervisor.engine import Engine
from telegraf_execd_libvirt.hypervisor.journal import Journal
from telegraf_execd_libvirt.hypervisor.messages import (
    Ask,
    Close,
    Ended,
    Link,
    Open,
    Opened,
    Outcome,
    Paused,
    Plan,
    Say,
    TickDue,
)
from telegraf_execd_libvirt.hypervisor.running import Running
from telegraf_execd_libvirt.hypervisor.tick import Tick
from telegraf_execd_libvirt.sources import SOURCES
from telegraf_execd_libvirt.sources.source import Settings

NAMES = [f"guest{number}" for number in range(150)]
LOST = LibvirtError(38, 7, "Connection reset by peer")
DENIED = LibvirtError(45, 0, "denied")


def did(engine: Engine, kind: type) -> list[Any]:
    """The actions of this kind; the others are dropped."""
    found = [action for action in engine.actions if isinstance(action, kind)]
    engine.actions.clear()
    return found


def test_a_tick_that_takes_longer_than_the_interval() -> None:
    """The message has the time of one batch, not that of the tick so far."""
    plan = Plan("host", "qemu:///system", 5.0, "5s", by_name=True)
    engine = Engine(plan, max, lambda: [], Journal(plan))
    answers: dict[int, tuple[float, Any]] = {
        1: (0.0, None),  # the subscription to events
        2: (0.01, Listing(dict.fromkeys(NAMES, ""))),
        3: (0.2, Piece([Domain(name, True, {}) for name in NAMES[:100]], frozenset())),
    }
    engine.handle(TickDue(0, 1.0), 1.0)
    now, asked, texts = 1.0, 0, []
    while engine.actions:
        action = engine.actions.popleft()
        if isinstance(action, Open):
            engine.handle(Opened(action.link, 0.0), now)
        elif isinstance(action, Say):
            texts.append(action.text)
        elif hasattr(action, "request"):
            asked += 1
            if asked in answers:
                seconds, content = answers[asked]
                now += seconds
                engine.handle(Ended(action.link, seconds, content), now)
            else:
                engine.handle(TickDue(0, now + 0.1), now + 0.1)
    (text,) = (text for text in texts if "longer than the interval" in text)
    assert "one batch takes 0.2 s" in text


@pytest.mark.parametrize("in_time", [True, False])
def test_a_daemon_without_a_free_place(in_time: bool) -> None:
    """A tick that begins while a source uses the only connection waits for it until its own end,
    also if the daemon refuses another one."""
    settings = Settings(0, 9_000_000_000, {})
    plan = Plan("host", "qemu:///system", 5.0, "5s", sources=[(SOURCES["job"], settings)])
    engine = Engine(plan, max, lambda: [], Journal(plan))

    def piece() -> Piece:
        return Piece([Domain("guest", True, {})], frozenset(), uuids={"guest": ""})

    engine.handle(TickDue(0, 1.0), 1.0)
    (attempt,) = did(engine, Open)
    engine.handle(Opened(attempt.link, 0.0), 1.0)
    for content in (None, piece()):
        (ask,) = did(engine, Ask)
        engine.handle(Ended(ask.link, 0.0, content), 1.0)
    (fetch,) = did(engine, Ask)
    assert isinstance(fetch.request, FetchRequest)
    engine.handle(TickDue(1, 2.0), 2.0)
    (attempt,) = did(engine, Open)
    engine.handle(Opened(attempt.link, 0.0, LibvirtError(38, 7, "no place")), 2.0)
    assert not did(engine, Outcome)
    if not in_time:
        engine.wake(7.0)
        (outcome,) = did(engine, Outcome)
        assert not outcome.up and engine.wake_at is not None and engine.wake_at > 7.0
        return
    engine.handle(Ended(fetch.link, 1.0, Records()), 2.1)
    (ask,) = did(engine, Ask)
    engine.handle(Ended(ask.link, 0.0, piece()), 2.2)
    (outcome,) = did(engine, Outcome)
    assert outcome.up and outcome.domains == 1


def test_no_connection_survives_a_restart() -> None:
    """Connections that were open before a tick and are dead cost no tick, however many they are."""
    plan = Plan("host", "qemu:///system", 5.0, "5s", calls=3, by_name=True)
    engine = Engine(plan, max, lambda: [], Journal(plan))
    links = []

    def answer(ask: Ask) -> Any:
        if isinstance(ask.request, ListRequest):
            return Listing(dict.fromkeys(NAMES, ""))
        if isinstance(ask.request, BatchRequest):
            return Piece([Domain(name, True, {}) for name in ask.request.names or ()], frozenset())
        return None

    def tick(now: float) -> Outcome:
        engine.handle(TickDue(0, now), now)
        while True:
            action = engine.actions.popleft()
            if isinstance(action, Open):
                engine.handle(Opened(action.link, 0.0), now)
                links.append(action.link)
            elif isinstance(action, Ask) and action.link in dead:
                engine.handle(Ended(action.link, 0.0, error=LOST, alive=False), now)
            elif isinstance(action, Ask):
                engine.handle(Ended(action.link, 0.0, answer(action)), now)
            elif isinstance(action, Outcome):
                return action

    dead: list[Link] = []
    assert tick(1.0).domains == 150 and len(links) == 3
    dead += links
    outcome = tick(2.0)
    assert outcome.up and outcome.domains == 150


class Host:
    """A host with two guests whose calls the test answers."""

    def __init__(self, **plan: Any) -> None:
        self.plan = Plan("host", "qemu:///system", 5.0, "5s", **plan)
        self.engine = Engine(self.plan, max, lambda: [], Journal(self.plan))
        self.texts: list[str] = []
        self.outcomes: list[Outcome] = []

    def go(self, event: Any, now: float) -> list[Ask]:
        """The requests after an event, or at a time; connections and subscriptions work at once."""
        engine, asked = self.engine, []
        engine.wake(now) if event is None else engine.handle(event, now)
        while engine.actions:
            action = engine.actions.popleft()
            if isinstance(action, Open):
                engine.handle(Opened(action.link, 0.0), now)
            elif isinstance(action, Ask) and isinstance(action.request, WatchRequest):
                engine.handle(Ended(action.link, 0.0), now)
            elif isinstance(action, Ask):
                asked.append(action)
            elif isinstance(action, Say):
                self.texts.append(action.text)
            elif isinstance(action, Outcome):
                self.outcomes.append(action)
        return asked

    def answer(self, ask: Ask, now: float, *names: str, lacking: Sequence[str] = ()) -> list[Ask]:
        """The requests after an answer with these guests, of which some lack keys."""
        domains, uuids = [Domain(name, True, {}) for name in names], dict.fromkeys(names, "u")
        content = Piece(domains, frozenset(lacking), uuids=uuids)
        is_list = isinstance(ask.request, ListRequest)
        return self.go(Ended(ask.link, 0.01, Listing(uuids) if is_list else content), now)

    def lock(self, tick: float) -> tuple[Ask, Ask]:
        """A tick in which the first guest is locked: the call about all guests, and its look-up."""
        (whole,) = self.go(TickDue(0, tick), tick)
        (look_up,) = self.go(None, tick + 0.5)
        assert look_up.request.look_up
        look_up.link.progress.looks_up = True
        look_up.link.progress.step("first", tick + 0.5)
        (rest,) = self.go(None, tick + 0.7)
        self.answer(rest, tick + 0.7, "second")
        return whole, look_up


def test_a_lock_that_is_taken_again() -> None:
    """The look-up of an earlier lock that still waits, as another call got the lock before it, is
    no other hung call."""
    host = Host()
    (listing,) = host.go(TickDue(0, 1.0), 1.0)
    (ask,) = host.answer(listing, 1.1, "first", "second")
    host.answer(ask, 1.2, "first", "second")
    whole, _ = host.lock(2.0)
    host.answer(whole, 2.9, "first", "second")
    host.lock(3.0)
    assert [text.partition(";")[0] for text in host.texts[1:]] == ["host: guests locked: first"]


@pytest.mark.parametrize("fails", ["", "unread", "denied", "grown"])
def test_a_large_host_is_listed_first(fails: str) -> None:
    """One request for all guests at once would be too large: also after a tick that did not see all
    of them, and after more were defined."""
    host = Host()
    names = NAMES[:100] if fails == "grown" else NAMES
    (listing,) = host.go(TickDue(0, 1.0), 1.0)
    (ask,) = host.answer(listing, 1.1, *names)
    while asks := host.answer(ask, 1.2, *ask.request.names):
        (ask,) = asks
    (ask,) = host.go(TickDue(0, 11.0), 11.0)
    assert isinstance(ask.request, BatchRequest) is (fails == "grown")
    if fails == "grown":
        host.answer(ask, 11.1, *NAMES[:101])
    elif fails == "denied":
        host.go(Ended(ask.link, 0.1, error=DENIED), 11.1)
    else:
        (ask,) = host.answer(ask, 11.1, *names)
        assert host.engine.wake_at == pytest.approx(11.2)  # another batch may start beside it
        (ask,) = host.answer(ask, 11.1, *ask.request.names)
        host.go(None, 16.0) if fails else host.answer(ask, 11.1, *ask.request.names)
    assert not host.engine.collects
    assert isinstance(host.go(TickDue(0, 21.0), 21.0)[0].request, ListRequest)


def test_a_host_that_becomes_slow() -> None:
    """Its usual time is learnt although a repeat of each request still runs when it is answered."""
    host, repeats = Host(by_name=True), []
    (ask,) = host.go(TickDue(0, 1.0), 1.0)
    (ask,) = host.answer(ask, 1.1, "first", "second")
    host.answer(ask, 1.1, "first", "second")
    for number in range(2, 8):
        now = 10.0 * number
        (ask,) = host.go(TickDue(0, now), now)
        (ask,) = host.answer(ask, now, "first", "second")
        repeats.append(len(beside := host.go(None, now + 0.55)))
        content = Piece([Domain(name, True, {}) for name in ("first", "second")], frozenset())
        host.go(Ended(ask.link, 0.6, content), now + 0.6)
        for other in beside:
            host.go(Ended(other.link, 0.1), now + 0.7)
    assert repeats[0] == 1 and repeats[-1] == 0, repeats


def test_a_guest_whose_calls_hang_also_without_its_monitor() -> None:
    """After two such calls none is made for the guest, until one of them has ended. The first call
    that hangs may have needed the monitor."""
    host = Host(by_name=True)
    (listing,) = host.go(TickDue(0, 1.0), 1.0)
    (ask,) = host.answer(listing, 1.1, "first", "second")
    host.answer(ask, 1.1, "first", "second")
    (listing,) = host.go(TickDue(0, 11.0), 11.0)
    asks = host.answer(listing, 11.0, "first", "second")
    for now in (11.6, 12.2, 12.8):
        asks[-1].link.progress.step("first", now - 0.6)
        asks[-1].link.progress.looked_up = now - 0.6
        asks += host.go(None, now)
    assert [ask.request.hung for ask in asks] == [frozenset(), *[{"first"}] * 3]
    assert [ask.request.skip for ask in asks] == [*[frozenset()] * 3, {"first"}]
    host.go(Ended(asks[1].link, 1.0), 12.9)
    host.answer(asks[3], 13.0, "first", "second", lacking=["first"])
    (listing,) = host.go(TickDue(0, 21.0), 21.0)
    (ask,) = host.answer(listing, 21.0, "first", "second")
    assert not ask.request.skip


@pytest.mark.parametrize(("calls", "most"), [(1, 4), (8, 8)])
def test_requests_for_xml_at_once(calls: int, most: int) -> None:
    """Also with one call at a time there are four: that of a guest which hangs delays no other."""
    host = Host(calls=calls)
    (ask,) = host.go(TickDue(0, 1.0), 1.0)
    asks, asked = host.answer(ask, 1.1, *NAMES), 0
    while asks:
        ask = asks.pop()
        if isinstance(ask.request, XmlRequest):
            asked += 1
            continue
        names = ask.request.names
        piece = Piece([Domain(name, True, {}, None) for name in names], frozenset(), due=names)
        asks += host.go(Ended(ask.link, 0.01, piece), 1.2)
    assert asked == most


def test_a_pause_of_the_reader_within_a_tick() -> None:
    """The tick goes on after it, also if the pause was longer than the timeout."""
    host = Host()
    names = [f"guest{number}" for number in range(250)]
    (listing,) = host.go(TickDue(0, 1.0), 1.0)
    (ask,) = host.answer(listing, 1.1, *names)
    (ask,) = host.answer(ask, 1.2, *ask.request.names)
    assert not host.go(Paused(6.0), 7.2)
    (ask,) = host.answer(ask, 7.2, *ask.request.names)
    host.answer(ask, 7.3, *ask.request.names)
    (outcome,) = host.outcomes
    assert outcome.domains == 250 and not outcome.unread


def test_busy_guests_are_asked_again_in_one_request() -> None:
    """However many they are."""
    host = Host()
    (listing,) = host.go(TickDue(0, 1.0), 1.0)
    (ask,) = host.answer(listing, 1.1, "first", "second")
    host.answer(ask, 1.2, "first", "second", lacking=["first", "second"])
    (ask,) = host.go(None, 1.3)
    assert ask.request.names == ["first", "second"]


def test_sources_of_a_hypervisor_that_is_not_read() -> None:
    """They have its reason, also if there is a connection."""
    host = Host(sources=[(SOURCES["job"], Settings(0, 5_000_000_000, {}))])
    (ask,) = host.go(TickDue(0, 1.0), 1.0)
    host.go(Ended(ask.link, 0.01, error=DENIED), 1.1)
    (feed,) = host.engine.fetches.feeds
    assert host.engine.links.open and (feed.up, feed.errors, feed.error) == (
        False,
        1,
        "denied",
    )


def test_a_source_whose_daemon_was_killed() -> None:
    """libvirt does not connect to a daemon behind this one again, so the connection is closed."""
    host = Host(sources=[(SOURCES["job"], Settings(0, 5_000_000_000, {}))])
    (listing,) = host.go(TickDue(0, 1.0), 1.0)
    (ask,) = host.answer(listing, 1.1, "first")
    (fetch,) = host.answer(ask, 1.2, "first")
    assert isinstance(fetch.request, FetchRequest)
    closed = LibvirtError(1, 7, "client socket is closed")
    host.engine.handle(Ended(fetch.link, 0.01, error=closed), 1.3)
    assert [action.link for action in did(host.engine, Close)] == [fetch.link]


@pytest.mark.parametrize(
    ("request_", "at", "looks_up", "waits"),
    [
        (BatchRequest(["a", "b"]), "", False, True),
        (BatchRequest(["b"]), "", False, False),
        (BatchRequest(["a", "b"]), "b", True, False),
        (BatchRequest(["a", "b"]), "a", True, True),
        (BatchRequest(), "", False, True),
        (ControlRequest(["a", "b"]), "a", False, True),
        (ControlRequest(["a", "b"]), "b", False, False),
        (XmlRequest(["b"]), "", False, True),  # it lists all domains
        (HostRequest(), "", False, False),
    ],
)
def test_what_waits_for_a_lock(request_: Any, at: str, looks_up: bool, waits: bool) -> None:
    """A request that touches the locked guest, or has come to it."""
    link = Link(1, True, 0.0)
    link.progress.at, link.progress.looks_up = at, looks_up
    run = Running(Batch(request_), Tick(0, 0.0, 5.0), request_, link, 0.0)
    assert run.waits_for("a") == waits


def test_an_unknown_lock_beside_a_busy_guest() -> None:
    """A guest that is complete when it is asked again is not the reason why a call about all guests
    hangs: no other such call is made."""
    host = Host()
    (listing,) = host.go(TickDue(0, 1.0), 1.0)
    (ask,) = host.answer(listing, 1.1, "first", "second")
    host.answer(ask, 1.2, "first", "second")
    host.go(TickDue(0, 2.0), 2.0)
    (ask,) = host.go(None, 2.5)
    assert not host.answer(ask, 2.5, "first", "second", lacking=["first"])
    (ask,) = host.go(None, 2.6)
    host.answer(ask, 2.6, "first")
    assert "host: calls about all domains hang" in [text[:34] for text in host.texts]
    (ask,) = host.go(TickDue(0, 3.0), 3.0)
    assert ask.request.names == ["first", "second"]
    host.answer(ask, 3.1, "first", "second")


def test_a_first_tick_that_is_not_answered() -> None:
    """Nobody knows yet that it takes longer than the interval: it may hang."""
    host = Host()
    host.go(TickDue(0, 1.0), 1.0)
    host.go(TickDue(0, 2.0), 2.0)
    assert not any("longer than the interval" in text for text in host.texts)
