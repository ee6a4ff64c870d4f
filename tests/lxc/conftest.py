"""The fixture of the tests that need a container of libvirt's LXC driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from support.containers import Containers
from support.missing import Missing, leave_out


@pytest.fixture(scope="session")
def containers() -> Iterator[Containers]:
    """The libvirt of all tests; its container runs."""
    with ExitStack() as stack:
        try:
            started = stack.enter_context(Containers())
        except Missing as missing:
            leave_out(f"needs {missing}")
        yield started
