"""Guests and daemons that hang, die and come back: what still arrives, and when.

Each test checks the metrics of a tick, and limits the time until they arrive.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.hypervisor import LINUX, ODD, OFF, Hypervisor
from support.metrics import fields_of
from support.plugin import Plugin, eventually

TIMEOUT = 2.0
SLACK = 2.0
"""What a tick may take beyond the timeout, or beyond nothing: machines are slow at times."""

LONG = 5.0
"""A timeout that leaves time to see what comes before it."""

HEALTH = '  additional_statistics = ["health"]\n'


class Host:
    """A plugin at work on the hypervisor of the tests, tick by tick."""

    def __init__(self, plugin: Plugin, hypervisor: Hypervisor, parallel_calls: int) -> None:
        self.plugin = plugin
        self.hypervisor = hypervisor
        self.parallel_calls = parallel_calls

    def tick(self) -> tuple[float, Counter[str], dict[str, object]]:
        """One tick: the seconds until its metrics were there, the number of fields of each domain,
        and the fields of libvirt_health."""
        seen = len(self.plugin.metrics.lines)
        started = time.monotonic()
        self.plugin.tick()
        lines = self.plugin.metrics.wait_for(
            lambda lines: any(line.startswith("libvirt_health,") for line in lines[seen:]),
            "a tick's metrics",
        )
        took = time.monotonic() - started
        domains: Counter[str] = Counter()
        health = {}
        for (series, field), value in fields_of(lines[seen:]).items():
            if series[0] == "libvirt_health":
                health[field] = value
            elif series[0] != "libvirt_domain_health":
                domains[dict(series[1])["domain_name"]] += 1
        return took, domains, health

    def arrivals(self) -> dict[str, float]:
        """One tick: the seconds after which the state of each domain was there."""
        self.plugin.metrics.forget()
        started = time.monotonic()
        self.plugin.tick()
        found: dict[str, float] = {}
        lines: list[str] = []
        while not (lines and lines[-1].startswith("libvirt_health,")):
            now = time.monotonic() - started
            assert now < LONG + SLACK, "the tick does not end"
            lines = self.plugin.metrics.lines
            for series, _ in fields_of(line for line in lines if line.startswith("libvirt_state,")):
                found.setdefault(dict(series[1])["domain_name"], now)
            time.sleep(0.005)
        return found

    def calm(self) -> Counter[str]:
        """The fields of each domain once nothing hangs."""
        self.tick()
        took, domains, health = self.tick()
        assert took < SLACK and health["up"] == 1 and health["domains_incomplete"] == 0
        return domains


SIDE_BY_SIDE = pytest.mark.parametrize("host", [1, 3], indirect=True)
"""By one call, and by some that share the domains out."""


@pytest.fixture
def host(hypervisor: Hypervisor, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
    """The plugin on the tests' hypervisor, with health metrics; the parameter is the number of
    parallel calls, or that number and the timeout."""
    parameter = getattr(request, "param", 1)
    calls, timeout = parameter if isinstance(parameter, tuple) else (parameter, TIMEOUT)
    config = tmp_path / "plugin.conf"
    config.write_text(
        f'[[inputs.libvirt]]\n  libvirt_uri = "{hypervisor.uri}"\n'
        f'  timeout = "{timeout:.0f}s"\n  parallel_calls = {calls}\n{HEALTH}'
    )
    with Plugin("--config", config) as plugin:
        yield Host(plugin, hypervisor, calls)
        plugin.close()
        plugin.check_streams()


def name(domain: str) -> str:
    """A domain's name as a tag has it."""
    return domain.rstrip("\\")


