"""Guests that libvirt has locked: all others are in each tick, and nothing is missing afterwards.

Each lock is a real one: an operation, a hook, a disk or a switch that hangs.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from line_protocol_parser import parse_line

from support.hypervisor import OFF
from support.locks import LockingHypervisor
from support.plugin import eventually, run
from support.ticks import OPTIONS, Ticks

HOLD = 2
"""The number of ticks during a lock, after the one in which it was found."""

MOST_WAITING = 4
"""The number of calls of the plugin that may wait in the daemon, beside the operation itself."""


@pytest.fixture(scope="module")
def hypervisor() -> Iterator[LockingHypervisor]:
    """The hypervisor of this module: six guests run, and one is off."""
    with LockingHypervisor() as started:
        yield started


@contextmanager
def held(
    hypervisor: LockingHypervisor, ticks: Ticks, lock: AbstractContextManager[None], guest: str
) -> Iterator[None]:
    """Ticks during a lock, and the block; then the first tick after it.

    All guests but the locked one are in each tick, and few calls wait. Afterwards all are there
    that were started and defined meanwhile. (libvirt defines no guest while a call waits for
    another one.)
    """
    with ExitStack() as changes, lock:
        free = ticks.expected.keys() - {guest}
        ticks.until_locked({guest}, free)
        hypervisor.start_guest("spare")
        ticks.after(time.time_ns())  # the one before may have met the start
        for _ in range(HOLD):
            assert ticks.with_all(free).locked == {guest}
        assert eventually(lambda: hypervisor.busy_workers() <= MOST_WAITING + 1)
        changes.enter_context(hypervisor.defining("fresh"))
        yield
    hypervisor.wait_until_free()
    tick = ticks.after(time.time_ns())
    assert tick.whole and not tick.locked
    assert tick.domains.keys() == {*ticks.expected, "fresh"}
    assert len(tick.domains["spare"]) == len(ticks.expected["idle5"])
    assert len(tick.domains["fresh"]) == len(ticks.expected["spare"])
    (over,) = ticks.plugin.wait_for_message("no guest is locked any more")
    assert over.startswith("I! ")
    assert f"guests locked: {guest};" in ticks.plugin.wait_for_message("guests locked")[0]


@pytest.fixture
def ticks(hypervisor: LockingHypervisor, start: Callable[..., Ticks]) -> Ticks:
    """The ticks of a plugin with default options, after the first one; a guest `spare` is off."""
    hypervisor.define("spare")
    return start(OPTIONS).learn()


def messages(ticks: Ticks, text: str) -> int:
    """How often the log has this text."""
    return sum(text in line for line in ticks.plugin.log.lines)


@pytest.mark.parametrize("lock", ["slow_destroy", "slow_end"])
def test_the_end_of_a_guest(hypervisor: LockingHypervisor, ticks: Ticks, lock: str) -> None:
    """`virsh destroy` of a guest whose process does not end; a hook that hangs at the end."""
    with held(hypervisor, ticks, getattr(hypervisor, lock)("idle1"), "idle1"):
        pass
    assert messages(ticks, "guests locked") == 1


def test_a_hook_at_the_start(
    hypervisor: LockingHypervisor,
    ticks: Ticks,
    start: Callable[..., Ticks],
    write: Callable[..., Path],
) -> None:
    """A hook that hangs at the start of a guest.

    A plugin that starts meanwhile reads the running guests, and names the one that is locked, as do
    --once and --check.
    """
    lock = hypervisor.slow_start(OFF, "started")
    with held(hypervisor, ticks, lock, OFF), ThreadPoolExecutor() as pool:
        running = ticks.expected.keys() - {OFF}
        config = write(OPTIONS)
        results = [pool.submit(run, "--config", config, option) for option in ("--once", "--check")]
        late = start(OPTIONS)
        for _ in range(HOLD):
            tick = late.next()
            assert tick.domains.keys() == running and tick.locked == {OFF}
        late.plugin.wait_for_message(f"guests locked: {OFF};")
        once, check = (result.result() for result in results)
    assert messages(ticks, "guests locked") == 1
    tick = late.after(time.time_ns())
    assert tick.whole and tick.domains.keys() == {*ticks.expected, "fresh"}

    states = [line for line in once.stdout.splitlines() if line.startswith("libvirt_state,")]
    assert {parse_line(line)["tags"]["domain_name"] for line in states} == running
    assert once.returncode == 0 and f"guests locked: {OFF};" in once.stderr
    assert check.returncode == 0 and re.search(rf"locked.*: {OFF}$", check.stdout, re.MULTILINE)


def test_an_end_beside_a_hook(hypervisor: LockingHypervisor, ticks: Ticks) -> None:
    """While the hook of a guest that has ended hangs, libvirt does not notice the end of another
    one, and each call that touches that one fails: it costs nobody else."""
    free = ticks.expected.keys() - {"idle1"}
    with hypervisor.slow_end("idle1"):
        ticks.until_locked({"idle1"}, free)
        os.kill(hypervisor.guest_pid("idle2"), signal.SIGKILL)
        for _ in range(1 + HOLD):
            assert ticks.with_all(free - {"idle2"}).locked == {"idle1"}
    hypervisor.wait_until_free()
    tick = ticks.after(time.time_ns())
    assert tick.whole and tick.domains.keys() == ticks.expected.keys()


def test_slow_switch(hypervisor: LockingHypervisor, start: Callable[..., Ticks]) -> None:
    """`ovs-vsctl` that hangs for an interface: the plugin's own request holds the lock."""
    hypervisor.define("spare")
    with hypervisor.guest_on_a_switch("switched", "vhu0"):
        ticks = start(OPTIONS).learn()
        with held(hypervisor, ticks, hypervisor.slow_switch("vhu0"), "switched"):
            pass
        assert messages(ticks, "guests locked") == 1


