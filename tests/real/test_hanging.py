"""Guests and daemons that hang, die and come back: what still arrives, and in which order.

The rules of hanging are tested in simulated time; here a real daemon holds the calls.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable

import pytest

from support.hypervisor import LINUX, ODD, OFF, SHUT_OFF, Hypervisor
from support.plugin import eventually
from support.ticks import Tick, Ticks

TIMEOUT = 'timeout = "2s"'

MOST_HANGING = 4
"""The number of calls that may hang beside the parallel ones."""


def order(tick: Tick) -> list[str]:
    """The guests in the order in which they were written."""
    return re.findall(r"^libvirt_state,domain_name=(\w+)", "\n".join(tick.lines), re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "calls"),
    [([], 1), (["parallel_calls = 3"], 3), (["bulk_statistics = false"], 1)],
    ids=["bulk", "parallel", "single"],
)
def test_guests_hang(
    hypervisor: Hypervisor, start: Callable[..., Ticks], options: list[str], calls: int
) -> None:
    """One guest hangs, then two more, then all. The others are complete and come first; those that
    hang have what needs no monitor. When they go on, all are complete again."""
    ticks = start(TIMEOUT, *options).calm()
    tag = {name: name.rstrip("\\") for name in hypervisor.guests if name != OFF}
    hanging: set[str] = set()

    def lacking(tick: Tick) -> set[str]:
        # If all others hang, it is asked for less as well.
        return ticks.lacking(tick) - {OFF}

    for guests in (["idle1"], [LINUX, ODD], tag):
        for guest in {*guests} - hanging:
            hypervisor.pause_process(guest)
        hanging |= {*guests}
        ticks.plugin.tick()
        first = ticks.next()
        tags = {tag[guest] for guest in hanging}
        if first.troubled.keys() == {"idle1"}:  # all others answered in time
            assert order(first)[-1] == "idle1"
        ticks.until(lambda tick, tags=tags: tick.troubled.keys() == lacking(tick) == tags)
        tick = ticks.tick()
        assert tick.troubled.keys() == lacking(tick) >= tags
        assert tick.domains.keys() == ticks.expected.keys() and tick.health["up"] == 1
        assert 0 < int(str(tick.health["calls_hanging"])) <= MOST_HANGING + calls
    for guest in hanging:
        hypervisor.resume_process(guest)
    ticks.until(lambda tick: tick.whole and not ticks.lacking(tick))
    ticks.until(lambda tick: tick.health["calls_hanging"] == 0)
    assert "guests not responding: idle1" in ticks.plugin.log.text


def test_beside_a_guest_that_hangs(hypervisor: Hypervisor, start: Callable[..., Ticks]) -> None:
    """A guest that is shut down or loses a disk is not reported. A plugin that begins names the
    guest that hangs. SIGTERM ends the process in the middle of a call."""
    disk = hypervisor.plug_disk(LINUX)
    ticks = start(TIMEOUT).calm()
    hypervisor.pause_process("idle1")
    ticks.until(lambda tick: tick.troubled.keys() == {"idle1"})
    hypervisor.stop_guest("idle2")
    hypervisor.virsh("detach-disk", LINUX, disk, "--live")
    changed = {"idle1", "idle2", LINUX}
    ticks.until(lambda tick: tick.troubled.keys() == {"idle1"} and ticks.lacking(tick) == changed)
    assert "idle2" not in ticks.plugin.log.text
    late = start(TIMEOUT)
    late.until(lambda tick: tick.troubled.keys() == {"idle1"})
    late.plugin.wait_for_message("guests not responding: idle1")
    hypervisor.pause_process("idle3")
    late.plugin.tick_and_go_on()
    late.plugin.signal(signal.SIGTERM)
    assert late.plugin.wait() == 0


def test_daemon_stops_and_dies(hypervisor: Hypervisor, start: Callable[..., Ticks]) -> None:
    """While the daemon is stopped or gone each tick says so, and the log once. All is back with it,
    also if it was killed in the middle of a call, and nothing is left over."""
    ticks = start(TIMEOUT).calm()
    before = ticks.plugin.opened()

    def is_back() -> None:
        ticks.until(lambda tick: tick.whole and tick.domains == ticks.expected)

    hypervisor.stop_daemon()
    for _ in range(4):
        tick = ticks.tick()
        assert tick.health["up"] == 0 and not tick.domains
    assert len(ticks.plugin.wait_for_message("cannot be read")) == 1
    files, _ = ticks.plugin.opened()
    # Keepalive gives the connections up.
    assert eventually(lambda: ticks.plugin.opened()[0] < files, 90)
    hypervisor.continue_daemon()
    is_back()

    for number in (2, 3):
        hypervisor.kill_daemon()
        for _ in range(2):
            tick = ticks.tick()
            assert tick.health["up"] == 0 and not tick.domains
        hypervisor.start_daemon()
        is_back()
        assert len(ticks.plugin.wait_for_message("cannot be read")) == number
        assert len(ticks.plugin.wait_for_message("connected:", number + 1)) == number + 1

    hypervisor.pause_process("idle1")
    ticks.plugin.tick_and_go_on()
    hypervisor.kill_daemon()
    ticks.next()
    hypervisor.resume_process("idle1")
    hypervisor.start_daemon()
    is_back()
    assert ticks.tick().health["calls_hanging"] == 0
    assert eventually(lambda: ticks.tick() and ticks.plugin.opened() == before), (
        ticks.plugin.opened(),
        before,
    )


def test_guests_come_and_go(hypervisor: Hypervisor, start: Callable[..., Ticks]) -> None:
    """Guests that are defined, started, killed and undefined between ticks or in the middle of a
    call change nothing else; no guest is missing."""
    ticks = start('timeout = "5s"').calm()
    names = {*ticks.expected}
    hypervisor.define("fresh")
    ticks.until(lambda tick: tick.domains.keys() == {*names, "fresh"})
    hypervisor.start_guest("fresh")
    assert {*ticks.tick().domains} == {*names, "fresh"}
    # If a guest dies under a call, libvirt answers nobody for up to two seconds, and the call fails
    # for all guests.
    hypervisor.pause_process("fresh")
    ticks.plugin.tick_and_go_on()
    os.kill(hypervisor.guest_pid("fresh"), signal.SIGKILL)
    tick = ticks.next()
    # While a guest dies, libvirtd may lock it for a moment, or fail each call for it.
    assert {*tick.domains, "fresh"} == {*names, "fresh"}
    assert tick.health["domains_locked"] <= ("fresh" not in tick.domains)
    assert eventually(lambda: hypervisor.domstats("fresh")["fresh"]["state.state"] == SHUT_OFF)
    hypervisor.undefine("fresh")
    ticks.until(lambda tick: tick.domains.keys() == names)
    warnings = [line for line in ticks.plugin.log.lines if re.match("[EW]!", line)]
    expected = ("a libvirt call is hung", "locked: fresh;", "responding: fresh", "no statistics:")
    assert not [line for line in warnings if not any(text in line for text in expected)]


def test_why_a_guest_hangs(hypervisor: Hypervisor, start: Callable[..., Ticks]) -> None:
    """A guest whose QEMU is stopped has the state of libvirt's control interface to it, and for how
    long it has lasted. Others have none."""
    ticks = start('timeout = "2s"').calm()
    hypervisor.pause_process("idle1")
    ticks.tick()
    troubled = ticks.tick().troubled
    assert [*troubled] == ["idle1"]
    health = troubled["idle1"]
    assert health["control_state"] in (1, 2) and health["control_details"] == 0
    assert health["control_time_ms"] > 0


def test_another_client_reads_all(start: Callable[..., Ticks]) -> None:
    """Of two plugins that are ticked at the same moment, each has at each tick all fields of each
    guest or names it as incomplete, and some ticks are whole."""
    readers = [start().calm(), start().calm()]
    whole = 0
    for _ in range(40):
        for reader in readers:
            reader.plugin.tick()
        for reader in readers:
            tick = reader.next()
            assert reader.lacking(tick) == {*tick.troubled}
            assert tick.domains.keys() == reader.expected.keys()
            whole += tick.whole
    assert whole > 0
    for reader in readers:
        assert reader.until(lambda tick: tick.whole)
