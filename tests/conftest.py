"""Settings of all tests.

The rule: no test fails because a machine is slow.
"""

from __future__ import annotations

import os
import re
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

#: The folders and files that take longest begin first, so that no process works alone at the end.
#: Builds are nice, so real guests are nearly alone at first.
_FIRST = (
    *("test_dist.py", "real", "test_pythons.py", "transports", "lxc"),
    *("test_dashboards.py", "simulation", "process"),
)

#: Files that share a server, which starts once then, and not once in each process.
_TOGETHER = (
    "tests/real/test_(agent|events|sources)",
    "tests/real/test_(config|contract|hanging|metrics|tags)",
    "tests/transports/",
    "tests/database/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests."""

    def place(item: pytest.Item) -> int:
        found = {item.path.name, item.path.parent.name}.intersection(_FIRST)
        return min(map(_FIRST.index, found), default=len(_FIRST))

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process whole files, and those that share a server to the same one. Another option
    of --dist has its own scheduler."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling  # the tests run without it, too

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return next((group for group in _TOGETHER if re.match(group, file)), file)

    return Scheduling(config, log)


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
