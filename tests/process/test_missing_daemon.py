"""The program survives the absence of a daemon, and reads it again when it is back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.plugin import TEST_DRIVER, Plugin, eventually, states
from support.server import Daemon

FROM_RPC, SYSTEM_ERROR = 7, 38


class Ticker:
    """Ticks a plugin whose second table is the test driver, which shows the end of each tick."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin
        self._count = 0

    def tick(self, times: int = 1) -> None:
        """Tick, and wait for the test driver's metrics."""
        for _ in range(times):
            self.plugin.tick()
            self._count += 1
            self.plugin.metrics.wait_for(
                lambda lines: sum("=test " in line for line in states(lines)) >= self._count,
                "a tick",
            )

    def until(self, condition: Callable[[], object]) -> None:
        """Tick until the condition holds."""

        def tried() -> object:
            self.tick()
            return condition()

        assert eventually(tried), self.plugin.log.lines

    def metrics(self) -> list[str]:
        """The metrics of the daemon's domain."""
        return [line for line in self.plugin.states if "=guest " in line]

    def messages(self) -> list[str]:
        """The messages about the first table, without the warning that fast ticks may cause."""
        lines = [line for line in self.plugin.log.lines if "inputs.libvirt[0]" in line]
        return [line for line in lines if "longer than the interval" not in line]


def start_ticker(start: Callable[..., Plugin], config: Callable[..., Path], uri: str) -> Ticker:
    """A plugin that reads this URI and the test driver."""
    tables = (f'libvirt_uri = "{uri}"', f'libvirt_uri = "{TEST_DRIVER}"')
    return Ticker(start("--config", config(*tables)))


def test_it_comes_and_goes(
    start: Callable[..., Plugin], config: Callable[..., Path], tmp_path: Path
) -> None:
    """Each start and end of the daemon is one message, for any number of ticks."""
    path = tmp_path / "socket"
    ticker = start_ticker(start, config, f"qemu+unix:///system?socket={path}")
    ticker.tick(5)
    ticker.until(ticker.messages)
    for count in (1, 2):
        ticker.tick(5)
        assert len(ticker.messages()) == 2 * count - 1
        with Daemon(path):
            before = len(ticker.metrics())
            ticker.until(lambda: len(ticker.metrics()) > before + 3)  # noqa: B023
            assert len(ticker.messages()) == 2 * count
        ticker.until(lambda: len(ticker.messages()) > 2 * count)  # noqa: B023
    ticker.tick(5)
    assert ticker.plugin.finish() == 0

    name = "inputs.libvirt[0] (qemu+unix:///system): "
    assert [line.partition(name)[0] for line in ticker.messages()] == [
        "E! ",
        "I! ",
        "E! ",
        "I! ",
        "E! ",
    ]
    assert "Failed to connect socket" in ticker.messages()[0]
    assert "is the daemon of that socket running?" in ticker.messages()[0]
    assert "connected: driver QEMU" in ticker.messages()[1]


@pytest.mark.smoke
def test_no_tick_is_lost_when_the_daemon_was_restarted(
    start: Callable[..., Plugin], tmp_path: Path
) -> None:
    """A restart of the daemon between two ticks loses no tick and causes no message."""
    path = tmp_path / "socket"
    plugin = start("--uri", f"qemu+unix:///system?socket={path}")
    with Daemon(path):
        plugin.tick()
        plugin.wait_for_states(1)
    with Daemon(path):
        plugin.tick()
        plugin.wait_for_states(2)
        assert plugin.finish() == 0
    assert len(plugin.log.lines) == 1


def test_one_that_hangs_up_at_once(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """A daemon that closes each connection is reported once, and read once it works."""
    hypervisor = daemon(hanging_up=True)
    ticker = start_ticker(start, config, hypervisor.uri)
    ticker.until(ticker.messages)
    ticker.tick(5)
    assert len(ticker.messages()) == 1
    hypervisor.hanging_up = False
    ticker.until(ticker.metrics)
    assert ticker.plugin.finish() == 0
    error, info = ticker.messages()
    assert error.startswith("E! ") and "cannot be read" in error
    assert info.startswith("I! ") and "connected" in info


def test_a_hypervisor_in_a_file_appears(
    start: Callable[..., Plugin], tmp_path: Path, with_domains: Callable[..., str]
) -> None:
    """An unreadable file of the test driver is tried again at the next tick."""
    (tmp_path / "later.xml").write_text("<node>")
    plugin = start("--uri", f"test://{tmp_path}/later.xml")
    plugin.tick()
    plugin.wait_for_message("E! ")
    with_domains("guest", file="later.xml")

    def back() -> bool:
        plugin.tick()
        return len(plugin.states) > 0

    assert eventually(back)


def test_an_error_that_stays_is_one_message(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """An error of every call is reported once, and so is its end."""
    hypervisor = daemon(error=(SYSTEM_ERROR, 10, "out of order"))
    ticker = start_ticker(start, config, hypervisor.uri)
    ticker.until(ticker.messages)
    ticker.tick(5)
    assert hypervisor.connections == 1
    hypervisor.error = None
    ticker.until(ticker.metrics)
    assert ticker.plugin.finish() == 0
    error, info = ticker.messages()
    assert error.startswith("E! ") and "out of order" in error
    assert info.startswith("I! ")


def test_a_connection_that_broke_is_made_anew(
    start: Callable[..., Plugin], daemon: Callable[..., Daemon], config: Callable[..., Path]
) -> None:
    """An error of the connection itself leads to a new connection."""
    hypervisor = daemon(error=(SYSTEM_ERROR, FROM_RPC, "broken"))
    ticker = start_ticker(start, config, hypervisor.uri)
    ticker.until(ticker.messages)
    ticker.until(lambda: hypervisor.connections > 3)
    assert len(ticker.messages()) == 1
    hypervisor.error = None
    ticker.until(ticker.metrics)
