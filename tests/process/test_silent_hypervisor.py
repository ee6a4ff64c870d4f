"""A hypervisor that does not answer holds up nobody: not the end, not the others, not the log."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from support.host import Config, Daemons, Start
from support.plugin import FAST_CLOCK, TEST_DRIVER, Plugin, eventually, in_front_of, timestamps
from support.server import AUTH_LIST, GET_ALL_DOMAIN_STATS, Daemon

SLOW = "(qemu+unix:///system): collecting takes longer than the interval"

#: A daemon that says nothing at all, and one that falls silent after the connection was made.
EITHER = pytest.mark.parametrize("hanging", [AUTH_LIST, GET_ALL_DOMAIN_STATS])


def silent_daemon(daemon: Daemons, procedure: int) -> Daemon:
    """A daemon that does not answer this procedure."""
    hypervisor = daemon()
    hypervisor.unanswered.add(procedure)
    return hypervisor


def table(uri: str, timeout: str) -> str:
    """The text of a table."""
    return f'libvirt_uri = "{uri}"\ntimeout = "{timeout}"'


def start_in_a_call(start: Start, hypervisor: Daemon, procedure: int, config: Path) -> Plugin:
    """The plugin in the middle of a call that hangs."""
    plugin = start("--config", config)
    plugin.tick()
    assert eventually(lambda: procedure in hypervisor.asked)
    return plugin


@pytest.mark.parametrize(
    ("hanging", "number"),
    [(AUTH_LIST, signal.SIGTERM), (GET_ALL_DOMAIN_STATS, signal.SIGINT)],
)
def test_a_signal_ends_it_in_the_middle_of_a_call(
    start: Start, daemon: Daemons, config: Config, hanging: int, number: signal.Signals
) -> None:
    """SIGTERM and SIGINT are obeyed although a call hangs for minutes."""
    hypervisor = silent_daemon(daemon, hanging)
    plugin = start_in_a_call(start, hypervisor, hanging, config(table(hypervisor.uri, "10m")))
    plugin.signal(number)
    assert plugin.wait() == 0
    assert plugin.log.text == ""


@EITHER
def test_the_end_waits_for_the_timeout_only(
    start: Start, daemon: Daemons, config: Config, hanging: int
) -> None:
    """After the end of stdin a call that hangs has the time that the configuration gives it; a
    single collection says so and fails."""
    hypervisor = silent_daemon(daemon, hanging)
    path = config(table(hypervisor.uri, "1s"))
    plugin = start_in_a_call(start, hypervisor, hanging, path)
    once = start("--once", "--config", path)
    assert (plugin.finish(), once.wait()) == (0, 1)
    for each in (plugin, once):
        (line,) = each.log.lines
        assert line.startswith("E! inputs.libvirt[0] (qemu+unix:///system): cannot be read: ")
        assert "within 1s" in line and each.metrics.text == ""


@EITHER
def test_the_other_hypervisor_is_read_at_each_tick(
    start: Start, daemon: Daemons, config: Config, hanging: int
) -> None:
    """While one hypervisor hangs, the metrics of the other come at each tick, before the call is
    over; the log reports a daemon that goes on hanging at the first tick only."""
    hypervisor = silent_daemon(daemon, hanging)
    plugin = start("--config", config(table(hypervisor.uri, "10m"), table(TEST_DRIVER, "10m")))
    short = start("--config", config(table(hypervisor.uri, "100ms"), table(TEST_DRIVER, "9s")))
    short.tick()
    short.wait_for_message("cannot be read")
    for count in range(1, 12):
        plugin.tick()
        plugin.wait_for_states(count)
        short.tick()
        short.wait_for_states(count)
    assert eventually(lambda: hypervisor.asked.count(hanging) > 1)
    assert "cannot be read" not in plugin.log.text
    assert short.finish() == 0
    (line,) = short.wait_for_message("inputs.libvirt[0] (qemu+unix:///system): cannot be read")
    assert line.startswith("E! ") and "within 0.1s" in line


def test_ticks_that_come_meanwhile_count_as_one(start: Start, daemon: Daemons) -> None:
    """Any ticks during a slow collection give one more, after it, and one warning altogether."""
    hypervisor = daemon()
    plugin = start("--uri", hypervisor.uri)
    for count in (2, 4):
        hypervisor.unanswered.add(GET_ALL_DOMAIN_STATS)
        hypervisor.asked.clear()
        plugin.tick()
        assert eventually(lambda: GET_ALL_DOMAIN_STATS in hypervisor.asked)
        assert eventually(lambda: plugin.tick_and_go_on() or SLOW in plugin.log.text)
        for _ in range(5):
            plugin.tick_and_go_on()
        between = time.time_ns()
        hypervisor.answer()
        first, second = timestamps(plugin.wait_for_states(count))[-2:]
        assert first < between < second
    assert plugin.finish() == 0
    assert len(plugin.states) == 4
    (warning,) = plugin.wait_for_message(SLOW)
    assert warning.startswith("W! inputs.libvirt[0] ")


@pytest.mark.parametrize("dies", [False, True])
def test_a_daemon_that_answers_again_is_read_again(
    start: Start, daemon: Daemons, config: Config, dies: bool
) -> None:
    """After a time of silence, or after the end of a silent daemon with calls in it, the metrics
    come back, and the log says so."""
    hypervisor = silent_daemon(daemon, GET_ALL_DOMAIN_STATS)
    plugin = start("--config", config(table(hypervisor.uri, "100ms")))
    plugin.tick()
    plugin.wait_for_message("E! ")
    for _ in range(5):
        plugin.tick()
    if dies:
        hypervisor.close()
        daemon(hypervisor.path.name)
    else:
        hypervisor.answer()
    assert eventually(lambda: plugin.tick() or plugin.states)
    assert len(plugin.wait_for_message("connected")) == 1
    assert plugin.finish() == 0


def test_a_connection_attempt_that_never_returns_is_given_up(
    start: Start, daemon: Daemons, config: Config, tmp_path: Path
) -> None:
    """If a peer accepts and stays silent, another attempt follows after 15 s; if it reaches a
    daemon that works, the metrics are back although the silent peer keeps its connections."""
    ahead = tmp_path / "ahead"
    ahead.write_text("0")
    env = in_front_of("libvirt", tmp_path, FAST_CLOCK.format(file=str(ahead)))
    peer = daemon(silent=True)
    plugin = start("--config", config(table(peer.uri, "1s")), env=env)
    plugin.tick()
    plugin.wait_for_message("cannot be read: no answer to an attempt to connect within 1s")
    peer.path.unlink()
    working = daemon(peer.path.name)
    for _ in range(5):
        plugin.tick_and_go_on()
    assert not plugin.states and not working.connections
    ahead.write_text("16")
    assert eventually(lambda: plugin.tick_and_go_on() or plugin.states)
    assert peer.connections == 1 and working.connections >= 1
    assert len(plugin.wait_for_message("cannot be read")) == 1
    plugin.wait_for_message("connected: driver QEMU")
    assert plugin.finish() == 0
