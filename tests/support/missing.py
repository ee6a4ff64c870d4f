"""Handling of components that a machine lacks.

The rule: a test is skipped only with a reason that names the missing component. If
TELEGRAF_EXECD_LIBVIRT_TEST_EVERYTHING is set, as for a complete run, the test fails instead.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


class Missing(Exception):
    """A component that this machine lacks; the message names it and its package."""


def leave_out(reason: str) -> NoReturn:
    """Skip the running test for this reason, or fail it if every test has to run."""
    if os.environ.get("TELEGRAF_EXECD_LIBVIRT_TEST_EVERYTHING"):
        pytest.fail(reason)
    pytest.skip(reason)
