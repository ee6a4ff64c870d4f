"""The program survives the absence of a daemon, and reads it again when it is back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.host import Daemons, Host, Hosts, Start, WithDomains
from support.plugin import eventually
from support.server import GET_JOB_STATS

FROM_RPC, SYSTEM_ERROR = 7, 38

NAME = "inputs.libvirt[0] (qemu+unix:///system): "


def until_up(host: Host, up: int) -> None:
    """Tick until the hypervisor is read, or is not, and some times more."""
    assert eventually(lambda: host.tick() and host.health["up"] == up)
    for _ in range(4):
        host.tick()
        assert host.health["up"] == up


def check_messages(host: Host, *starts: str) -> None:
    """End the plugin; its messages must begin so."""
    assert host.plugin.finish() == 0
    lines = [line for line in host.plugin.log.lines if "longer than the interval" not in line]
    assert len(lines) == len(starts), lines
    for line, start in zip(lines, starts):
        assert line.replace(NAME, "").startswith(start)


def test_it_comes_and_goes(host: Hosts, daemon: Daemons) -> None:
    """Each start and end of the daemon is one message, for any number of ticks."""
    down, up = "E! cannot be read: ", "I! connected: driver QEMU"
    gone = daemon("socket")
    gone.close()
    ticked = host(gone)
    for _ in range(2):
        until_up(ticked, 0)
        ticked.daemon = daemon("socket")
        until_up(ticked, 1)
        ticked.daemon.close()
    until_up(ticked, 0)
    check_messages(ticked, down, up, down, up, down)
    assert "Failed to connect socket" in ticked.plugin.log.lines[0]
    assert "is the daemon of that socket running?" in ticked.plugin.log.lines[0]


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
    check_messages(ticked, "I! connected")


@pytest.mark.parametrize(
    ("behaviour", "recovery", "enough", "words"),
    [
        ({"hanging_up": True}, ("hanging_up", False), lambda made: made > 3, ""),
        ({"error": (SYSTEM_ERROR, 10, "bad")}, ("error", None), lambda made: made == 1, "bad"),
        ({"error": (SYSTEM_ERROR, FROM_RPC, "x")}, ("error", None), lambda made: made > 3, "x"),
    ],
    ids=["hangs up", "fails", "broken"],
)
def test_a_trouble_that_stays_is_one_message(
    host: Hosts,
    daemon: Daemons,
    behaviour: dict[str, object],
    recovery: tuple[str, object],
    enough: Callable[[int], bool],
    words: str,
) -> None:
    """A daemon that closes each connection, or an error of every call, is reported once, and so is
    its end. Only an error of the connection itself leads to new connections."""
    hypervisor = daemon(**behaviour)
    ticked = host(hypervisor)
    until_up(ticked, 0)
    assert eventually(lambda: ticked.tick() and enough(hypervisor.connections))
    setattr(hypervisor, *recovery)
    until_up(ticked, 1)
    check_messages(ticked, f"E! cannot be read: {words}", "I! connected")


def test_a_hypervisor_in_a_file_appears(
    start: Start, tmp_path: Path, with_domains: WithDomains
) -> None:
    """An unreadable file of the test driver is tried again at the next tick."""
    (tmp_path / "later.xml").write_text("<node>")
    plugin = start("--uri", f"test://{tmp_path}/later.xml")
    plugin.tick()
    plugin.wait_for_message("E! ")
    with_domains("guest", file="later.xml")
    assert eventually(lambda: plugin.tick() or plugin.states)
