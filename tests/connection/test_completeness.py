"""Which domains lack the keys that need their monitor."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from telegraf_execd_libvirt.connection.completeness import Completeness
from telegraf_execd_libvirt.domain.record import Domain, Stats
from telegraf_execd_libvirt.groups import STATISTICS_GROUPS

ALL = ("state", "cpu_total", "balloon", "vcpu", "interface", "block", "iothread", "dirtyrate")
DISKS = ("state", "block")

WHOLE: Stats = {"state.state": 1, "balloon.rss": 1, "block.count": 1, "block.0.rd.reqs": 1}
CUT: Stats = {"state.state": 1, "block.count": 1}
NO_ANSWER: Stats = {**CUT, "balloon.current": 1}
NO_DISK: Stats = {"state.state": 1, "block.count": 0}
EMPTY_DRIVE: Stats = {**NO_DISK, "block.count": 2, "block.0.name": "sda", "block.1.rd.reqs": 1}


class Handle(NamedTuple):
    """As much of libvirt's domain as its name, its UUID and its id, a new one at each start."""

    text: str
    life: int

    def name(self) -> str:
        return self.text

    UUIDString = name

    def ID(self) -> int:  # noqa: N802
        return self.life


class Judge:
    """The completeness of domains with these groups. Answers have the domains' statistics; a domain
    whose name starts with "off" does not run. ``asked`` are the names of those that were asked once
    more, which is answered by ``more``."""

    def __init__(self, *groups: str, **more: Stats) -> None:
        self.asked: list[str] = []
        self.more = more
        self._completeness = Completeness([STATISTICS_GROUPS[name] for name in groups])
        self._all = self._completeness

    def part(self, *groups: str) -> Judge:
        """From now on only these groups are asked."""
        self._completeness = self._all.of(frozenset(groups))
        return self

    def __call__(self, life: int = 1, **answer: Stats) -> set[str]:
        """The incomplete domains of an answer."""

        def ask(handles: list[Any], groups: int) -> Any:
            self.asked += [handle.name() for handle in handles]
            assert groups
            return [(handle, self.more.get(handle.name(), NO_ANSWER)) for handle in handles]

        domains = [Domain(name, name[:3] != "off", stats) for name, stats in answer.items()]
        handles = [Handle(name, life) for name in answer]
        return {*self._completeness.incomplete(handles, domains, ask)}


OFF, GONE = {"off": CUT}, {"a": NO_DISK}
BESIDE: dict[str, Stats] = {"a": WHOLE, "b": CUT}


@pytest.mark.parametrize(
    ("groups", "case", "answers", "expected"),
    [
        # Only a running guest without any key of the monitor is incomplete, if others have some.
        (ALL, "a guest that is cut beside a whole one", [BESIDE], [{"b"}]),
        (ALL, "a guest that is cut later", [{"a": WHOLE}, {"a": CUT}], [set(), {"a"}]),
        (ALL, "one that recovers", 2 * [BESIDE] + [{"b": WHOLE}], [{"b"}, {"b"}, set()]),
        (ALL, "a guest that is off", [{"a": WHOLE, **OFF}, OFF], [set(), set()]),
        (ALL, "a guest without disks", [{"a": WHOLE, "b": {**WHOLE, **NO_DISK}}], [set()]),
        (ALL, "a driver without such keys", [{"a": CUT}, {"a": CUT, "b": CUT}], [set(), set()]),
        (ALL, "only guests that are off", [OFF], [set()]),
        (ALL, "an answer without domains", [{}], [set()]),
        *(
            (ALL, "one key is enough", [{"a": {key: 0}, "b": CUT}], [{"b"}])
            for key in ("balloon.rss", "cpu.haltpoll.success.time", "dirtyrate.calc_status")
        ),
        # Without another group that needs the monitor the disks show it, where there are any.
        (DISKS, "a guest that is cut beside a whole one", [BESIDE], [{"b"}]),
        (DISKS, "a guest without disks", [{"a": WHOLE, "b": NO_DISK}], [set()]),
        (DISKS, "an empty drive before a disk", [{"a": WHOLE, "b": EMPTY_DRIVE}], [set()]),
        (DISKS, "a guest that loses its disk", [{"a": WHOLE, "b": WHOLE}, GONE], [set(), set()]),
        (DISKS, "no disks", [{"b": NO_DISK}, {"a": CUT, "b": NO_DISK}], [set(), set()]),
        (DISKS, "a driver without such keys", [{"a": CUT}], [set()]),
        # If no group needs the monitor, each domain is complete.
        ((), "no group", [BESIDE, {"b": CUT}], [set(), set()]),
        (("state", "interface"), "no such group", [BESIDE, {"b": CUT}], [set(), set()]),
    ],
)
def test_incomplete_domains(
    groups: tuple[str, ...], case: str, answers: list[dict[str, Stats]], expected: list[set[str]]
) -> None:
    """The incomplete domains of each answer, whose monitors do not answer once more."""
    judge = Judge(*groups)
    assert [judge(**answer) for answer in answers] == expected, case


