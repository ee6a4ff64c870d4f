"""The fixture of the tests that need a container of libvirt's LXC driver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.containers import Containers
from support.missing import available


@pytest.fixture(scope="session")
def containers() -> Iterator[Containers]:
    """The libvirt of all tests; its container runs."""
    with available(Containers) as started:
        yield started
