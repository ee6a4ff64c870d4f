"""Fixtures of the tests that run the plugin as a process, on libvirt's built-in test driver.

The rule: each process ends with its test, and has written only line protocol to stdout and only
prefixed lines to stderr.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

from support.plugin import TEST_DRIVER, Plugin
from support.server import Daemon


@pytest.fixture
def start() -> Iterator[Callable[..., Plugin]]:
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
def plugin(start: Callable[..., Plugin]) -> Plugin:
    """A plugin that reads the test driver's one domain and waits for ticks."""
    return start("--uri", TEST_DRIVER)


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Write a configuration file with an [[inputs.libvirt]] table for each text."""

    def write(*tables: str) -> Path:
        path = tmp_path / "plugin.conf"
        path.write_text("".join(f"[[inputs.libvirt]]\n{table}\n" for table in tables), "utf-8")
        return path

    return write


@pytest.fixture
def with_domains(tmp_path: Path) -> Callable[..., str]:
    """Define a test driver with domains of these names; return its URI."""

    def write(*names: str, file: str = "domains.xml") -> str:
        domains = "".join(
            f"<domain type='test'><name>{escape(name)}</name><memory>1024</memory>"
            "<os><type>hvm</type></os></domain>"
            for name in names
        )
        path = tmp_path / file
        path.write_text(f"<node>{domains}</node>", "utf-8")
        return f"test://{path}"

    return write


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Start a scripted daemon on a socket of this name; see Daemon for its arguments."""
    with ExitStack() as stack:

        def begin(name: str = "socket", **behaviour: Any) -> Daemon:
            return stack.enter_context(Daemon(tmp_path / name, **behaviour))

        yield begin
