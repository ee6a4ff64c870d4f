"""Fixtures of the tests that run the plugin as a process, on libvirt's built-in test driver.

The rule: each process ends with its test, and has written only line protocol to stdout and only
prefixed lines to stderr.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

from support.crowd import Crowd
from support.host import Config, Daemons, Host, Hosts, Start, WithDomains
from support.plugin import TEST_DRIVER, Plugin
from support.server import Daemon


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the plugin with these arguments; check its streams after the test."""
    started: list[Plugin] = []
    with ExitStack() as stack:

        def begin(*arguments: str | Path, **options: Any) -> Plugin:
            plugin = stack.enter_context(Plugin(*arguments, **options))
            started.append(plugin)
            return plugin

        yield begin
    for plugin in started:
        plugin.check_streams()


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
    """Define a test driver with domains of these names, and with the inner XML of some of them;
    return its URI."""

    def write(*names: str, file: str = "domains.xml", inner: Mapping[str, str] = {}) -> str:
        domains = "".join(
            f"<domain type='test'><name>{escape(name)}</name><memory>1024</memory>"
            f"<os><type>hvm</type></os>{inner.get(name, '')}</domain>"
            for name in names
        )
        path = tmp_path / file
        path.write_text(f"<node>{domains}</node>", "utf-8")
        return f"test://{path}"

    return write


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
