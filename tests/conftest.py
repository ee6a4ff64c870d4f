"""Settings of all tests.

The rule: no test fails because a machine is slow.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from telegraf_execd_libvirt import log

settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("quick", settings.get_profile("any machine"), max_examples=10)
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def nothing_hidden() -> Iterator[None]:
    """The URIs of one test are no secrets in the next one."""
    before = log._hidden
    yield
    log._hidden = before
