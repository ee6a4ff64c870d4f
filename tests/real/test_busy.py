"""Guests that several clients query at the same moment: no client loses a series.

The rule: each client of a test ends with the test.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support.hypervisor import Hypervisor
from support.metrics import Series, fields_of
from support.plugin import Plugin

COLLECTIONS = 100

Fields = set[tuple[Series, str]]
"""Series with the names of their fields."""


class Client:
    """A plugin, and the fields of its ticks."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin
        self.whole = self._wait()

    def tick(self) -> Fields:
        """The fields that one tick lacks."""
        self.plugin.tick()
        return self.missing()

    def missing(self) -> Fields:
        """The fields that the tick under way lacks."""
        return self.whole - self._wait()

    def _wait(self) -> Fields:
        """The fields of the next tick."""
        lines = self.plugin.metrics.wait_for(
            lambda lines: lines and lines[-1].startswith("libvirt_health,"), "a tick"
        )
        self.plugin.metrics.forget()
        (incomplete,) = [
            value for (_, field), value in fields_of(lines[-1:]).items() if "incomplete" in field
        ]
        found = {at for at in fields_of(lines) if at[0][0] != "libvirt_domain_health"}
        assert incomplete == 0 or hasattr(self, "whole"), "the first tick is incomplete"
        return found


@contextmanager
def clients(hypervisor: Hypervisor, tmp_path: Path, count: int) -> Iterator[list[Client]]:
    """Plugins that have collected once, one after the other."""
    config = tmp_path / "plugin.conf"
    config.write_text(
        f'[[inputs.libvirt]]\n  libvirt_uri = "{hypervisor.uri}"\n'
        '  additional_statistics = ["health"]\n'
    )
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            plugin = stack.enter_context(Plugin("--config", config))
            plugin.tick()
            found.append(Client(plugin))
        yield found
        for client in found:
            client.plugin.close()
            client.plugin.check_streams()
            assert "not responding" not in client.plugin.log.text


@contextmanager
def endless_domstats(hypervisor: Hypervisor) -> Iterator[None]:
    """Read the statistics with virsh, again and again."""
    loop = subprocess.Popen(
        ["sh", "-c", 'while virsh -q -c "$1" domstats; do :; done', "sh", hypervisor.uri],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
        assert loop.poll() is None, "virsh failed"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(loop.pid, signal.SIGKILL)
        loop.wait()


def test_two_plugins_that_tick_together(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """Two plugins that receive their ticks at the same moment lose no series."""
    with clients(hypervisor, tmp_path, 2) as both:
        for number in range(COLLECTIONS):
            for client in both:
                client.plugin.tick()
            assert [client.missing() for client in both] == [set(), set()], number


def test_a_loop_of_virsh(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """A plugin beside another client that reads all statistics without a pause loses no series."""
    with clients(hypervisor, tmp_path, 1) as (client,), endless_domstats(hypervisor):
        for number in range(COLLECTIONS):
            assert client.tick() == set(), number
            time.sleep(0.01 * (number % 5))  # at any moment of the loop
