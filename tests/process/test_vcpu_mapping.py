"""vcpu_mapping: what it asks the daemon for, when it asks again, and what it writes."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from support.crowd import Crowd, guest
from support.plugin import LOAD_THE_REAL_ONE, Plugin, eventually, in_front_of
from support.server import GET_ALL_DOMAIN_STATS, Daemon
from support.vcpus import (
    CPUS,
    GET_INFO,
    GET_VCPU_PIN_INFO,
    GET_VCPUS,
    LISTED_CPUS,
    NODE_GET_CPU_MAP,
)

GUESTS = 20

#: A clock that is ahead by as many seconds as a file says.
FAST_CLOCK = """
import pathlib, time
monotonic = time.monotonic
time.monotonic = lambda: monotonic() + float(pathlib.Path({file!r}).read_text())
"""

#: Counts the turns of libvirt's event loop, in a file.
COUNTED_TURNS = """
import libvirt, pathlib
run, turns = libvirt.virEventRunDefaultImpl, 0
def counted():
    global turns
    run()
    turns += 1
    pathlib.Path({file!r}).write_text(str(turns))
libvirt.virEventRunDefaultImpl = counted
"""


class Host:
    """A plugin with vcpu_mapping on a crowd."""

    def __init__(self, plugin: Plugin, daemon: Daemon, crowd: Crowd) -> None:
        self.plugin = plugin
        self.daemon = daemon
        self.crowd = crowd

    def tick(self) -> list[str]:
        """One tick: its lines about vCPUs, without timestamps and without the counters of KVM."""
        self.plugin.metrics.forget()
        self.daemon.asked.clear()
        self.crowd.vcpus.asked.clear()
        self.plugin.tick()
        lines = self.plugin.metrics.wait_for(
            lambda lines: lines and lines[-1].startswith("libvirt_health,"), "a tick"
        )
        assert sum(line.startswith("libvirt_state,") for line in lines) in (0, self.crowd.count)
        return [
            line.rpartition(" ")[0]
            for line in lines
            if line.startswith(("libvirt_cpu_affinity,", "libvirt_vcpu,"))
        ]

    @property
    def asked(self) -> dict[int, int]:
        """How often the last tick asked for each procedure."""
        return dict(Counter(self.daemon.asked))


@pytest.fixture
def host(
    start: Callable[..., Plugin], config: Callable[..., Path], daemon: Callable[..., Daemon]
) -> Callable[..., Host]:
    """Start the plugin on this crowd, with these options."""

    def begin(crowd: Crowd, *options: str, **arguments: object) -> Host:
        hypervisor = daemon(crowd=crowd)
        text = [
            f'libvirt_uri = "{hypervisor.uri}"',
            'additional_statistics = ["vcpu_mapping", "health"]',
            *options,
        ]
        plugin = start("--config", config("\n".join(text)), **arguments)
        return Host(plugin, hypervisor, crowd)

    return begin


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


def test_one_request_for_a_running_guest(host: Callable[..., Host]) -> None:
    """A tick asks once for all statistics, and once for the vCPUs of each guest."""
    hypervisor = host(Crowd(GUESTS))
    hypervisor.tick()
    assert hypervisor.asked[NODE_GET_CPU_MAP] == 1 and GET_INFO not in hypervisor.asked
    for _ in range(2):
        lines = hypervisor.tick()
        assert hypervisor.asked == {GET_ALL_DOMAIN_STATS: 1, GET_VCPUS: GUESTS}
    for number in range(1, GUESTS + 1):
        assert affinities(lines, guest(number)) == dict.fromkeys(range(4), LISTED_CPUS)
        assert current(lines, guest(number)) == {0: 1, 1: 2, 2: 3, 3: 4}


def test_requests_do_not_wake_the_event_loop(host: Callable[..., Host], tmp_path: Path) -> None:
    """libvirt's event loop turns at most 50 times a second, whatever the number of requests."""
    turns = tmp_path / "turns"
    text = LOAD_THE_REAL_ONE + COUNTED_TURNS.format(file=str(turns))
    hypervisor = host(Crowd(100), env=in_front_of("libvirt", tmp_path, text))
    hypervisor.tick()
    assert eventually(turns.exists)
    before, started = int(turns.read_text() or 0), time.monotonic()
    for _ in range(5):
        hypervisor.tick()
    seconds = time.monotonic() - started
    assert hypervisor.asked[GET_VCPUS] == 100
    assert int(turns.read_text() or 0) - before <= 50 * seconds + 3


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


