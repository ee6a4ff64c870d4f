"""A hypervisor that does not answer holds up nobody: not the end, not the others, not the log."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.plugin import AT_ONCE, TEST_DRIVER, Plugin, eventually
from support.server import AUTH_LIST, GET_ALL_DOMAIN_STATS, Daemon

SLOW = "(qemu+unix:///system): collecting takes longer than the interval"

#: A daemon that says nothing at all, and one that falls silent after the connection was made.
EITHER = pytest.mark.parametrize("hanging", [AUTH_LIST, GET_ALL_DOMAIN_STATS])


def silent_daemon(daemon: Callable[..., Daemon], procedure: int) -> Daemon:
    """A daemon that does not answer this procedure."""
    hypervisor = daemon()
    hypervisor.unanswered.add(procedure)
    return hypervisor


def table(uri: str, timeout: str) -> str:
    """The text of a table."""
    return f'libvirt_uri = "{uri}"\ntimeout = "{timeout}"'


def start_in_a_call(
    start: Callable[..., Plugin], hypervisor: Daemon, procedure: int, config: Path
) -> Plugin:
    """The plugin in the middle of a call that hangs."""
    plugin = start("--config", config)
    plugin.tick()
    assert eventually(lambda: procedure in hypervisor.asked)
    return plugin


@EITHER
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_the_middle_of_a_call(
    start: Callable[..., Plugin],
    daemon: Callable[..., Daemon],
    config: Callable[..., Path],
    hanging: int,
    number: signal.Signals,
) -> None:
    """SIGTERM and SIGINT are obeyed at once although a call hangs for a minute."""
    hypervisor = silent_daemon(daemon, hanging)
    plugin = start_in_a_call(start, hypervisor, hanging, config(table(hypervisor.uri, "60s")))
    plugin.signal(number)
    assert plugin.wait(AT_ONCE) == 0
    assert plugin.log.text == ""


@EITHER
def test_the_end_of_input_waits_for_the_timeout_only(
    start: Callable[..., Plugin],
    daemon: Callable[..., Daemon],
    config: Callable[..., Path],
    hanging: int,
) -> None:
    """After the end of stdin a call that hangs has the time that the configuration gives it."""
    hypervisor = silent_daemon(daemon, hanging)
    plugin = start_in_a_call(start, hypervisor, hanging, config(table(hypervisor.uri, "1s")))
    begin = time.monotonic()
    assert plugin.finish() == 0
    assert time.monotonic() - begin < 1 + AT_ONCE
    (line,) = plugin.log.lines
    assert line.startswith("E! inputs.libvirt[0] (qemu+unix:///system): cannot be read: ")
    assert "within 1s" in line


@EITHER
def test_once_waits_for_the_timeout_only(
    start: Callable[..., Plugin],
    daemon: Callable[..., Daemon],
    config: Callable[..., Path],
    hanging: int,
) -> None:
    """A single collection from a daemon that hangs says so and fails after the timeout."""
    hypervisor = silent_daemon(daemon, hanging)
    begin = time.monotonic()
    plugin = start("--once", "--config", config(table(hypervisor.uri, "1s")))
    assert plugin.wait() == 1
    assert 1 < time.monotonic() - begin < 1 + AT_ONCE
    assert len(plugin.log.lines) == 1
    assert plugin.metrics.text == ""


@EITHER
def test_the_other_hypervisor_is_read_at_each_tick(
    start: Callable[..., Plugin],
    daemon: Callable[..., Daemon],
    config: Callable[..., Path],
    hanging: int,
) -> None:
    """While one hypervisor hangs, the metrics of the other come at each tick, before it is over."""
    hypervisor = silent_daemon(daemon, hanging)
    plugin = start("--config", config(table(hypervisor.uri, "60s"), table(TEST_DRIVER, "60s")))
    for count in (1, 2, 3):
        plugin.tick()
        plugin.wait_for_states(count)
    assert eventually(lambda: hanging in hypervisor.asked)
    assert not any("cannot be read" in line for line in plugin.log.lines)


@EITHER
def test_the_log_says_it_once(
    start: Callable[..., Plugin],
    daemon: Callable[..., Daemon],
    config: Callable[..., Path],
    hanging: int,
) -> None:
    """A daemon that goes on hanging is reported at the first tick only, with what helps."""
    hypervisor = silent_daemon(daemon, hanging)
    plugin = start("--config", config(table(hypervisor.uri, "100ms"), table(TEST_DRIVER, "9s")))
    plugin.tick()
    plugin.wait_for_message("cannot be read")
    for count in range(2, 12):
        plugin.tick()
        plugin.wait_for_states(count)
    assert plugin.finish() == 0
    (line,) = plugin.wait_for_message("inputs.libvirt[0] (qemu+unix:///system): cannot be read")
    assert line.startswith("E! ") and "within 0.1s" in line


def test_ticks_that_come_meanwhile_count_as_one(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """Any ticks during a slow collection give one more, after it, and one warning altogether."""
    hypervisor = silent_daemon(daemon, GET_ALL_DOMAIN_STATS)
    plugin = start("--config", config(table(hypervisor.uri, "60s"), table(TEST_DRIVER, "60s")))
    plugin.tick()
    assert eventually(lambda: GET_ALL_DOMAIN_STATS in hypervisor.asked)

    def warned() -> bool:
        plugin.tick_and_go_on()
        return SLOW in plugin.log.text

    assert eventually(warned)
    for _ in range(5):
        plugin.tick_and_go_on()
    between = time.time_ns()
    hypervisor.answer()
    assert plugin.finish() == 0

    slow = [line for line in plugin.states if "domain_name=guest" in line]
    first, second = (int(line.rpartition(" ")[2]) for line in slow)
    assert first < between < second
    (warning,) = plugin.wait_for_message(SLOW)
    assert warning.startswith("W! inputs.libvirt[0] ")


def test_the_warning_does_not_come_back(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon]
) -> None:
    """A second slow collection is not warned about any more."""
    hypervisor = daemon()
    plugin = start("--uri", hypervisor.uri)
    for count in (1, 2):
        hypervisor.unanswered.add(GET_ALL_DOMAIN_STATS)
        hypervisor.asked.clear()
        plugin.tick()
        assert eventually(lambda: GET_ALL_DOMAIN_STATS in hypervisor.asked)
        time.sleep(0.2)  # what counts as slow
        plugin.tick_and_go_on()
        plugin.wait_for_message(SLOW)
        hypervisor.answer()
        plugin.wait_for_states(2 * count)
    assert plugin.finish() == 0
    assert len(plugin.wait_for_message(SLOW)) == 1


def test_a_daemon_that_answers_again_is_read_again(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """After a time of silence the metrics come back by themselves, and the log says so."""
    hypervisor = silent_daemon(daemon, GET_ALL_DOMAIN_STATS)
    plugin = start("--config", config(table(hypervisor.uri, "100ms")))
    plugin.tick()
    plugin.wait_for_message("E! ")
    hypervisor.answer()

    def back() -> bool:
        plugin.tick()
        return len(plugin.states) > 0

    assert eventually(back)
    assert len(plugin.wait_for_message("connected")) == 1


def test_a_daemon_that_hangs_up_in_a_call_costs_nothing_else(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """When a silent daemon dies with calls in it, the program lives, and reads the next daemon."""
    hypervisor = silent_daemon(daemon, GET_ALL_DOMAIN_STATS)
    plugin = start("--config", config(table(hypervisor.uri, "100ms")))
    plugin.tick()
    plugin.wait_for_message("E! ")
    for _ in range(5):
        plugin.tick()
    hypervisor.close()
    with Daemon(hypervisor.path):

        def back() -> bool:
            plugin.tick()
            return len(plugin.states) > 0

        assert eventually(back)
        assert plugin.finish() == 0


def test_a_connection_attempt_that_never_returns_is_given_up(
    start: Callable[..., Plugin],
    daemon: Callable[..., Daemon],
    config: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """If a peer accepts and stays silent, another attempt follows after 15 s; if it reaches a
    daemon that works, the metrics are back although the silent peer keeps its connections."""
    with Daemon(tmp_path / "socket", silent=True) as peer:
        plugin = start("--config", config(table(peer.uri, "1s")))
        begin = time.monotonic()
        plugin.tick()
        plugin.wait_for_message("cannot be read: no answer to an attempt to connect within 1s")
        peer.path.unlink()
        working = daemon("socket")

        def back() -> bool:
            plugin.tick_and_go_on()
            time.sleep(0.2)
            return len(plugin.states) > 0

        assert eventually(back, 25)
        assert 14 < time.monotonic() - begin < 15 + AT_ONCE
        assert peer.connections == 1 and working.connections == 1
        assert len(plugin.wait_for_message("cannot be read")) == 1
        plugin.wait_for_message("connected: driver QEMU")
        assert plugin.finish() == 0
