"""With an interval the program collects at multiples of it, aligned to the clock."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.plugin import TEST_DRIVER, Plugin, eventually, states, timestamps

SECOND = 1_000_000_000
SAME_TICK = 40_000_000
"""Ticks that are closer than this are the same tick; machines are slow at times."""


def table(**options: str) -> str:
    """The text of a table for the test driver with these options."""
    lines = [f'{name} = "{value}"' for name, value in options.items()]
    return "\n".join([f'libvirt_uri = "{TEST_DRIVER}"', *lines])


@pytest.mark.smoke
def test_it_ticks_by_itself_on_the_clock(
    start: Callable[..., Plugin], config: Callable[..., Path]
) -> None:
    """With `interval` it collects once at each multiple of it, until stdin ends."""
    plugin = start("--config", config(table(interval="1s")))
    times = timestamps(plugin.wait_for_states(2))
    assert plugin.finish() == 0
    assert all(stamp % SECOND < SECOND // 2 for stamp in times)
    seconds = [stamp // SECOND for stamp in times]
    assert seconds == sorted(set(seconds))
    assert seconds[1] - seconds[0] < 5
    assert plugin.log.lines[0].startswith("I! ")


def test_each_hypervisor_has_its_interval(
    start: Callable[..., Plugin], config: Callable[..., Path], with_domains: Callable[..., str]
) -> None:
    """Each hypervisor has its interval; one without an interval is not collected."""
    slow = table(interval="1s").replace(TEST_DRIVER, with_domains("slow", file="slow.xml"))
    never = table().replace(TEST_DRIVER, with_domains("never", file="never.xml"))
    plugin = start("--config", config(table(interval="250ms"), slow, never))
    plugin.metrics.wait_for(lambda lines: any("=slow " in line for line in lines), "the slow one")
    before = len(plugin.states)
    lines = plugin.metrics.wait_for(
        lambda lines: sum("=slow " in line for line in states(lines)) == 2, "the slow one again"
    )
    assert plugin.finish() == 0
    assert sum("=test " in line for line in states(lines)[before:]) >= 2
    assert not any("=never " in line for line in lines)


@pytest.mark.parametrize("signalled", [False, True])
def test_ticks_from_outside_take_over(
    start: Callable[..., Plugin], config: Callable[..., Path], signalled: bool
) -> None:
    """After a tick from stdin or by a signal, `interval` is ignored."""
    plugin = start("--config", config(table(interval="100ms")))
    plugin.wait_for_states(2)
    if signalled:
        plugin.signal(signal.SIGUSR1)
    else:
        plugin.tick()
    (line,) = plugin.wait_for_message("external tick received")
    assert line == "I! external tick received; ignoring `interval`"
    # This tick may still be running, and a last one of the clock before it.
    before = len(plugin.states)
    assert not eventually(lambda: len(plugin.states) > before + 2, seconds=0.6)
    between = time.time_ns()
    plugin.tick()
    assert eventually(lambda: timestamps(plugin.states)[-1] > between)
    assert plugin.finish() == 0
    assert len(plugin.wait_for_message("external tick received")) == 1


def test_the_option_of_the_command_line_goes_on(
    start: Callable[..., Plugin], config: Callable[..., Path]
) -> None:
    """--poll-interval overrides `interval`, and continues after other ticks."""
    plugin = start("--poll-interval", "100ms", "--config", config(table(interval="1h")))
    plugin.wait_for_states(2)
    plugin.tick()
    plugin.wait_for_states(6)
    assert plugin.finish() == 0
    assert not any("from outside" in line for line in plugin.log.lines)


def tick_near_boundary(plugin: Plugin, external: str, period: int, offset: int) -> int:
    """Send a tick this many milliseconds after a coming multiple of the period in nanoseconds;
    return its time."""
    late = SAME_TICK
    while late >= SAME_TICK:  # the machine was slow: try the next multiple
        due = (time.time_ns() // period + 2) * period + offset * 1_000_000
        time.sleep((due - time.time_ns()) / 1e9)
        late = time.time_ns() - due
    if external == "newline":
        plugin.tick()
    else:
        plugin.signal(signal.SIGUSR1)
    return due


@pytest.mark.parametrize("external", ["newline", "signal"])
def test_an_external_tick_at_the_time_of_the_clock(
    start: Callable[..., Plugin], external: str
) -> None:
    """A tick of the clock and an external tick at the same moment are one collection."""
    period = SECOND // 4
    plugin = start("--poll-interval", "250ms", "--uri", TEST_DRIVER)
    plugin.wait_for_states(1)
    sent = [tick_near_boundary(plugin, external, period, offset) for offset in (-5, 0, 5, -5, 0, 5)]
    time.sleep(period / 1e9)
    assert plugin.finish() == 0
    times = timestamps(plugin.states)
    assert min(after - before for before, after in zip(times, times[1:])) > SAME_TICK
    for due in sent:
        assert any(abs(stamp - due) < period // 2 for stamp in times)


@pytest.mark.parametrize("offset", [-5, 0, 5])
@pytest.mark.parametrize("external", ["newline", "signal"])
def test_the_first_external_tick_at_the_time_of_the_clock(
    start: Callable[..., Plugin], config: Callable[..., Path], external: str, offset: int
) -> None:
    """The external tick that turns off `interval` gives one collection together with its last."""
    plugin = start("--config", config(table(interval="250ms")))
    plugin.wait_for_states(1)
    period = SECOND // 4
    due = tick_near_boundary(plugin, external, period, offset)
    plugin.wait_for_message("external tick received")
    assert eventually(lambda: timestamps(plugin.states)[-1] > due - period // 2)
    time.sleep(0.1)
    assert plugin.finish() == 0
    times = timestamps(plugin.states)
    assert min(after - before for before, after in zip(times, times[1:])) > SAME_TICK


def test_without_an_interval_it_waits(plugin: Plugin) -> None:
    """Without an interval it does nothing until a tick comes."""
    plugin.wait_until_listening()
    assert not eventually(lambda: plugin.metrics.text or plugin.log.text, seconds=0.5)


def test_once_does_not_wait_for_the_clock(
    start: Callable[..., Plugin], config: Callable[..., Path]
) -> None:
    """--once collects at once, whatever the interval."""
    plugin = start("--once", "--poll-interval", "1h", "--config", config(table(interval="1h")))
    assert plugin.wait() == 0
    assert len(plugin.states) == 1


def test_the_longest_interval(start: Callable[..., Plugin]) -> None:
    """It can wait for the longest allowed interval."""
    now = time.time() / 86_400
    days = max(range(1, 366), key=lambda days: days - now % days)
    plugin = start("--poll-interval", f"{days}d", "--uri", TEST_DRIVER)
    plugin.tick()
    plugin.wait_for_states(1)
    assert plugin.finish() == 0


@pytest.mark.parametrize("option", ["--once", "--check", "--log-level=info"])
def test_the_longest_timeout(
    start: Callable[..., Plugin], config: Callable[..., Path], option: str
) -> None:
    """It can wait for the longest allowed timeout."""
    # The fixture `start` would reject the output of --check.
    with Plugin(option, "--config", config(table(timeout="366d"))) as plugin:
        plugin.tick()
        assert plugin.finish() == 0
        assert "Traceback" not in plugin.log.text
        assert plugin.metrics.text
