"""The program that libvirt runs for ssh URIs, by stand-ins: it ends with the plugin. Real ssh is in
tests/transports."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.host import Config, Start
from support.plugin import environment, eventually
from support.process import runs

pytestmark = pytest.mark.thorough

#: Hangs, ignores SIGTERM, and has a child; the file notes both.
SSH = """#!/bin/sh
sleep 1000 &
trap '' TERM
echo $$ $! >>"{note}"
while :; do sleep 0.1; done
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Callable[[], list[int]]]:
    """The processes that stand-ins have noted and that still run; none outlives the test."""
    note = tmp_path / "note"

    def living() -> list[int]:
        words = note.read_text().split() if note.exists() else []
        return [int(word) for word in words if runs(int(word))]

    yield living
    for process in living():
        os.kill(process, signal.SIGKILL)


@pytest.mark.parametrize(
    ("arguments", "how"),
    [([], "end of stdin"), ([], "SIGTERM"), (["--once"], ""), (["--check"], "SIGINT")],
)
def test_no_process_is_left_behind(
    start: Start,
    processes: Callable[[], list[int]],
    config: Config,
    tmp_path: Path,
    arguments: list[str],
    how: str,
) -> None:
    """However the plugin ends, ssh and its children end with it while they hang, and no file of the
    attempt is left; a child of the shell that became the plugin lives on."""
    program, temporary = tmp_path / "ssh", tmp_path / "temporary"
    program.write_text(SSH.format(note=tmp_path / "note"))
    program.chmod(0o700)
    temporary.mkdir()
    env = environment(PATH=f"{tmp_path}:{os.environ['PATH']}", TMPDIR=str(temporary))
    uri = "qemu+ssh://monitor@kvm1.test/system?known_hosts=/k"
    path = config(f'libvirt_uri = "{uri}"\ntimeout = "500ms"')
    other = tmp_path / "other"
    shell = ("sh", "-c", f'sleep 1000 >/dev/null 2>&1 & echo $! >{other}; exec "$@"', "sh")
    null = subprocess.DEVNULL
    plugin = start("--config", path, *arguments, prefix=shell, stdout=null, stderr=null, env=env)
    try:
        plugin.tick()
        assert eventually(processes)
        if how == "end of stdin":
            plugin.end_input()
        elif how:
            plugin.signal(signal.Signals[how])
        plugin.wait()
        assert processes() == [] == [*temporary.iterdir()]
        assert runs(int(other.read_text()))
    finally:
        os.kill(int(other.read_text()), signal.SIGKILL)
