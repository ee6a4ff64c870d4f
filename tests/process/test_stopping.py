"""The program ends when it is told to, at once or after the tick in hand, and never before."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.plugin import (
    AT_ONCE,
    LOAD_THE_REAL_ONE,
    TEST_DRIVER,
    Plugin,
    eventually,
    in_front_of,
)
from support.server import GET_ALL_DOMAIN_STATS, Daemon

BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@BOTH
def test_a_signal_ends_it_while_it_waits(plugin: Plugin, number: signal.Signals) -> None:
    """SIGTERM and SIGINT end an idle program at once, with status 0 and without a word."""
    plugin.wait_until_listening()
    plugin.signal(number)
    assert plugin.wait(AT_ONCE) == 0
    assert plugin.metrics.text == plugin.log.text == ""


@BOTH
def test_a_signal_ends_it_between_ticks(plugin: Plugin, number: signal.Signals) -> None:
    """The same is so after some ticks, of which no metrics are lost."""
    plugin.tick()
    plugin.wait_for_states(1)
    plugin.signal(number)
    assert plugin.wait(AT_ONCE) == 0
    assert len(plugin.states) == 1


def test_sigterm_ends_it_while_it_starts(start: Callable[..., Plugin]) -> None:
    """At whatever moment of its start SIGTERM comes, the program ends at once and quietly."""
    begin = time.monotonic()
    start("--uri", TEST_DRIVER).wait_until_listening()
    needed = time.monotonic() - begin
    statuses = []
    for part in range(16):
        plugin = start("--uri", TEST_DRIVER)
        time.sleep(needed * part / 12)
        plugin.signal(signal.SIGTERM)
        statuses.append(plugin.wait(AT_ONCE))
        assert plugin.metrics.text == plugin.log.text == ""
    assert set(statuses) <= {-signal.SIGTERM, 0}


#: What the program loads first, and what it loads last and longest.
LOADED = pytest.mark.parametrize("module", ["argparse", "libvirt"])


def start_with_signal(
    start: Callable[..., Plugin], folder: Path, module: str, number: signal.Signals
) -> Plugin:
    """The plugin, which gets a signal at the moment when it begins to load a module."""
    text = f"import os\nos.kill(os.getpid(), {int(number)})\n{LOAD_THE_REAL_ONE}"
    return start("--uri", TEST_DRIVER, env=in_front_of(module, folder, text))


@LOADED
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_a_tick_while_it_starts_is_answered(
    start: Callable[..., Plugin], tmp_path: Path, module: str, number: signal.Signals
) -> None:
    """A first tick that comes before all is loaded does not kill the program: it is kept."""
    plugin = start_with_signal(start, tmp_path, module, number)
    plugin.wait_for_states(1)
    assert plugin.finish() == 0
    assert len(plugin.states) == 1


@LOADED
@BOTH
def test_a_signal_while_it_starts_ends_it(
    start: Callable[..., Plugin], tmp_path: Path, module: str, number: signal.Signals
) -> None:
    """SIGTERM and SIGINT that come before all is loaded end the program without a word."""
    plugin = start_with_signal(start, tmp_path, module, number)
    assert plugin.wait() in (0, -number)
    assert plugin.log.text == ""


def test_the_end_of_input_waits_for_the_tick_in_hand(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon]
) -> None:
    """Metrics that take their time are written, although stdin ended in the meantime."""
    hypervisor = daemon()
    hypervisor.unanswered.add(GET_ALL_DOMAIN_STATS)
    plugin = start("--uri", hypervisor.uri)
    plugin.tick()
    plugin.end_input()
    assert eventually(lambda: GET_ALL_DOMAIN_STATS in hypervisor.asked)
    assert plugin.process.poll() is None
    hypervisor.answer()
    assert plugin.wait() == 0
    assert len(plugin.states) == 1
