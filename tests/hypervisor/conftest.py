"""The fixtures of the tests that need a real hypervisor.

The rule: one hypervisor serves all tests of this folder, and each test finds it healthy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from support.hypervisor import Hypervisor
from support.missing import Missing, leave_out


@pytest.fixture(scope="session")
def hypervisor() -> Iterator[Hypervisor]:
    """The hypervisor of all tests; its Linux guest is booted."""
    with ExitStack() as stack:
        try:
            started = stack.enter_context(Hypervisor())
        except Missing as missing:
            leave_out(f"needs {missing}")
        started.wait_until_booted()
        yield started


@pytest.fixture(autouse=True)
def healthy(hypervisor: Hypervisor) -> Iterator[None]:
    """Undo what a test did to the daemon and the guests."""
    yield
    hypervisor.heal()
