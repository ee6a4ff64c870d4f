"""What a collection costs on average, if groups of statistics have intervals."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.config.intervals import GroupIntervals
from telegraf_execd_libvirt.program import costs

SECOND = 10**9


@pytest.mark.parametrize(
    ("block", "state", "empty", "average"),
    [
        (0.010, 0.002, 0.001, "2.28"),  # nine parts of ten for block, one for state
        (0.001, 0.001, 0.001, "6.60"),  # lost in noise: equal parts
    ],
)
def test_average(
    monkeypatch: pytest.MonkeyPatch, block: float, state: float, empty: float, average: str
) -> None:
    """A group that is asked at every tenth tick takes a tenth of its part of a tick; nothing is
    said if no guest runs."""
    times = {frozenset({"block"}): block, frozenset({"state"}): state, frozenset(): empty}
    monkeypatch.setattr(costs, "_time", lambda _, groups: times.get(groups, 0.012))
    config = HypervisorConfig(
        statistics_groups=("block", "state"),
        group_intervals=GroupIntervals({"block": 20 * SECOND}),
        interval=2 * SECOND,
    )
    _, line = costs.costs(config, Mock(), 1)
    expected = f"12.00 ms now with all groups; with group_intervals {average} ms on average"
    assert line == f"a tick takes {expected}, every 2s"
    assert costs.costs(config, Mock(), 0) == []
