"""vcpu_mapping: what it asks the daemon for, when it asks again, and what it writes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.crowd import Crowd, guest
from support.host import Host, Hosts
from support.plugin import FAST_CLOCK, LOAD_THE_REAL_ONE, eventually, in_front_of
from support.server import GET_ALL_DOMAIN_STATS
from support.vcpus import (
    CPUS,
    GET_INFO,
    GET_VCPU_PIN_INFO,
    GET_VCPUS,
    LISTED_CPUS,
    NODE_GET_CPU_MAP,
)

GUESTS = 20

MOST = 2**31 - 1
"""The largest count that a daemon can claim."""

EVERY_CPU = dict.fromkeys(range(4), LISTED_CPUS)
RUNNING = {0: 1, 1: 2, 2: 3, 3: 4}
"""The CPU that each vCPU of a running guest is on."""

FOUR_PINS, PINNED = (1, 2, 4, 8), {0: "0", 1: "1", 2: "2", 3: "3"}

#: Notes the turns of libvirt's event loop and the pauses after them, in a file.
NOTED_TURNS = """
import libvirt, threading, time
run, pause, loop = libvirt.virEventRunDefaultImpl, time.sleep, []
def note(word):
    with open({file!r}, "a") as file:
        file.write(word)
def turn():
    loop[:] = [threading.get_ident()]
    run()
    note("turn ")
def paused(seconds):
    if loop == [threading.get_ident()]:
        assert seconds >= 0.02
        note("pause ")
    pause(seconds)
libvirt.virEventRunDefaultImpl, time.sleep = turn, paused
"""


def begin(hosts: Hosts, crowd: Crowd, *options: str, **arguments: Any) -> Host:
    """A plugin with vcpu_mapping on this crowd."""
    return hosts(crowd, *options, also=["vcpu_mapping"], **arguments)


def tick(host: Host) -> list[str]:
    """One tick: its lines about vCPUs, without timestamps."""
    host.crowd.vcpus.asked.clear()
    lines = host.tick()
    assert sum(line.startswith("libvirt_state,") for line in lines) in (0, host.crowd.count)
    about = ("libvirt_cpu_affinity,", "libvirt_vcpu,")
    return [line.rpartition(" ")[0] for line in lines if line.startswith(about)]


def quiet(host: Host, calls: dict[int, int]) -> list[str]:
    """The lines of a tick with these calls only; a slow machine may repeat some in earlier ones."""
    lines: list[str] = []

    def is_quiet() -> bool:
        lines[:] = tick(host)
        return host.asked == calls

    assert eventually(is_quiet), host.asked
    return lines


def affinities(lines: list[str], name: str) -> dict[int, str]:
    """The CPUs that each vCPU of a guest may use."""
    pattern = rf'libvirt_cpu_affinity,domain_name={name},vcpu_id=(\d+) cpu_id="([\d,]+)"'
    found = [re.fullmatch(pattern, line) for line in lines]
    return {int(match[1]): match[2] for match in found if match}


def current(lines: list[str], name: str) -> dict[int, int]:
    """The CPU that each vCPU of a guest is on."""
    pattern = rf"libvirt_vcpu,domain_name={name},vcpu_id=(\d+) .*\bcpu_id=(-?\d+)i\b.*"
    found = [re.fullmatch(pattern, line) for line in lines]
    return {int(match[1]): int(match[2]) for match in found if match}


def test_one_request_for_a_running_guest(host: Hosts, tmp_path: Path) -> None:
    """A tick asks once for all statistics, and once for the vCPUs of each guest. Whatever the
    number of requests, libvirt's event loop pauses after each turn."""
    turns = tmp_path / "turns"
    text = LOAD_THE_REAL_ONE + NOTED_TURNS.format(file=str(turns))
    ticked = begin(host, Crowd(100), env=in_front_of("libvirt", tmp_path, text))
    tick(ticked)
    assert ticked.asked[NODE_GET_CPU_MAP] == 1 and GET_INFO not in ticked.asked
    lines = quiet(ticked, {GET_ALL_DOMAIN_STATS: 1, GET_VCPUS: 100})
    for number in range(1, 101):
        assert affinities(lines, guest(number)) == EVERY_CPU
        assert current(lines, guest(number)) == RUNNING
    assert ticked.plugin.finish() == 0
    noted = turns.read_text()
    assert 0 < noted.count("turn") <= noted.count("pause") + 1


