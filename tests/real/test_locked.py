"""Guests that libvirt has locked: all others are in each tick, and nothing is missing afterwards.

Each lock is a real one: an operation, a hook, a disk or a switch that hangs.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from line_protocol_parser import parse_line

from support.hypervisor import OFF
from support.locks import LockingHypervisor
from support.missing import available
from support.plugin import AT_ONCE, Plugin, run
from support.ticks import OPTIONS, Ticks

TIMEOUT = 5.0
HOLD = 2
"""The number of ticks during a lock, after the one in which it was found."""

AT_EACH_TICK = 'interval = "1ms"\ntimeout = "1s"\n'
"""Options of a source."""

MOST_WAITING = 4
"""The number of calls of the plugin that may wait in the daemon."""


@pytest.fixture(scope="module")
def hypervisor() -> Iterator[LockingHypervisor]:
    """The hypervisor of this module: six guests run, and one is off."""
    with available(LockingHypervisor) as started:
        yield started


@pytest.fixture
def write(hypervisor: LockingHypervisor, tmp_path: Path) -> Callable[..., Path]:
    """Write a configuration with these options and sources at each tick."""

    def write(*options: str, sources: str = "") -> Path:
        listed = ", ".join(f'"{name}"' for name in ["health", *sources.split()])
        lines = [
            f'[[inputs.libvirt]]\nlibvirt_uri = "{hypervisor.uri}"\n{OPTIONS}',
            f"additional_statistics = [{listed}]",
            *options,
            *(f"[inputs.libvirt.{name}]\n{AT_EACH_TICK}" for name in sources.split()),
        ]
        path = tmp_path / f"{len([*tmp_path.iterdir()])}.conf"
        path.write_text("\n".join(lines))
        return path

    return write


@pytest.fixture
def start(write: Callable[..., Path]) -> Iterator[Callable[..., Ticks]]:
    """Start a plugin with these options and sources; check its streams after the test."""
    started: list[Plugin] = []
    with ExitStack() as stack:

        def begin(*options: str, sources: str = "") -> Ticks:
            path = write(*options, sources=sources)
            started.append(stack.enter_context(Plugin("--config", path)))
            return Ticks(started[-1])

        yield begin
    for plugin in started:
        plugin.check_streams()


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
        for _ in range(HOLD):
            assert ticks.with_all(free).locked == {guest}
        assert hypervisor.busy_workers() <= MOST_WAITING + 1
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
    return start().learn()


def messages(ticks: Ticks, text: str) -> int:
    """How often the log has this text."""
    return sum(text in line for line in ticks.plugin.log.lines)


def test_slow_destroy(hypervisor: LockingHypervisor, ticks: Ticks) -> None:
    """`virsh destroy` of a guest whose process does not end."""
    with held(hypervisor, ticks, hypervisor.slow_destroy("idle1"), "idle1"):
        pass
    assert messages(ticks, "guests locked") == 1


def test_hook_at_the_end(hypervisor: LockingHypervisor, ticks: Ticks) -> None:
    """A hook that hangs at the end of a guest."""
    with held(hypervisor, ticks, hypervisor.slow_end("idle1"), "idle1"):
        pass
    assert messages(ticks, "guests locked") == 1


def test_hook_at_the_start(
    hypervisor: LockingHypervisor,
    ticks: Ticks,
    start: Callable[..., Ticks],
    write: Callable[..., Path],
) -> None:
    """A hook that hangs at the start of a guest.

    A plugin that starts meanwhile reads the running guests, and names the one that is locked;
    --once and --check do so within the timeout.
    """
    lock = hypervisor.slow_start(OFF, "started")
    with held(hypervisor, ticks, lock, OFF), ThreadPoolExecutor() as pool:
        running = ticks.expected.keys() - {OFF}
        commands = [("--config", write(), option) for option in ("--once", "--check")]
        results = [pool.submit(timed, *command) for command in commands]
        late = start()
        for _ in range(HOLD):
            tick = late.next()
            assert tick.domains.keys() == running and tick.locked == {OFF}
        late.plugin.wait_for_message(f"guests locked: {OFF};")
        (once_took, once), (check_took, check) = (result.result() for result in results)
    assert messages(ticks, "guests locked") == 1
    tick = late.after(time.time_ns())
    assert tick.whole and tick.domains.keys() == {*ticks.expected, "fresh"}

    assert max(once_took, check_took) < TIMEOUT + AT_ONCE
    states = [line for line in once.stdout.splitlines() if line.startswith("libvirt_state,")]
    assert {parse_line(line)["tags"]["domain_name"] for line in states} == running
    assert once.returncode == 0 and f"guests locked: {OFF};" in once.stderr
    assert check.returncode == 0 and re.search(rf"locked.*: {OFF}$", check.stdout, re.MULTILINE)


def timed(*arguments: str | Path) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Run the plugin to its end; the seconds that it took, and the outcome."""
    began = time.monotonic()
    done = run(*arguments)
    return time.monotonic() - began, done


