"""Many guests: all of them in each tick, by as few calls as can be, or by several side by side."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from support.crowd import Crowd
from support.plugin import Plugin, eventually, states
from support.server import GET_ALL_DOMAIN_STATS, LIST_ALL_DOMAINS, OPEN, Daemon


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
    """A tick is one call for the statistics and no other."""
    hypervisor = daemon(crowd=Crowd(100, step=1000))
    plugin = begin(hypervisor)
    one_tick(plugin, 100)
    hypervisor.asked.clear()
    for _ in range(3):
        one_tick(plugin, 100)
    assert hypervisor.asked == [GET_ALL_DOMAIN_STATS] * 3


def test_more_guests_than_an_answer_holds(
    daemon: Callable[..., Daemon], begin: Callable[..., Plugin]
) -> None:
    """The tick in which that is found out has all of them, and so has each later one; those ask
    for no more than fits."""
    hypervisor = daemon(crowd=Crowd(5000))
    plugin = begin(hypervisor, 'timeout = "30s"')
    for number in range(3):
        hypervisor.asked.clear()
        one_tick(plugin, 5000)
        plugin.metrics.forget()
        if number:
            assert hypervisor.asked == [LIST_ALL_DOMAINS, *[GET_ALL_DOMAIN_STATS] * 50]


@pytest.mark.parametrize(("guests", "calls"), [(10, 4), (3, 5), (1, 2), (0, 3)])
def test_calls_side_by_side_change_nothing_in_the_output(
    daemon: Callable[..., Daemon], begin: Callable[..., Plugin], guests: int, calls: int
) -> None:
    """The same lines in the same order, by as many calls as there are, each by its connection."""
    alone = begin(daemon("alone", crowd=Crowd(guests)))
    expected = shapes(one_tick(alone, guests))
    assert len(expected) == 1 + 19 * guests
    hypervisor = daemon("shared", crowd=Crowd(guests))
    plugin = begin(hypervisor, f"parallel_calls = {calls}")
    for _ in range(2):
        hypervisor.asked.clear()
        assert shapes(one_tick(plugin, guests))[:-1] == expected[:-1]
    made = min(guests, calls)
    assert hypervisor.asked.count(GET_ALL_DOMAIN_STATS) == made
    assert OPEN not in hypervisor.asked and hypervisor.connections == max(1, made)


def test_fewer_connections_than_calls(
    daemon: Callable[..., Daemon], begin: Callable[..., Plugin]
) -> None:
    """Where the daemon lets one client in only, one call has all the domains."""
    hypervisor = daemon(crowd=Crowd(10), most_connections=1)
    plugin = begin(hypervisor, "parallel_calls = 4")
    for _ in range(3):
        hypervisor.asked.clear()
        one_tick(plugin, 10)
    assert hypervisor.asked.count(GET_ALL_DOMAIN_STATS) == 1


def test_a_list_of_domains_that_hangs(
    daemon: Callable[..., Daemon], begin: Callable[..., Plugin]
) -> None:
    """One call for it hangs, however many ticks come, and all is well once it has come back."""
    hypervisor = daemon(crowd=Crowd(10))
    plugin = begin(hypervisor, "parallel_calls = 3", 'timeout = "200ms"')
    one_tick(plugin, 10)
    hypervisor.unanswered.add(LIST_ALL_DOMAINS)
    for _ in range(8):
        [line] = one_tick(plugin, 0)
        assert "up=0i" in line and "calls_hanging=1i" in line
    hypervisor.answer()
    plugin.metrics.forget()
    assert eventually(lambda: plugin.tick_and_go_on() or states(plugin.metrics.lines))
