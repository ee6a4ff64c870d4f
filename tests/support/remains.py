"""Takes away what a hypervisor of the tests has started and made, whatever state it is in.

The rule: only a process whose pid stands in a pid file of the hypervisor's own folder, and whose
command line names that folder, is killed. All that it takes is the folder, so that a watcher (this
file run as a program) can do it as well, once the tests' own process has died without doing it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

SECONDS_TO_DIE = 20.0


def tap_name(folder: Path) -> str:
    """The tap interface of the hypervisor in this folder; at most 15 characters are allowed."""
    return folder.name[-15:]


def processes(folder: Path) -> set[int]:
    """The living processes of the hypervisor in this folder: the daemon and all its QEMUs."""
    found = set()
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".pid"):
                try:
                    pid = int(Path(parent, name).read_text())
                    command = Path("/proc", str(pid), "cmdline").read_bytes()
                except (OSError, ValueError):
                    continue
                # A dead process that its parent has not yet heard of has no command line.
                if os.fsencode(folder) in command:
                    found.add(pid)
    return found


def send(number: signal.Signals, pids: set[int]) -> None:
    """Send the signal to those of the processes that still live."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def take_away(folder: Path) -> None:
    """Kill the processes, delete the tap interface and the folder; does nothing the second time."""
    deadline = time.monotonic() + SECONDS_TO_DIE
    # In rounds, since a daemon that is about to die may just have started another process.
    # SIGKILL works on stopped processes too.
    while pids := processes(folder):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still alive after SIGKILL: {sorted(pids)}")
        send(signal.SIGKILL, pids)
        time.sleep(0.01)
    if Path("/sys/class/net", tap_name(folder)).exists():
        subprocess.run(["ip", "link", "delete", tap_name(folder)], check=True)
    if folder.exists():
        shutil.rmtree(folder)


def watch(folder: Path) -> subprocess.Popen[bytes]:
    """Start the watcher: when its standard input ends, whatever the cause, it takes all away."""
    return subprocess.Popen(
        [sys.executable, "-I", __file__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C and the terminal's end are not for it.
    )


if __name__ == "__main__":
    sys.stdin.read()
    take_away(Path(sys.argv[1]))