def test_lines(host: Callable[..., Host]) -> None:
    """Running guests have affinities and current CPUs by the ids of their vCPUs, guests that are
    off have affinities by position; a vCPU without a CPU has none."""
    hypervisor = host(special())
    for _ in range(2):
        lines = hypervisor.tick()
        assert affinities(lines, guest(1)) == {0: "0", 1: "11", 2: "1,3", 3: "6,7,8,9"}
        assert affinities(lines, guest(2)) == {0: "0,1", 2: "2", 3: "0"}
        assert affinities(lines, guest(3)) == dict.fromkeys(range(4), LISTED_CPUS)
        assert affinities(lines, guest(4)) == {0: "0", 1: "1", 2: "2"}
        assert affinities(lines, guest(5)) == {0: "0", 2: "1,2"}
        assert affinities(lines, guest(6)) == {0: "0", 2: str(CPUS - 1), 3: "0"}
        assert current(lines, guest(1)) == current(lines, guest(2)) == {0: 1, 1: 2, 2: 3, 3: 4}
        assert current(lines, guest(3)) == current(lines, guest(4)) == {}
        assert current(lines, guest(5)) == {0: 1, 2: 3}


@pytest.mark.parametrize("options", [(), ('statistics_groups = ["state"]',)])
def test_without_ctypes(
    host: Callable[..., Host], tmp_path: Path, options: tuple[str, ...]
) -> None:
    """In a Python without ctypes, libvirt-python's three requests bring the same lines."""
    whole = host(special(), *options)
    expected = [whole.tick() for _ in range(2)]
    whole.plugin.close()
    whole.daemon.close()
    environment = in_front_of("ctypes", tmp_path, "raise ImportError")
    without = host(special(), *options, env=environment)
    assert [without.tick() for _ in range(2)] == expected
    assert expected[0]
    assert without.asked[GET_VCPUS] == without.asked[NODE_GET_CPU_MAP] == 4


@pytest.mark.parametrize("cpus", [CPUS, 2**31 - 1])
@pytest.mark.parametrize("vcpus", [4, 2**31 - 1])
def test_no_count_is_trusted(host: Callable[..., Host], cpus: int, vcpus: int) -> None:
    """A daemon that claims more vCPUs or CPUs than libvirt lets through costs no memory, and the
    mapping is the right one."""
    crowd = Crowd(2)
    crowd.parameters = tuple(
        replace(each, value=vcpus) if each.key == "vcpu.current" else each
        for each in crowd.parameters
    )
    crowd.vcpus.cpus = cpus
    hypervisor = host(crowd)
    lines = hypervisor.tick()
    for name in (guest(1), guest(2)):
        assert affinities(lines, name) == dict.fromkeys(range(4), LISTED_CPUS)
        assert current(lines, name) == {0: 1, 1: 2, 2: 3, 3: 4}
    assert peak_kib(hypervisor.plugin) < 300 * 1024


def peak_kib(plugin: Plugin) -> int:
    """The most memory that the plugin has had."""
    found = re.search(r"VmHWM:\s*(\d+) kB", plugin.proc("status").read_text())
    assert found
    return int(found[1])


def test_without_the_group_vcpu(host: Callable[..., Host]) -> None:
    """Without the statistics of vCPUs one more request brings their number; no vCPU has a line of
    its own."""
    hypervisor = host(Crowd(GUESTS), 'statistics_groups = ["state"]')
    hypervisor.tick()
    lines = hypervisor.tick()
    assert hypervisor.asked == {GET_ALL_DOMAIN_STATS: 1, GET_INFO: GUESTS, GET_VCPUS: GUESTS}
    assert len(lines) == 4 * GUESTS
    assert all(line.startswith("libvirt_cpu_affinity,") for line in lines)


def test_a_guest_that_is_off_is_asked_once(host: Callable[..., Host]) -> None:
    """The pinning of guests that are off is kept, and written at each tick."""
    crowd = Crowd(GUESTS, off={guest(1), guest(2), guest(3)})
    hypervisor = host(crowd)
    first = hypervisor.tick()
    assert hypervisor.asked[GET_VCPU_PIN_INFO] == 3
    for _ in range(3):
        assert hypervisor.tick() == first
        assert hypervisor.asked == {GET_ALL_DOMAIN_STATS: 1, GET_VCPUS: GUESTS - 3}
    assert len(affinities(first, guest(2))) == 4


def test_an_event_makes_it_ask_again(host: Callable[..., Host]) -> None:
    """After an event about a guest that is off, this guest is asked again, and no other."""
    crowd = Crowd(GUESTS, off={guest(1), guest(2)})
    hypervisor = host(crowd)
    hypervisor.tick()
    crowd.vcpus.pins[guest(2)] = (1, 2, 4, 8)
    hypervisor.tick()
    assert GET_VCPU_PIN_INFO not in hypervisor.asked
    hypervisor.daemon.tell_of(guest(2))
    assert eventually(
        lambda: affinities(hypervisor.tick(), guest(2)) == {0: "0", 1: "1", 2: "2", 3: "3"}
    )
    asked = [name for call, name in crowd.vcpus.asked if call == GET_VCPU_PIN_INFO]
    assert asked == [guest(2)]


