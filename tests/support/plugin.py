"""The plugin as a process, started the way Telegraf starts it.

The rule: no process outlives its test; and a test waits for a condition, with a limit that only a
defect reaches.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import select
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from signal import SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, Signals
from typing import IO, Any

from support.process import Closing, kill

SECONDS = 30.0
"""How long a test waits for what should come soon; generous, for slow machines."""

COMMAND = (sys.executable, "-m", "telegraf_execd_libvirt")
TEST_DRIVER = "test:///default"

_TAG = r"(?:\\[,= ]|[^,= \n])+"
_VALUE = r'(?:-?\d+[iu]?|-?\d+\.\d+|true|false|"(?:[^"\\]|\\["\\])*")'
LINE = re.compile(
    rf"libvirt_[a-z_]+(?:,{_TAG}={_TAG})* {_TAG}={_VALUE}(?:,{_TAG}={_VALUE})* (\d{{19}})"
)
"""A line of line protocol whose timestamp is in nanoseconds."""

MESSAGE = re.compile(r"[EWID]! \S.{0,4000}")
"""A line of the log, in the form that Telegraf reads."""


def environment(**changes: str) -> dict[str, str]:
    """The tests' environment, without variables that change Python's streams."""
    special = ("PYTHONUNBUFFERED", "PYTHONIOENCODING", "PYTHONUTF8")
    return {**{name: os.environ[name] for name in os.environ if name not in special}, **changes}


def in_front_of(module: str, folder: Path, text: str) -> dict[str, str]:
    """An environment in which the plugin imports this text instead of the module."""
    (folder / f"{module}.py").write_text(text)
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return environment(PYTHONPATH=os.pathsep.join(paths))


LOAD_THE_REAL_ONE = """
import importlib, os, sys
sys.path.remove(os.path.dirname(__file__))
del sys.modules[__name__]
importlib.import_module(__name__)
"""
"""Code that replaces the text of `in_front_of` by the real module."""

FAST_CLOCK = f"""{LOAD_THE_REAL_ONE}
import pathlib, time
monotonic, seen = time.monotonic, ["0"]
def ahead():
    seen[0] = pathlib.Path({{file!r}}).read_text() or seen[0]  # empty while it is written
    return monotonic() + float(seen[0])
time.monotonic = ahead
"""
"""The same, with a clock that is ahead by as many seconds as a file says."""


_REJECTED = """
import json, sys
from telegraf_execd_libvirt import log
from telegraf_execd_libvirt.connection import conceal
from telegraf_execd_libvirt.program import cli
for command in json.load(sys.stdin):
    sys.argv[1:] = command
    conceal._hidden = ()
    try:
        status = cli.main()
    except SystemExit as end:
        status = end.code
    log.flush(20)
    print("status", status, flush=True)
"""


def rejected(*commands: Sequence[str | Path]) -> list[str]:
    """What wrong command lines print, each of which has status 2. One process runs them all,
    because its start takes most of the time."""
    done = subprocess.run(
        [sys.executable, "-c", _REJECTED],
        input=json.dumps([[*map(str, command)] for command in commands]),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(),
        encoding="utf-8",
        timeout=2 * SECONDS,
        check=True,
    )
    *texts, rest = done.stdout.split("status 2\n")
    assert (len(texts), rest) == (len(commands), ""), done.stdout
    return texts


def eventually(condition: Callable[[], object], seconds: float = SECONDS) -> bool:
    """True if the condition becomes true within this time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def states(lines: list[str]) -> list[str]:
    """The lines of libvirt_state: one for each domain and tick."""
    return [line for line in lines if line.startswith("libvirt_state,")]


def timestamps(lines: list[str]) -> list[int]:
    """The timestamp of each line of line protocol."""
    return [int(line.rpartition(" ")[2]) for line in lines]


def small_pipe(size: int = 4096) -> tuple[IO[bytes], IO[bytes]]:
    """The read and write ends of a pipe with a buffer of this size; the default is the smallest."""
    read, write = os.pipe()
    fcntl.fcntl(write, getattr(fcntl, "F_SETPIPE_SZ", 1031), size)  # has a name since Python 3.10
    return os.fdopen(read, "rb", buffering=0), os.fdopen(write, "wb", buffering=0)


