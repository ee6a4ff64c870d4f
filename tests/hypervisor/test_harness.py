"""The tests' own hypervisor is what the other tests take it for, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support import remains
from support.hypervisor import LINUX, ODD, OFF, RUNNING, SHUT_OFF, Hypervisor, HypervisorError
from support.missing import leave_out

IDLE = "idle1"


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether the condition comes true in this time."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def states(hypervisor: Hypervisor) -> dict[str, str]:
    """The guests' states by name."""
    stats = hypervisor.domstats(None, "--state", "--nowait")
    return {name: values["state.state"] for name, values in stats.items()}


def as_it_starts(hypervisor: Hypervisor) -> dict[str, str]:
    """The states that the guests have from the start."""
    return {name: SHUT_OFF if name == OFF else RUNNING for name in hypervisor.guests}


def test_all_guests_are_there(hypervisor: Hypervisor) -> None:
    """A booted, an oddly named, a shut off and three idle guests are listed by their own names."""
    assert states(hypervisor) == as_it_starts(hypervisor)
    assert {LINUX, ODD, OFF, "idle1", "idle2", "idle3"} == set(hypervisor.guests)


def test_nothing_runs_as_root(hypervisor: Hypervisor) -> None:
    """Daemon and guests belong to an unprivileged account, even where the tests are root."""
    pids = [hypervisor.daemon_pid, hypervisor.guest_pid(LINUX), hypervisor.guest_pid(ODD)]
    assert 0 not in {Path("/proc", str(pid)).stat().st_uid for pid in pids}


def test_a_read_only_connection_works(hypervisor: Hypervisor) -> None:
    """The one socket of a session daemon serves read-only clients too, and holds them to it."""
    assert LINUX in hypervisor.virsh("-r", "list")
    with pytest.raises(HypervisorError, match="read only access"):
        hypervisor.virsh("-r", "destroy", IDLE)


def test_the_booted_guest_fills_the_groups(hypervisor: Hypervisor) -> None:
    """The booted guest has memory figures of its own, two disks, a backing file, two iothreads."""
    stats = hypervisor.domstats(LINUX, "--backing")[LINUX]
    assert stats["vcpu.current"] == stats["iothread.count"] == "2"
    assert int(stats["balloon.usable"]) < int(stats["balloon.available"])
    assert [stats[f"block.{i}.name"] for i in range(3)] == ["vda", "vda", "vdb"]
    assert {"vcpu.1.time", "vcpu.1.delay", "block.1.path", "iothread.2.poll-max-ns"} <= set(stats)


def test_the_counters_of_the_disks_move(hypervisor: Hypervisor) -> None:
    """The booted guest goes on reading from one disk and writing to both."""
    before = hypervisor.domstats(LINUX, "--block")[LINUX]

    def moved() -> bool:
        after = hypervisor.domstats(LINUX, "--block")[LINUX]
        keys = ("block.0.rd.bytes", "block.0.wr.reqs", "block.1.wr.reqs", "block.1.fl.reqs")
        return all(int(after[key]) > int(before[key]) for key in keys)

    assert eventually(moved)


def test_the_network_counters_are_there(hypervisor: Hypervisor) -> None:
    """Where root runs the tests, the booted guest has a tap interface, and sends something."""
    if not hypervisor.tap:
        leave_out("needs a tap interface, which only root may make (iproute2, /dev/net/tun)")

    def sent() -> bool:
        stats = hypervisor.domstats(LINUX, "--interface")[LINUX]
        return stats["net.0.name"] == hypervisor.tap and int(stats["net.0.rx.bytes"]) > 0

    assert eventually(sent)


def test_dirty_rate_can_be_measured(hypervisor: Hypervisor) -> None:
    """A dirty rate that was asked for turns up in its group."""
    hypervisor.virsh("domdirtyrate-calc", LINUX, "--seconds", "1")
    key = "dirtyrate.megabytes_per_second"
    assert eventually(lambda: key in hypervisor.domstats(LINUX, "--dirtyrate")[LINUX])


def test_perf_events_can_be_counted(hypervisor: Hypervisor) -> None:
    """Perf events that were switched on turn up in their group, and count."""
    if not hypervisor.perf:
        leave_out("needs root, or kernel.perf_event_paranoid below 2, to count perf events")
    hypervisor.virsh("perf", LINUX, "--live", "--enable", "cpu_clock,page_faults")
    assert "perf.page_faults" in hypervisor.domstats(LINUX, "--perf")[LINUX]
    # Only QEMU's main thread counts, and it does not do much.
    assert eventually(lambda: hypervisor.domstats(LINUX, "--perf")[LINUX]["perf.cpu_clock"] != "0")


