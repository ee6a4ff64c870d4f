"""With an interval the program collects at multiples of it, aligned to the clock.

Which tick is when, and what ticks from outside change, is in tests/program/test_loop.py.
"""

from __future__ import annotations

import time

import pytest

from support.host import Config, Start
from support.plugin import TEST_DRIVER, Plugin, timestamps

pytestmark = pytest.mark.thorough

INTERVAL = 200_000_000


def table(**options: str) -> str:
    """The text of a table for the test driver with these options."""
    lines = [f'{name} = "{value}"' for name, value in options.items()]
    return "\n".join([f'libvirt_uri = "{TEST_DRIVER}"', *lines])


@pytest.mark.smoke
def test_it_ticks_by_itself_on_the_clock(start: Start, config: Config) -> None:
    """With `interval` it collects once at each multiple of it, until stdin ends."""
    plugin = start("--config", config(table(interval="200ms")))
    times = timestamps(plugin.wait_for_states(2))
    assert plugin.finish() == 0
    slots = [stamp // INTERVAL for stamp in times]
    assert slots == sorted(set(slots))
    assert plugin.log.lines[0].startswith("I! ")


@pytest.mark.parametrize("option", ["--once", "--check", "--log-level=info"])
def test_the_longest_times(config: Config, option: str) -> None:
    """It can wait for the longest allowed interval and timeout; --once does not wait for the
    clock."""
    now = time.time() / 86_400
    days = max(range(1, 366), key=lambda days: days - now % days)
    path = config(table(timeout="366d", interval="1h"))
    # The fixture `start` would reject the output of --check.
    with Plugin(option, "--poll-interval", f"{days}d", "--config", path) as plugin:
        plugin.metrics.wait_for(len, "output") if option == "--once" else plugin.tick()
        assert plugin.finish() == 0
        assert "Traceback" not in plugin.log.text
        assert plugin.metrics.text
