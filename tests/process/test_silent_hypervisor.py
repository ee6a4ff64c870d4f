"""A hypervisor that does not answer holds up nobody: not the end, not the others, not the log.

What a tick does about it is tested in tests/simulation, and with real daemons in tests/real.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.crowd import Crowd, guest
from support.host import Config, Daemons, Hosts, Start
from support.plugin import TEST_DRIVER, Plugin, eventually, run
from support.server import (
    AUTH_LIST,
    GET_ALL_DOMAIN_STATS,
    GET_JOB_STATS,
    Daemon,
)

pytestmark = pytest.mark.thorough

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


@pytest.mark.smoke
def test_no_tick_is_lost_when_the_daemon_was_restarted(host: Hosts, daemon: Daemons) -> None:
    """A restart of the daemon between two ticks loses no tick and causes no message; sources come
    back as well."""
    job = '[inputs.libvirt.job]\ninterval = "1ms"'
    ticked = host(daemon(), job, also=["job"])
    ticked.tick()
    assert eventually(lambda: ticked.asked[GET_JOB_STATS])
    ticked.plugin.wait_until_idle()
    ticked.daemon.close()
    ticked.daemon = daemon(ticked.daemon.path.name)
    ticked.tick()
    assert ticked.health["up"] == 1
    assert eventually(lambda: ticked.tick() and ticked.asked[GET_JOB_STATS])
    assert ticked.plugin.finish() == 0
    (line,) = (line for line in ticked.plugin.log.lines if "longer than the interval" not in line)
    assert line.startswith("I! inputs.libvirt[0] (qemu+unix:///system): connected")


def test_nothing_is_known(daemon: Daemons, config: Config) -> None:
    """Started during a lock, where nothing has the names of guests, it says what is wrong after
    the timeout."""
    hypervisor = daemon(crowd=Crowd(20, held={guest(3)}))
    done = run("--config", config(table(hypervisor.uri, "1s")), "--once")
    assert done.returncode == 1
    assert done.stderr.count("libvirt has locked") == 1


def test_check_of_a_lock_without_a_name(daemon: Daemons, config: Config) -> None:
    """--check reads the guests whose names are in files, says that others cannot be found, calls
    none of them missing, and measures no times."""
    hypervisor = daemon(crowd=Crowd(5, held={guest(3)}))
    folder = hypervisor.path.parent / "qemu"
    folder.mkdir()
    names = [guest(1), guest(2)]
    for name in names:
        (folder / f"{name}.pid").touch()
    for options in ("", f'domains = ["{guest(1)}", "{guest(2)}", "{guest(3)}"]'):
        path = config(f'libvirt_uri = "{hypervisor.uri}"\ntimeout = "2s"\n{options}')
        done = run("--config", path, "--check", "--strict")
        assert done.returncode == 3 and "domains: 2," in done.stdout
        assert done.stdout.count("calls about all domains hang") == 1
        assert "not there" not in done.stdout and "a tick takes" not in done.stdout
