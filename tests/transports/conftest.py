"""Fixtures of the tests with remote hypervisors.

The rule: the daemons of a file are healthy at the start of each test, and no process of the plugin
is left at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from support.plugin import plugins
from support.readers import Reader, Readers
from support.transports import Rig


@pytest.fixture(scope="package")
def rig() -> Iterator[Rig]:
    """The far hosts, and the user that reads them."""
    with Rig() as started:
        yield started


@pytest.fixture(autouse=True)
def healthy(rig: Rig) -> Iterator[None]:
    """Undo what a test did to the daemons, and find what it left behind."""
    yield
    rig.heal()
    rig.check_nothing_left()


@pytest.fixture
def read(rig: Rig, healthy: None) -> Iterator[Callable[..., Reader]]:
    """Start the plugin for a URI; see Reader for the arguments. Check its streams at the end."""
    with plugins() as begin:
        yield partial(Reader, begin, rig)


@pytest.fixture
def read_all(rig: Rig, read: Callable[..., Reader]) -> Callable[..., Readers]:
    """Start a plugin for each of these transports, and wait until all have metrics."""

    def begin(*transports: str, timeout: str = "5s") -> Readers:
        readers = Readers({name: read(rig.uri(name), timeout) for name in transports})
        readers.until_all_up()
        return readers

    return begin