def test_parts_of_the_groups() -> None:
    """What was seen with all groups counts for a few of them: a guest that lacks the key of these
    is incomplete, also if it is the only one that is asked; other groups need no monitor."""
    judge = Judge(*ALL)
    assert judge.part("state", "balloon")(a=CUT) == set()
    assert judge.part(*ALL)(a=WHOLE) == set()
    assert judge.part("state", "balloon")(a=CUT) == {"a"}
    assert judge.part("block")(a={"block.count": 1}) == {"a"}
    assert judge.part("state", "interface")(a=CUT) == set()


RSS: Stats = {"balloon.rss": 1}


@pytest.mark.parametrize(
    ("groups", "whole", "cut", "more"),
    [
        ("state block", WHOLE, {"block.count": 1, "block.0.name": "vda"}, RSS),
        ("block", WHOLE, {"block.count": 1}, {"cpu.haltpoll.success.time": 1}),
        ("cpu_total", {"cpu.haltpoll.success.time": 1}, {"cpu.time": 1}, RSS),
        ("cpu_total block", WHOLE, {"block.count": 0}, {"dirtyrate.calc_status": 0}),
        ("dirtyrate", {"dirtyrate.calc_status": 0}, {}, RSS),
        ("balloon", WHOLE, {"balloon.current": 1}, {"dirtyrate.calc_status": 0}),
        ("block", WHOLE, {"block.count": 1}, CUT),
    ],
    ids=[
        *("vhost-user", "empty drive", "TCG", "TCG without disks"),
        *("an old QEMU", "no balloon", "no sign"),
    ],
)
def test_what_the_driver_cannot_give(groups: str, whole: Stats, cut: Stats, more: Stats) -> None:
    """A guest whose monitor answers without any of the wanted keys is complete, and asked once more
    in each of its lives. If it has had a key, it can have it."""
    judge = Judge(*groups.split(), b=more)
    for life in (1, 2):
        for _ in range(3):
            assert judge(life, a=whole, b=cut) == set()
        assert judge.asked == life * ["b"]
    judge(2, a=whole, b=whole)
    judge.more.clear()
    for _ in range(2):
        assert judge(2, a=whole, b=cut) == {"b"}


@pytest.mark.parametrize(("state", "reason"), [(3, 2), (1, 10)])
@pytest.mark.parametrize("groups", [ALL, ("state", "balloon"), ("balloon",), ("block",)])
def test_the_destination_of_a_migration(groups: tuple[str, ...], state: int, reason: int) -> None:
    """libvirt does not ask the monitor of a guest before a migration has brought it; a guest that
    is paused otherwise is incomplete. Without the group state, its state is asked for."""
    arriving: Stats = {"state.state": state, "state.reason": reason, "balloon.current": 1}
    paused: Stats = {"state.state": 3, "state.reason": 1, "balloon.current": 1}
    for more, expected in ((arriving, set()), (paused, {"b"})):
        judge = Judge(*groups, b=more)
        cut = {**CUT, **more} if "state" in groups else CUT
        assert judge(a=WHOLE, b=cut) == expected
        assert groups != ALL or not judge.asked


def test_a_moment_without_a_monitor() -> None:
    """A guest that answers the second time, as another client has left it, is not taken for one
    that has no such key; with all groups nobody is asked once more."""
    judge = Judge("state", "block", b=WHOLE)
    assert [judge(a=WHOLE, b=CUT) for _ in range(2)] == 2 * [{"b"}]
    judge = Judge(*ALL, b={"balloon.rss": 1})
    assert judge(a=WHOLE, b=CUT) == {"b"} and judge.asked == []
