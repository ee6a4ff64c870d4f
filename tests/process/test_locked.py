"""While libvirt holds the locks of guests, all others are in each tick, on hosts of any size."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest

from support.crowd import Crowd, guest
from support.host import Config, Daemons, Start
from support.plugin import Plugin, eventually, run
from support.server import GET_JOB_STATS, LOOK_UP_BY_UUID, Daemon
from support.ticks import OPTIONS, Ticks

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
        assert self.ticks.plugin.wait_for_message("no guest is locked any more")


@pytest.fixture
def host(start: Start, config: Config, daemon: Daemons) -> Callable[..., Host]:
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


@pytest.mark.parametrize(
    ("guests", "numbers", "options"),
    [(1, (1,), ()), (101, (51, 52), ()), (300, (5, 150, 299), ("parallel_calls = 3",))],
)
def test_locked_guests(
    host: Callable[..., Host], guests: int, numbers: tuple[int, ...], options: tuple[str, ...]
) -> None:
    """One call about all guests and one for each locked guest wait, on a host of any size, with
    guests that are locked in one batch or in several, and again after another lock."""
    plugged = host(guests, *options)
    plugged.lock(numbers[0])
    plugged.daemon.unlock()
    assert plugged.ticks.after(time.time_ns()).whole
    assert eventually(lambda: not plugged.daemon.waiting)
    plugged.lock(*numbers)
    plugged.unlock()
    assert not [line for line in plugged.ticks.plugin.log.lines if line.startswith("E!")]


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
    """Tags and summaries stay, and a source goes on for the other guests. The XML of a guest that
    starts anew is asked for again once the lock is over; until then others keep theirs."""
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
    plugged.daemon.tell_of(guest(120))
    plugged.daemon.tell_of(guest(121))
    plugged.ticks.with_all(free)
    plugged.unlock()


def test_reconnect(host: Callable[..., Host], daemon: Daemons) -> None:
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
def test_nothing_is_known(daemon: Daemons, config: Config, command: str) -> None:
    """Started during a lock, where nothing has the names of guests, it says what is wrong after
    the timeout."""
    hypervisor = daemon(crowd=Crowd(20))
    assert hypervisor.crowd is not None
    hypervisor.crowd.held.add(guest(3))
    path = config(f'libvirt_uri = "{hypervisor.uri}"\ntimeout = "2s"')
    done = run("--config", path, command)
    assert done.returncode == 1
    assert (done.stdout + done.stderr).count("libvirt has locked") == 1
    assert len(hypervisor.waiting) <= 4


def test_check_of_a_lock_without_a_name(daemon: Daemons, config: Config) -> None:
    """--check reads the guests whose names are in files, says that others cannot be found, calls
    none of them missing, and measures no times."""
    hypervisor = daemon(crowd=Crowd(5))
    assert hypervisor.crowd is not None
    hypervisor.crowd.held.add(guest(3))
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
