"""Many guests: all of them in each tick, batch by batch, by one connection or by several."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from support.crowd import Crowd
from support.plugin import Plugin, eventually, run, states, timestamps
from support.server import GET_ALL_DOMAIN_STATS, LIST_ALL_DOMAINS, Daemon


def shapes(lines: list[str]) -> list[str]:
    """The lines without what changes from call to call: the numbers in fields and the time."""
    return [re.sub(r"=-?\d+i", "=", line.rpartition(" ")[0]) for line in lines]


def one_tick(plugin: Plugin, guests: int) -> list[str]:
    """The lines of one more tick, with as many guests in it."""
    seen = len(plugin.metrics.lines)
    plugin.tick_and_go_on()
    lines = plugin.metrics.wait_for(
        lambda lines: any(line.startswith("libvirt_health,") for line in lines[seen:]),
        "a tick's metrics",
    )[seen:]
    assert len({line.split(" ")[0] for line in states(lines)}) == len(states(lines)) == guests
    return lines


@pytest.fixture
def begin(start: Callable[..., Plugin], config: Callable[..., Path]) -> Callable[..., Plugin]:
    """Start the plugin on a daemon; its metrics of itself end each tick."""

    def begin(daemon: Daemon, *options: str) -> Plugin:
        text = [f'libvirt_uri = "{daemon.uri}"', 'additional_statistics = ["health"]', *options]
        return start("--config", config("\n".join(text)))

    return begin


def test_one_call_a_tick(daemon: Callable[..., Daemon], begin: Callable[..., Plugin]) -> None:
    """A host with one batch of guests is read by one call; at the first tick they are listed
    before."""
    hypervisor = daemon(crowd=Crowd(100, step=1000))
    plugin = begin(hypervisor)
    for _ in range(4):
        one_tick(plugin, 100)
    stats = (LIST_ALL_DOMAINS, GET_ALL_DOMAIN_STATS)
    asked = [call for call in hypervisor.asked if call in stats]
    assert asked == [LIST_ALL_DOMAINS, *[GET_ALL_DOMAIN_STATS] * 4]
    assert hypervisor.asked[-3:] == [GET_ALL_DOMAIN_STATS] * 3


@pytest.mark.parametrize("guests", [101, 350])
def test_batches(daemon: Callable[..., Daemon], begin: Callable[..., Plugin], guests: int) -> None:
    """More guests are listed, and read by one call for each hundred."""
    hypervisor = daemon(crowd=Crowd(guests))
    plugin = begin(hypervisor)
    for _ in range(3):
        hypervisor.asked.clear()
        lines = one_tick(plugin, guests)
        assert len(states(lines)) == guests
        # A batch that is slow for a moment lets another connection help, which lists them again.
        batches = -(-guests // 100)
        assert batches <= hypervisor.asked.count(GET_ALL_DOMAIN_STATS) <= batches + 3
        assert 1 <= hypervisor.asked.count(LIST_ALL_DOMAINS) <= 3


def test_a_crowd_that_shrinks(daemon: Callable[..., Daemon], begin: Callable[..., Plugin]) -> None:
    """When the guests fit in one batch again, they are not listed any more."""
    hypervisor = daemon(crowd=Crowd(120))
    plugin = begin(hypervisor)
    one_tick(plugin, 120)
    hypervisor.crowd = Crowd(20)
    one_tick(plugin, 20)
    hypervisor.asked.clear()
    one_tick(plugin, 20)
    assert hypervisor.asked == [GET_ALL_DOMAIN_STATS]


def test_memory_does_not_grow_with_the_host(
    daemon: Callable[..., Daemon], begin: Callable[..., Plugin]
) -> None:
    """1,500 guests need little more memory than 150: only one batch is in memory at a time."""

    def peak(guests: int) -> int:
        plugin = begin(daemon(f"socket-{guests}", crowd=Crowd(guests)), 'timeout = "60s"')
        for _ in range(2):
            one_tick(plugin, guests)
            plugin.metrics.forget()
        status = plugin.proc("status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if "VmHWM" in line))

    assert peak(1500) - peak(150) < 20 * 1024


def test_one_timestamp(daemon: Callable[..., Daemon], config: Callable[..., Path]) -> None:
    """All lines of a tick have its time, also if it takes long, as long as nothing hangs."""
    hypervisor = daemon(crowd=Crowd(1500, seconds=0.001))
    text = f'libvirt_uri = "{hypervisor.uri}"\ntimeout = "60s"\nstatistics_groups = ["state"]'
    extra = '\nadditional_statistics = ["job", "health"]'
    done = run("--config", config(text + extra), "--once")
    lines = done.stdout.splitlines()
    assert len(states(lines)) == 1500
    assert len(set(timestamps(lines))) == 1


@pytest.mark.parametrize(("guests", "calls"), [(10, 4), (3, 5), (1, 2), (0, 3), (250, 2)])
def test_parallel_calls_change_nothing_in_the_output(
    daemon: Callable[..., Daemon], begin: Callable[..., Plugin], guests: int, calls: int
) -> None:
    """The lines are the same, by as many connections as there are parallel calls."""
    alone = begin(daemon("alone", crowd=Crowd(guests)))
    expected = sorted(shapes(one_tick(alone, guests)))
    assert len(expected) == 1 + 19 * guests
    hypervisor = daemon("shared", crowd=Crowd(guests))
    plugin = begin(hypervisor, f"parallel_calls = {calls}")
    for number in range(3):
        hypervisor.asked.clear()
        assert sorted(shapes(one_tick(plugin, guests)))[1:] == expected[1:]
        size = min(100, -(-guests // calls)) or 1
        # A slow machine repeats a batch now and then.
        calls_made, batches = hypervisor.asked.count(GET_ALL_DOMAIN_STATS), -(-guests // size)
        # The first tick lists them, so without any there is nothing to ask.
        assert (batches or int(number > 0)) <= calls_made <= batches + 3
    assert 1 <= hypervisor.connections <= calls


def test_fewer_connections_than_calls(
    daemon: Callable[..., Daemon], begin: Callable[..., Plugin]
) -> None:
    """If the daemon accepts one client only, its connection reads all batches."""
    hypervisor = daemon(crowd=Crowd(10), most_connections=1)
    plugin = begin(hypervisor, "parallel_calls = 4")
    for _ in range(3):
        one_tick(plugin, 10)


def test_a_list_of_domains_that_hangs(
    daemon: Callable[..., Daemon], begin: Callable[..., Plugin]
) -> None:
    """A bounded number of calls for the list hangs; after their return all is well."""
    hypervisor = daemon(crowd=Crowd(10))
    plugin = begin(hypervisor, "parallel_calls = 3", 'timeout = "200ms"')
    one_tick(plugin, 10)
    hypervisor.unanswered.add(LIST_ALL_DOMAINS)
    for _ in range(8):
        [line] = one_tick(plugin, 0)
        hanging = re.search(r"calls_hanging=(\d+)i", line)
        assert "up=0i" in line and hanging and 1 <= int(hanging[1]) <= 4 + 3
    hypervisor.answer()
    plugin.metrics.forget()
    assert eventually(lambda: plugin.tick_and_go_on() or states(plugin.metrics.lines))


@pytest.mark.parametrize("guests", [50, 350])
@pytest.mark.parametrize("error", [(39, 7, "too large"), (1, 10, "no luck"), (55, 10, "not now")])
def test_an_outage_is_an_outage(
    daemon: Callable[..., Daemon],
    begin: Callable[..., Plugin],
    guests: int,
    error: tuple[int, int, str],
) -> None:
    """If each call fails and no guest is read, the tick fails with one error and few calls."""
    hypervisor = daemon(crowd=Crowd(guests), error=error)
    plugin = begin(hypervisor)
    for _ in range(3):
        hypervisor.asked.clear()
        [line] = one_tick(plugin, 0)
        assert "up=0i" in line
        # A batch takes 11 calls until its third domain is refused, and 8 requests may run.
        assert hypervisor.asked.count(GET_ALL_DOMAIN_STATS) <= 8 * 11
    plugin.wait_for_message(error[2])
    messages = [line for line in plugin.log.lines if line[0] in "EW"]
    assert len(messages) == 1 and "cannot be read" in messages[0]
    hypervisor.error = None
    one_tick(plugin, guests)


def test_a_later_failure_costs_only_its_batch(
    daemon: Callable[..., Daemon], begin: Callable[..., Plugin]
) -> None:
    """Batches that were read are written, although another batch fails for good."""
    hypervisor = daemon(crowd=Crowd(350))
    plugin = begin(hypervisor)
    one_tick(plugin, 350)
    failure = (1, 10, "a guest broke it")
    hypervisor.errors = [None, failure, failure]
    lines = one_tick(plugin, 250)
    assert "up=1i,domains=250i" in lines[-1]
    plugin.wait_for_message("100 domains not read: a guest broke it")
    one_tick(plugin, 350)


def test_a_failure_that_passes_costs_nothing(
    daemon: Callable[..., Daemon], begin: Callable[..., Plugin]
) -> None:
    """A batch that fails once is asked again in the same tick."""
    hypervisor = daemon(crowd=Crowd(350))
    plugin = begin(hypervisor)
    one_tick(plugin, 350)
    hypervisor.errors = [(1, 10, "a guest died"), None, (38, 7, "connection reset")]
    one_tick(plugin, 350)
