"""Sources: when one is fetched, what is a failure, what hangs, and what is reported."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Optional

import pytest

from telegraf_execd_libvirt.connection.errors import LibvirtError
from telegraf_execd_libvirt.connection.requests import Records
from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.hypervisor.fetches import Fetches
from telegraf_execd_libvirt.hypervisor.links import Links
from telegraf_execd_libvirt.hypervisor.messages import (
    Ask,
    Ended,
    Fetched,
    Link,
    Open,
    Opened,
    Plan,
    Say,
)
from telegraf_execd_libvirt.hypervisor.patience import (
    FETCH_LINKS,
    MOST_HANGING,
    Backoff,
    Patience,
)
from telegraf_execd_libvirt.hypervisor.roster import Roster
from telegraf_execd_libvirt.hypervisor.running import Runs
from telegraf_execd_libvirt.hypervisor.tick import Tick
from telegraf_execd_libvirt.hypervisor.voice import STATE, Voice
from telegraf_execd_libvirt.sources import SOURCES
from telegraf_execd_libvirt.sources.source import Settings, Source

INVALID, LOST, DENIED, REFUSED = (
    LibvirtError(55, 10, "no"),
    LibvirtError(38, 7, "cut"),
    LibvirtError(45, 7, "denied"),
    LibvirtError(38, 7, "refused"),
)
PAUSES = [1, 2, 4, 8, 16, 32, 60, 60]
WORKED = Records([Domain("a", True, {})], worked=True)


def source(name: str = "job", **changes: Any) -> Source:
    """A source that asks nothing."""
    return replace(SOURCES["job"], name=name, new=lambda: lambda scope: iter(()), **changes)


class Lab(Fetches):
    """Sources with an interval in seconds and a timeout of 5 s, on connections that are open."""

    def __init__(
        self, *sources: Source, interval: float = 0.0, far: bool = False, links: int = 8
    ) -> None:
        self.actions: deque[Any] = deque()
        self.patience, self.roster = Patience(5.0), Roster()
        settings = Settings(int(interval * 1e9), 5_000_000_000, {})
        each = [(source, settings) for source in sources or (source(),)]
        plan = Plan("host", "qemu:///system", 5.0, "5s", is_remote=far, sources=each)
        backoff = partial(Backoff, self.patience, far, max)
        voice = self.voice = Voice("host", self.actions)
        self.links = Links(voice, True, 4, 5.0, backoff())
        runs = Runs(1, self.roster)
        super().__init__(plan, backoff, self.links, runs, voice)
        self.feed = self.feeds[0]
        for _ in range(links):
            self.connect(self.links, 0.0)

    def connect(self, links: Links, now: float, error: Optional[LibvirtError] = None) -> None:
        """An attempt to connect ends."""
        links.connect(now)
        event = Opened(self.did(Open)[-1].link, 0.0, error)
        self.opened(event, now) if links is self.others else links.opened(event, now)

    def did(self, kind: type) -> list[Any]:
        """All actions of a kind until now."""
        return [action for action in self.actions if isinstance(action, kind)]

    def texts(self) -> list[str]:
        """What was logged until now."""
        return [action.text.partition(";")[0] for action in self.did(Say)]

    def asks(self, now: float, tick: Optional[Tick] = None) -> list[Ask]:
        """New requests of the sources."""
        self.assign(tick, now)
        found = self.did(Ask)
        for ask in found:
            self.actions.remove(ask)
        return found

    def after(self, now: float) -> list[Ask]:
        """The requests of the sources after a tick at this time."""
        self.patience.tick(now)
        self.tick(int(now * 1e9), now)
        return self.asks(now)

    def end(self, link: Link, now: float, last: Records = WORKED, **event: Any) -> None:
        """A fetch ends."""
        ended = Ended(link, 1.0, last, **event)
        self.ended(ended, now)


def hang(asks: Sequence[Ask], now: float, at: str) -> None:
    """Fetches make their last step at domains with such names."""
    for number, ask in enumerate(asks):
        ask.link.progress.step(f"{at}{number}", now)


@pytest.mark.parametrize(
    ("first", "second", "up"),
    [
        (WORKED, {"last": Records(error=INVALID)}, True),
        (WORKED, {"last": Records(worked=True, error=INVALID)}, True),
        (Records(), {"last": Records(error=INVALID)}, False),
        (WORKED, {"last": None, "error": LOST, "alive": False}, False),
        (WORKED, {"last": None, "error": DENIED}, False),
        (WORKED, {"last": None, "error": INVALID, "defect": ZeroDivisionError()}, False),
    ],
)
def test_failures(first: Records, second: dict[str, Any], up: bool) -> None:
    """A source of several fetches fails if none was answered, or one is lost or refused or has a
    defect; a call that fails beside others is no failure of the source."""
    lab = Lab(source(lanes=2))
    assert lab.feed.health() is None
    one, other = lab.after(100.0)
    assert (one.request.lane, other.request.lane) == ((0, 2), (1, 2))
    lab.end(one.link, 101.0, first)
    lab.end(other.link, 101.0, **second)
    health = lab.feed.health()
    assert health is not None and health.up == lab.feed.up == up
    assert health.records == lab.feed.fetched.records == len(first.domains)
    assert lab.texts() == ([] if up else [f"host: job: {lab.feed.error}"])


@pytest.mark.parametrize("quiet", [False, True])
def test_each_change_is_said_once(quiet: bool) -> None:
    """A problem is a warning, its end a message; what the hypervisor says itself is for the level
    debug, and so is its end."""
    lab = Lab()
    for state, help in (("up", ""), ("LOST", ""), ("LOST", ""), ("hanging", "wait"), ("up", "")):
        lab.feed.set(state, f"{state}!" if state != "up" else "", help, quiet=quiet)
        assert lab.feed.up == (state == "up") == (not lab.feed.error) and lab.feed.help == help
    texts = ["host: job: LOST!", "host: job: hanging!; wait", "host: job: works again"]
    levels = [10, 10, 10] if quiet else [30, 30, 20]
    assert [(said.level, said.text) for said in lab.did(Say)] == [*zip(levels, texts)]


def test_the_rhythm_of_a_source() -> None:
    """A source is due at its interval, or at once after its connection was lost."""
    lab = Lab(interval=10.0)
    asked = []
    for now in (100.0, 109.0, 109.6, 119.0, 120.0, 121.0):
        asks = lab.after(now)
        asked.append(len(asks))
        for ask in asks:
            lost = now == 120.0
            lab.end(ask.link, now, Records(error=LOST) if lost else WORKED, alive=not lost)
    assert asked == [1, 0, 1, 0, 1, 1]


@pytest.mark.parametrize(("error", "pauses"), [(DENIED, PAUSES), (LOST, PAUSES), (INVALID, [0, 0])])
def test_a_source_that_is_refused(error: LibvirtError, pauses: list[int]) -> None:
    """It is asked less and less often, also if an error of another daemon comes on a connection
    that lives."""
    lab, now, found = Lab(), 100.0, []
    for _ in pauses:
        (ask,) = lab.after(now)
        lab.end(ask.link, now, Records(error=error))
        found.append(next(s for s in range(100) if lab.feed.is_due(now + s)))
        now += found[-1]
    assert found == pauses and lab.feed.errors == len(pauses)


def test_when_a_fetch_begins() -> None:
    """It begins after the statistics of the tick, at the latest after 0.4 s. Its records have the
    timestamp of the tick, or that of the fetch if it waited behind a call that hung."""
    lab, tick = Lab(), Tick(0, 100.0, 105.0)
    for began, hung_at, late in ((100.4, None, 0), (102.0, None, 0), (102.0, 100.2, 2_000_000_000)):
        tick.hung_at = hung_at
        lab.tick(7, 100.0)
        assert not lab.asks(100.39, tick)
        (ask,) = lab.asks(began, tick)
        lab.end(ask.link, 103.0)
        assert lab.did(Fetched)[-1] == Fetched(0, WORKED.domains, 7 + late)


def test_sources_share_connections() -> None:
    """Three fetches run at the same time, the others wait for their turn."""
    lab = Lab(*(source(f"s{number}", lanes=2) for number in range(4)))
    asks = lab.after(100.0)
    for _ in range(5):
        assert len(asks) == FETCH_LINKS
        lab.end(asks.pop(0).link, 100.1)
        asks += lab.asks(100.1)
    for ask in asks:
        lab.end(ask.link, 100.2)
    assert not lab.busy and len(lab.did(Fetched)) == 8 and all(feed.up for feed in lab.feeds)


def test_a_fetch_that_hangs_at_a_domain() -> None:
    """It is abandoned and named once; the next fetches leave the domain out until it ends."""
    lab = Lab(source("job"), source("event"))
    hung, other = lab.after(100.0)
    lab.end(other.link, 100.1)
    hang([hung], 100.1, at="web")
    for now, abandoned in ((105.5, False), (105.7, True)):  # libvirt itself may end it at 5 s
        lab.expire(now)
        assert hung.link.progress.abandoned is abandoned is not lab.busy
    for ask in lab.after(106.0):
        assert ask.request.skipped == {"web0"}
        lab.end(ask.link, 106.0)
    health = lab.feed.health()
    assert health and (health.up, health.hanging, health.errors) == (False, 1, 1)
    lab.end(hung.link, 108.0, Records(error=INVALID))
    assert [ask.request.skipped for ask in lab.after(109.0)] == [frozenset(), frozenset()]
    assert lab.texts() == [
        "host: job: no answer within 5s for domain web0",
        "host: job: works again",
    ]
    assert len(lab.did(Fetched)) == 3


def test_a_fetch_that_waits_for_a_lock() -> None:
    """It is abandoned as soon as the lock is known, so that other sources have its connection; it
    is no failure of its source."""
    lab = Lab(*(source(f"s{number}") for number in range(FETCH_LINKS + 1)))
    asks = lab.after(100.0)
    hang(asks, 100.0, at="web")
    assert len(asks) == FETCH_LINKS
    for ask in asks:
        lab.roster.lock(ask.link.progress.at, ask.link, False, 100.3)
    lab.expire(100.3)
    (other,) = lab.asks(100.3)
    lab.end(other.link, 100.4)
    assert all(ask.link.progress.abandoned for ask in asks) and not lab.texts()
    assert all(feed.up and not feed.errors for feed in lab.feeds)


def test_fetches_that_hang_are_bounded() -> None:
    """At most four are abandoned. Those that hang beside them occupy their sources; from four of
    these on no further fetch begins, and the other sources are down in health."""
    lab = Lab(*(source(f"s{number}") for number in range(20)), links=20)
    hung = []
    for now in range(100, 200, 6):
        asks = lab.after(float(now)) if now % 12 else lab.asks(float(now))
        hang(asks, float(now), at=f"web{now}-")
        lab.expire(now + 5.6)
        hung += asks
    assert sum(ask.link.progress.abandoned for ask in hung) == MOST_HANGING
    assert 2 * MOST_HANGING <= len(hung) < 2 * MOST_HANGING + FETCH_LINKS
    last = lab.feeds[-1]
    assert not last.up and last.error == "no turn: fetches of other sources hang"


def test_another_connection_beside_fetches_that_hang() -> None:
    """They occupy connections that other sources need."""
    lab = Lab(*(source(f"s{number}") for number in range(5)), links=4)
    lab.after(100.0)
    lab.expire(105.6)
    assert len(lab.asks(105.6)) == 1 and len(lab.did(Open)) == 5


def test_a_fetch_that_hangs_at_no_domain() -> None:
    """A call about the host may be slow; it is given up after 15 s."""
    lab = Lab()
    assert len(lab.after(100.0)) == 1
    lab.expire(105.5)
    assert lab.texts() == ["host: job: no answer within 5s"]
    assert not lab.busy and lab.after(106.0) == []
    lab.expire(115.6)
    assert len(lab.after(116.0)) == 1


def test_sources_wait_for_the_hypervisor() -> None:
    """While the hypervisor cannot be read, they do not connect: each fails at each tick, quietly,
    because the hypervisor says it."""
    lab = Lab(links=0)
    for now in (100.0, 101.0):
        assert lab.after(now) == []
        lab.voice.problem(STATE, logging.ERROR, "cannot be read")
        lab.fail_all("access denied", now)
        health = lab.feed.health()
        assert health and not health.up and not lab.busy
    (_, said) = lab.did(Say)
    assert (said.level, said.text) == (10, "host: job: access denied")
    assert lab.feed.errors == 2 and not lab.did(Open)


def test_an_outage_that_ended_during_a_fetch() -> None:
    """The hypervisor has said it, so the source does not: its other part ends later."""
    lab = Lab(source(lanes=2, read_only=False))
    lab.after(100.0)
    lab.connect(lab.others, 100.0)
    (ask,) = lab.asks(100.0)
    lab.voice.problem(STATE, logging.ERROR, "cannot be read")
    lab.fail_all("cannot be read", 101.0)
    lab.voice.end(STATE, "connected")
    lab.end(ask.link, 102.0, Records())
    assert [(said.level, said.text) for said in lab.did(Say)][2:] == [
        (10, "host: job: cannot be read")
    ]
    assert not lab.feed.up


def test_a_source_with_more_rights() -> None:
    """It has its own connection, which is tried once in a tick; if that is refused, the source
    says so, and what helps."""
    lab = Lab(source("guest_agent", read_only=False, advice="ask for rights"))
    for now, error in ((100.0, DENIED), (101.0, REFUSED)):
        assert lab.after(now) == []
        lab.connect(lab.others, now, error)
        assert lab.asks(now) == [] and not lab.busy
        assert lab.feed.is_due(now) == (error is REFUSED)
    lab.after(102.0)
    lab.connect(lab.others, 102.0)
    (ask,) = lab.asks(102.0)
    assert not ask.link.read_only and len(lab.did(Open)) == 8 + 3
    lab.end(ask.link, 102.0)
    assert lab.did(Say)[0].text == "host: guest_agent: denied; ask for rights"
    assert lab.texts()[1:] == ["host: guest_agent: refused", "host: guest_agent: works again"]


def test_locked_domains_are_not_asked() -> None:
    """While calls about all domains hang, sources ask those that are known and free."""
    lab = Lab()
    lab.roster.note({"a": "uuid-a", "b": "uuid-b"})
    (ask,) = lab.after(100.0)
    assert ask.request.uuids is None
    lab.end(ask.link, 100.0)
    lab.roster.lock("a", Link(99, True, 0.0), by_block=False, now=0.0)
    lab.roster.block(None)
    (ask,) = lab.after(101.0)
    assert ask.request.uuids == {"b": "uuid-b"} and ask.request.skipped == {"a"}


def test_a_fetch_that_meets_a_lock_is_repeated_at_the_next_tick() -> None:
    """It is given up when the lock is known, which is no failure; the next tick brings the others,
    also if the source is due much later."""
    lab = Lab(interval=90.0)
    lab.roster.note({"a": "uuid-a", "b": "uuid-b"})
    (ask,) = lab.after(100.0)
    ask.link.progress.at = "a"
    lab.roster.lock("a", Link(99, True, 0.0), by_block=False, now=100.5)
    lab.expire(100.6)
    assert not lab.texts() and lab.feed.errors == 0
    (ask,) = lab.after(110.0)
    assert ask.request.skipped == {"a"}
    lab.end(ask.link, 110.0)
    assert lab.after(120.0) == []


def test_a_fetch_that_hangs_is_repeated_at_the_next_tick_without_the_reason() -> None:
    """The other domains are brought as soon as the domain is left out at which it hangs. What has
    no such reason comes when the source is due."""
    lab = Lab(source("job"), source("event"), interval=90.0)
    first, second = lab.after(100.0)
    hang([first], 100.0, at="web")
    lab.expire(106.0)
    (ask,) = lab.after(110.0)
    assert ask.request.skipped == {"web0"}
    lab.end(ask.link, 110.0)
    lab.expire(116.0)
    assert second.link.progress.abandoned and lab.after(120.0) == []
    assert len(lab.after(200.0)) == 2


def test_what_limits_leave_out_is_counted_and_named_once() -> None:
    """The health counts all that a source leaves out because of a limit; the log says it once."""
    lab = Lab()
    for now in (100.0, 101.0, 102.0):
        (ask,) = lab.after(now)
        lab.end(ask.link, now, replace(WORKED, dropped={"domain a: too much": 2}))
    health = lab.feed.health()
    assert health and health.up and health.dropped == 6
    assert lab.texts() == ["host: job: domain a: too much"]


def test_a_closed_connection_behind_the_daemon() -> None:
    """A connection is stale if libvirt says that one behind it is closed, and not if none could be
    opened."""
    link = Link(1, True, 0.0)
    closed = LibvirtError(1, 7, "internal error: client socket is closed")
    assert Ended(link, 1.0, error=closed).stale
    assert not Ended(link, 1.0, error=REFUSED).stale and not Ended(link, 1.0).stale


def test_connections_that_know_a_daemon_which_was_started_again() -> None:
    """They are closed in one tick, without a failure; the last one is a failure."""
    closed = LibvirtError(1, 7, "internal error: client socket is closed")
    lab = Lab(links=3)
    (ask,) = lab.after(10.0)
    used = [ask.link]
    for _ in range(2):
        lab.end(used[-1], 10.0, Records(), error=closed)
        used += [ask.link for ask in lab.asks(10.0)]
        assert lab.feed.up and len({*used}) == len(used)
    lab.connect(lab.links, 10.0)
    lab.end(used[-1], 10.0, Records(), error=closed)
    (ask,) = lab.asks(10.0)
    assert ask.link not in used and not lab.texts()
    lab.end(ask.link, 10.0, Records(), error=closed)
    assert lab.asks(10.0) == [] and not lab.feed.up and lab.feed.errors == 1
    assert not lab.links.open


def test_no_turn_beside_a_locked_guest() -> None:
    """The lock is the reason why no connection is free, and not the daemon."""
    lab = Lab(links=0)
    lab.roster.lock("a", Link(99, True, 0.0), False, 0.0)
    assert lab.after(10.0) == lab.asks(16.0) == []
    assert lab.feed.error == "no turn: calls wait for guests that libvirt has locked"
    assert not lab.feed.help


def test_a_source_that_had_no_turn_is_first() -> None:
    """Where connections are slow, no source waits for ever behind the others."""
    lab = Lab(*(source(f"s{number}") for number in range(3)), links=1)
    served = []
    for now in (100.0, 110.0, 120.0, 130.0):
        (ask,) = lab.after(now)
        served.append(lab._running[ask.link].feed.number)
        assert lab.asks(now + 6) == [] and not lab.queue
        lab.end(ask.link, now + 7)
    assert served == [0, 1, 2, 0]
