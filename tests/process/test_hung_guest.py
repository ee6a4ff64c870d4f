"""A guest that hangs, or that another client uses, delays and costs nobody else."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from support.crowd import Crowd, guest
from support.plugin import Plugin, eventually
from support.server import GET_CONTROL_INFO, Daemon

GUESTS = 300
TIMEOUT = 4.0
ON_TIME = 1.0
"""Seconds after the tick until which all guests but the hung one are written."""

SLOW = 0.5
"""Beyond that, machines are slow at times."""


class Watched:
    """A plugin on a crowd whose lines are noted with the time at which they came."""

    def __init__(self, plugin: Plugin, crowd: Crowd, daemon: Daemon) -> None:
        self.plugin = plugin
        self.crowd = crowd
        self.daemon = daemon
        self.seconds: dict[str, float] = {}
        self.fields: dict[str, int] = {}
        self.stamps: dict[str, set[int]] = {}
        self.health = ""

    def tick(self, meanwhile: Callable[[float], None] = lambda seconds: None) -> None:
        """One tick; when each guest came, with how many fields and timestamps."""
        self.plugin.metrics.forget()
        self.seconds.clear()
        begin, self.began_at = time.monotonic(), time.time_ns()
        self.plugin.tick()
        lines: list[str] = []
        while not (lines and lines[-1].startswith("libvirt_health")):
            now = time.monotonic() - begin
            assert now < TIMEOUT + 5, "the tick does not end"
            meanwhile(now)
            lines = self.plugin.metrics.lines
            for line in lines:
                if found := re.match(r"libvirt_state,domain_name=([^ ,]+) ", line):
                    self.seconds.setdefault(found[1], now)
            time.sleep(0.005)
        self.took = time.monotonic() - begin
        series = Counter(line.partition(" ")[0] for line in lines)
        assert set(series.values()) == {1}, "a series was written twice"
        self.fields, self.stamps = {}, {}
        for line in lines:
            found = re.search(r"domain_name=([^ ,]+)", line)
            if found and not line.startswith("libvirt_domain_health"):
                name = found[1]
                self.fields[name] = self.fields.get(name, 0) + line.count("=") - line.count(",")
                self.stamps.setdefault(name, set()).add(int(line.rpartition(" ")[2]))
        self.series = Counter(
            found[1] for line in lines if (found := re.search(r"domain_name=([^ ,]+)", line))
        )
        self.health = lines[-1]

    def value(self, field: str) -> int:
        """A field of libvirt_health."""
        found = re.search(rf"{field}=(\d+)i", self.health)
        assert found is not None
        return int(found[1])


@pytest.fixture
def watched(
    start: Callable[..., Plugin], config: Callable[..., Path], daemon: Callable[..., Daemon]
) -> Callable[..., Watched]:
    """Start the plugin on this many guests, and let one normal tick pass."""

    def begin(guests: int = GUESTS, *options: str) -> Watched:
        crowd = Crowd(guests, step=1)
        hypervisor = daemon(crowd=crowd)
        text = [
            f'libvirt_uri = "{hypervisor.uri}"',
            f'timeout = "{TIMEOUT:.0f}s"',
            'additional_statistics = ["health"]',
            *options,
        ]
        watched = Watched(start("--config", config("\n".join(text))), crowd, hypervisor)
        watched.tick()
        assert len(watched.seconds) == guests and watched.took < ON_TIME + SLOW
        return watched

    return begin


@pytest.mark.parametrize("guests", [5, GUESTS])
@pytest.mark.parametrize("options", [(), ("parallel_calls = 3",)])
def test_a_hung_guest_delays_nobody_else(
    watched: Callable[..., Watched], guests: int, options: tuple[str, ...]
) -> None:
    """All others are written within a second, also in the first tick; the guest that hangs waits
    until the timeout in that tick only, and comes without the fields that need its monitor."""
    host = watched(guests, *options)
    whole = dict(host.fields)
    hung = guest(2)
    host.crowd.stopped.add(hung)
    host.tick()
    assert max(seconds for name, seconds in host.seconds.items() if name != hung) < ON_TIME
    assert TIMEOUT - 0.1 < host.seconds[hung] < TIMEOUT + SLOW
    assert {**host.fields, hung: 0} == {**whole, hung: 0}
    assert 0 < host.fields[hung] < whole[hung]
    assert host.value("up") == 1 and host.value("domains") == guests
    assert host.value("domains_incomplete") == 1 and host.value("calls_hanging") == 1
    host.plugin.wait_for_message(f"guests not responding: {hung}")
    for _ in range(3):
        host.tick()
        assert host.took < ON_TIME and len(host.seconds) == guests
        assert {**host.fields, hung: 0} == {**whole, hung: 0} and host.fields[hung] < whole[hung]
        assert host.value("calls_hanging") == 1
    host.daemon.answer()
    assert eventually(lambda: host.tick() or host.fields == whole)
    host.tick()
    assert host.value("domains_incomplete") == host.value("calls_hanging") == 0
    assert len(host.plugin.wait_for_message("guests not responding")) == 1
    assert not [line for line in host.plugin.log.lines if "timeout" in line]


def test_why_a_guest_hangs(watched: Callable[..., Watched]) -> None:
    """From the second tick on, a guest that hangs has the state of its control interface. Nobody
    else is asked for it. If that call hangs as well, it hangs once, and delays no line of others
    and, after one tick, no tick."""
    host = watched(5)
    hung = guest(2)
    health = f"libvirt_domain_health,domain_name={hung} complete=0i"
    host.crowd.stopped.add(hung)
    host.tick()
    assert GET_CONTROL_INFO not in host.daemon.asked
    assert [
        line.rpartition(" ")[0] for line in host.plugin.metrics.lines if "complete=0i" in line
    ] == [health]
    host.tick()
    control = f"{health},control_state=2i,control_details=0i,control_time_ms=1234i "
    assert any(line.startswith(control) for line in host.plugin.metrics.lines)
    assert host.daemon.asked.count(GET_CONTROL_INFO) == 1
    host.daemon.unanswered.add(GET_CONTROL_INFO)
    for number in range(4):
        host.tick()
        assert len(host.seconds) == 5 and host.took < ON_TIME + SLOW * (number == 0)
        others = [seconds for name, seconds in host.seconds.items() if name != hung]
        assert max(others) < ON_TIME
    assert host.daemon.asked.count(GET_CONTROL_INFO) == 2
    assert host.value("calls_hanging") == 2 and host.value("domains_incomplete") == 1
    host.daemon.answer()
    assert eventually(lambda: host.tick() or host.value("domains_incomplete") == 0)
    assert host.value("calls_hanging") == 0


def test_timestamps_are_true(watched: Callable[..., Watched]) -> None:
    """A batch that was requested with the tick has the tick's timestamp; the batch of the guest
    that hangs has the time of the request that was answered."""
    host = watched()
    host.crowd.stopped.add(guest(150))
    host.tick()
    hung_batch = {guest(number) for number in range(101, 201)}
    others = {
        stamp for name in host.stamps if name not in hung_batch for stamp in host.stamps[name]
    }
    assert len(others) == 1 and others.pop() - host.began_at < 0.1e9
    for name in hung_batch:
        (stamp,) = host.stamps[name]
        assert 0.2e9 < stamp - host.began_at < (ON_TIME + SLOW) * 1e9


def test_a_slow_guest_is_not_cut(watched: Callable[..., Watched]) -> None:
    """A guest that answers late, but within the timeout, comes once and with all its fields."""
    host = watched()
    whole = dict(host.fields)
    host.crowd.stopped.add(guest(7))

    def wake(seconds: float) -> None:
        if seconds > 2:
            host.daemon.answer()

    host.tick(wake)
    assert max(seconds for name, seconds in host.seconds.items() if name != guest(7)) < ON_TIME
    assert 2 <= host.seconds[guest(7)] < 2 + SLOW and host.took < 2 + SLOW
    assert host.fields == whole and host.value("domains_incomplete") == 0
    assert not [line for line in host.plugin.log.lines if line.startswith(("W!", "E!"))]


@pytest.mark.parametrize("numbers", [(1, 2, 3), (5, 150, 299)])
def test_several_guests_hang_at_once(
    watched: Callable[..., Watched], numbers: tuple[int, ...]
) -> None:
    """Guests that hang from the same moment on, in one batch or in several, delay nobody else."""
    host = watched()
    whole = dict(host.fields)
    hung = {guest(number) for number in numbers}
    host.crowd.stopped |= hung
    for _ in range(2):
        host.tick()
        late = {name for name, seconds in host.seconds.items() if seconds > ON_TIME + SLOW}
        assert late <= hung
        assert {name for name in whole if host.fields[name] < whole[name]} == hung
    host.daemon.answer()
    assert eventually(lambda: host.tick() or host.fields == whole)


def test_all_guests_hang(watched: Callable[..., Watched]) -> None:
    """If every guest hangs, each one comes with the fields that need no monitor, at each tick, and
    the number of calls that hang is bounded."""
    host = watched()
    whole = dict(host.fields)
    host.crowd.stopped |= set(whole)
    for number in range(3):
        host.tick()
        assert host.took < (TIMEOUT if number == 0 else ON_TIME) + SLOW
        assert host.fields.keys() == whole.keys()
        assert host.value("domains_incomplete") == GUESTS
        assert 4 <= host.value("calls_hanging") <= 5
    host.daemon.answer()
    assert eventually(lambda: host.tick() or host.fields == whole)


def test_a_busy_guest_is_asked_again(watched: Callable[..., Watched]) -> None:
    """A guest that another client uses for a moment comes whole in the same tick, and nobody waits
    for it."""
    host = watched()
    whole = dict(host.fields)
    host.crowd.busy = {guest(3): 1, guest(50): 2, guest(250): 4}
    host.tick()
    assert host.fields == whole and host.took < 0.5 + SLOW
    assert sorted(host.seconds.values())[GUESTS - 4] < SLOW
    assert host.value("domains_incomplete") == 0
    assert not [line for line in host.plugin.log.lines if line.startswith(("W!", "E!"))]


def test_a_guest_that_stays_busy_is_counted(watched: Callable[..., Watched]) -> None:
    """A guest that stays busy comes after half a second, incomplete, counted and named once."""
    host = watched(20)
    host.crowd.busy = {guest(3): 1000}
    for _ in range(2):
        host.tick()
        assert host.took < 0.5 + SLOW and host.value("domains_incomplete") == 1
        assert host.value("domains") == 20
    assert len(host.plugin.wait_for_message(f"guests not responding: {guest(3)}")) == 1
    host.crowd.busy.clear()
    host.tick()
    assert host.value("domains_incomplete") == 0
    host.plugin.wait_for_message("all guests respond again")


def test_no_false_alarms(watched: Callable[..., Watched]) -> None:
    """A guest that is shut down or loses its disks while another one hangs is not reported."""
    host = watched(20)
    host.crowd.stopped.add(guest(1))
    host.tick()
    host.crowd.off.add(guest(2))
    host.crowd.special[guest(3)] = tuple(
        parameter for parameter in host.crowd.parameters if not parameter.key.startswith("block.")
    )
    for _ in range(2):
        host.tick()
        assert host.value("domains_incomplete") == 1
    assert len(host.plugin.wait_for_message("guests not responding")) == 1
    host.daemon.answer()
    assert eventually(lambda: host.tick() or host.value("domains_incomplete") == 0)


@pytest.mark.parametrize("options", [(), ("parallel_calls = 3",)])
def test_a_daemon_that_was_stopped_is_no_short_timeout(
    start: Callable[..., Plugin],
    config: Callable[..., Path],
    daemon: Callable[..., Daemon],
    options: tuple[str, ...],
) -> None:
    """After a stop of the whole daemon nobody is told that the timeout is too short."""
    hypervisor = daemon(crowd=Crowd(20))
    text = [f'libvirt_uri = "{hypervisor.uri}"', 'timeout = "500ms"', *options]
    plugin = start("--config", config("\n".join(text)))
    plugin.tick()
    plugin.wait_for_states(20)
    hypervisor.silent = True
    for _ in range(6):
        plugin.tick_and_go_on()
        time.sleep(0.6)
    hypervisor.answer()
    assert eventually(lambda: plugin.tick_and_go_on() or len(plugin.states) > 60)
    assert len(plugin.wait_for_message("cannot be read")) == 1
    assert not [line for line in plugin.log.lines if "too short" in line]


@pytest.mark.parametrize(
    ("groups", "lacks"),
    [
        (["state", "block"], r"block\.\d+\.(?!name)"),
        (["state", "block"], r"block\.\d+\.(?!name|path)"),
        (["cpu_total"], r"cpu\.haltpoll"),
        (["dirtyrate", "state"], r"dirtyrate"),
    ],
    ids=["vhost-user", "empty drives", "TCG", "old QEMU"],
)
def test_what_a_driver_cannot_give_is_not_missing(
    start: Callable[..., Plugin],
    daemon: Callable[..., Daemon],
    config: Callable[..., Path],
    groups: list[str],
    lacks: str,
) -> None:
    """A guest that never has the keys of the monitor in the wanted groups is complete, and asked
    once more only; another guest is still found incomplete."""
    crowd = Crowd(3)
    crowd.special[guest(2)] = tuple(p for p in crowd.parameters if not re.match(lacks, p.key))
    path = config(
        f'libvirt_uri = "{daemon(crowd=crowd).uri}"\nstatistics_groups = {groups}\n'
        'additional_statistics = ["health"]'
    )
    plugin = start("--config", path)

    def incomplete() -> int:
        plugin.metrics.forget()
        plugin.tick_and_go_on()
        lines = plugin.metrics.wait_for(
            lambda lines: lines and lines[-1].startswith("libvirt_health,"), "a tick"
        )
        (found,) = re.findall(r"domains_incomplete=(\d+)i", lines[-1])
        return int(found)

    assert [incomplete() for _ in range(3)] == [0, 0, 0]
    assert len(crowd.requests) == 4
    assert not [line for line in plugin.log.lines if line.startswith(("W!", "E!"))]
    crowd.busy = {guest(3): 1000}
    assert incomplete() == 1
    plugin.wait_for_message(f"guests not responding: {guest(3)}")
