"""Handling of components that a machine lacks.

The rule: a test is skipped only with a reason that names the missing component. If
TELEGRAF_EXECD_LIBVIRT_TEST_EVERYTHING is set, as for a complete run, the test fails instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import NoReturn, TypeVar

import pytest

T = TypeVar("T")


class Missing(Exception):
    """A component that this machine lacks; the message names it and its package."""


def leave_out(reason: str) -> NoReturn:
    """Skip the running test for this reason, or fail it if every test has to run."""
    if os.environ.get("TELEGRAF_EXECD_LIBVIRT_TEST_EVERYTHING"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def available(component: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
    """Start what tests need and end it after them; leave them out if it lacks something itself."""
    with ExitStack() as stack:
        try:
            started = stack.enter_context(component())
        except Missing as missing:
            leave_out(f"needs {missing}")
        yield started
