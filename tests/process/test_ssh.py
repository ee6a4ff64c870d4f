"""The program that libvirt runs for ssh URIs, by stand-ins: it ends with the plugin, a refusal is
tried rarely and reported once. Real ssh is in tests/transports."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.host import Config, Start
from support.plugin import eventually
from support.process import runs

#: Hangs, and has a child; the file notes both.
HANGS = """#!/bin/sh
sleep 1000 &
echo $$ $! >>"{note}"
wait
"""

#: Ignores SIGTERM.
STUBBORN = """#!/bin/sh
trap '' TERM
echo $$ >>"{note}"
while :; do sleep 0.1; done
"""

#: As real ssh, it takes a moment: libvirt loses the reason if it ends before the first request.
REFUSES = """#!/bin/sh
sleep 0.1
echo attempt >>"{note}"
echo 'monitor@kvm1.test: Permission denied (publickey).' >&2
exit 255
"""


#: Sources have their own connections; they wait for the hypervisor.
SOURCES = 'additional_statistics = ["health", "job", "network", "guest_agent"]'


class Ssh:
    """A program in the place of ssh. `lines` is what its runs have noted."""

    def __init__(self, folder: Path, text: str) -> None:
        self._note = folder / "note"
        program = folder / "ssh"
        program.write_text(text.format(note=self._note))
        program.chmod(0o700)
        self.uri = f"qemu+ssh://monitor@kvm1.test/system?command={program}&keyfile=/k/secret"

    @property
    def lines(self) -> list[str]:
        """One line for each run so far."""
        return self._note.read_text().splitlines() if self._note.exists() else []

    def processes(self) -> list[int]:
        """The processes that have been started and still run."""
        words = [word for line in self.lines for word in line.split() if word.isdigit()]
        return [int(word) for word in words if runs(int(word))]


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[Callable[[str], Ssh]]:
    """Put this program in the place of ssh; nothing of it outlives the test."""
    made: list[Ssh] = []

    def make(text: str) -> Ssh:
        made.append(Ssh(tmp_path, text))
        return made[-1]

    yield make
    for each in made:
        for process in each.processes():
            os.kill(process, signal.SIGKILL)


@pytest.mark.parametrize("text", [HANGS, STUBBORN], ids=["hangs", "ignores SIGTERM"])
@pytest.mark.parametrize(
    ("arguments", "how"),
    [
        ([], "SIGTERM"),
        ([], "end of stdin"),
        (["--once"], ""),
        (["--once"], "SIGINT"),
        (["--check"], ""),
        (["--check"], "SIGTERM"),
    ],
)
def test_no_process_is_left_behind(
    start: Start,
    ssh: Callable[[str], Ssh],
    config: Config,
    tmp_path: Path,
    arguments: list[str],
    how: str,
    text: str,
) -> None:
    """However the plugin ends, ssh and its children end with it while they hang; a child of the
    shell that became the plugin lives on."""
    stand_in = ssh(text)
    path = config(f'libvirt_uri = "{stand_in.uri}"\ntimeout = "500ms"')
    other = tmp_path / "other"
    shell = ("sh", "-c", f'sleep 1000 >/dev/null 2>&1 & echo $! >{other}; exec "$@"', "sh")
    null = subprocess.DEVNULL
    plugin = start("--config", path, *arguments, prefix=shell, stdout=null, stderr=null)
    try:
        plugin.tick()
        assert eventually(stand_in.processes)
        if how == "end of stdin":
            plugin.end_input()
        elif how:
            plugin.signal(signal.Signals[how])
        plugin.wait()
        assert stand_in.processes() == []
        assert runs(int(other.read_text()))
    finally:
        os.kill(int(other.read_text()), signal.SIGKILL)


def test_a_refused_key_is_tried_rarely(
    start: Start, ssh: Callable[[str], Ssh], config: Config
) -> None:
    """Twenty ticks with a wrong key make at most five connections, also with sources, and one
    message, which has neither the user name nor the path of the key."""
    stand_in = ssh(REFUSES)
    plugin = start("--config", config(f'libvirt_uri = "{stand_in.uri}"\n{SOURCES}'))
    for count in range(1, 21):
        plugin.tick()
        plugin.metrics.wait_for(
            lambda lines, wanted=count: sum("libvirt_health" in line for line in lines) >= wanted,
            "health",
        )
    assert plugin.finish() == 0
    assert 1 <= len(stand_in.lines) <= 5
    (message,) = plugin.log.lines
    assert message.startswith("E! ") and "Permission denied (publickey)" in message
    assert "authorized_keys" in message
    assert "monitor" not in message and "secret" not in message
