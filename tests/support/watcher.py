"""A plugin that is ticked until a line comes, with sources at each tick.

The rule: a test waits for a line, not for a time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from support.hypervisor import Hypervisor
from support.plugin import Plugin, eventually
from telegraf_execd_libvirt.sources import SOURCES

SECONDS = 90.0
"""How long a line may take; a guest needs some of them to boot Linux."""


def write_config(path: Path, uri: str, sources: str, *options: str, **tables: str) -> Path:
    """A configuration with health, these statistics and options; sources are read at each tick, and
    `tables` has their options."""
    names = sources.split()
    listed = ", ".join(f'"{name}"' for name in ["health", *names])
    lines = [
        f'[[inputs.libvirt]]\nlibvirt_uri = "{uri}"\nadditional_statistics = [{listed}]',
        *options,
        *(
            f'[inputs.libvirt.{name}]\ninterval = "1ms"\n{tables.get(name, "")}'
            for name in names
            if name in SOURCES
        ),
    ]
    path.write_text("\n".join(lines))
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
    """Run a virsh command during the block; it must succeed."""
    with ThreadPoolExecutor() as pool:
        command = pool.submit(hypervisor.virsh, *arguments)
        yield
        command.result()
