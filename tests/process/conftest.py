"""Fixtures of the tests that run the plugin as a process, on libvirt's built-in test driver.

The rule: each process ends with its test, and has written only line protocol to stdout and only
prefixed lines to stderr.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from support.crowd import Crowd
from support.driver import driver_uri
from support.host import Config, Daemons, Host, Hosts, Start, WithDomains
from support.plugin import TEST_DRIVER, Plugin, plugins
from support.server import Daemon


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the plugin with these arguments; check its streams after the test."""
    with plugins() as begin:
        yield begin


@pytest.fixture
def plugin(start: Start) -> Plugin:
    """A plugin that reads the test driver's one domain and waits for ticks."""
    return start("--uri", TEST_DRIVER)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Write a configuration file with an [[inputs.libvirt]] table for each text."""
    numbers = count()

    def write(*tables: str) -> Path:
        path = tmp_path / f"plugin-{next(numbers)}.conf"
        path.write_text("".join(f"[[inputs.libvirt]]\n{table}\n" for table in tables), "utf-8")
        return path

    return write


@pytest.fixture
def with_domains(tmp_path: Path) -> WithDomains:
    """Define a test driver with domains of these names; return its URI."""
    return partial(driver_uri, tmp_path)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemons]:
    """Start a scripted daemon on a socket of this name; see Daemon for its arguments."""
    numbers = count()
    with ExitStack() as stack:

        def begin(name: str = "", **behaviour: Any) -> Daemon:
            path = tmp_path / (name or f"socket-{next(numbers)}")
            return stack.enter_context(Daemon(path, **behaviour))

        yield begin


@pytest.fixture
def host(start: Start, config: Config, daemon: Daemons) -> Hosts:
    """Start the plugin on a daemon, or on one with this crowd, with these options and additional
    statistics."""

    def begin(
        on: Daemon | Crowd, *options: str, also: Sequence[str] = (), **arguments: Any
    ) -> Host:
        hypervisor = daemon(crowd=on) if isinstance(on, Crowd) else on
        additional = f"additional_statistics = {['health', *also]}"
        path = config("\n".join([f'libvirt_uri = "{hypervisor.uri}"', additional, *options]))
        return Host(start("--config", path, **arguments), hypervisor)

    return begin
