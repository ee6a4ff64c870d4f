"""Many guests: all of them in each tick, batch by batch, by one connection or by several; what
each of them lacks."""

from __future__ import annotations

import re

import pytest

from support.crowd import Crowd, guest
from support.host import Host, Hosts
from support.plugin import eventually, states
from support.server import GET_ALL_DOMAIN_STATS, GET_CONTROL_INFO, LIST_ALL_DOMAINS

pytestmark = pytest.mark.thorough


def shapes(lines: list[str]) -> list[str]:
    """The lines without what changes from call to call: the numbers in fields and the time."""
    return sorted(re.sub(r"=-?\d+i", "=", line.rpartition(" ")[0]) for line in lines)


def tick(host: Host, guests: int) -> list[str]:
    """The lines of one more tick, with as many guests in it."""
    lines = host.tick()
    assert len({line.split(" ")[0] for line in states(lines)}) == len(states(lines)) == guests
    return lines


def test_batches(host: Hosts) -> None:
    """A host with one batch of guests is read by one call; at the first tick they are listed
    before. More guests are listed at each tick, and read by one call for each hundred."""
    ticked = host(Crowd(100, step=1000), 'timeout = "60s"')
    tick(ticked, 100)
    assert ticked.asked[LIST_ALL_DOMAINS] == ticked.asked[GET_ALL_DOMAIN_STATS] == 1
    for guests, calls in (
        (100, {GET_ALL_DOMAIN_STATS: 1}),
        (101, {LIST_ALL_DOMAINS: 1, GET_ALL_DOMAIN_STATS: 2}),
        (350, {LIST_ALL_DOMAINS: 1, GET_ALL_DOMAIN_STATS: 4}),
        (20, {GET_ALL_DOMAIN_STATS: 1}),
    ):
        ticked.daemon.crowd = Crowd(guests)
        tick(ticked, guests)
        # A batch that is slow for a moment lets another connection help, which lists them again.
        assert eventually(lambda: tick(ticked, guests) and ticked.asked == calls)  # noqa: B023


def test_memory_does_not_grow_with_the_host(host: Hosts) -> None:
    """600 guests need little more memory than 150: only one batch is in memory at a time."""

    def peak(guests: int) -> int:
        ticked = host(Crowd(guests), 'timeout = "60s"')
        for _ in range(2):
            tick(ticked, guests)
        return ticked.plugin.peak_kib()

    assert peak(600) - peak(150) < 20 * 1024


@pytest.mark.parametrize(("guests", "calls"), [(3, 5), (0, 3), (250, 2)])
def test_parallel_calls_change_nothing_in_the_output(host: Hosts, guests: int, calls: int) -> None:
    """The lines are the same, by as many connections as there are parallel calls."""
    expected = shapes(tick(host(Crowd(guests)), guests))
    assert len(expected) == 1 + 19 * guests
    ticked = host(Crowd(guests), f"parallel_calls = {calls}", 'timeout = "60s"')
    for _ in range(3):
        assert shapes(tick(ticked, guests))[1:] == expected[1:]
        size = min(100, -(-guests // calls)) or 1
        # A slow machine repeats a batch now and then.
        made, batches = ticked.asked[GET_ALL_DOMAIN_STATS], -(-guests // size)
        # Without guests a tick only lists them.
        assert batches <= made <= batches + 3
    assert 1 <= ticked.daemon.connections <= calls + 3


def test_why_a_guest_does_not_respond(host: Hosts) -> None:
    """From the second tick on, such a guest has the state of its control interface. Nobody else is
    asked for it. If that call hangs, it hangs once, and delays no line of others."""
    ticked = host(Crowd(5), 'timeout = "2s"')
    ticked.crowd.busy = {guest(2): 1_000_000}
    health = f"libvirt_domain_health,domain_name={guest(2)} complete=0i"
    lines = tick(ticked, 5)
    assert GET_CONTROL_INFO not in ticked.asked
    assert [line.rpartition(" ")[0] for line in lines if "complete=0i" in line] == [health]
    control = f"{health},control_state=2i,control_details=0i,control_time_ms=1234i "
    assert any(line.startswith(control) for line in tick(ticked, 5))
    assert ticked.asked[GET_CONTROL_INFO] == 1
    ticked.daemon.unanswered.add(GET_CONTROL_INFO)
    for number in range(2):
        ticked.begin()
        ticked.plugin.metrics.wait_for(lambda lines: len(states(lines)) >= 4, "all others")
        assert len(states(ticked.end())) == 5
        assert ticked.asked[GET_CONTROL_INFO] == (number == 0)
    assert ticked.health["calls_hanging"] >= 1 and ticked.health["domains_incomplete"] == 1
    ticked.daemon.answer()


def test_what_a_driver_cannot_give_is_not_missing(host: Hosts) -> None:
    """A guest that never has the keys of the monitor in the wanted groups is complete, and asked
    once more only; another guest is still found incomplete."""
    crowd = Crowd(3)
    lacks = r"block\.\d+\.(?!name)"
    crowd.special[guest(2)] = tuple(p for p in crowd.parameters if not re.match(lacks, p.key))
    ticked = host(crowd, 'statistics_groups = ["state", "block"]', 'timeout = "60s"')
    assert [ticked.tick() and ticked.health["domains_incomplete"] for _ in range(3)] == [0, 0, 0]

    def requests() -> int:
        before = len(crowd.requests)
        ticked.tick()
        return len(crowd.requests) - before

    assert eventually(lambda: requests() == 1)
    assert not ticked.troubles
    crowd.busy = {guest(3): 1000}
    ticked.tick()
    assert ticked.health["domains_incomplete"] == 1
    ticked.plugin.wait_for_message(f"guests not responding: {guest(3)}")
