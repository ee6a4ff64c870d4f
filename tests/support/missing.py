"""What to do where a machine lacks something that a test needs.

The rule: a test is left out only with a reason that names what is missing; and where
TELEGRAF_EXECD_LIBVIRT_TEST_EVERYTHING is set, for a run that has to be complete, it fails instead.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


class Missing(Exception):
    """Something that this machine lacks; the message names it, and the package that has it."""


def leave_out(reason: str) -> NoReturn:
    """Skip the running test for this reason, or fail it where every test has to run."""
    if os.environ.get("TELEGRAF_EXECD_LIBVIRT_TEST_EVERYTHING"):
        pytest.fail(reason)
    pytest.skip(reason)
