"""Many guests: all of them in each tick, batch by batch, by one connection or by several."""

from __future__ import annotations

import re

import pytest

from support.crowd import Crowd
from support.host import Config, Daemons, Host, Hosts
from support.plugin import eventually, run, states, timestamps
from support.server import GET_ALL_DOMAIN_STATS, LIST_ALL_DOMAINS


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
    """1,500 guests need little more memory than 150: only one batch is in memory at a time."""

    def peak(guests: int) -> int:
        ticked = host(Crowd(guests), 'timeout = "60s"')
        for _ in range(2):
            tick(ticked, guests)
        return ticked.plugin.peak_kib()

    assert peak(1500) - peak(150) < 20 * 1024


def test_one_timestamp(daemon: Daemons, config: Config) -> None:
    """All lines of a tick have its time, also if it takes long, as long as nothing hangs."""
    hypervisor = daemon(crowd=Crowd(500, seconds=0.001))
    text = f'libvirt_uri = "{hypervisor.uri}"\ntimeout = "60s"\nstatistics_groups = ["state"]'
    extra = '\nadditional_statistics = ["job", "health"]'
    done = run("--config", config(text + extra), "--once")
    lines = done.stdout.splitlines()
    assert len(states(lines)) == 500
    assert len(set(timestamps(lines))) == 1


@pytest.mark.parametrize(("guests", "calls"), [(10, 4), (3, 5), (1, 2), (0, 3), (250, 2)])
def test_parallel_calls_change_nothing_in_the_output(host: Hosts, guests: int, calls: int) -> None:
    """The lines are the same, by as many connections as there are parallel calls."""
    expected = shapes(tick(host(Crowd(guests)), guests))
    assert len(expected) == 1 + 19 * guests
    ticked = host(Crowd(guests), f"parallel_calls = {calls}", 'timeout = "60s"')
    for number in range(3):
        assert shapes(tick(ticked, guests))[1:] == expected[1:]
        size = min(100, -(-guests // calls)) or 1
        # A slow machine repeats a batch now and then.
        made, batches = ticked.asked[GET_ALL_DOMAIN_STATS], -(-guests // size)
        # The first tick lists them, so without any there is nothing to ask.
        assert (batches or int(number > 0)) <= made <= batches + 3
    assert 1 <= ticked.daemon.connections <= calls + 3


def test_fewer_connections_than_calls(host: Hosts, daemon: Daemons) -> None:
    """If the daemon accepts one client only, its connection reads all batches."""
    ticked = host(daemon(crowd=Crowd(10), most_connections=1), "parallel_calls = 4")
    for _ in range(3):
        tick(ticked, 10)


@pytest.mark.parametrize("guests", [50, 350])
def test_an_outage_is_an_outage(host: Hosts, guests: int) -> None:
    """If each call fails and no guest is read, the tick fails with one error and few calls."""
    ticked = host(Crowd(guests))
    for error in ((39, 7, "too large"), (1, 10, "no luck"), (55, 10, "not now")):
        ticked.daemon.error = error
        for _ in range(3):
            tick(ticked, 0)
            assert ticked.health["up"] == 0
            # A batch takes 11 calls until its third domain is refused, and 8 requests may run.
            assert ticked.asked[GET_ALL_DOMAIN_STATS] <= 8 * 11
        ticked.plugin.wait_for_message(error[2])
        ticked.daemon.error = None
        tick(ticked, guests)
    assert ticked.plugin.finish() == 0
    # A request that another failure overtook still runs when calls work again: it then finds the
    # domains that were refused one by one.
    errors = [line for line in ticked.troubles if "no statistics: too large" not in line]
    assert len(errors) == 3 and all("cannot be read" in line for line in errors)


def test_failures_of_a_batch(host: Hosts) -> None:
    """A batch that fails once is asked again in the same tick; batches that were read are written,
    although another batch fails for good."""
    ticked = host(Crowd(350))
    tick(ticked, 350)
    ticked.daemon.errors = [(1, 10, "a guest died"), None, (38, 7, "connection reset")]
    tick(ticked, 350)
    failure = (1, 10, "a guest broke it")
    ticked.daemon.errors = [None, failure, failure]
    tick(ticked, 250)
    assert ticked.health["up"] == 1 and ticked.health["domains"] == 250
    ticked.plugin.wait_for_message("100 domains not read: a guest broke it")
    tick(ticked, 350)