def special() -> Crowd:
    """A crowd with all kinds of guests: pinned, with gaps in the ids of vCPUs, and off."""
    crowd = Crowd(6, off={guest(3), guest(4)})
    crowd.vcpus.pins = {
        guest(1): (1 << 0, 1 << 11, 0b1010, 0b11_1100_0000),
        guest(2): (0b11, 0, 0b100, 0b1),
        guest(4): (0b1, 0b10, 0b100, 0),
        guest(5): (0b1, 0b110),
        guest(6): (0b1, 0b11 << CPUS, 0b1 << CPUS - 1, 0b1),  # no CPU beyond the host's counts
    }
    crowd.vcpus.ids = {guest(5): (0, 2)}
    crowd.special = {
        guest(5): tuple(
            parameter
            for parameter in crowd.parameters
            if not parameter.key.startswith(("vcpu.current", "vcpu.1.", "vcpu.3."))
        )
    }
    return crowd


AFFINITIES = {
    guest(1): {0: "0", 1: "11", 2: "1,3", 3: "6,7,8,9"},
    guest(2): {0: "0,1", 2: "2", 3: "0"},
    guest(3): EVERY_CPU,
    guest(4): {0: "0", 1: "1", 2: "2"},
    guest(5): {0: "0", 2: "1,2"},
    guest(6): {0: "0", 2: str(CPUS - 1), 3: "0"},
}


@pytest.mark.parametrize(("ctypes", "with_vcpu"), [(True, True), (True, False), (False, True)])
def test_lines(host: Hosts, tmp_path: Path, ctypes: bool, with_vcpu: bool) -> None:
    """Running guests have affinities and current CPUs by the ids of their vCPUs, guests that are
    off have affinities by position; a vCPU without a CPU has none. In a Python without ctypes,
    libvirt-python's three requests bring the same. Without the statistics of vCPUs one more request
    brings their number, and no vCPU has a line of its own."""
    arguments = {} if ctypes else {"env": in_front_of("ctypes", tmp_path, "raise ImportError")}
    options = () if with_vcpu else ('statistics_groups = ["state"]',)
    ticked = begin(host, special(), *options, **arguments)
    for _ in range(2):
        lines = tick(ticked)
        assert {name: affinities(lines, name) for name in AFFINITIES} == AFFINITIES
        on = {name: current(lines, name) for name in AFFINITIES}
        if with_vcpu:
            assert on[guest(1)] == on[guest(2)] == RUNNING
            assert on[guest(3)] == on[guest(4)] == {} and on[guest(5)] == {0: 1, 2: 3}
        else:
            assert not any(on.values())
            assert all(line.startswith("libvirt_cpu_affinity,") for line in lines)
    if ctypes:
        # The statistics of one guest lack the number of vCPUs.
        quiet(ticked, {GET_ALL_DOMAIN_STATS: 1, GET_INFO: 1 if with_vcpu else 4, GET_VCPUS: 4})
    else:
        assert ticked.asked[GET_VCPUS] >= 4 and ticked.asked[NODE_GET_CPU_MAP] >= 4


@pytest.mark.parametrize(("vcpus", "cpus"), [(4, MOST), (MOST, CPUS)])
def test_no_count_is_trusted(host: Hosts, vcpus: int, cpus: int) -> None:
    """A daemon that claims more vCPUs or CPUs than libvirt lets through costs no memory, and the
    mapping is the right one."""
    crowd = Crowd(2)
    crowd.parameters = tuple(
        replace(each, value=vcpus) if each.key == "vcpu.current" else each
        for each in crowd.parameters
    )
    crowd.vcpus.cpus = cpus
    ticked = begin(host, crowd)
    lines = tick(ticked)
    for name in (guest(1), guest(2)):
        assert affinities(lines, name) == EVERY_CPU and current(lines, name) == RUNNING
    assert ticked.plugin.peak_kib() < 300 * 1024


