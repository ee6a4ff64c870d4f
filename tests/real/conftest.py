"""The fixtures of the tests that need a real hypervisor.

The rule: one hypervisor serves all tests of this folder, and each test finds it healthy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.hypervisor import Hypervisor
from support.missing import available
from support.plugin import Plugin
from support.watcher import Watcher, write_config


@pytest.fixture(scope="session")
def hypervisor() -> Iterator[Hypervisor]:
    """The hypervisor of all tests; its Linux guest is booted."""
    with available(Hypervisor) as started:
        started.wait_until_booted()
        yield started


@pytest.fixture(autouse=True)
def healthy(hypervisor: Hypervisor) -> Iterator[None]:
    """Undo what a test did to the daemon and the guests."""
    yield
    hypervisor.heal()


@pytest.fixture
def watch(hypervisor: Hypervisor, tmp_path: Path) -> Iterator[Callable[..., Watcher]]:
    """Start a plugin with these sources of a hypervisor; wait until each has been read once."""
    with ExitStack() as stack:

        def begin(sources: str, host: Hypervisor = hypervisor, **options: str) -> Watcher:
            path = tmp_path / f"{host.folder.name}.conf"
            config = write_config(path, host.uri, sources, **options)
            watcher = Watcher(stack.enter_context(Plugin("--config", config)))
            for name in sources.split():
                uri = "qemu+unix:///session"
                watcher.wait_for(f"libvirt_source_health,libvirt_uri={uri},source={name} up=1i")
            return watcher

        yield begin
