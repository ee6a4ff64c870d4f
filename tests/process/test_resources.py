"""The program sleeps between ticks and leaks nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from support.plugin import TEST_DRIVER, Plugin, eventually


def switches(plugin: Plugin) -> int:
    """The number of voluntary context switches of all threads."""
    count = 0
    for status in plugin.proc("task").glob("*/status"):
        (line,) = (
            line
            for line in status.read_text().splitlines()
            if line.startswith("voluntary_ctxt_switches:")
        )
        count += int(line.split()[1])
    return count


def test_nothing_wakes_up_between_ticks(plugin: Plugin) -> None:
    """Between ticks no thread wakes up."""
    plugin.tick()
    plugin.wait_for_states(1)

    def settled() -> bool:
        before = switches(plugin)
        time.sleep(0.1)
        return switches(plugin) == before

    assert eventually(settled)
    before = switches(plugin)
    time.sleep(1.5)
    assert switches(plugin) - before <= 3


def opened(plugin: Plugin) -> tuple[int, int]:
    """The number of file descriptors and of threads of the process."""
    return len([*plugin.proc("fd").iterdir()]), len([*plugin.proc("task").iterdir()])


def no_more_than(plugin: Plugin, before: tuple[int, int]) -> bool:
    """True once the process has no more than this; a thread takes a moment to end."""
    return eventually(lambda: all(map(int.__le__, opened(plugin), before)))


def tick(plugin: Plugin, count: int) -> None:
    """Tick until there are this many lines of libvirt_state."""
    for number in range(len(plugin.states) + 1, count + 1):
        plugin.tick()
        plugin.wait_for_states(number)


def test_many_ticks_leave_nothing_open(plugin: Plugin) -> None:
    """After 200 ticks there are no more descriptors and threads than after five."""
    tick(plugin, 5)
    before = opened(plugin)
    tick(plugin, 200)
    assert no_more_than(plugin, before), (before, opened(plugin))


def test_failing_ticks_leave_nothing_open(
    start: Callable[..., Plugin], config: Callable[..., Path]
) -> None:
    """The same holds if the connection fails at each tick."""
    missing = 'libvirt_uri = "qemu+unix:///system?socket=/nonexistent"'
    plugin = start("--config", config(missing, f'libvirt_uri = "{TEST_DRIVER}"'))
    tick(plugin, 5)
    plugin.wait_for_message("cannot be read")
    before = opened(plugin)
    tick(plugin, 100)
    assert no_more_than(plugin, before), (before, opened(plugin))
