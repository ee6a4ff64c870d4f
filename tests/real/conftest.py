"""The fixtures of the tests that need a real hypervisor.

The rule: one hypervisor serves all tests of a file, and each test finds it healthy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.hypervisor import Hypervisor
from support.plugin import plugins
from support.ticks import Ticks
from support.watcher import Watcher, write_config


@pytest.fixture(scope="package")
def hypervisor() -> Iterator[Hypervisor]:
    """The hypervisor of most files; its Linux guest is booted. It ends with the last test of this
    folder, because even idle guests use the CPU."""
    with Hypervisor() as started:
        started.wait_until_booted()
        yield started


@pytest.fixture(autouse=True)
def healthy(hypervisor: Hypervisor) -> Iterator[None]:
    """Undo what a test did to the daemon and the guests."""
    yield
    hypervisor.heal()


@pytest.fixture
def write(hypervisor: Hypervisor, tmp_path: Path) -> Callable[..., Path]:
    """Write a configuration for a hypervisor; see write_config for the other arguments."""

    def write(
        *options: str, sources: str = "", host: Hypervisor = hypervisor, **tables: str
    ) -> Path:
        path = tmp_path / f"{len([*tmp_path.iterdir()])}.conf"
        return write_config(path, host.uri, sources, *options, **tables)

    return write


@pytest.fixture
def start(write: Callable[..., Path]) -> Iterator[Callable[..., Ticks]]:
    """Start a plugin with a configuration from `write`; check its streams after the test."""
    with plugins() as begin:
        yield lambda *options, **more: Ticks(begin("--config", write(*options, **more)))


@pytest.fixture
def watch(start: Callable[..., Ticks]) -> Callable[..., Watcher]:
    """Start a plugin with these sources; wait until each has been read once."""

    def begin(sources: str, **more: object) -> Watcher:
        watcher = Watcher(start('statistics_groups = ["state"]', sources=sources, **more).plugin)
        for name in sources.split():
            uri = "qemu+unix:///session"
            watcher.wait_for(f"libvirt_source_health,libvirt_uri={uri},source={name} up=1i")
        return watcher

    return begin
