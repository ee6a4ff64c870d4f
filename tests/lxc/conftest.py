"""The fixture of the tests that need a container of libvirt's LXC driver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.containers import Containers


@pytest.fixture(scope="session")
def containers() -> Iterator[Containers]:
    """The libvirt of all tests; its container runs."""
    with Containers() as started:
        yield started
