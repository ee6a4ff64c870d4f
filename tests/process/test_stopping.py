"""A signal ends the program at once, the end of stdin after the running tick."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.plugin import (
    AT_ONCE,
    LOAD_THE_REAL_ONE,
    SECONDS,
    TEST_DRIVER,
    Plugin,
    environment,
    eventually,
    in_front_of,
    run,
)
from support.server import CLOSE, GET_ALL_DOMAIN_STATS, Daemon

BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@pytest.mark.smoke
@BOTH
def test_a_signal_ends_it_while_it_waits(plugin: Plugin, number: signal.Signals) -> None:
    """SIGTERM and SIGINT end an idle program at once, with status 0 and no message."""
    plugin.wait_until_listening()
    plugin.signal(number)
    assert plugin.wait(AT_ONCE) == 0
    assert plugin.metrics.text == plugin.log.text == ""


@BOTH
def test_a_signal_ends_it_between_ticks(plugin: Plugin, number: signal.Signals) -> None:
    """SIGTERM and SIGINT between ticks lose no metrics."""
    plugin.tick()
    plugin.wait_for_states(1)
    plugin.signal(number)
    assert plugin.wait(AT_ONCE) == 0
    assert len(plugin.states) == 1


@pytest.mark.parametrize("how", [signal.SIG_BLOCK, signal.SIG_IGN])
def test_signals_of_a_parent_that_blocks_them(start: Callable[..., Plugin], how: int) -> None:
    """Signals work although the parent has blocked or ignored them."""
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]

    def change() -> None:
        if how == signal.SIG_BLOCK:
            signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        for number in numbers if how == signal.SIG_IGN else []:
            signal.signal(number, signal.SIG_IGN)

    for number in numbers[:2]:
        plugin = start("--uri", TEST_DRIVER, preexec_fn=change)
        plugin.wait_until_listening()
        plugin.signal(signal.SIGHUP)
        plugin.wait_for_states(1)
        plugin.signal(number)
        assert plugin.wait(AT_ONCE) == 0


@BOTH
def test_a_signal_ends_it_while_it_reads_its_configuration(
    start: Callable[..., Plugin], tmp_path: Path, number: signal.Signals
) -> None:
    """The signal has its default effect then, which also ends a wait for dead storage."""
    path = tmp_path / "plugin.conf"
    os.mkfifo(path)
    with path.open("r+b", buffering=0):  # a writer that writes nothing
        plugin = start("--config", path)
        opened = plugin.proc("fd").iterdir
        assert eventually(lambda: any(str(path) == os.path.realpath(file) for file in opened()))
        (caught,) = re.findall(r"SigCgt:\s(\w+)", plugin.proc("status").read_text())
        assert not int(caught, 16) >> (number - 1) & 1
        plugin.signal(number)
        assert plugin.wait(AT_ONCE) == -number
    assert plugin.log.text == ""


def test_sigterm_ends_it_while_it_starts(start: Callable[..., Plugin]) -> None:
    """SIGTERM at any moment of the start ends the program at once, without a message."""
    begin = time.monotonic()
    start("--uri", TEST_DRIVER).wait_until_listening()
    needed = time.monotonic() - begin
    statuses = []
    for part in range(8):
        plugin = start("--uri", TEST_DRIVER)
        time.sleep(needed * part / 6)
        plugin.signal(signal.SIGTERM)
        statuses.append(plugin.wait(AT_ONCE))
        assert plugin.metrics.text == plugin.log.text == ""
    assert set(statuses) <= {-signal.SIGTERM, 0}


#: A module that is loaded first, and the one that is loaded last and takes longest.
LOADED = pytest.mark.parametrize("module", ["argparse", "libvirt"])


def start_with_signal(
    start: Callable[..., Plugin], folder: Path, module: str, number: signal.Signals
) -> Plugin:
    """A plugin that gets a signal when it begins to load the module."""
    text = f"import os\nos.kill(os.getpid(), {int(number)})\n{LOAD_THE_REAL_ONE}"
    return start("--uri", TEST_DRIVER, env=in_front_of(module, folder, text))


@LOADED
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_a_tick_while_it_starts_is_answered(
    start: Callable[..., Plugin], tmp_path: Path, module: str, number: signal.Signals
) -> None:
    """A tick signal during the start is answered once all is loaded."""
    plugin = start_with_signal(start, tmp_path, module, number)
    plugin.wait_for_states(1)
    assert plugin.finish() == 0
    assert len(plugin.states) == 1


@LOADED
@BOTH
def test_a_signal_while_it_starts_ends_it(
    start: Callable[..., Plugin], tmp_path: Path, module: str, number: signal.Signals
) -> None:
    """SIGTERM and SIGINT during the start end the program without a message."""
    plugin = start_with_signal(start, tmp_path, module, number)
    assert plugin.wait() in (0, -number)
    assert plugin.log.text == ""


@pytest.mark.smoke
def test_the_end_of_input_waits_for_the_running_tick(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon]
) -> None:
    """A tick that runs when stdin ends is still written."""
    hypervisor = daemon()
    hypervisor.unanswered.add(GET_ALL_DOMAIN_STATS)
    plugin = start("--uri", hypervisor.uri)
    plugin.tick()
    plugin.end_input()
    assert eventually(lambda: GET_ALL_DOMAIN_STATS in hypervisor.asked)
    assert plugin.process.poll() is None
    hypervisor.answer()
    assert plugin.wait() == 0
    assert len(plugin.states) == 1


@pytest.mark.parametrize("way", ["SIGTERM", "end of input", "--once", "--check"])
def test_it_closes_its_connections(
    start: Callable[..., Plugin],
    daemon: Callable[..., Daemon],
    config: Callable[..., Path],
    way: str,
) -> None:
    """The daemon gets a request to close each connection, so it logs no error."""
    hypervisor = daemon()
    options = 'additional_statistics = ["job", "network"]' if way != "SIGTERM" else ""
    path = config(f'libvirt_uri = "{hypervisor.uri}"\n{options}')
    if way == "--check":
        assert run("--check", "--config", path).returncode == 0
    elif way == "--once":
        assert start("--once", "--config", path).wait() == 0
    else:
        plugin = start("--config", path)
        for count in (1, 2):
            plugin.tick()
            plugin.wait_for_states(count)
        if way == "SIGTERM":
            plugin.signal(signal.SIGTERM)
            assert plugin.wait(AT_ONCE) == 0
        else:
            assert plugin.finish() == 0
    assert (hypervisor.connections > 1) is (way != "SIGTERM")
    assert eventually(lambda: hypervisor.asked.count(CLOSE) == hypervisor.connections)


@BOTH
def test_the_end_does_not_wait_for_a_daemon(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon], number: signal.Signals
) -> None:
    """A daemon that does not answer the request to close delays nothing."""
    hypervisor = daemon()
    hypervisor.unanswered.add(CLOSE)
    plugin = start("--uri", hypervisor.uri)
    plugin.tick()
    plugin.wait_for_states(1)
    plugin.signal(number)
    assert plugin.wait(AT_ONCE) == 0


#: The program, with a defect: it ends by an internal error while a child of it hangs.
DEFECT = """
import subprocess, sys
from telegraf_execd_libvirt.program import cli

def collect(*arguments):
    null = subprocess.DEVNULL
    child = subprocess.Popen(["sleep", "1000"], stdout=null, stderr=null)
    print(child.pid, flush=True)
    raise RuntimeError("a defect")

cli._collect = collect
sys.exit(cli.main([]))
"""


def test_an_internal_error_leaves_nothing_behind() -> None:
    """Also then the processes that it has started end, such as an ssh that hangs."""
    command = [sys.executable, "-c", DEFECT]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment()
    )
    assert done.returncode == 1
    assert done.stderr.startswith("E! internal error, the program ends: RuntimeError: a defect")
    child = int(done.stdout)
    try:
        assert eventually(lambda: not hangs(child), 2.0)
    finally:
        if hangs(child):
            os.kill(child, signal.SIGKILL)


def hangs(process: int) -> bool:
    """Whether the process exists; one that has ended has no command line."""
    try:
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    except OSError:
        return False
