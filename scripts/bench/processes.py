"""Processes that are measured: the plugin, a bare call, and the daemon that serves both."""

from __future__ import annotations

import contextlib
import os
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from support.crowd import Crowd
from support.server import Daemon

PLUGIN = (sys.executable, "-m", "telegraf_execd_libvirt", "--config")

#: The groups of each set, as libvirt's bits; NOWAIT is what the plugin asks with.
SETS = {"telegraf": 0x3FF, "full": 0}
NOWAIT = 1 << 29

#: The guests of what is measured for one number of them only.
TYPICAL = 1000


class Ticked:
    """A process that does its work at each newline and then writes this many lines."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout.fileno()
        self._lines = self._first()
        self.seconds: list[float] = []
        self._before = self._cpu()

    def tick(self) -> None:
        """One tick, to the last byte."""
        started = time.perf_counter()
        self._begin()
        left = self._lines
        while left > 0:
            left -= os.read(self._stdout, 1 << 20).count(b"\n")
        self.seconds.append(time.perf_counter() - started)

    def settle(self) -> None:
        """Start measuring."""
        self.seconds.clear()
        self._before = self._cpu()

    @property
    def cpu(self) -> float:
        """The CPU seconds of a tick."""
        return (self._cpu() - self._before) / len(self.seconds)

    @property
    def wall(self) -> float:
        return statistics.median(self.seconds)

    def status(self, name: str) -> int:
        """A number of the kernel's about the process, such as VmHWM in KiB."""
        text = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith(name)))

    def close(self) -> None:
        self._stdin.close()
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _begin(self) -> None:
        self._stdin.write(b"\n")
        self._stdin.flush()

    def _first(self) -> int:
        """How many lines a tick has: the first one ends when nothing more comes."""
        self._begin()
        lines, patience = 0, 60.0
        while select.select([self._stdout], [], [], patience)[0]:
            data = os.read(self._stdout, 1 << 20)
            if not data:
                raise SystemExit("bench: a process ended before its first tick did")
            lines, patience = lines + data.count(b"\n"), 1.0
        return lines

    def _cpu(self) -> float:
        """The CPU time of all threads, also of those that have ended, to the nanosecond: the
        kernel's clock of another process (CPUCLOCK_SCHED)."""
        return time.clock_gettime(~self._process.pid << 3 | 2)


@contextlib.contextmanager
def daemon(folder: Path, guests: int, step: int = 0) -> Iterator[tuple[str, list[int]]]:
    """A daemon in a separate process; its URI, and at the end how often it was asked."""
    path = folder / f"socket-{guests}-{step}"
    serving = subprocess.Popen(
        [sys.executable, __file__, str(path), str(guests), str(step)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert serving.stdin is not None and serving.stdout is not None
    calls: list[int] = []
    try:
        serving.stdout.readline()
        yield f"qemu+unix:///system?socket={path}", calls
    finally:
        serving.stdin.close()
        calls.append(int(serving.stdout.readline()))
        serving.wait()
        serving.stdout.close()


def serve(path: str, guests: int, step: int) -> None:
    """Run the daemon until stdin ends."""
    crowd = Crowd(guests, step)
    with Daemon(Path(path), crowd=crowd):
        print("listening", flush=True)
        sys.stdin.read()
    print(crowd.calls, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