@SIDE_BY_SIDE
def test_one_guest_hangs_three_rounds(host: Host) -> None:
    """All guests but the hung one are complete in each tick. Only the first tick takes the timeout.
    When the hung guest answers again, it is complete in the next tick."""
    whole = host.calm()
    for _ in range(3):
        host.hypervisor.pause_process("idle1")
        for number in range(4):
            took, domains, health = host.tick()
            assert took < (TIMEOUT + SLACK if number == 0 else SLACK), number
            assert {**domains, "idle1": 0} == {**whole, "idle1": 0}
            assert 0 < domains["idle1"] < whole["idle1"]
            assert health["up"] == 1 and health["domains_incomplete"] == 1
            assert health["calls_hanging"] == 1
        host.hypervisor.resume_process("idle1")
        _, domains, health = host.tick()
        assert domains == whole and health["domains_incomplete"] == 0
        assert eventually(lambda: host.tick()[2]["calls_hanging"] == 0)
    told = [line for line in host.plugin.log.lines if "not responding: idle1" in line]
    assert len(told) == 3


@pytest.mark.parametrize("host", [(1, LONG), (3, LONG)], indirect=True)
def test_a_hung_guest_delays_nobody_else(host: Host) -> None:
    """In the first tick of the hang the others arrive within a second; the guest that hangs arrives
    at the timeout, and in the next tick with the others."""
    whole = host.calm()
    host.hypervisor.pause_process("idle1")
    seconds = host.arrivals()
    assert seconds.keys() == whole.keys()
    hung = seconds.pop("idle1")
    assert max(seconds.values()) < 1
    assert LONG - 0.5 < hung < LONG + SLACK
    assert max(host.arrivals().values()) < 1


def test_no_false_alarms(host: Host) -> None:
    """A guest that is shut down or loses a hot-plugged disk while another guest hangs is not
    reported."""
    disk = host.hypervisor.folder / "plugged.raw"
    disk.write_bytes(bytes(1 << 20))
    disk.chmod(0o666)
    host.hypervisor.virsh("attach-disk", LINUX, str(disk), "vdz", "--live")
    try:
        whole = host.calm()
        host.hypervisor.pause_process("idle1")
        assert host.tick()[2]["domains_incomplete"] == 1
        host.hypervisor.stop_guest("idle2")
    finally:
        host.hypervisor.virsh("detach-disk", LINUX, "vdz", "--live")
    assert eventually(lambda: host.tick()[1][LINUX] < whole[LINUX])
    for _ in range(2):
        _, domains, health = host.tick()
        assert health["domains_incomplete"] == 1
        assert domains["idle2"] < whole["idle2"] and domains[LINUX] < whole[LINUX]
    (message,) = host.plugin.wait_for_message("not responding")
    assert message.endswith("not responding: idle1")


@SIDE_BY_SIDE
def test_guests_hang_one_after_another(host: Host) -> None:
    """Each guest that hangs delays one tick, and the rest stay whole."""
    whole = host.calm()
    hanging = []
    for guest in ("idle1", LINUX, "idle3"):
        host.hypervisor.pause_process(guest)
        hanging.append(guest)
        for number in range(3):
            took, domains, health = host.tick()
            assert took < (TIMEOUT + SLACK if number == 0 else SLACK)
            for domain in whole:
                assert (domains[domain] < whole[domain]) == (domain in hanging), domain
            assert health["domains_incomplete"] == len(hanging)
    for guest in hanging:
        host.hypervisor.resume_process(guest)
    assert host.tick()[1] == whole


@SIDE_BY_SIDE
def test_two_guests_hang_at_once(host: Host) -> None:
    """Two guests that begin to hang at the same time delay one tick only."""
    whole = host.calm()
    host.hypervisor.pause_process("idle1")
    host.hypervisor.pause_process(ODD)
    for number in range(3):
        took, domains, _ = host.tick()
        assert took < (TIMEOUT + SLACK if number == 0 else SLACK)
        partly = {domain for domain in whole if domains[domain] < whole[domain]}
        assert partly == {"idle1", name(ODD)}