def test_a_start_and_a_stop_make_it_ask_again(host: Callable[..., Host]) -> None:
    """A guest that ran in between is asked again, also if no event reports it."""
    crowd = Crowd(GUESTS, off={guest(1)})
    hypervisor = host(crowd)
    assert affinities(hypervisor.tick(), guest(1))[0] == LISTED_CPUS
    crowd.off.clear()
    assert current(hypervisor.tick(), guest(1))
    crowd.off.add(guest(1))
    crowd.vcpus.pins[guest(1)] = (1, 2, 4, 8)
    for requests in (1, None):
        lines = hypervisor.tick()
        assert affinities(lines, guest(1)) == {0: "0", 1: "1", 2: "2", 3: "3"}
        assert current(lines, guest(1)) == {}
        assert hypervisor.asked.get(GET_VCPU_PIN_INFO) == requests


def test_after_ten_minutes_it_asks_again(host: Callable[..., Host], tmp_path: Path) -> None:
    """A pinning that no event reports is known after ten minutes; so are more CPUs of the host."""
    ahead = tmp_path / "ahead"
    ahead.write_text("0")
    text = LOAD_THE_REAL_ONE + FAST_CLOCK.format(file=str(ahead))
    crowd = Crowd(GUESTS, off={guest(1)})
    hypervisor = host(crowd, env=in_front_of("libvirt", tmp_path, text))
    hypervisor.tick()
    crowd.vcpus.pins[guest(1)] = (1, 2, 4, 8)
    ahead.write_text("440")
    assert affinities(hypervisor.tick(), guest(1))[0] == LISTED_CPUS
    assert hypervisor.asked == {GET_ALL_DOMAIN_STATS: 1, GET_VCPUS: GUESTS - 1}
    ahead.write_text("601")
    assert affinities(hypervisor.tick(), guest(1))[0] == "0"
    assert hypervisor.asked[GET_VCPU_PIN_INFO] == hypervisor.asked[NODE_GET_CPU_MAP] == 1
    hypervisor.tick()
    assert hypervisor.asked == {GET_ALL_DOMAIN_STATS: 1, GET_VCPUS: GUESTS - 1}


@pytest.mark.parametrize("calls", [1, 4])
def test_parallel_calls(host: Callable[..., Host], calls: int) -> None:
    """As many guests are asked for their vCPUs at the same time as there are connections."""
    hypervisor = host(Crowd(GUESTS), f"parallel_calls = {calls}", 'timeout = "60s"')
    for _ in range(2):
        whole = hypervisor.tick()
    hypervisor.plugin.metrics.forget()
    hypervisor.daemon.asked.clear()
    hypervisor.daemon.unanswered.add(GET_VCPUS)
    started = time.monotonic()
    hypervisor.plugin.tick()
    assert eventually(lambda: hypervisor.asked.get(GET_VCPUS, 0) >= calls)
    time.sleep(0.1)
    # After 0.5 s a request is repeated on another connection.
    assert hypervisor.asked[GET_VCPUS] == calls or time.monotonic() - started > 0.4
    hypervisor.daemon.answer()
    hypervisor.plugin.metrics.wait_for(
        lambda lines: lines and lines[-1].startswith("libvirt_health,"), "the tick"
    )
    assert sorted(hypervisor.tick()) == sorted(whole)


def test_a_guest_that_hangs_costs_only_itself(host: Callable[..., Host]) -> None:
    """While the request for the vCPUs of one guest hangs, all others have their mapping in time,
    and the hung guest has all but its mapping; afterwards it has that, too."""
    crowd = Crowd(GUESTS)
    hypervisor = host(crowd, 'timeout = "4s"')
    whole = hypervisor.tick()
    hung = guest(3)
    crowd.vcpus.held.add(hung)
    for number in range(4):
        started = time.monotonic()
        lines = hypervisor.tick()
        assert time.monotonic() - started < (6 if number == 0 else 2)
        assert affinities(lines, hung) == current(lines, hung) == {}
        mine = f"domain_name={hung},"
        assert sorted(line for line in lines if mine not in line) == sorted(
            line for line in whole if mine not in line
        )
        assert sum(mine in line for line in lines) == 4  # libvirt_vcpu
    hypervisor.daemon.answer()
    assert eventually(lambda: sorted(hypervisor.tick()) == sorted(whole))
