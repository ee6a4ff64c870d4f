"""A plugin that is ticked until a line comes, with sources at each tick.

The rule: a test waits for a line, not for a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.hypervisor import Hypervisor
from support.plugin import SECONDS, Plugin, eventually

BOOT_SECONDS = 90.0
"""How long a guest may need to boot Linux."""


def write_config(path: Path, uri: str, sources: str, **options: str) -> Path:
    """A configuration with these sources at each tick, and options of some of them."""
    names = sources.split()
    listed = ", ".join(f'"{name}"' for name in names)
    tables = "".join(
        f'[inputs.libvirt.{name}]\ninterval = "1ms"\n{options.get(name, "")}\n' for name in names
    )
    path.write_text(
        f'[[inputs.libvirt]]\nlibvirt_uri = "{uri}"\nstatistics_groups = ["state"]\n'
        f'additional_statistics = ["health", {listed}]\n{tables}'
    )
    return path


class Watcher:
    """A plugin that is ticked all the time."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin

    def wait_for(self, start: str, seconds: float = SECONDS) -> str:
        """Tick until a line begins with this text; return the last one."""

        def found() -> bool:
            self.plugin.tick()
            time.sleep(0.1)
            return any(line.startswith(start) for line in self.plugin.metrics.lines)

        assert eventually(found, seconds), f"{start} in {self.plugin.metrics.lines[-20:]}"
        return [line for line in self.plugin.metrics.lines if line.startswith(start)][-1]


@contextmanager
def beside(hypervisor: Hypervisor, *arguments: str) -> Iterator[None]:
    """Run a virsh command during the block."""
    failures: list[Exception] = []

    def command() -> None:
        try:
            hypervisor.virsh(*arguments)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=command)
    thread.start()
    try:
        yield
    finally:
        thread.join(60)
    assert not failures
