"""Stdout gets whole lines, one write for each batch, whatever its reader does."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest

from support.crowd import Crowd
from support.host import Config, Hosts, Start, WithDomains
from support.plugin import (
    FAST_CLOCK,
    LINE,
    LOAD_THE_REAL_ONE,
    SECONDS,
    TEST_DRIVER,
    Stream,
    eventually,
    in_front_of,
    read,
    small_pipe,
    states,
    timestamps,
    waiting_bytes,
)

pytestmark = pytest.mark.thorough

Pipes = Callable[..., tuple[IO[bytes], IO[bytes]]]

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
TEN_TIMES_AS_FAST = """
import selectors, threading, time
monotonic, select = time.monotonic, selectors.PollSelector.select
main = threading.main_thread()
time.monotonic = lambda: (10 if threading.current_thread() is main else 1) * monotonic()
selectors.PollSelector.select = lambda self, seconds=None: select(self, seconds and seconds / 10)
"""


@pytest.fixture
def pipe() -> Iterator[Pipes]:
    """Open pipes with small buffers; what is still open is closed after the test."""
    with ExitStack() as stack:

        def open_pipe(size: int = 4096) -> tuple[IO[bytes], IO[bytes]]:
            reader, writer = small_pipe(size)
            return stack.enter_context(reader), stack.enter_context(writer)

        yield open_pipe


def whole_lines(text: str) -> list[str]:
    """The lines of a text that has whole lines only."""
    lines = text.split("\n")
    assert lines.pop() == ""
    assert lines and [line for line in lines if not LINE.fullmatch(line)] == []
    return lines


@pytest.mark.smoke
def test_a_batch_is_one_write(start: Start, config: Config, with_domains: WithDomains) -> None:
    """All lines of a batch are one write, hence one message on a packet socket; batches of
    hypervisors that are read in parallel do not mix."""
    uris = [with_domains(*(f"{side}-{name}" for name in NAMES), file=side) for side in "abc"]
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with reader, writer:
        path = config(*(f'libvirt_uri = "{uri}"\ntimeout = "60s"' for uri in uris))
        plugin = start("--config", path, stdout=writer.fileno())
        reader.settimeout(SECONDS)
        for number in range(3):
            plugin.tick()
            batches = [whole_lines(reader.recv(1 << 20).decode()) for _ in range(2 * len(uris))]
            assert [len(states(lines)) for lines in batches] == [len(NAMES) // 2] * 6
            # When the usual time of a request is known, a slow machine looks like a hung guest.
            assert number or len({t for lines in batches for t in timestamps(lines)}) == 1
            sides = [{line.split("domain_name=")[1][0] for line in lines} for lines in batches]
            assert sorted(sides, key=str) == [{"a"}, {"a"}, {"b"}, {"b"}, {"c"}, {"c"}]
        assert plugin.finish() == 0


@pytest.mark.parametrize("before", [False, True])
def test_stdout_that_is_closed_ends_it_quietly(start: Start, pipe: Pipes, before: bool) -> None:
    """When stdout is closed, also before the start, the program ends with status 0 at the next
    tick, without an error."""
    reader, writer = pipe()
    if before:
        reader.close()
    plugin = start("--uri", TEST_DRIVER, stdout=writer)
    writer.close()
    if not before:
        plugin.tick()
        assert read(reader, 4096).startswith(b"libvirt_state,domain_name=test ")
        reader.close()
    plugin.tick()
    assert plugin.wait() == 0
    assert [line[:3] for line in plugin.log.lines] == ["I! "]


def test_a_whole_batch_waits_in_the_pipe(
    start: Start, config: Config, with_domains: WithDomains, pipe: Pipes
) -> None:
    """A pipe of the usual size takes a larger batch while nobody reads."""
    uri = with_domains(*NAMES[:100])
    path = config(f'libvirt_uri = "{uri}"\n[inputs.libvirt.tags]\nsite = "{"x" * 300}"')
    reader, writer = pipe(65536)
    plugin = start("--config", path, stdout=writer)
    writer.close()
    plugin.tick()
    assert plugin.finish() == 0
    text = reader.read().decode()
    assert len(text) > 65536
    assert len(states(whole_lines(text))) == 100


def test_the_end_waits_for_a_slow_reader(start: Start, config: Config, pipe: Pipes) -> None:
    """At the end of stdin nothing is lost, although all is collected before the reader reads."""
    reader, writer = pipe()
    path = config(f'libvirt_uri = "{TEST_DRIVER}"\n[inputs.libvirt.tags]\nsite = "{"x" * 3000}"')
    plugin = start("--config", path, stdout=writer)
    writer.close()
    plugin.tick()
    plugin.end_input()
    assert eventually(lambda: waiting_bytes(reader.fileno()))
    before = plugin.switches
    assert eventually(lambda: plugin.process.poll() == 0 or plugin.switches >= before + 4)
    lines = whole_lines(reader.read().decode())
    assert {line.partition(",")[0] for line in lines} >= {"libvirt_state", "libvirt_vcpu"}
    assert len(lines) > 2
    assert plugin.wait() == 0


def test_stdout_that_is_not_read(start: Start, pipe: Pipes, with_domains: WithDomains) -> None:
    """While nobody reads, metrics are dropped and memory does not grow; then they continue."""
    reader, writer = pipe()
    plugin = start("--uri", with_domains(*NAMES), stdout=writer)
    writer.close()
    plugin.tick()
    assert eventually(lambda: waiting_bytes(reader.fileno()))
    for _ in range(50):
        plugin.tick_and_go_on()
    before = plugin.peak_kib()
    for _ in range(300):
        plugin.tick_and_go_on()
        plugin.signal(signal.SIGUSR1)
    plugin.tick_and_go_on()  # the signals before it have been handled, too
    assert plugin.peak_kib() < before + 1024

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
    first, second, third = sorted(set(timestamps(whole_lines(metrics.text))))
    assert first < between < second < third
    texts = ("stdout was not read for ", "collecting takes longer than the interval")
    assert all(sum(text in line for line in plugin.log.lines) <= 1 for text in texts)


def test_a_reader_that_pauses(host: Hosts, pipe: Pipes, tmp_path: Path) -> None:
    """The time of a write is never libvirt's: whenever the reader pauses, for longer than the
    timeout, all guests and sources are written with the time of the tick, and nothing is said to
    hang. Simulated pauses are in tests/simulation."""
    ahead = tmp_path / "ahead"
    ahead.write_text("0")
    env = in_front_of("libvirt", tmp_path, FAST_CLOCK.format(file=str(ahead)))
    groups = 'statistics_groups = ["state", "cpu_total"]'
    options = (groups, 'timeout = "60s"', "parallel_calls = 4")
    reader, writer = pipe()
    plugin = host(Crowd(400), *options, also=("job", "event"), stdout=writer, env=env).plugin
    writer.close()
    for number in range(2):
        plugin.tick_and_go_on()
        data, ends = b"", (b"libvirt_health,", b"libvirt_source_health,")
        paused = 0
        while not (all(end in data for end in ends[: 1 + number]) and data.endswith(b"\n")):
            if paused < 3:
                paused += 1
                plugin.wait_until_idle()
                ahead.write_text(str(100 * (3 * number + paused)))
            data += read(reader, 65536)
        lines = data.decode().splitlines()
        assert len(states(lines)) == 400
        (health,) = (line for line in lines if line.startswith("libvirt_health,"))
        assert "up=1i,domains=400i,domains_incomplete=0i" in health
        assert "calls_hanging=0i" in health
        assert len(set(timestamps(lines))) == 1
    allowed = ("connected: ", "stdout was not read for ", "longer than the interval")
    assert not [line for line in plugin.log.lines if not any(text in line for text in allowed)]


@pytest.mark.parametrize(
    ("numbers", "size", "length"),
    [
        (["TERM"], 4096, 300),
        (["INT"], 65536, 9000),
        (["HUP", "TERM"], 4096, 9000),
        (["ABRT"], 4096, 9000),
        (["TERM"], None, 300),
    ],
)
def test_it_ends_with_a_whole_line(
    start: Start,
    config: Config,
    with_domains: WithDomains,
    pipe: Pipes,
    numbers: list[str],
    size: int | None,
    length: int,
) -> None:
    """However it ends while the pipe or a local socket is full, which takes no time, a reader that
    comes later gets whole lines; also where a line is longer than the pipe."""
    tag = f'timeout = "10m"\n[inputs.libvirt.tags]\nsite = "{"x" * length}"'
    path = config(f'libvirt_uri = "{with_domains(*NAMES)}"\n{tag}')
    if size is None:
        ends = socket.socketpair()
        ends[1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10_000)
        reader, writer = (os.fdopen(end.detach(), "r+b", buffering=0) for end in ends)
    else:
        reader, writer = pipe(size)
    with reader:
        plugin = start("--config", path, stdout=writer)
        writer.close()
        plugin.tick()
        least = 3000 if size is None else size - 4096
        assert eventually(lambda: waiting_bytes(reader.fileno()) > least)
        for number in numbers:
            plugin.signal(signal.Signals[f"SIG{number}"])
        assert plugin.wait() == (-signal.SIGABRT if numbers == ["ABRT"] else 0)
        whole_lines(reader.read().decode())


def test_the_end_is_bounded_while_nobody_reads(
    start: Start, with_domains: WithDomains, config: Config, pipe: Pipes, tmp_path: Path
) -> None:
    """An unread batch delays the end for twice the timeout and 5 s only; then --once has failed."""
    env = in_front_of("libvirt", tmp_path, LOAD_THE_REAL_ONE + TEN_TIMES_AS_FAST)
    path = config(f'libvirt_uri = "{with_domains(*NAMES)}"\ntimeout = "5s"')
    (reader, writer), (reader_of_once, writer_of_once) = pipe(), pipe()
    plugin = start("--config", path, stdout=writer, env=env)
    once = start("--once", "--config", path, stdout=writer_of_once, env=env)
    writer.close()
    writer_of_once.close()
    plugin.tick()
    assert eventually(lambda: waiting_bytes(reader.fileno()))
    assert eventually(lambda: waiting_bytes(reader_of_once.fileno()))
    assert (plugin.finish(), once.wait()) == (0, 1)


@pytest.mark.parametrize("blocking", [True, False])
def test_signals_do_not_break_lines(
    start: Start, with_domains: WithDomains, pipe: Pipes, blocking: bool
) -> None:
    """Signals that interrupt a write leave its lines whole, also if stdout does not block."""
    reader, writer = pipe()
    os.set_blocking(writer.fileno(), blocking)
    plugin = start("--uri", with_domains(*NAMES), stdout=writer)
    writer.close()
    plugin.wait_until_listening()
    received = b""
    while received.count(b"libvirt_state") < 4 * len(NAMES):
        plugin.signal(signal.SIGUSR1)
        received += read(reader, 1000)
    metrics = Stream(reader)
    assert plugin.finish() == 0
    metrics.close()
    assert len(states(whole_lines(received.decode() + metrics.text))) % len(NAMES) == 0


@pytest.mark.parametrize("sealed", [False, True])
def test_the_next_tick_does_not_stick_to_half_a_line(
    start: Start, with_domains: WithDomains, sealed: bool
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

        def is_right() -> bool:
            text = os.pread(file.fileno(), 2000, 0)
            return len(text) == 1000 if sealed else 900 < len(text) < 1000 and text[-1:] == b"\n"

        assert eventually(is_right)  # the tick may be about to take back half a line
        resource.prlimit(plugin.pid, resource.RLIMIT_FSIZE, (most, most))
        plugin.tick()
        assert plugin.finish() == 0
        assert len(states(whole_lines(os.pread(file.fileno(), 1 << 20, 0).decode()))) > len(NAMES)


@pytest.mark.smoke
def test_what_others_print_is_not_there(start: Start, tmp_path: Path) -> None:
    """The output of a library on stdout goes to the log, not between the metrics."""
    env = in_front_of("libvirt", tmp_path, LOAD_THE_REAL_ONE + NOISY_OPENING)
    plugin = start("--once", "--uri", TEST_DRIVER, env=env)
    assert plugin.wait() == 0
    assert len(plugin.states) == 1
    assert any("noise" in line for line in plugin.log.lines)
