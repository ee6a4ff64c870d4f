"""Handling of components that a machine lacks.

The rule: a test is skipped only with a reason that names the missing component; it is enough that
the test or one of its fixtures raises `Missing`. If TELEGRAF_EXECD_LIBVIRT_TEST_EVERYTHING is set,
as for a complete run, the test fails instead.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import NoReturn, TypeVar

import pytest

T = TypeVar("T")


class Missing(Exception):
    """A component that this machine lacks; the message names it and its package."""


def needed(program: str, package: str, path: str | None = None) -> str:
    """The path of a program that a package of Debian has."""
    found = shutil.which(program, path=path)
    if found is None:
        raise Missing(f"{program} (Debian package {package})")
    return found


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
