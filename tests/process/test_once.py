"""The exit status of --once says whether every hypervisor was read."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.plugin import LINE, TEST_DRIVER, Plugin, read, run, small_pipe
from support.server import Daemon

UNREACHABLE = "qemu+unix:///system?socket=/nonexistent"


@pytest.mark.smoke
def test_once_collects_and_ends(start: Callable[..., Plugin]) -> None:
    """--once prints the metrics and exits with status 0, without reading stdin."""
    plugin = start("--once", "--uri", TEST_DRIVER)
    assert plugin.wait() == 0
    assert len(plugin.states) == 1


def test_once_fails_where_nothing_can_be_read(start: Callable[..., Plugin]) -> None:
    """Without a daemon --once prints a message and no metrics, with status 1."""
    plugin = start("--once", "--uri", UNREACHABLE)
    assert plugin.wait() == 1
    assert plugin.metrics.text == ""
    (line,) = plugin.log.lines
    assert line.startswith("E! inputs.libvirt[0] (qemu+unix:///system): cannot be read: ")


def test_once_prints_what_can_be_read(
    start: Callable[..., Plugin], config: Callable[..., Path]
) -> None:
    """If one of two hypervisors fails, --once prints the other's metrics, with status 1."""
    for uris in ((UNREACHABLE, TEST_DRIVER), (TEST_DRIVER, UNREACHABLE)):
        plugin = start("--once", "--config", config(*(f'libvirt_uri = "{uri}"' for uri in uris)))
        assert plugin.wait() == 1
        (line,) = plugin.states
        assert "domain_name=test" in line
        (error,) = (line for line in plugin.log.lines if line.startswith("E! "))
        assert f"inputs.libvirt[{uris.index(UNREACHABLE)}]" in error


def test_once_fails_where_a_call_fails(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon]
) -> None:
    """If the connection works but the call fails, the status is 1."""
    plugin = start("--once", "--uri", daemon(error=(38, 10, "out of order")).uri)
    assert plugin.wait() == 1
    assert len(plugin.log.lines) == 1


def test_once_into_a_pipe_that_is_closed(start: Callable[..., Plugin]) -> None:
    """A closed pipe, as by `head -0`, causes no message."""
    reader, writer = small_pipe()
    reader.close()
    with writer:
        plugin = start("--once", "--uri", TEST_DRIVER, stdout=writer)
    assert plugin.wait() == 0
    assert [line[:3] for line in plugin.log.lines] == []


def test_once_into_a_pipe_that_is_closed_early(
    start: Callable[..., Plugin], with_domains: Callable[..., str]
) -> None:
    """A reader of the first lines only, such as `head -1`, gets complete lines."""
    reader, writer = small_pipe()
    with reader:
        names = [f"domain-{number}" for number in range(500)]
        plugin = start("--once", "--uri", with_domains(*names), stdout=writer)
        writer.close()
        first = read(reader, 4096)
    assert LINE.fullmatch(first.split(b"\n")[0].decode())
    assert plugin.wait() == 0
    assert [line[:3] for line in plugin.log.lines] == []


def test_once_on_a_hypervisor_without_domains(with_domains: Callable[..., str]) -> None:
    """A hypervisor without domains is no failure."""
    done = run("--once", "--uri", with_domains(), stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_levels_of_the_log(config: Callable[..., Path]) -> None:
    """--once writes no informational message; debug has one line for the tick, with its domains,
    calls and milliseconds of each source."""
    path = config(
        f'libvirt_uri = "{TEST_DRIVER}"\nadditional_statistics = ["storage_pool", "network"]'
    )
    assert run("--config", path, "--once").stderr == ""
    assert "I! " in run("--config", path, "--once", "--log-level", "info").stderr
    lines = run("--config", path, "--once", "--log-level", "debug").stderr.splitlines()
    (line,) = (line for line in lines if "tick: " in line)
    assert re.search(
        r"tick: 1 domains in \d+ ms, \d+ calls, storage_pool \d+ ms, network \d+ ms$", line
    )
