"""The fixtures of the tests that run the plugin as a process, on libvirt's built-in test driver.

The rule: every process that a test starts has ended when the test has, and has written nothing
but line protocol to stdout and nothing but prefixed lines to stderr.
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
    """Start the plugin with these arguments; the streams of all are checked after the test."""
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
    """The plugin on the test driver's one domain, waiting for ticks."""
    return start("--uri", TEST_DRIVER)


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Make a configuration file with an [[inputs.libvirt]] table of each of these texts."""

    def write(*tables: str) -> Path:
        path = tmp_path / "plugin.conf"
        path.write_text("".join(f"[[inputs.libvirt]]\n{table}\n" for table in tables), "utf-8")
        return path

    return write


@pytest.fixture
def with_domains(tmp_path: Path) -> Callable[..., str]:
    """Make a hypervisor of the test driver's with domains of these names, and give its URI."""

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
    """Start a daemon on a socket of this name; its arguments say how it behaves."""
    with ExitStack() as stack:

        def begin(name: str = "socket", **behaviour: Any) -> Daemon:
            return stack.enter_context(Daemon(tmp_path / name, **behaviour))

        yield begin
