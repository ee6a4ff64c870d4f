"""While libvirt holds the locks of guests, all others are in each tick, on hosts of any size."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from support.crowd import Crowd, guest
from support.plugin import AT_ONCE, Plugin, eventually, run
from support.server import GET_JOB_STATS, LOOK_UP_BY_UUID, Daemon
from support.ticks import OPTIONS, Ticks

TIMEOUT = 5.0
HOLD = 2
"""The number of ticks during a lock, after the one in which it was found."""


class Host:
    """A plugin on a crowd, and its ticks."""

    def __init__(self, plugin: Plugin, daemon: Daemon, crowd: Crowd) -> None:
        self.daemon = daemon
        self.crowd = crowd
        self.ticks = Ticks(plugin).learn()

    def lock(self, *numbers: int) -> set[str]:
        """Lock these guests; ticks until the plugin has found out, and some more. All other guests
        are in each; return their names."""
        self.crowd.held = {guest(number) for number in numbers}
        free = self.ticks.expected.keys() - self.crowd.held
        self.ticks.until_locked(self.crowd.held, free)
        for _ in range(HOLD):
            assert self.ticks.with_all(free).locked == self.crowd.held
        waiting = Counter(self.daemon.waiting)
        assert waiting[LOOK_UP_BY_UUID] <= len(numbers)
        assert sum(waiting.values()) <= len(numbers) + 1
        return free

    def unlock(self) -> None:
        """Release all locks: the next tick is complete, also with a guest that was defined during
        the lock."""
        new = self.crowd.define()
        self.daemon.unlock()
        tick = self.ticks.after(time.time_ns())
        assert tick.whole and tick.domains.keys() == {*self.ticks.expected, new}
        assert len({len(fields) for fields in tick.domains.values()}) == 1
        assert len(self.ticks.plugin.wait_for_message("no guest is locked any more")) == 1


@pytest.fixture
def host(
    start: Callable[..., Plugin], config: Callable[..., Path], daemon: Callable[..., Daemon]
) -> Callable[..., Host]:
    """Start a plugin on this many guests, with these options and sources."""

    def begin(guests: int, *options: str, additions: str = '"health"') -> Host:
        crowd = Crowd(guests, step=1)
        hypervisor = daemon(crowd=crowd)
        text = [
            f'libvirt_uri = "{hypervisor.uri}"\n{OPTIONS}',
            'statistics_groups = ["state", "balloon"]',
            f"additional_statistics = [{additions}]",
            *options,
        ]
        return Host(start("--config", config("\n".join(text))), hypervisor, crowd)

    return begin


@pytest.mark.parametrize("guests", [1, 100, 101, 1000])
def test_one_guest(host: Callable[..., Host], guests: int) -> None:
    """One call about all guests and one for the locked guest wait, on a host of any size."""
    plugged = host(guests)
    plugged.lock(guests // 2 + 1)
    plugged.unlock()
    log = plugged.ticks.plugin.log.lines
    assert sum("guests locked" in line for line in log) == 1
    assert not [line for line in log if line.startswith("E!")]


@pytest.mark.parametrize("numbers", [(1, 2), (2, 3, 4), (5, 150, 299)])
def test_several_guests(host: Callable[..., Host], numbers: tuple[int, ...]) -> None:
    """Guests that are locked at once, in one batch or in several."""
    plugged = host(300)
    plugged.lock(*numbers)
    plugged.unlock()


def test_parallel_calls(host: Callable[..., Host]) -> None:
    """A lock with several calls side by side."""
    plugged = host(300, "parallel_calls = 3")
    plugged.lock(150)
    plugged.unlock()


def test_again(host: Callable[..., Host]) -> None:
    """A lock after another one."""
    plugged = host(101)
    for number in (7, 8):
        plugged.lock(number)
        plugged.daemon.unlock()
        assert plugged.ticks.after(time.time_ns()).whole
    assert eventually(lambda: not plugged.daemon.waiting)


def test_excluded(host: Callable[..., Host]) -> None:
    """A locked guest that the configuration excludes costs nobody else."""
    name = guest(50)
    plugged = host(300, f'domain_exclude = ["{name}"]')
    assert name not in plugged.ticks.expected
    plugged.crowd.held = {name}
    for _ in range(1 + HOLD):
        assert plugged.ticks.with_all(plugged.ticks.expected).whole
    assert len(plugged.daemon.waiting) <= 2
    plugged.unlock()


def test_tags_summaries_and_sources(host: Callable[..., Host]) -> None:
    """Tags and summaries stay, and a source goes on for the other guests."""
    plugged = host(
        150,
        'additional_domain_tags = ["uuid", "title"]',
        additions='"health", "domain", "node", "job"',
    )

    def fetched() -> int:
        return plugged.daemon.asked.count(GET_JOB_STATS)

    assert eventually(lambda: fetched() == 150)
    free = plugged.lock(120)
    before = fetched()
    plugged.ticks.with_all(free)
    assert eventually(lambda: fetched() >= before + len(free))
    plugged.unlock()


def test_a_guest_that_starts_anew(host: Callable[..., Host]) -> None:
    """Its XML is asked for again once the lock is over; until then others keep theirs."""
    plugged = host(50, 'additional_domain_tags = ["uuid"]')
    free = plugged.lock(20)
    plugged.daemon.tell_of(guest(20))
    plugged.daemon.tell_of(guest(21))
    plugged.ticks.with_all(free)
    plugged.unlock()


def test_reconnect(host: Callable[..., Host], daemon: Callable[..., Daemon]) -> None:
    """A daemon that restarts and locks the guest again is asked by the known UUIDs."""
    plugged = host(101)
    free = plugged.lock(60)
    plugged.daemon.close()
    plugged.daemon = daemon(plugged.daemon.path.name, crowd=plugged.crowd)
    assert eventually(lambda: plugged.ticks.next().domains.keys() == free)
    for _ in range(HOLD):
        assert plugged.ticks.with_all(free).locked == plugged.crowd.held
    plugged.unlock()


@pytest.mark.parametrize("command", ["--once", "--check"])
def test_nothing_is_known(
    daemon: Callable[..., Daemon], config: Callable[..., Path], command: str
) -> None:
    """Started during a lock, where nothing has the names of guests, it says what is wrong, within
    the timeout."""
    hypervisor = daemon(crowd=Crowd(20))
    assert hypervisor.crowd is not None
    hypervisor.crowd.held.add(guest(3))
    path = config(f'libvirt_uri = "{hypervisor.uri}"\ntimeout = "2s"')
    began = time.monotonic()
    done = run("--config", path, command)
    assert time.monotonic() - began < 2 + AT_ONCE
    assert done.returncode == 1
    assert (done.stdout + done.stderr).count("libvirt has locked") == 1
    assert len(hypervisor.waiting) <= 4
