"""Which domains lack the keys that need their monitor."""

from __future__ import annotations

import pytest

from telegraf_execd_libvirt.connection.facts import Completeness
from telegraf_execd_libvirt.domain.record import Domain, Stats
from telegraf_execd_libvirt.groups import STATISTICS_GROUPS

ALL = ("state", "cpu_total", "balloon", "vcpu", "interface", "block", "iothread", "dirtyrate")

WHOLE: Stats = {"state.state": 1, "balloon.rss": 1, "block.count": 1, "block.0.rd.reqs": 1}
CUT: Stats = {"state.state": 1, "block.count": 1}
NO_DISK: Stats = {"state.state": 1, "block.count": 0}
EMPTY_DRIVE: Stats = {
    "state.state": 1,
    "block.count": 2,
    "block.0.name": "sda",
    "block.1.rd.reqs": 1,
}


def judged(groups: tuple[str, ...], *answers: dict[str, Stats]) -> list[set[str]]:
    """The incomplete domains of each answer; a domain whose name starts with "off" does not run."""
    completeness = Completeness([STATISTICS_GROUPS[name] for name in groups])
    return [
        {
            *completeness.incomplete(
                [Domain(name, not name.startswith("off"), stats) for name, stats in answer.items()]
            )
        }
        for answer in answers
    ]


@pytest.mark.parametrize(
    "key", ["balloon.rss", "cpu.haltpoll.success.time", "dirtyrate.calc_status"]
)
def test_one_key_of_the_monitor_is_enough(key: str) -> None:
    """A domain with a key of any group that needs the monitor is complete."""
    assert judged(ALL, {"a": {key: 0}, "b": CUT}) == [{"b"}]


@pytest.mark.parametrize(
    ("case", "answers", "expected"),
    [
        ("a guest that is cut beside a whole one", [{"a": WHOLE, "b": CUT}], [{"b"}]),
        ("a guest that is cut later", [{"a": WHOLE}, {"a": CUT}], [set(), {"a"}]),
        ("a guest that recovers", [{"a": WHOLE}, {"a": CUT}, {"a": WHOLE}], [set(), {"a"}, set()]),
        ("a guest that is off", [{"a": WHOLE, "off": CUT}, {"off": CUT}], [set(), set()]),
        ("a guest without disks", [{"a": WHOLE, "b": {**WHOLE, **NO_DISK}}], [set()]),
        ("a driver without such keys", [{"a": CUT}, {"a": CUT, "b": CUT}], [set(), set()]),
        ("only guests that are off", [{"off": CUT}], [set()]),
        ("an answer without domains", [{}], [set()]),
    ],
)
def test_all_groups(case: str, answers: list[dict[str, Stats]], expected: list[set[str]]) -> None:
    """Only a running guest without any key of the monitor is incomplete, if others have some."""
    assert judged(ALL, *answers) == expected, case


@pytest.mark.parametrize(
    ("case", "answers", "expected"),
    [
        ("a guest that is cut beside a whole one", [{"a": WHOLE, "b": CUT}], [{"b"}]),
        ("a guest without disks", [{"a": WHOLE, "b": NO_DISK}], [set()]),
        ("an empty drive before a disk", [{"a": WHOLE, "b": EMPTY_DRIVE}], [set()]),
        ("a guest that loses its disk", [{"a": WHOLE, "b": WHOLE}, {"a": NO_DISK}], [set(), set()]),
        ("only guests without disks", [{"b": NO_DISK}, {"a": CUT, "b": NO_DISK}], [set(), set()]),
        ("a driver without such keys", [{"a": CUT}], [set()]),
    ],
)
def test_disks_alone(case: str, answers: list[dict[str, Stats]], expected: list[set[str]]) -> None:
    """Without another group that needs the monitor the disks show it, where there are any."""
    assert judged(("state", "block"), *answers) == expected, case


@pytest.mark.parametrize("groups", [(), ("state", "interface")])
def test_groups_without_a_monitor(groups: tuple[str, ...]) -> None:
    """If no group needs the monitor, each domain is complete."""
    assert judged(groups, {"a": WHOLE, "b": CUT}, {"b": CUT}) == [set(), set()]
