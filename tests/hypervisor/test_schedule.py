"""Which groups are due for which domains."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import pytest

from telegraf_execd_libvirt.connection.requests import Groups, Piece
from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.hypervisor.messages import Plan
from telegraf_execd_libvirt.hypervisor.roster import Roster
from telegraf_execd_libvirt.hypervisor.schedule import Schedule

COUNT = 1000


class Host:
    """A host with many guests whose ticks come every ``tick`` seconds, more or less."""

    def __init__(self, spread: bool, tick: float, **intervals: float) -> None:
        roster = Roster()
        roster.note({f"g{n}": str(UUID(int=n * 0x1234567_89ABCDEF_FEDCBA98)) for n in range(COUNT)})
        plan = Plan("", "", 5.0, "5s", intervals=intervals, spread=spread)
        self._schedule = Schedule(plan, roster)
        self._names, self._tick, self._number = [*roster.uuids], tick, 0

    def tick(
        self, jitter: float = 0.0, incomplete: frozenset[str] = frozenset()
    ) -> dict[str, Groups]:
        """The groups that each guest is asked for in a tick; answers come incomplete for some."""
        self._schedule.begin(
            77.7 + self._number * self._tick + jitter, self._tick if self._number else 0.0
        )
        self._number += 1
        parts = self._schedule.split(self._names)
        asked = {name: groups or frozenset() for groups, names in parts.items() for name in names}
        domains = [Domain(name, True, {}, groups=groups) for name, groups in asked.items()]
        self._schedule.take(Piece(domains, incomplete))
        return asked


@pytest.mark.parametrize("jitter", [(0.0, 0.0, 0.0), (0.002, 0.2, -0.15)])
def test_groups_without_spread_are_asked_together(jitter: tuple[float, ...]) -> None:
    """All guests are asked for a group in the same ticks, though ticks are early or late."""
    host = Host(False, 1.0, state=0.0, balloon=2.0, block=6.0, vcpu=1.0)
    ticks = [host.tick(jitter[number % 3]) for number in range(19)]
    assert all(len(set(tick.values())) == 1 for tick in ticks)
    for group, every in {"state": 1, "vcpu": 1, "balloon": 2, "block": 6}.items():
        assert [n for n, tick in enumerate(ticks) if group in tick["g0"]] == [*range(0, 19, every)]


def test_spread_gives_each_tick_a_share() -> None:
    """Each guest gets each group at its first tick, then once an interval at its own place, and
    a long interval together with a short one; no tick asks for many more than its share."""
    host = Host(True, 1.0, state=0.0, vcpu=5.0, block=10.0)
    assert {*host.tick().values()} == {frozenset({"state", "vcpu", "block"})}
    host.tick()  # from now on the interval of the ticks is known
    ticks = [host.tick() for _ in range(40)]
    for group, interval in {"state": 1, "vcpu": 5, "block": 10}.items():
        of = Counter(name for tick in ticks for name, groups in tick.items() if group in groups)
        assert {*of.values()} == {40 // interval}
        shares = [sum(group in groups for groups in tick.values()) for tick in ticks]
        assert max(shares) < 1.5 * COUNT / interval
        later = ticks[interval:]
        assert all(
            (group in tick[name]) is (group in after[name])
            for tick, after in zip(ticks, later)
            for name in ("g0", "g1", "g2")
        )
    together = {groups for tick in ticks for groups in tick.values()}
    assert frozenset({"state", "block"}) not in together


def test_what_comes_incomplete_stays_due() -> None:
    """A guest that does not respond is asked for the same at the next tick; one that was away for
    some time gets it once."""
    host = Host(False, 10.0, state=0.0, block=3600.0)
    hung = frozenset({"g1"})
    assert [host.tick(incomplete=hung)["g1"] for _ in range(3)] == [{"state", "block"}] * 3
    assert host.tick()["g1"] == {"state", "block"} and host.tick()["g1"] == {"state"}


@pytest.mark.parametrize("spread", [False, True])
def test_an_interval_of_the_ticks_or_less_is_that_of_the_ticks(spread: bool) -> None:
    """Ticks that come a little early leave nothing out."""
    host = Host(spread, 10.0, state=10.0, block=3.0)
    for jitter in (0.0, 0.01, -0.01, 0.02, -0.02):
        assert {*host.tick(jitter).values()} == {frozenset({"state", "block"})}


def test_a_late_tick_leaves_nothing_out() -> None:
    """After a tick that was late, and after an outage, the interval of the ticks is as before: each
    guest is asked for everything that is due at each tick, and for the rest once."""
    host = Host(True, 1.0, state=1.0, block=10.0)
    for _ in range(12):
        host.tick()
    assert all("state" in groups for late in (0.7, 0.0) for groups in host.tick(late).values())
    after = [host.tick(60.0) for _ in range(9)]
    assert {*after[0].values()} == {frozenset({"state", "block"})}
    asked = Counter(
        name for tick in after[1:] for name, groups in tick.items() if "block" in groups
    )
    assert {*asked.values()} == {1}
