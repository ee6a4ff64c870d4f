"""Stdout gets whole lines, one write for each batch, whatever its reader does."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.crowd import Crowd
from support.plugin import (
    AT_ONCE,
    LINE,
    LOAD_THE_REAL_ONE,
    TEST_DRIVER,
    Plugin,
    Stream,
    eventually,
    in_front_of,
    read,
    small_pipe,
    states,
    timestamps,
    waiting_bytes,
)
from support.server import Daemon

#: Enough domains for a batch that is several times larger than a small pipe.
NAMES = [f"domain-{number:03}" for number in range(200)]

F_SEAL_SHRINK = 2

NOISY_OPENING = """
import libvirt
quiet = libvirt.openAuth

def loud(*arguments):
    os.write(1, b"noise\\n")
    return quiet(*arguments)

libvirt.openAuth = loud
"""


# Runs after libvirt is loaded; the main thread's clock is ten times as fast as the real one.
FAST_CLOCK = """
import selectors, threading, time
monotonic, select = time.monotonic, selectors.PollSelector.select
main = threading.main_thread()
time.monotonic = lambda: (10 if threading.current_thread() is main else 1) * monotonic()
selectors.PollSelector.select = lambda self, seconds=None: select(self, seconds and seconds / 10)
"""


def resident_kilobytes(plugin: Plugin) -> int:
    """The resident memory of the process."""
    (line,) = (line for line in plugin.proc("status").read_text().splitlines() if "VmRSS" in line)
    return int(line.split()[1])


@pytest.mark.smoke
def test_a_batch_is_one_write(
    start: Callable[..., Plugin], with_domains: Callable[..., str]
) -> None:
    """All lines of a batch are one write, hence one message on a packet socket."""
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with reader, writer:
        plugin = start("--uri", with_domains(*NAMES), stdout=writer.fileno())
        reader.settimeout(20)
        for _ in range(3):
            plugin.tick()
            batches = [reader.recv(1 << 20).decode().split("\n") for _ in range(2)]
            assert [lines.pop() for lines in batches] == ["", ""]
            assert [len(states(lines)) for lines in batches] == [len(NAMES) // 2] * 2
            assert [len(set(timestamps(lines))) for lines in batches] == [1, 1]
        assert plugin.finish() == 0


def test_each_hypervisor_is_a_batch(
    start: Callable[..., Plugin], config: Callable[..., Path], with_domains: Callable[..., str]
) -> None:
    """Batches of hypervisors that are read in parallel do not mix."""
    uris = [
        with_domains(*(f"{side}-{name}" for name in NAMES), file=side) for side in ("a", "b", "c")
    ]
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with reader, writer:
        plugin = start(
            "--config", config(*(f'libvirt_uri = "{uri}"' for uri in uris)), stdout=writer.fileno()
        )
        reader.settimeout(20)
        plugin.tick()
        lines = [reader.recv(1 << 20).decode().split("\n") for _ in range(2 * len(uris))]
        assert {batch.pop() for batch in lines} == {""}
        sides = [{line.split("domain_name=")[1][0] for line in batch} for batch in lines]
        assert sorted(sides, key=str) == [{"a"}, {"a"}, {"b"}, {"b"}, {"c"}, {"c"}]
        assert [len(states(batch)) for batch in lines] == [len(NAMES) // 2] * 6
        assert plugin.finish() == 0


def test_stdout_that_is_closed_ends_it_quietly(start: Callable[..., Plugin]) -> None:
    """When stdout is closed, the program ends with status 0 and without an error."""
    reader, writer = small_pipe()
    with reader:
        plugin = start("--uri", TEST_DRIVER, stdout=writer)
        writer.close()
        plugin.tick()
        assert read(reader, 4096).startswith(b"libvirt_state,domain_name=test ")
    plugin.tick()
    assert plugin.wait() == 0
    assert [line[:3] for line in plugin.log.lines] == ["I! "]


def test_one_that_was_closed_before(start: Callable[..., Plugin]) -> None:
    """A stdout that was never read ends the program at the first tick, without an error."""
    reader, writer = small_pipe()
    reader.close()
    with writer:
        plugin = start("--uri", TEST_DRIVER, stdout=writer)
    plugin.tick()
    assert plugin.wait() == 0
    assert [line[:3] for line in plugin.log.lines] == ["I! "]


def test_stdout_that_is_not_read(
    start: Callable[..., Plugin], with_domains: Callable[..., str]
) -> None:
    """While nobody reads, metrics are dropped and memory does not grow; then they continue."""
    reader, writer = small_pipe()
    plugin = start("--uri", with_domains(*NAMES), stdout=writer)
    writer.close()
    plugin.tick()
    assert eventually(lambda: waiting_bytes(reader.fileno()))
    for _ in range(50):
        plugin.tick_and_go_on()
    before = resident_kilobytes(plugin)
    for _ in range(1000):
        plugin.tick_and_go_on()
        plugin.signal(signal.SIGUSR1)
    plugin.tick_and_go_on()  # the signals before it have been handled, too
    assert resident_kilobytes(plugin) < before + 1024

    between = time.time_ns()
    metrics = Stream(reader)
    count = len(NAMES)
    metrics.wait_for(
        lambda lines: len(states(lines)) == 2 * count, "the batch in hand, and one more"
    )
    plugin.tick()
    metrics.wait_for(lambda lines: len(states(lines)) == 3 * count, "another batch")
    assert plugin.finish() == 0
    metrics.close()
    assert [line for line in metrics.lines if not LINE.fullmatch(line)] == []
    first, second, third = sorted(set(timestamps(metrics.lines)))
    assert first < between < second < third
    texts = ("stdout was not read for ", "collecting takes longer than the interval")
    assert all(sum(text in line for line in plugin.log.lines) <= 1 for text in texts)


@pytest.mark.parametrize(
    ("calls", "pauses", "ticks"), [(1, 1, 1), (1, 1, 2), (4, 1, 2), (1, 3, 2), (4, 3, 1)]
)
def test_a_reader_that_pauses(
    start: Callable[..., Plugin],
    config: Callable[..., Path],
    daemon: Callable[..., Daemon],
    calls: int,
    pauses: int,
    ticks: int,
) -> None:
    """The time of a write is never libvirt's: whenever the reader pauses, for longer than the
    timeout, all guests and sources are written with the time of the tick, and nothing is said to
    hang. The last tick has the pauses."""
    guests, seconds = 400, 1.5
    reader, writer = small_pipe()
    text = f"""
        libvirt_uri = "{daemon(crowd=Crowd(guests)).uri}"
        timeout = "1s"
        parallel_calls = {calls}
        statistics_groups = ["state", "cpu_total"]
        additional_statistics = ["health", "job", "event"]
    """
    plugin = start("--config", config(text), stdout=writer)
    writer.close()
    with reader:
        for number in range(ticks):
            plugin.tick_and_go_on()
            data, ends = b"", (b"libvirt_health,", b"libvirt_source_health,")
            paused = 0 if number == ticks - 1 else pauses
            while not (all(end in data for end in ends[: 1 + number]) and data.endswith(b"\n")):
                if paused < pauses:
                    paused += 1
                    time.sleep(seconds)
                data += read(reader, 65536)
            lines = data.decode().splitlines()
            assert len(states(lines)) == guests
            (health,) = (line for line in lines if line.startswith("libvirt_health,"))
            assert f"up=1i,domains={guests}i,domains_incomplete=0i" in health
            assert "calls_hanging=0i" in health
            assert len(set(timestamps(lines))) == 1
    allowed = ("connected: ", "stdout was not read for ", "longer than the interval")
    assert not [line for line in plugin.log.lines if not any(text in line for text in allowed)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_while_nobody_reads(
    start: Callable[..., Plugin], with_domains: Callable[..., str], number: signal.Signals
) -> None:
    """SIGTERM and SIGINT end the program although nobody reads its batch."""
    reader, writer = small_pipe()
    with reader:
        plugin = start("--uri", with_domains(*NAMES), stdout=writer)
        writer.close()
        plugin.tick()
        assert eventually(lambda: waiting_bytes(reader.fileno()))
        plugin.signal(number)
        assert plugin.wait(AT_ONCE) == 0


@pytest.mark.parametrize("length", [300, 9000])
@pytest.mark.parametrize("size", [4096, 65536])
@pytest.mark.parametrize("numbers", [["TERM"], ["INT"], ["HUP", "TERM"], ["ABRT"]])
def test_it_ends_with_a_whole_line(
    start: Callable[..., Plugin],
    with_domains: Callable[..., str],
    config: Callable[..., Path],
    numbers: list[str],
    size: int,
    length: int,
) -> None:
    """However it ends while the pipe is full, a reader that comes later gets whole lines; also
    where a line is longer than the pipe."""
    tag = f'[inputs.libvirt.tags]\nsite = "{"x" * length}"'
    path = config(f'libvirt_uri = "{with_domains(*NAMES)}"\n{tag}')
    reader, writer = small_pipe(size)
    with reader:
        plugin = start("--config", path, stdout=writer)
        writer.close()
        plugin.tick()
        assert eventually(lambda: waiting_bytes(reader.fileno()) > size - 4096)
        for number in numbers:
            plugin.signal(signal.Signals[f"SIG{number}"])
        assert plugin.wait(AT_ONCE) == (-signal.SIGABRT if numbers == ["ABRT"] else 0)
        lines = reader.readall().decode().split("\n")
    assert lines.pop() == ""
    assert lines and [line for line in lines if not LINE.fullmatch(line)] == []


def test_a_stream_socket_gets_whole_lines(
    start: Callable[..., Plugin], with_domains: Callable[..., str]
) -> None:
    """The same holds for a local socket."""
    reader, writer = socket.socketpair()
    with reader:
        writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10_000)
        plugin = start("--uri", with_domains(*NAMES), stdout=writer.fileno())
        writer.close()
        plugin.tick()
        assert eventually(lambda: waiting_bytes(reader.fileno()) > 3000)
        plugin.signal(signal.SIGTERM)
        assert plugin.wait(AT_ONCE) == 0
        lines = reader.makefile("rb").read().decode().split("\n")
    assert lines.pop() == ""
    assert lines and [line for line in lines if not LINE.fullmatch(line)] == []


def test_the_end_is_bounded_while_nobody_reads(
    start: Callable[..., Plugin],
    with_domains: Callable[..., str],
    config: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """An unread batch delays the end for twice the timeout and 5 s only; then --once has failed."""
    env = in_front_of("libvirt", tmp_path, LOAD_THE_REAL_ONE + FAST_CLOCK)
    path = config(f'libvirt_uri = "{with_domains(*NAMES)}"\ntimeout = "5s"')
    reader, writer = small_pipe()
    reader_of_once, writer_of_once = small_pipe()
    with reader, reader_of_once:
        plugin = start("--config", path, stdout=writer, env=env)
        once = start("--once", "--config", path, stdout=writer_of_once, env=env)
        writer.close()
        writer_of_once.close()
        plugin.tick()
        for pipe in (reader, reader_of_once):
            assert eventually(lambda: waiting_bytes(pipe.fileno()))  # noqa: B023
        begin = time.monotonic()
        assert plugin.finish() == 0
        assert 1.4 < time.monotonic() - begin < 1.5 + AT_ONCE
        assert once.wait() == 1


def test_signals_do_not_break_lines(
    start: Callable[..., Plugin], with_domains: Callable[..., str]
) -> None:
    """Signals that interrupt a blocked write leave its lines whole."""
    reader, writer = small_pipe()
    plugin = start("--uri", with_domains(*NAMES), stdout=writer)
    writer.close()
    plugin.wait_until_listening()
    received = b""
    while received.count(b"libvirt_state") < 10 * len(NAMES):
        plugin.signal(signal.SIGUSR1)
        received += read(reader, 1000)
    metrics = Stream(reader)
    assert plugin.finish() == 0
    metrics.close()
    lines = (received.decode() + metrics.text).split("\n")
    assert lines.pop() == ""
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert len(states(lines)) % len(NAMES) == 0


def test_a_pipe_that_does_not_block_gets_whole_lines(
    start: Callable[..., Plugin], with_domains: Callable[..., str]
) -> None:
    """A non-blocking stdout gets whole lines too."""
    reader, writer = small_pipe()
    os.set_blocking(writer.fileno(), False)
    plugin = start("--uri", with_domains(*NAMES), stdout=writer)
    writer.close()
    for _ in range(3):
        plugin.tick_and_go_on()
    assert eventually(lambda: waiting_bytes(reader.fileno()))
    metrics = Stream(reader)
    assert plugin.finish() == 0
    metrics.close()
    assert [line for line in metrics.lines if not LINE.fullmatch(line)] == []
    assert len(states(metrics.lines)) >= len(NAMES)


def test_a_full_disk_does_not_end_it(start: Callable[..., Plugin]) -> None:
    """If stdout cannot be written, metrics are dropped with a message, and the program goes on."""
    with Path("/dev/full").open("wb") as full:
        plugin = start("--uri", TEST_DRIVER, stdout=full)
    plugin.tick()
    plugin.wait_for_message("No space left on device")
    plugin.tick_and_go_on()
    assert plugin.process.poll() is None
    assert plugin.finish() == 0


@pytest.mark.parametrize("sealed", [False, True])
def test_the_next_tick_does_not_stick_to_half_a_line(
    start: Callable[..., Plugin], with_domains: Callable[..., str], sealed: bool
) -> None:
    """Half a line on a full disk is taken back; where a file cannot shrink, the next tick completes
    it first."""
    with os.fdopen(os.memfd_create("stdout", os.MFD_ALLOW_SEALING), "wb", 0) as file:
        if sealed:
            fcntl.fcntl(file, getattr(fcntl, "F_ADD_SEALS", 1033), F_SEAL_SHRINK)
        plugin = start("--uri", with_domains(*NAMES), stdout=file)
        plugin.wait_until_listening()
        _, most = resource.prlimit(plugin.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(plugin.pid, resource.RLIMIT_FSIZE, (1000, most))
        plugin.tick()
        plugin.wait_for_message("cannot write stdout: File too large")
        plugin.tick_and_go_on()
        text = os.pread(file.fileno(), 2000, 0)
        assert len(text) == 1000 if sealed else 900 < len(text) < 1000 and text.endswith(b"\n")
        resource.prlimit(plugin.pid, resource.RLIMIT_FSIZE, (most, most))
        plugin.tick()
        assert plugin.finish() == 0
        lines = os.pread(file.fileno(), 1 << 20, 0).decode().split("\n")
    assert lines.pop() == ""
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert len(states(lines)) > len(NAMES)


@pytest.mark.smoke
def test_what_others_print_is_not_there(start: Callable[..., Plugin], tmp_path: Path) -> None:
    """The output of a library on stdout goes to the log, not between the metrics."""
    env = in_front_of("libvirt", tmp_path, LOAD_THE_REAL_ONE + NOISY_OPENING)
    plugin = start("--once", "--uri", TEST_DRIVER, env=env)
    assert plugin.wait() == 0
    assert len(plugin.states) == 1
    assert any("noise" in line for line in plugin.log.lines)
