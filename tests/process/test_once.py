"""A single collection tells by its exit status whether every hypervisor was read."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from support.plugin import LINE, TEST_DRIVER, Plugin, read, run, small_pipe
from support.server import Daemon

UNREACHABLE = "qemu+unix:///system?socket=/nonexistent"


def test_once_collects_and_ends(start: Callable[..., Plugin]) -> None:
    """The metrics are on stdout, the status is 0, and stdin is left alone."""
    plugin = start("--once", "--uri", TEST_DRIVER)
    assert plugin.wait() == 0
    assert len(plugin.states) == 1


def test_once_fails_where_nothing_can_be_read(start: Callable[..., Plugin]) -> None:
    """Without a daemon there is a message, no metrics, and status 1."""
    plugin = start("--once", "--uri", UNREACHABLE)
    assert plugin.wait() == 1
    assert plugin.metrics.text == ""
    (line,) = plugin.log.lines
    assert line.startswith("E! inputs.libvirt[0] (qemu+unix:///system): cannot be read: ")


def test_once_prints_what_can_be_read(
    start: Callable[..., Plugin], config: Callable[..., Path]
) -> None:
    """Of two hypervisors the one that works gives its metrics, the other one the status 1."""
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
    """A hypervisor that can be connected to but not read makes the status 1, too."""
    plugin = start("--once", "--uri", daemon(error=(38, 10, "out of order")).uri)
    assert plugin.wait() == 1
    assert len(plugin.log.lines) == 1


def test_once_into_a_pipe_that_is_closed(start: Callable[..., Plugin]) -> None:
    """A reader that wants nothing, such as `head -0`, causes no complaint."""
    reader, writer = small_pipe()
    reader.close()
    with writer:
        plugin = start("--once", "--uri", TEST_DRIVER, stdout=writer)
    assert plugin.wait() == 0
    assert [line[:3] for line in plugin.log.lines] == ["I! "]


def test_once_into_a_pipe_that_is_closed_early(
    start: Callable[..., Plugin], with_domains: Callable[..., str]
) -> None:
    """A reader that takes the first lines of many, such as `head -1`, gets them whole."""
    reader, writer = small_pipe()
    with reader:
        names = [f"domain-{number}" for number in range(500)]
        plugin = start("--once", "--uri", with_domains(*names), stdout=writer)
        writer.close()
        first = read(reader, 4096)
    assert LINE.fullmatch(first.split(b"\n")[0].decode())
    assert plugin.wait() == 0
    assert [line[:3] for line in plugin.log.lines] == ["I! "]


def test_once_on_a_hypervisor_without_domains(with_domains: Callable[..., str]) -> None:
    """Nothing to report is no failure."""
    done = run("--once", "--uri", with_domains(), stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (0, "")