def test_when_guests_that_are_off_are_asked_again(host: Hosts) -> None:
    """The pinning of guests that are off is kept, and written at each tick. After an event about
    one, or if it ran in between without an event, it is asked again, and no other."""
    ticked = begin(host, Crowd(GUESTS, off={guest(1), guest(2), guest(3)}))
    crowd = ticked.crowd
    first = tick(ticked)
    assert ticked.asked[GET_VCPU_PIN_INFO] >= 3
    crowd.vcpus.pins[guest(2)] = FOUR_PINS
    assert quiet(ticked, {GET_ALL_DOMAIN_STATS: 1, GET_VCPUS: GUESTS - 3}) == first
    assert affinities(first, guest(2)) == EVERY_CPU
    ticked.daemon.tell_of(guest(2))
    assert eventually(lambda: affinities(tick(ticked), guest(2)) == PINNED)
    asked = {name for call, name in crowd.vcpus.asked if call == GET_VCPU_PIN_INFO}
    assert asked == {guest(2)}

    crowd.off.discard(guest(1))
    assert current(tick(ticked), guest(1))
    crowd.off.add(guest(1))
    crowd.vcpus.pins[guest(1)] = FOUR_PINS
    for again in (True, False):
        lines = tick(ticked)
        assert affinities(lines, guest(1)) == PINNED and current(lines, guest(1)) == {}
        assert (ticked.asked[GET_VCPU_PIN_INFO] > 0) == again


def test_after_ten_minutes_it_asks_again(host: Hosts, tmp_path: Path) -> None:
    """A pinning that no event reports is known after ten minutes; so are more CPUs of the host."""
    ahead = tmp_path / "ahead"
    ahead.write_text("0")
    crowd = Crowd(GUESTS, off={guest(1)})
    env = in_front_of("libvirt", tmp_path, FAST_CLOCK.format(file=str(ahead)))
    ticked = begin(host, crowd, env=env)
    usual = {GET_ALL_DOMAIN_STATS: 1, GET_VCPUS: GUESTS - 1}
    tick(ticked)
    crowd.vcpus.pins[guest(1)] = FOUR_PINS
    ahead.write_text("440")
    assert affinities(quiet(ticked, usual), guest(1)) == EVERY_CPU
    ahead.write_text("601")
    assert affinities(tick(ticked), guest(1)) == PINNED
    assert ticked.asked[GET_VCPU_PIN_INFO] and ticked.asked[NODE_GET_CPU_MAP]
    quiet(ticked, usual)


@pytest.mark.thorough
def test_a_guest_that_hangs_costs_only_itself(host: Hosts) -> None:
    """Several guests are asked for their vCPUs at the same time. While the request for one hangs,
    all others have their mapping, and the hung guest all but that; afterwards it has that, too."""
    ticked = begin(host, Crowd(GUESTS), "parallel_calls = 4", 'timeout = "2s"')
    whole = sorted(tick(ticked))
    ticked.daemon.unanswered.add(GET_VCPUS)
    ticked.begin()
    assert eventually(lambda: ticked.asked[GET_VCPUS] >= 4)
    ticked.daemon.answer()
    ticked.end()
    hung = guest(3)
    mine = f"domain_name={hung},"
    ticked.crowd.vcpus.held.add(hung)

    def only_that_is_missing() -> bool:
        lines = tick(ticked)
        assert affinities(lines, hung) == current(lines, hung) == {}
        own = [line for line in lines if mine in line]  # libvirt_vcpu
        return len(own) == 4 and sorted(set(lines).difference(own)) == others

    others = [line for line in whole if mine not in line]
    for _ in range(2):
        # A slow machine looks like a guest whose monitor hangs.
        assert eventually(only_that_is_missing)
    ticked.daemon.answer()
    assert eventually(lambda: sorted(tick(ticked)) == whole)
