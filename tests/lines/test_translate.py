"""The translation of flat keys to points; that of real dumps is tested by the golden cases."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support.translation import Point
from support.translation import points as translate
from telegraf_execd_libvirt.domain.record import Domain, Value
from telegraf_execd_libvirt.groups import ADDITIONAL_STATISTICS, STATISTICS_GROUPS
from telegraf_execd_libvirt.groups.schema import Type
from telegraf_execd_libvirt.lines.protocol import Unsigned, escape_key
from telegraf_execd_libvirt.lines.translate import convert

ALL = (*STATISTICS_GROUPS.values(), *ADDITIONAL_STATISTICS.values())


VALUES = st.integers() | st.text() | st.booleans() | st.floats()


def points(stats: dict[str, Value], active: bool = True) -> list[Point]:
    """The points of a domain with these statistics, for all groups."""
    return translate(ALL, Domain("d", active, stats))


def test_cpu_time_of_inactive_domain_is_dropped() -> None:
    """It is the daemon's; other statistics of an inactive domain are kept."""
    for key in ("cpu.time", "cpu.user", "cpu.system"):
        stats: dict[str, Value] = {key: 1, "cpu.haltpoll.success.time": 2}
        (active,), (inactive,) = points(stats), points(stats, active=False)
        assert len(active.fields) == 2 + (key == "cpu.time")
        assert inactive.fields == (("haltpoll_success_time", 2),)


def test_current_cpu_joins_the_vcpu() -> None:
    """The current CPU is a field of the vCPU's metric; the affinity has its own metric."""
    found = points({"vcpu_mapping.0.affinity": "0,1", "vcpu_mapping.0.cpu": 1, "vcpu.0.time": 5})
    assert [(point.measurement, point.fields) for point in found] == [
        ("libvirt_vcpu", (("time", 5), ("cpu_time", 5), ("cpu_id", 1))),
        ("libvirt_cpu_affinity", (("cpu_id", "0,1"),)),
    ]


@pytest.mark.parametrize(
    ("value", "declared", "expected"),
    [
        (-294967296, Type.UINT, Unsigned(4000000000)),
        (-1, Type.UINT, Unsigned(4294967295)),
        (1, Type.UINT, Unsigned(1)),
        (1, Type.INT, 1),
        (-1, Type.INT, -1),
        (-1, Type.LLONG, -1),
        (2**64 - 1, Type.ULLONG, Unsigned(2**64 - 1)),
        (True, Type.YES_NO, "yes"),
        (False, Type.YES_NO, "no"),
        ("yes", Type.YES_NO, "yes"),
        (True, Type.ONE_ZERO, 1),
        (False, Type.ONE_ZERO, 0),
        ("yes", Type.ONE_ZERO, 1),
        ("no", Type.ONE_ZERO, 0),
        (1, Type.DOUBLE, 1.0),
        (True, Type.ULLONG, True),
        ("text", Type.ULLONG, "text"),
        (0.5, Type.ULLONG, 0.5),
        (7, Type.STRING, 7),
    ],
)
def test_convert(value: Value, declared: Type, expected: object) -> None:
    """Values that libvirt-python breaks are repaired, and those of unsigned types are marked;
    values of unexpected types are kept."""
    converted = convert(value, declared)
    assert converted == expected and type(converted) is type(expected)


KEYS = st.lists(
    st.sampled_from(["a", "a_b", "b", "net", "total", "net_total", "count", "0", "1", "01"])
    | st.sampled_from(["", "#", "*"])
    | st.text(max_size=3),
    min_size=1,
    max_size=5,
).map(".".join)


@given(
    st.dictionaries(
        KEYS
        | st.sampled_from(["net.count", "net.0.name", "net.#.name"])
        | st.text(max_size=3).map("vcpu.1.{}.sum".format),
        VALUES,
    )
)
@example({"#": 1, ":": 2, "net.#.name": 3, "net.*.name": 4, "*": 5, "a.#.b": 6, "a.:.b": 7})
@example({"vcpu.1.x y.sum": 1, "vcpu.1.x-y.sum": 2, "vcpu.1.*.sum": 3, "vcpu.1..sum": 4})
@example({"vcpu.1.5.sum": 1, "vcpu.1.5_sum": 2, "vcpu.1.05.sum": 3, "vcpu.1.5.5.sum": 4})
@example({"net.count": 1, "net_total.count": 2, "a.b.1.x": 3, "a_b.b.1.x": 4})
@example({"balloon.last-update": 1, "balloon.last_update": 2, "balloon.last.update": 3})
def test_full_set_loses_nothing(stats: dict[str, Value]) -> None:
    """In the full set each key is one field, whatever the keys."""
    found: dict[tuple[str, tuple[tuple[str, str], ...], str], object] = {}
    lines = 0
    for point in translate(ALL, Domain("d", True, stats), full=True):
        assert re.fullmatch(r"libvirt[\w]*", point.measurement)
        assert len(dict(point.tags)) == len(point.tags)
        lines += 1
        for name, value in point.fields:
            assert escape_key(name) == name
            found[point.measurement, point.tags, name] = value
    halted = sum(bool(re.fullmatch(r"vcpu\.[0-9]+\.halted", key)) for key in stats)
    assert len(found) == len(stats) + halted
    assert lines <= len(stats)


@given(
    st.dictionaries(
        st.text(st.sampled_from("abc.0123٣-_ ")) | st.sampled_from(["state.state", "net.0.name"]),
        VALUES,
    )
)
def test_declared_keys_are_written_whatever_else_comes(stats: dict[str, Value]) -> None:
    """Declared keys are written and all others dropped, whatever keys and values come."""
    declared = {"state.state": "libvirt_state", "net.0.name": "libvirt_net"}
    written = [point.measurement for point in points(stats)]
    assert sorted(written) == sorted(name for key, name in declared.items() if key in stats)
