"""The thread that carries out what the engine decides, on libvirt's test driver."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from support.plugin import SECONDS, TEST_DRIVER
from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.connection.errors import LibvirtError
from telegraf_execd_libvirt.hypervisor.engine import Engine
from telegraf_execd_libvirt.hypervisor.hypervisor import Hypervisor
from telegraf_execd_libvirt.hypervisor.messages import Event, Outcome, Reading, TickDue, Written
from telegraf_execd_libvirt.hypervisor.worker import Worker
from telegraf_execd_libvirt.sources import SOURCES


def collect(hypervisor: Hypervisor) -> Iterator[Written]:
    """The results of one tick and of its sources."""
    hypervisor.tick(7)
    until = time.monotonic() + SECONDS
    while hypervisor.busy and time.monotonic() < until:
        yield from hypervisor.results(time.monotonic() + 0.01)


def test_results_go_on_after_an_exception() -> None:
    """If the consumer fails at one result, the next call brings the next one. The consumer may
    rest as soon as there is no further one."""
    rests: list[bool] = []
    config = HypervisorConfig(libvirt_uri=TEST_DRIVER)
    hypervisor = Hypervisor(config, "a name", lambda: rests.append(hypervisor.busy))
    hypervisor.tick(7)
    reading, outcome = next(hypervisor.results()), next(hypervisor.results())
    assert isinstance(reading, Reading) and isinstance(outcome, Outcome) and not rests
    assert outcome.domains == len(reading.domains) == 1 and outcome.timestamp == 7
    assert not [*hypervisor.results(time.monotonic())] and rests == [False]


def test_ticks_that_nobody_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks that come while nobody takes the results are one event, so they fill no memory and are
    no intervals of ticks; it has the timestamp of the last one."""
    ticks: list[int] = []
    handle = Engine.handle

    def recorded(engine: Engine, event: Event, now: float) -> None:
        if isinstance(event, TickDue):
            ticks.append(event.timestamp)
        handle(engine, event, now)

    monkeypatch.setattr(Engine, "handle", recorded)
    hypervisor = Hypervisor(HypervisorConfig(libvirt_uri=TEST_DRIVER), "a name")
    hypervisor.tick(5)
    hypervisor.tick(6)
    outcomes = [found for found in collect(hypervisor) if isinstance(found, Outcome)]
    assert ticks == [7] and len(outcomes) == 1


def test_errors_in_turn(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A source that fails with one text and then another, or works in between, is logged once for
    each text, and its return once for each."""

    def fails(outcomes: Iterator[str]) -> Any:
        text = next(outcomes)
        if text:
            raise LibvirtError(1, 10, text)
        return iter(())

    def messages(*texts: str) -> list[str]:
        outcomes = cycle(texts)
        new = lambda: lambda scope: fails(outcomes)  # noqa: E731
        monkeypatch.setitem(SOURCES, "job", replace(SOURCES["job"], new=new))
        config = HypervisorConfig(libvirt_uri=TEST_DRIVER, additional_statistics=("job",))
        hypervisor = Hypervisor(config, "a name")
        caplog.clear()
        with caplog.at_level("INFO"):
            for _ in range(12):
                [*collect(hypervisor)]
        return [text.partition("job: ")[2] for text in caplog.messages if "job: " in text]

    assert messages("one", "two") == ["one", "two"]
    assert messages("one", "", "two", "") == ["one", "works again", "two", "works again"]


def test_refused_attempts_leave_nothing(tmp_path: Path) -> None:
    """While a daemon is down, each tick makes an attempt; none of them stays in memory."""
    uri = f"qemu+unix:///system?socket={tmp_path}/no-socket"
    hypervisor = Hypervisor(HypervisorConfig(libvirt_uri=uri), "a name")
    numbers = []
    for _ in range(4):
        (outcome,) = collect(hypervisor)
        assert isinstance(outcome, Outcome) and not outcome.up
        gc.collect()
        numbers.append(sum(isinstance(thing, Worker) for thing in gc.get_objects()))
    assert numbers[-1] <= numbers[0]