@SIDE_BY_SIDE
def test_all_guests_hang(host: Host) -> None:
    """If all guests hang, each tick has the fields of all guests that need no monitor."""
    whole = host.calm()
    running = [guest for guest in host.hypervisor.guests if guest != OFF]
    for guest in running:
        host.hypervisor.pause_process(guest)
    for number in range(4):
        took, domains, health = host.tick()
        assert took < (TIMEOUT + SLACK if number == 0 else SLACK)
        assert set(domains) == set(whole)
        assert health["up"] == 1 and health["domains_incomplete"] == len(running)
        assert 0 < health["calls_hanging"] <= 4 + host.parallel_calls
    for guest in running:
        host.hypervisor.resume_process(guest)
    assert eventually(lambda: host.tick()[1] == whole)


def test_a_guest_that_hangs_from_the_start(host: Host) -> None:
    """A plugin that begins while a guest hangs also names the guest that is incomplete."""
    host.hypervisor.pause_process("idle2")
    took, _, health = host.tick()
    assert took < TIMEOUT + SLACK
    assert health["domains_incomplete"] == 1
    host.plugin.wait_for_message("guests not responding: idle2")
    host.hypervisor.resume_process("idle2")
    assert eventually(lambda: host.tick()[2]["domains_incomplete"] == 0)


def test_sigterm_while_a_call_hangs(host: Host) -> None:
    """SIGTERM ends the process at once, whatever hangs."""
    host.hypervisor.pause_process("idle1")
    host.plugin.tick_and_go_on()
    host.plugin.signal(signal.SIGTERM)
    assert host.plugin.wait(3) == 0


def test_a_daemon_that_stops_and_goes_on(host: Host) -> None:
    """A daemon that is stopped is reported once; metrics return when it continues."""
    whole = host.calm()
    host.hypervisor.stop_daemon()
    took, domains, health = host.tick()
    assert took < TIMEOUT * 2 + SLACK and not domains and health["up"] == 0
    for _ in range(3):
        took, _, health = host.tick()
        assert took < SLACK and health["up"] == 0
    host.hypervisor.continue_daemon()
    assert eventually(lambda: host.tick()[1] == whole)
    assert len([line for line in host.plugin.log.lines if "cannot be read" in line]) == 1


def test_keepalive_finds_a_daemon_that_stands_still(host: Host) -> None:
    """The connection to a daemon that is stopped for long is given up, and made again."""
    whole = host.calm()
    host.hypervisor.stop_daemon()
    host.tick()
    pid = host.plugin.pid
    _, files = counts(pid)
    assert eventually(lambda: counts(pid)[1] < files, 40)
    host.hypervisor.continue_daemon()
    assert eventually(lambda: host.tick()[1] == whole)


def test_a_daemon_that_is_killed_and_restarted(host: Host) -> None:
    """While the daemon is away each tick says so; once it is back the next tick has metrics."""
    whole = host.calm()
    for _ in range(2):
        host.hypervisor.kill_daemon()
        took, domains, health = host.tick()
        assert took < SLACK and not domains and health["up"] == 0
        host.hypervisor.start_daemon()
        took, domains, health = host.tick()
        assert took < SLACK + TIMEOUT and set(domains) == set(whole) and health["up"] == 1
    assert health["reconnects"] == 2
    host.plugin.wait_for_message("connected:", 3)
    log = host.plugin.log.lines
    assert len([line for line in log if "cannot be read" in line]) == 2
    assert len([line for line in log if "connected:" in line]) == 3


def test_a_daemon_that_is_killed_in_the_middle_of_a_call(host: Host) -> None:
    """A call that hangs ends with its daemon, and the process goes on."""
    whole = host.calm()
    host.hypervisor.pause_process("idle1")
    seen = len(host.plugin.metrics.lines)
    host.plugin.tick_and_go_on()
    host.hypervisor.kill_daemon()
    host.plugin.metrics.wait_for(lambda lines: len(lines) > seen, "the tick's metrics")
    host.hypervisor.resume_process("idle1")
    host.hypervisor.start_daemon()
    assert eventually(lambda: host.tick()[1] == whole)
    assert host.tick()[2]["calls_hanging"] == 0


