"""The program that libvirt runs for ssh URIs, by stand-ins: it ends with the plugin, a refusal is
tried rarely and reported once. Real ssh is in tests/transports."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.plugin import AT_ONCE, COMMAND, Plugin, eventually

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


def runs(process: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


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


def ends(process: subprocess.Popen[bytes], how: str) -> None:
    """Bring a process to its end."""
    if how == "end of stdin":
        assert process.stdin is not None
        process.stdin.close()
    elif how:
        process.send_signal(signal.Signals[how])


@pytest.mark.parametrize("text", [HANGS, STUBBORN], ids=["hangs", "ignores SIGTERM"])
@pytest.mark.parametrize(
    ("arguments", "how"),
    [
        ([], "SIGTERM"),
        ([], "SIGINT"),
        ([], "end of stdin"),
        (["--once"], ""),
        (["--once"], "SIGTERM"),
        (["--check"], ""),
        (["--check"], "SIGTERM"),
        (["--check"], "SIGINT"),
    ],
)
def test_no_process_is_left_behind(
    ssh: Callable[[str], Ssh],
    tmp_path: Path,
    arguments: list[str],
    how: str,
    text: str,
) -> None:
    """However the plugin ends, ssh and its children end with it while they hang; a child of the
    shell that became the plugin lives on."""
    stand_in = ssh(text)
    config = tmp_path / "plugin.conf"
    config.write_text(f'[[inputs.libvirt]]\nlibvirt_uri = "{stand_in.uri}"\ntimeout = "500ms"\n')
    shell = 'sleep 1000 & echo $! >"$0"; exec "$@"'
    other = tmp_path / "other"
    process = subprocess.Popen(
        ["sh", "-c", shell, str(other), *COMMAND, "--config", str(config), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    try:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert eventually(stand_in.processes)
        ends(process, how)
        process.wait(20)
        assert stand_in.processes() == []
        assert runs(int(other.read_text()))
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
        os.kill(int(other.read_text()), signal.SIGKILL)


def test_a_refused_key_is_tried_rarely(
    start: Callable[..., Plugin], ssh: Callable[[str], Ssh], tmp_path: Path
) -> None:
    """Twenty ticks with a wrong key make at most five connections, also with sources, and one
    message, which has neither the user name nor the path of the key."""
    stand_in = ssh(REFUSES)
    config = tmp_path / "plugin.conf"
    config.write_text(f'[[inputs.libvirt]]\nlibvirt_uri = "{stand_in.uri}"\n{SOURCES}\n')
    plugin = start("--config", config)
    for count in range(1, 21):
        plugin.tick()
        plugin.metrics.wait_for(
            lambda lines, wanted=count: sum("libvirt_health" in line for line in lines) >= wanted,
            "health",
        )
        time.sleep(0.15)
    assert plugin.finish(AT_ONCE) == 0
    assert 2 <= len(stand_in.lines) <= 5
    (message,) = plugin.log.lines
    assert message.startswith("E! ") and "Permission denied (publickey)" in message
    assert "authorized_keys" in message
    assert "monitor" not in message and "secret" not in message


def test_a_trouble_that_alternates_is_reported_once_a_kind(
    start: Callable[..., Plugin], ssh: Callable[[str], Ssh], tmp_path: Path
) -> None:
    """Attempts that now give no answer in time, now are refused, do not fill the log: a kind of
    trouble is reported once until the hypervisor is read again."""
    stand_in = ssh(REFUSES.replace("exit", "sleep 0.5; exit"))
    config = tmp_path / "plugin.conf"
    config.write_text(f'[[inputs.libvirt]]\nlibvirt_uri = "{stand_in.uri}"\ntimeout = "300ms"\n')
    plugin = start("--config", config)
    for _ in range(8):
        plugin.tick()
        time.sleep(0.6)
    assert plugin.finish(AT_ONCE) == 0
    assert len(stand_in.lines) > 1
    errors = [line for line in plugin.log.lines if line.startswith("E!")]
    kinds = [("Permission denied" in line, "no answer" in line) for line in errors]
    assert sorted(kinds) == [(False, True), (True, False)]