def test_dead_storage(hypervisor: LockingHypervisor, ticks: Ticks) -> None:
    """A disk that hangs whoever opens it, of a guest that is off and then also of a running one.
    After the second the others are read without their disks, until the storage is back."""
    first, second = hypervisor.dead_storage(OFF), hypervisor.dead_storage("idle1")
    with held(hypervisor, ticks, first, OFF), second:
        free = ticks.expected.keys() - {OFF, "idle1"}
        ticks.until_locked({OFF, "idle1"}, free, blocks=False)
        for _ in range(HOLD):
            tick = ticks.with_all(free, blocks=False)
            assert tick.locked == {OFF, "idle1"}
            assert not any(line.startswith("libvirt_block,") for line in tick.lines)
        assert eventually(lambda: hypervisor.busy_workers() <= MOST_WAITING + 1)
    assert messages(ticks, "guests locked") == 2
    assert messages(ticks, "without the group block") == 1
    assert len(ticks.plugin.wait_for_message("the group block again")) == 1


def test_sources(hypervisor: LockingHypervisor, start: Callable[..., Ticks]) -> None:
    """Sources go on for all other guests, so do events, and tags stay."""
    sources = "job snapshot event"
    short = dict.fromkeys(sources.split(), 'timeout = "1s"')
    tags = 'additional_domain_tags = ["uuid"]'
    ticks = start(OPTIONS, tags, sources=sources, **short).learn()
    metrics = ticks.plugin.metrics

    def found(tag: str, seen: int = 0) -> set[str]:
        """The guests with snapshots, or the events."""
        kind = "libvirt_snapshot," if tag == "domain_name" else "libvirt_event,"
        lines = [line for line in metrics.lines[seen:] if line.startswith(kind)]
        return {parse_line(line)["tags"][tag] for line in lines}

    metrics.wait_for(lambda _: found("domain_name") == {*ticks.expected}, "all snapshots")
    with hypervisor.slow_end("idle1"):
        free = ticks.expected.keys() - {"idle1"}
        ticks.until_locked({"idle1"}, free)
        seen = len(metrics.lines)
        hypervisor.virsh("suspend", "idle2")
        hypervisor.virsh("resume", "idle2")
        for _ in range(HOLD):
            assert ticks.with_all(free).locked == {"idle1"}
        metrics.wait_for(lambda _: found("domain_name", seen) >= free, "snapshots of the others")
        metrics.wait_for(lambda _: found("event", seen) >= {"suspended", "resumed"}, "events")
        assert eventually(lambda: hypervisor.busy_workers() <= MOST_WAITING + 1)
    hypervisor.wait_until_free()
    assert ticks.after(time.time_ns()).whole
    seen = len(metrics.lines)
    metrics.wait_for(lambda _: found("domain_name", seen) == {*ticks.expected}, "all snapshots")


def test_an_excluded_guest(hypervisor: LockingHypervisor, start: Callable[..., Ticks]) -> None:
    """A locked guest that the configuration excludes costs nobody else, and is not reported."""
    ticks = start(OPTIONS, 'domain_exclude = ["idle1"]').learn()
    with hypervisor.slow_end("idle1"):
        for _ in range(HOLD):
            tick = ticks.with_all(ticks.expected)
            assert tick.whole and not any("=idle1" in line for line in tick.lines)
        assert eventually(lambda: hypervisor.busy_workers() <= MOST_WAITING + 1)
    hypervisor.wait_until_free()
