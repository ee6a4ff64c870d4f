"""Nothing of the tests' hypervisor outlives them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.plugin import eventually
from support.process import living, runs


@pytest.fixture(autouse=True)
def healthy() -> None:
    """This test has its own hypervisor."""


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
    assert not [pid for pid in pids if runs(pid)]
