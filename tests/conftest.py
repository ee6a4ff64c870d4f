"""Settings of all tests.

The rule: no test fails because a machine is slow.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from support.missing import Missing
from telegraf_execd_libvirt.connection import conceal

settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("quick", settings.get_profile("any machine"), max_examples=10)
settings.load_profile("any machine")

#: What takes longest begins first, so that no process works alone at the end. Builds are nice, so
#: real guests are nearly alone at first.
_LONG = ("real", "test_dist.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests."""
    items.sort(key=lambda item: not {item.path.name, item.path.parent.name}.intersection(_LONG))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, Any, Any]:
    """Leave out a test if it, or one of its fixtures, misses a component."""
    try:
        return (yield)
    except Missing as missing:
        if os.environ.get("TELEGRAF_EXECD_LIBVIRT_TEST_EVERYTHING"):
            pytest.fail(f"needs {missing}")
        pytest.skip(f"needs {missing}")


pytest_runtest_call = pytest_runtest_setup


@pytest.fixture(autouse=True)
def nothing_hidden() -> Iterator[None]:
    """The URIs of one test are no secrets in the next one."""
    before = conceal._hidden
    yield
    conceal._hidden = before
