"""A signal ends the program at once, the end of stdin after the running tick.

At once means: although a call, a daemon or the storage hangs for longer than the tests wait.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from support.host import Config, Daemons, Start
from support.plugin import (
    LOAD_THE_REAL_ONE,
    SECONDS,
    TEST_DRIVER,
    environment,
    eventually,
    in_front_of,
    run,
)
from support.process import runs
from support.server import CLOSE, GET_ALL_DOMAIN_STATS

pytestmark = pytest.mark.thorough

BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@pytest.mark.smoke
@pytest.mark.parametrize(("number", "ticks"), [(signal.SIGTERM, 0), (signal.SIGINT, 1)])
def test_a_signal_ends_it_while_it_waits(start: Start, number: signal.Signals, ticks: int) -> None:
    """SIGTERM and SIGINT end an idle program with status 0 and no message, and lose no metrics."""
    plugin = start("--uri", TEST_DRIVER)
    plugin.wait_until_listening()
    plugin.collect(ticks)
    plugin.signal(number)
    assert plugin.wait() == 0
    assert len(plugin.states) == len(plugin.log.lines) == ticks


@pytest.mark.parametrize(
    ("how", "number"), [(signal.SIG_BLOCK, signal.SIGTERM), (signal.SIG_IGN, signal.SIGINT)]
)
def test_signals_of_a_parent_that_blocks_them(
    start: Start, how: int, number: signal.Signals
) -> None:
    """Signals work although the parent has blocked or ignored them."""
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]

    def change() -> None:
        if how == signal.SIG_BLOCK:
            signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        for each in numbers if how == signal.SIG_IGN else []:
            signal.signal(each, signal.SIG_IGN)

    plugin = start("--uri", TEST_DRIVER, preexec_fn=change)
    plugin.wait_until_listening()
    plugin.signal(signal.SIGHUP)
    plugin.wait_for_states(1)
    plugin.signal(number)
    assert plugin.wait() == 0


@BOTH
def test_a_signal_ends_it_while_it_reads_its_configuration(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    """The signal has its default effect then, which also ends a wait for dead storage."""
    path = tmp_path / "plugin.conf"
    os.mkfifo(path)

    def reads() -> bool:
        for file in plugin.proc("fd").iterdir():
            with suppress(FileNotFoundError):  # it is closed
                if file.readlink() == path:
                    return True
        return False

    with path.open("r+b", buffering=0):  # a writer that writes nothing
        plugin = start("--config", path)
        assert eventually(reads)
        (caught,) = re.findall(r"SigCgt:\s(\w+)", plugin.proc("status").read_text())
        assert not int(caught, 16) >> (number - 1) & 1
        plugin.signal(number)
        assert plugin.wait() == -number
    assert plugin.log.text == ""


@pytest.mark.parametrize(
    ("name", "module"),
    [("HUP", "argparse"), ("USR1", "libvirt"), ("TERM", "argparse"), ("INT", "libvirt")],
)
def test_a_signal_while_it_starts(start: Start, tmp_path: Path, module: str, name: str) -> None:
    """A signal while the program loads its first module, or the one that takes longest: a tick is
    answered once all is loaded; SIGTERM and SIGINT end the program without a message."""
    number = signal.Signals[f"SIG{name}"]
    text = f"import os\nos.kill(os.getpid(), {int(number)})\n{LOAD_THE_REAL_ONE}"
    plugin = start("--uri", TEST_DRIVER, env=in_front_of(module, tmp_path, text))
    if name in ("TERM", "INT"):
        assert plugin.wait() in (0, -number)
        assert plugin.log.text == ""
    else:
        plugin.wait_for_states(1)
        assert plugin.finish() == 0
        assert len(plugin.states) == 1


@pytest.mark.smoke
def test_the_end_of_input_waits_for_the_running_tick(start: Start, daemon: Daemons) -> None:
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
def test_it_closes_its_connections(start: Start, daemon: Daemons, config: Config, way: str) -> None:
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
        plugin.collect(2)
        if way == "SIGTERM":
            plugin.signal(signal.SIGTERM)
            assert plugin.wait() == 0
        else:
            assert plugin.finish() == 0
    assert (hypervisor.connections > 1) is (way != "SIGTERM")
    assert eventually(lambda: hypervisor.asked.count(CLOSE) == hypervisor.connections)


def test_the_end_does_not_wait_for_a_daemon(start: Start, daemon: Daemons) -> None:
    """A daemon that does not answer the request to close delays nothing."""
    hypervisor = daemon()
    hypervisor.unanswered.add(CLOSE)
    plugin = start("--uri", hypervisor.uri)
    plugin.collect()
    plugin.signal(signal.SIGTERM)
    assert plugin.wait() == 0


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
        assert eventually(lambda: not runs(child))
    finally:
        if runs(child):
            os.kill(child, signal.SIGKILL)
