"""Start, stop and clean up what the tests run beside themselves.

The rule: nothing outlives its test run. Whatever `close()` takes away, it takes away after a
failure too. Processes of a `Workspace` also end when the test run itself is killed: a watcher (this
file, run as a program) then removes the folder and everything that belongs to it. Only a process
whose pid file is in the folder, and whose command line names the folder, is killed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

SECONDS_TO_DIE = 20.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Self = TypeVar("Self", bound="Closing")


class ProcessError(Exception):
    """A process did not do what it was started for; the message has the end of its log."""


class Closing:
    """Something that runs from the start of a `with` block until its end."""

    def __enter__(self: Self) -> Self:
        """Start it; if that fails, leave nothing."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take everything away, whatever happened."""
        self.close()

    def start(self) -> None:
        """Start what does not run since its creation."""

    def close(self) -> None:
        """Take everything away, in any state; may be called again."""
        raise NotImplementedError


class Workspace(Closing):
    """A temporary folder, with the processes that work in it and its tap interface."""

    def __init__(self, prefix: str) -> None:
        # Not below $TMPDIR: the path of a UNIX socket has at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir="/tmp"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._watcher = subprocess.Popen(
            [sys.executable, "-I", __file__, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C must not reach it
        )
        atexit.register(self.close)

    def run(
        self, name: str, command: Sequence[str], env: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a process in the folder; its output goes to NAME.log, its pid to NAME.pid."""
        with self.log(name).open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C must not reach it
            )
        self._processes.append(process)
        (self.folder / f"{name}.pid").write_text(str(process.pid))
        return process

    def log(self, name: str) -> Path:
        """The file with the output of a process."""
        return self.folder / f"{name}.log"

    def close(self) -> None:
        """Kill the processes; delete the tap interface and the folder."""
        take_away(self.folder)
        for process in self._processes:
            if process.returncode is None:  # not reaped, so its process group is still its own
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._watcher.communicate()
        atexit.unregister(self.close)


def wait_for(
    condition: Callable[[], object],
    seconds: float,
    what: str,
    log: Path,
    process: subprocess.Popen[bytes] | None = None,
) -> None:
    """Wait until the condition holds; raise ProcessError if the process ends before that."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process is not None and process.poll() is not None:
            raise ProcessError(f"ended with {process.returncode} before {what}: {end_of(log)}")
        if time.monotonic() > deadline:
            raise ProcessError(f"waited {seconds:g} s for {what}: {end_of(log)}")
        time.sleep(0.05)


def finish(*command: object, status: int = 0, **options: Any) -> str:
    """Run a command to its end; return its stdout, or raise ProcessError with its output if it has
    another exit status."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [str(part) for part in command],
        **{"input": "", "timeout": 60, **options},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != status:
        raise ProcessError(f"{done.args} gave {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def end_of(log: Path) -> str:
    """The last 2000 characters of a log."""
    return log.read_text(errors="replace")[-2000:] if log.exists() else "(no log)"


def kill(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """Kill a process unless it has ended, and wait for its end."""
    if process.poll() is None:
        process.kill()
        process.wait(SECONDS_TO_DIE)


def free_port() -> int:
    """A free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether a process accepts connections at this port of loopback."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def listens_at(path: Path) -> bool:
    """Whether a process accepts connections at this UNIX socket."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def tap_name(folder: Path) -> str:
    """The name of the folder's tap interface, which may have at most 15 characters."""
    return folder.name[-15:]


def living(folder: Path) -> set[int]:
    """The pids of the living processes that belong to the folder."""
    found = set()
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".pid"):
                try:
                    pid = int(Path(parent, name).read_text())
                    command = Path("/proc", str(pid), "cmdline").read_bytes()
                except (OSError, ValueError):
                    continue
                # A zombie has an empty command line.
                if os.fsencode(folder) in command:
                    found.add(pid)
    return found


def children(pid: int) -> list[int]:
    """The pids of the children of a process, of all its threads; none if the process has ended."""
    found: list[int] = []
    with contextlib.suppress(OSError):  # the process has ended
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):  # the thread has ended
                text = (thread / "children").read_text()
                found += map(int, text.split())
    return found


def runs(process: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def send(number: signal.Signals, pids: set[int]) -> None:
    """Send a signal to the processes that still live."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def take_away(folder: Path) -> None:
    """Kill the folder's processes; delete its tap interface and the folder itself."""
    deadline = time.monotonic() + SECONDS_TO_DIE
    # Repeat: a daemon may start another process just before it dies.
    # SIGKILL also ends stopped processes.
    while pids := living(folder):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still alive after SIGKILL: {sorted(pids)}")
        send(signal.SIGKILL, pids)
        time.sleep(0.01)
    if Path("/sys/class/net", tap_name(folder)).exists():
        subprocess.run(["ip", "link", "delete", tap_name(folder)], check=True)
    if folder.exists():
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.stdin.read()
    take_away(Path(sys.argv[1]))