@pytest.mark.parametrize("host", [(1, LONG)], indirect=True)  # libvirtd blocks while a guest dies
def test_guests_come_and_go(host: Host) -> None:
    """Guests that are killed, started, made and undefined between ticks change nothing else."""
    whole = host.calm()
    host.hypervisor.define("fresh")
    assert set(host.tick()[1]) == {*whole, "fresh"}
    host.hypervisor.start_guest("fresh")
    assert set(host.tick()[1]) == {*whole, "fresh"}
    os.kill(host.hypervisor.guest_pid("fresh"), signal.SIGKILL)
    _, domains, health = host.tick()
    assert {*domains, "fresh"} == {*whole, "fresh"}
    # While a guest dies, libvirtd may lock it for a moment, or hang itself for longer than usual.
    assert health["domains_locked"] == ("fresh" not in domains)
    assert eventually(lambda: host.hypervisor.domstats("fresh")["fresh"]["state.state"] == "5")
    host.hypervisor.undefine("fresh")
    assert set(host.tick()[1]) == set(whole)
    warnings = [line for line in host.plugin.log.lines if re.match("[EW]!", line)]
    expected = ("a libvirt call is hung", "guests locked: fresh;")
    assert not [line for line in warnings if not any(text in line for text in expected)]


def test_one_hypervisor_of_two_hangs(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """The ticks of one hypervisor are the same whether another one hangs or not."""
    config = tmp_path / "plugin.conf"
    config.write_text(
        f'[[inputs.libvirt]]\n  libvirt_uri = "{hypervisor.uri}"\n'
        '[[inputs.libvirt]]\n  libvirt_uri = "test:///default"\n  statistics_groups = ["state"]\n'
    )
    hypervisor.stop_daemon()
    with Plugin("--config", config) as plugin:
        for number in range(3):
            started = time.monotonic()
            plugin.tick()
            plugin.wait_for_states(number + 1)
            assert time.monotonic() - started < SLACK
        assert all("domain_name=test " in line for line in plugin.metrics.lines)


def test_nothing_is_left_over(host: Host) -> None:
    """After calls that hung and connections that were lost there are no more threads and files
    than before."""
    host.calm()
    threads, files = counts(host.plugin.pid)
    for _ in range(3):
        host.hypervisor.pause_process("idle1")
        host.tick()
        host.hypervisor.resume_process("idle1")
        host.hypervisor.kill_daemon()
        host.tick()
        host.hypervisor.start_daemon()
        host.tick()
    assert eventually(lambda: host.tick() and counts(host.plugin.pid) == (threads, files)), (
        counts(host.plugin.pid),
        (threads, files),
    )


def counts(pid: int) -> tuple[int, int]:
    """How many threads and open files a process has."""
    proc = Path("/proc") / str(pid)
    return len([*proc.joinpath("task").iterdir()]), len([*proc.joinpath("fd").iterdir()])


@pytest.mark.parametrize("host", [(1, LONG)], indirect=True)
def test_a_guest_that_dies_under_a_call(host: Host) -> None:
    """If a guest dies under a call, libvirt answers nobody for up to two seconds, and the call
    fails for all guests; still no guest is missing."""
    whole = host.calm()
    seen = len(host.plugin.metrics.lines)
    host.hypervisor.pause_process("idle2")
    host.plugin.tick_and_go_on()
    os.kill(host.hypervisor.guest_pid("idle2"), signal.SIGKILL)
    lines = host.plugin.metrics.wait_for(
        lambda lines: any(line.startswith("libvirt_health,") for line in lines[seen:]), "the tick"
    )
    domains = {dict(series[1]).get("domain_name") for series, _ in fields_of(lines[seen:])} - {None}
    assert domains == set(whole)