def test_slow_switch(hypervisor: LockingHypervisor, start: Callable[..., Ticks]) -> None:
    """`ovs-vsctl` that hangs for an interface: the plugin's own request holds the lock."""
    hypervisor.define("spare")
    with hypervisor.guest_on_a_switch("switched", "vhu0"):
        ticks = start().learn()
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
        assert hypervisor.busy_workers() <= MOST_WAITING + 1
    assert messages(ticks, "guests locked") == 2
    assert messages(ticks, "without the group block") == 1
    assert len(ticks.plugin.wait_for_message("the group block again")) == 1


def test_sources(hypervisor: LockingHypervisor, start: Callable[..., Ticks]) -> None:
    """Sources go on for all other guests, so do events, and tags stay."""
    ticks = start('additional_domain_tags = ["uuid"]', sources="job snapshot event").learn()
    metrics = ticks.plugin.metrics
    metrics.wait_for(lambda lines: snapshots(lines) == {*ticks.expected}, "all snapshots")
    with hypervisor.slow_end("idle1"):
        free = ticks.expected.keys() - {"idle1"}
        ticks.until_locked({"idle1"}, free)
        seen = len(metrics.lines)
        hypervisor.virsh("suspend", "idle2")
        hypervisor.virsh("resume", "idle2")
        for _ in range(HOLD):
            assert ticks.with_all(free).locked == {"idle1"}
        metrics.wait_for(lambda lines: snapshots(lines[seen:]) >= free, "snapshots of the others")
        metrics.wait_for(lambda lines: events(lines[seen:]) >= {"suspended", "resumed"}, "events")
        assert hypervisor.busy_workers() <= MOST_WAITING
    hypervisor.wait_until_free()
    assert ticks.after(time.time_ns()).whole
    seen = len(metrics.lines)
    metrics.wait_for(lambda lines: snapshots(lines[seen:]) == {*ticks.expected}, "all snapshots")


def test_an_excluded_guest(hypervisor: LockingHypervisor, start: Callable[..., Ticks]) -> None:
    """A locked guest that the configuration excludes costs nobody else, and is not reported."""
    ticks = start('domain_exclude = ["idle1"]').learn()
    with hypervisor.slow_end("idle1"):
        for _ in range(HOLD):
            tick = ticks.with_all(ticks.expected)
            assert tick.whole and not any("=idle1" in line for line in tick.lines)
        assert hypervisor.busy_workers() <= MOST_WAITING
    hypervisor.wait_until_free()


def snapshots(lines: list[str]) -> set[str]:
    """The guests that the source `snapshot` has read."""
    found = [line for line in lines if line.startswith("libvirt_snapshot,")]
    return {parse_line(line)["tags"]["domain_name"] for line in found}


def events(lines: list[str]) -> set[str]:
    """The events that the source `event` has counted."""
    found = [line for line in lines if line.startswith("libvirt_event,")]
    return {parse_line(line)["tags"]["event"] for line in found}