def test_a_guest_comes_and_goes(hypervisor: Hypervisor) -> None:
    """A fresh guest is defined, started, stopped and forgotten."""
    hypervisor.define("fresh")
    assert states(hypervisor)["fresh"] == SHUT_OFF
    hypervisor.start_guest("fresh")
    assert states(hypervisor)["fresh"] == RUNNING
    hypervisor.stop_guest("fresh")
    assert states(hypervisor)["fresh"] == SHUT_OFF
    hypervisor.undefine("fresh")
    assert states(hypervisor) == as_it_starts(hypervisor)


def test_a_paused_process_hangs_its_guest(hypervisor: Hypervisor) -> None:
    """While a QEMU stands still libvirt waits for it, and answers when it goes on."""
    hypervisor.pause_process(IDLE)
    with pytest.raises(subprocess.TimeoutExpired):
        hypervisor.virsh("domstats", IDLE, timeout=0.5)
    hypervisor.resume_process(IDLE)
    assert hypervisor.domstats(IDLE)[IDLE]["block.count"] == "1"


def test_a_stopped_daemon_hangs(hypervisor: Hypervisor) -> None:
    """While libvirtd stands still nothing is answered, and all is when it goes on."""
    hypervisor.stop_daemon()
    with pytest.raises(subprocess.TimeoutExpired):
        hypervisor.virsh("list", timeout=0.5)
    hypervisor.continue_daemon()
    assert LINUX in hypervisor.virsh("list")


def test_guests_survive_a_killed_daemon(hypervisor: Hypervisor) -> None:
    """A killed libvirtd refuses clients, and a new one finds the same guests running."""
    pid, daemon = hypervisor.guest_pid(ODD), hypervisor.daemon_pid
    hypervisor.kill_daemon()
    with pytest.raises(HypervisorError, match="Connection refused"):
        hypervisor.virsh("list")
    hypervisor.start_daemon()
    assert hypervisor.daemon_pid != daemon
    assert hypervisor.guest_pid(ODD) == pid
    assert states(hypervisor) == as_it_starts(hypervisor)


def test_heal_undoes_everything(hypervisor: Hypervisor) -> None:
    """Guests that hang, or were killed, suspended, started, forgotten or added are as they were."""
    hypervisor.define("fresh")
    hypervisor.start_guest("fresh")
    hypervisor.start_guest(OFF)
    hypervisor.virsh("suspend", ODD)
    hypervisor.undefine("idle3")
    hypervisor.pause_process(LINUX)
    os.kill(hypervisor.guest_pid("idle2"), 9)
    hypervisor.stop_daemon()
    hypervisor.heal()
    assert states(hypervisor) == as_it_starts(hypervisor)
    hypervisor.pause_process(IDLE)
    hypervisor.kill_daemon()
    hypervisor.heal()
    assert states(hypervisor) == as_it_starts(hypervisor)


def test_close_leaves_nothing() -> None:
    """No process, folder or interface is left, even if all stood still; closing twice is fine."""
    with Hypervisor(idle_guests=1, linux=False) as small:
        pids = remains.processes(small.folder)
        assert {small.daemon_pid, small.guest_pid(IDLE), small.guest_pid(ODD)} == pids
        small.pause_process(IDLE)
        small.stop_daemon()
    small.close()
    assert_gone(small.folder, pids)


def test_a_killed_test_run_leaves_nothing() -> None:
    """The watcher takes everything away when the tests' own process dies of SIGKILL."""
    script = """
from support.hypervisor import Hypervisor
with Hypervisor(idle_guests=1, linux=False) as small:
    input(f"{small.folder}\\n")
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as run:
        assert run.stdout
        folder = Path(run.stdout.readline().strip())
        pids = remains.processes(folder)
        run.kill()
    assert len(pids) == 3
    assert eventually(lambda: not folder.exists())
    assert_gone(folder, pids)


def assert_gone(folder: Path, pids: set[int]) -> None:
    """Nothing of the hypervisor in this folder is left."""
    assert not folder.exists()
    assert not Path("/sys/class/net", remains.tap_name(folder)).exists()
    for pid in pids:  # One that nobody has reaped yet has no command line.
        command = Path("/proc", str(pid), "cmdline")
        assert not command.exists() or os.fsencode(folder) not in command.read_bytes()
