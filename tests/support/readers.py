"""The plugin as the near user's process, ticked by a test, one for each hypervisor.

The rule: a tick of a test ends with the plugin's line of health, so nothing is guessed about time.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping

from support.plugin import Plugin, eventually, states
from support.process import children
from support.transports import Rig

SECONDS = 60.0
"""How long what hangs may take to end, and connections to come back."""

SLOW_NS = 700_000_000
"""The plugin repeats an attempt at once only if it took less than a second."""


class Reader:
    """The plugin, run by the near user, with one hypervisor, and ticked by the test.

    `slow` is true if a connection attempt took so long that the next one need not follow at once.
    """

    def __init__(
        self,
        start: Callable[..., Plugin],
        rig: Rig,
        uri: str,
        timeout: str = "5s",
        **variables: str,
    ) -> None:
        lines = [
            "[[inputs.libvirt]]",
            f"libvirt_uri = '''{uri}'''",
            f'timeout = "{timeout}"',
            'statistics_groups = ["state"]',
            'additional_statistics = ["health"]',
        ]
        self.slow = False
        path = rig.near.write(f"plugin-{os.urandom(4).hex()}.conf", "\n".join(lines))
        environment = rig.near.environment(**variables)
        self.plugin = start("--config", path, prefix=rig.near.prefix, env=environment)

    def tick(self) -> bool:
        """Tick, wait for the end of the tick, and return whether there were metrics."""
        self.begin_tick()
        return self.end_tick()

    def begin_tick(self) -> None:
        """Tick, and do not wait."""
        self.plugin.metrics.forget()
        self.plugin.tick()

    def end_tick(self) -> bool:
        """Wait for the end of the tick, and return whether there were metrics."""
        lines = self.plugin.end_tick()
        up = " up=1i" in lines[-1] and bool(states(lines))
        (duration,) = re.findall(r"\bcollect_time_ns=(\d+)i", lines[-1])
        self.slow = self.slow or (not up and int(duration) > SLOW_NS)
        return up

    def ticks(self, count: int) -> list[bool]:
        """The outcomes of several ticks."""
        return [self.tick() for _ in range(count)]

    def finish(self) -> list[str]:
        """End the plugin, which must succeed; return its messages without I! and the warning that
        fast ticks may cause."""
        assert self.plugin.finish() == 0, self.plugin.log.lines
        lines = [line for line in self.plugin.log.lines if not line.startswith("I!")]
        return [line for line in lines if "longer than the interval" not in line]

    def finish_with_errors(self) -> list[str]:
        """End the plugin; return its messages E!."""
        return [line for line in self.finish() if line.startswith("E!")]

    def children(self) -> list[int]:
        """The pids of its children."""
        return children(self.plugin.pid)

    def opened(self) -> tuple[int, int, int]:
        """The numbers of descriptors, of threads and of other processes."""
        return (*self.plugin.opened(), len(self.children()))


class Readers(dict[str, Reader]):
    """Plugins by their transports, ticked at the same time; `unlucky`: those that failed to connect
    once for no reason of the plugin."""

    def __init__(self, readers: Mapping[str, Reader] | None = None) -> None:
        super().__init__(readers or {})
        self.unlucky: set[str] = set()

    def tick(self) -> set[str]:
        """Tick all of them; return the transports that had metrics."""
        for reader in self.values():
            reader.begin_tick()
        return {transport for transport, reader in self.items() if reader.end_tick()}

    def until_all_up(self, forget: bool = True) -> None:
        """Tick until all have had metrics; on a slow machine it takes some ticks to connect. The
        messages so far are dropped, unless `forget` is false."""
        assert eventually(lambda: self.tick() == {*self}, SECONDS), self.logs()
        for reader in self.values() if forget else ():
            reader.plugin.log.forget()

    def check_up(self) -> None:
        """All have metrics with the next tick, on a slow machine some of them later. Once each may
        fail to connect: sshd closes a new session now and then on a busy machine."""
        missing = {*self} - self.tick()
        unlucky = {transport for transport in missing if not self[transport].slow}
        assert not unlucky & self.unlucky, (unlucky, self.logs())
        self.unlucky |= unlucky
        if missing:
            self.until_all_up(forget=False)

    def opened(self) -> dict[str, tuple[int, int, int]]:
        """What each of them has opened; see Reader."""
        return {transport: reader.opened() for transport, reader in self.items()}

    def check_opened(self, before: Mapping[str, tuple[int, int, int]]) -> None:
        """None has opened more than before, once keepalive has ended what hangs."""

        def is_less() -> bool:
            time.sleep(0.1)
            self.tick()
            opened = self.opened()
            return all(all(map(int.__le__, opened[name], before[name])) for name in self)

        assert eventually(is_less, SECONDS), (before, self.opened())

    def logs(self) -> dict[str, list[str]]:
        """All messages so far."""
        return {transport: reader.plugin.log.lines for transport, reader in self.items()}
