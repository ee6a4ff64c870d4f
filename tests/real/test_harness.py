"""The hypervisor of the tests is repaired after each test, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.hypervisor import LINUX, ODD, OFF, RUNNING, SHUT_OFF, Hypervisor
from support.plugin import eventually
from support.process import Closing, ProcessError, Workspace, living, tap_name, wait_for


def states(hypervisor: Hypervisor) -> dict[str, str]:
    """The state of each guest."""
    stats = hypervisor.domstats(None, "--state", "--nowait")
    return {name: values["state.state"] for name, values in stats.items()}


def assert_gone(folder: Path, pids: set[int]) -> None:
    """Assert that the folder, its tap interface and its processes are gone."""
    assert not folder.exists()
    assert not Path("/sys/class/net", tap_name(folder)).exists()
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended
            # The command line of a zombie is empty.
            assert os.fsencode(folder) not in Path("/proc", str(pid), "cmdline").read_bytes()


def group_exists(pid: int) -> bool:
    """True if a process of this process group is left."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_heal_restores_all_guests(hypervisor: Hypervisor) -> None:
    """Guests that hang, or were killed, paused, started, undefined or added, are as before."""
    before = states(hypervisor)
    assert before == {name: SHUT_OFF if name == OFF else RUNNING for name in hypervisor.guests}
    hypervisor.define("fresh")
    hypervisor.start_guest(OFF)
    hypervisor.virsh("suspend", ODD)
    hypervisor.undefine("idle3")
    os.kill(hypervisor.guest_pid("idle2"), signal.SIGKILL)
    hypervisor.pause_process(LINUX)
    hypervisor.stop_daemon()
    hypervisor.heal()
    assert states(hypervisor) == before
    hypervisor.pause_process("idle1")
    hypervisor.kill_daemon()
    hypervisor.heal()
    assert states(hypervisor) == before


def test_a_killed_test_run_leaves_nothing() -> None:
    """After SIGKILL of the test run the watcher removes even stopped daemons and guests."""
    script = """
from support.hypervisor import Hypervisor
with Hypervisor(idle_guests=1, linux=False) as small:
    small.pause_process("idle1")
    small.stop_daemon()
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
        pids = living(folder)
        run.kill()
    assert len(pids) == 3
    assert eventually(lambda: not folder.exists())
    assert_gone(folder, pids)


def test_a_failed_start_leaves_nothing() -> None:
    """If a process does not become ready, it and its child are killed and its folder removed."""
    started: list[tuple[Path, set[int]]] = []

    class Failing(Closing):
        def start(self) -> None:
            self.workspace = Workspace("failing")
            folder, log = self.workspace.folder, self.workspace.log("sleep")
            command = ["sh", "-c", 'echo "not ready"; sleep 1000; :', str(folder)]
            process = self.workspace.run("sleep", command, {})
            started.append((folder, {process.pid}))
            wait_for(lambda: False, 0.1, "readiness", log, process)

        def close(self) -> None:
            self.workspace.close()

    with pytest.raises(ProcessError, match=r"waited 0.1 s for readiness: not ready"), Failing():
        pass
    ((folder, pids),) = started
    assert_gone(folder, pids)
    assert eventually(lambda: not any(group_exists(pid) for pid in pids))