def read(file: IO[bytes], size: int) -> bytes:
    """Wait for data in the pipe, and read up to this size."""
    assert select.select([file], [], [], SECONDS)[0], "nothing came"
    return file.read(size)


def waiting_bytes(pipe: int) -> int:
    """The number of bytes in the pipe, given either end."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


class Stream:
    """The output of a pipe, read by a thread as it comes; nothing if there is no pipe."""

    def __init__(self, file: IO[bytes] | None) -> None:
        self._file = file
        self._data = b""
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="reader", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while self._file and (data := os.read(self._file.fileno(), 65536)):
            with self._changed:
                self._data += data
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        """Everything read so far; the last character may be incomplete."""
        with self._changed:
            return self._data.decode("utf-8", "replace")

    @property
    def lines(self) -> list[str]:
        """The complete lines read so far."""
        with self._changed:
            return self._data[: self._data.rfind(b"\n") + 1].decode().split("\n")[:-1]

    def forget(self) -> None:
        """Drop the complete lines read so far."""
        with self._changed:
            self._data = self._data[self._data.rfind(b"\n") + 1 :]

    def wait_for(self, condition: Callable[[list[str]], object], what: str) -> list[str]:
        """Wait until the condition holds for the lines, at the latest at the end of the stream."""
        deadline = time.monotonic() + SECONDS
        with self._changed:
            while not condition(lines := self.lines):
                rest = deadline - time.monotonic()
                if rest < 0 or self._ended:
                    raise AssertionError(f"{what} did not come; what came is {lines[-20:]}")
                self._changed.wait(rest)
            return lines

    def close(self) -> None:
        """Read to the end, which comes when the process ends."""
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "the pipe is still open: a process was left behind"
        if self._file:
            self._file.close()

    def check(self, pattern: re.Pattern[str]) -> None:
        """Assert that it has only whole lines of this form."""
        assert self.text == "" or self.text.endswith("\n")
        assert [line for line in self.lines if not pattern.fullmatch(line)] == []


class Plugin(Closing):
    """A running plugin. Its standard streams are pipes, unless a test passes something else.

    `metrics` and `log` are the output on stdout and stderr, if those are pipes.
    """

    def __init__(
        self,
        *arguments: str | Path,
        stdin: int | IO[bytes] = subprocess.PIPE,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.PIPE,
        redirect: str = "",
        prefix: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        """Start it; `redirect` is a shell redirection such as `<&-`. A `prefix` is a command that
        becomes the plugin by exec."""
        command = [*prefix, *COMMAND, *map(str, arguments)]
        if redirect:
            command = ["sh", "-c", f'exec "$@" {redirect}', "sh", *command]
        self.process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            bufsize=0,
            cwd="/",
            env=environment() if env is None else env,
            **options,
        )
        self.pid = self.process.pid
        self.metrics = Stream(self.process.stdout)
        self.log = Stream(self.process.stderr)

    @property
    def _stdin(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin

    def tick(self) -> None:
        """Write a newline, as Telegraf does."""
        self.write(b"\n")

    def collect(self, times: int = 1) -> None:
        """Tick, and wait for one more line of libvirt_state, this many times."""
        for _ in range(times):
            count = len(self.states) + 1
            self.tick()
            self.wait_for_states(count)

    def tick_and_go_on(self) -> None:
        """Write a newline, and wait until the plugin has read it."""
        self.tick()
        file = self._stdin.fileno()
        assert eventually(lambda: waiting_bytes(file) == 0), "it does not read its stdin"

    def end_tick(self, seen: int = 0) -> list[str]:
        """Wait for the line of health that ends a tick; return its lines, after those seen."""

        def sizes(lines: list[str]) -> list[int]:
            ends = (n for n, line in enumerate(lines, 1) if line.startswith("libvirt_health,"))
            return [end for end in ends if end > seen]

        lines = self.metrics.wait_for(sizes, "a tick")
        return lines[seen : sizes(lines)[0]]

    def write(self, data: bytes) -> None:
        """Write to stdin."""
        self._stdin.write(data)

    def signal(self, number: Signals) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)

    def end_input(self) -> None:
        """Close stdin."""
        self._stdin.close()

    def wait(self, seconds: float = SECONDS) -> int:
        """Wait for the exit status; raise TimeoutExpired if it does not end in time."""
        status = self.process.wait(seconds)
        self._close_streams()
        return status

    def _close_streams(self) -> None:
        self.metrics.close()
        self.log.close()

    def finish(self, seconds: float = SECONDS) -> int:
        """Close stdin and wait for the exit status."""
        self.end_input()
        return self.wait(seconds)

    @property
    def states(self) -> list[str]:
        """The lines of libvirt_state so far: one for each domain and tick."""
        return states(self.metrics.lines)

    def wait_for_states(self, count: int) -> list[str]:
        """Wait for this many lines of libvirt_state."""
        return states(
            self.metrics.wait_for(lambda lines: len(states(lines)) >= count, f"state {count}")
        )

    def wait_for_message(self, text: str, count: int = 1) -> list[str]:
        """Wait for this many log messages that contain the text."""
        lines = self.log.wait_for(
            lambda lines: sum(text in line for line in lines) >= count, f"message {text!r}"
        )
        return [line for line in lines if text in line]

    def wait_until_listening(self) -> None:
        """Wait until it handles all signals and sleeps, so that no signal kills it."""
        assert eventually(self._listens), "it did not begin"

    def _listens(self) -> bool:
        status = dict(
            line.split(":\t")
            for line in self.proc("status").read_text().splitlines()
            if ":" in line
        )
        caught = int(status["SigCgt"], 16)
        numbers = (SIGHUP, SIGUSR1, SIGUSR2, SIGTERM)  # Python itself has a handler for SIGINT
        return status["State"][0] == "S" and all(caught >> (number - 1) & 1 for number in numbers)

    def peak_kib(self) -> int:
        """The most memory that it has had."""
        found = re.search(r"VmHWM:\s*(\d+) kB", self.proc("status").read_text())
        assert found
        return int(found[1])

    @property
    def switches(self) -> int:
        """The number of voluntary context switches of all threads."""
        count = 0
        for file in self.proc("task").glob("*/status"):
            with contextlib.suppress(OSError):  # the thread has ended
                found = re.search(r"^voluntary_ctxt_switches:\s*(\d+)", file.read_text(), re.M)
                count += int(found[1]) if found else 0
        return count

    def opened(self) -> tuple[int, int]:
        """The numbers of its descriptors and of its threads."""
        files, threads = (len([*self.proc(name).iterdir()]) for name in ("fd", "task"))
        return files, threads

    def wait_until_idle(self, seconds: float = 0.1) -> None:
        """Wait until none of its threads runs for this time."""

        def idle() -> bool:
            before = self.switches
            time.sleep(seconds)
            return self.switches == before

        assert eventually(idle), "it does not come to rest"

    def proc(self, *names: str) -> Path:
        """A file of the process in /proc."""
        return Path("/proc", str(self.pid), *names)

    def close(self) -> None:
        """Kill it if it still runs, and close the pipes; may be called again."""
        kill(self.process)
        self._close_streams()
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()


@contextlib.contextmanager
def plugins() -> Iterator[Callable[..., Plugin]]:
    """Start plugins until the end of the block; then check the streams of all."""
    started: list[Plugin] = []
    with contextlib.ExitStack() as stack:

        def begin(*arguments: str | Path, **options: Any) -> Plugin:
            started.append(stack.enter_context(Plugin(*arguments, **options)))
            return started[-1]

        yield begin
    for plugin in started:
        plugin.metrics.check(LINE)
        plugin.log.check(MESSAGE)


def run(
    *arguments: str | Path, prefix: tuple[str, ...] = (), **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, with an empty stdin."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run(
        [*prefix, *COMMAND, *map(str, arguments)],
        **{**streams, "env": environment(), **options},
        cwd="/",
        encoding="utf-8",
        timeout=2 * SECONDS,
        check=False,
    )
