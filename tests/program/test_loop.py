"""The ticks of the main loop, in simulated time."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Optional

import pytest

from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.program import loop

SECOND = 1_000_000_000
START = 1_000_023 * SECOND
END = START + 60 * SECOND


class World:
    """A clock that goes on only while the loop waits; its selector, signals and collectors.

    `outside` has the times of ticks from outside, by a newline or by a signal. At the end of the
    world stdin ends. `ticks` has the times of the collections of each hypervisor. Each wait takes
    `late` longer than it should.
    """

    def __init__(self, *outside: int, by_signal: bool = False, late: int = 0) -> None:
        self.now = START
        self.outside = [*outside, END]
        self.late = late
        self.ticks: list[list[int]] = []
        self.stdin, self.keyboard = os.pipe()
        self.by_signal = by_signal
        self.signalled = False
        self.stop = None
        self.fd = -1

    def __enter__(self) -> World:
        return self

    def __exit__(self, *arguments: object) -> None:
        pass

    def register(self, *arguments: object) -> None:
        """What the loop waits for is known."""

    def select(self, seconds: Optional[float]) -> list[tuple[Any, int]]:
        """Wait for the next tick from outside, at most for this time."""
        due = END if seconds is None else self.now + round(seconds * SECOND) + self.late
        if self.outside[0] > due:
            self.now = due
            return []
        self.now = max(self.now, self.outside.pop(0))
        if not self.outside:
            os.close(self.keyboard)
        elif self.by_signal:
            self.signalled = True
            return []
        else:
            os.write(self.keyboard, b"\n")
        return [(SimpleNamespace(fd=self.stdin), 1)]

    def discard_bytes(self) -> None:
        """A signal writes none here."""

    def take_tick(self) -> bool:
        """Whether a signal has requested a tick."""
        taken, self.signalled = self.signalled, False
        return taken

    def collector(self, config: HypervisorConfig, index: int, *arguments: object) -> Any:
        """A collector that notes its ticks."""
        self.ticks.append([])
        plan = SimpleNamespace(uri=config.libvirt_uri, links=1, others=0)
        hypervisor = SimpleNamespace(plan=plan, tick=self.ticks[index].append, busy=False)
        return SimpleNamespace(config=config, hypervisor=hypervisor, timeout=SECOND)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run the loop in a world, with these intervals in seconds; return the ticks, in seconds since
    an even minute."""
    worlds: list[World] = []

    def begin(world: World, *intervals: float, poll: Optional[int] = None) -> list[list[float]]:
        worlds.append(world)
        monkeypatch.setattr(loop, "time", SimpleNamespace(time_ns=lambda: world.now, monotonic=int))
        selector = SimpleNamespace(PollSelector=lambda: world, EVENT_READ=1)
        monkeypatch.setattr(loop, "selectors", selector)
        monkeypatch.setattr(loop, "Collector", world.collector)
        uris = (f"test:///{number}" for number in range(len(intervals)))
        configs = [
            HypervisorConfig(libvirt_uri=uri, interval=int(seconds * SECOND) or None)
            for uri, seconds in zip(uris, intervals)
        ]
        anything: Any = world
        assert loop.Loop(configs, anything, anything, poll).run(world.stdin) == 0
        return [[(at - START) / SECOND + 3 for at in ticks] for ticks in world.ticks]

    yield begin
    for world in worlds:
        os.close(world.stdin)


def test_each_hypervisor_has_its_interval(run: Any) -> None:
    """It is collected at each multiple of its interval; one without an interval is not collected.
    A wait that takes longer delays one tick only."""
    expected = [[10.0, 20.0, 30.0, 40.0, 50.0, 60.0], [15.0, 30.0, 45.0, 60.0], []]
    assert run(World(), 10, 15, 0) == expected
    late = run(World(late=SECOND), 10, 0)
    assert late == [[11.0, 21.0, 31.0, 41.0, 51.0, 61.0], []]


@pytest.mark.parametrize("by_signal", [False, True])
def test_ticks_from_outside_take_over(
    run: Any, caplog: pytest.LogCaptureFixture, by_signal: bool
) -> None:
    """After a tick from outside `interval` is ignored, and all are collected at each such tick."""
    caplog.set_level(logging.INFO, loop.log.name)
    outside = (START + 10 * SECOND, START + 25 * SECOND)
    assert run(World(*outside, by_signal=by_signal), 10, 0) == [[10.0, 13.0, 28.0], [13.0, 28.0]]
    found = [text for text in caplog.messages if "outside" in text or "external" in text]
    assert found == ["external tick received; ignoring `interval`"]


def test_the_option_of_the_command_line_goes_on(run: Any) -> None:
    """--poll-interval overrides `interval`, and continues after other ticks."""
    world = World(START + 10 * SECOND)
    assert run(world, 3600, 0, poll=20 * SECOND) == [[13.0, 20.0, 40.0, 60.0]] * 2


@pytest.mark.parametrize("by_signal", [False, True])
@pytest.mark.parametrize("milliseconds", [-5, 0, 5])
def test_an_external_tick_at_the_time_of_the_clock(
    run: Any, by_signal: bool, milliseconds: int
) -> None:
    """A tick of the clock and an external one at the same moment are one collection, also if the
    external one turns off `interval`."""
    outside = [START + at * SECOND + milliseconds * 1_000_000 for at in (17, 37)]
    early = min(milliseconds, 0) / 1000
    both = run(World(*outside, by_signal=by_signal), 0, poll=20 * SECOND)
    assert both == [[20 + early, 40 + early, 60.0]]
    first = run(World(outside[0], by_signal=by_signal), 20)
    assert first == [[20 + early]]
