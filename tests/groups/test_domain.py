"""The summary of a domain, computed from its bulk statistics. Its names are an API."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import libvirt
import pytest

from support.metrics import parse_dump
from support.translation import Point
from support.translation import points as translate
from telegraf_execd_libvirt.domain.record import STATE_NAMES, Domain, Stats, Value
from telegraf_execd_libvirt.groups import STATISTICS_GROUPS
from telegraf_execd_libvirt.groups.domain import GROUP, GROUP_OF, summarize

NOW = 1_800_000_000.5

STATS: Stats = {
    **{"state.state": 1, "state.reason": 5, "cpu.time": 9_000, "cpu.user": 1},
    **{"balloon.current": 2_000, "balloon.maximum": 4_000, "balloon.available": 1_600},
    **{"balloon.usable": 1_200, "balloon.unused": 100, "balloon.rss": 700},
    **{"balloon.last-update": 1_799_999_990, "vcpu.current": 2, "vcpu.maximum": 4},
    **{"vcpu.0.state": 1, "vcpu.0.time": 100, "vcpu.0.delay": 5},
    **{"vcpu.3.time": 200, "vcpu.3.delay": 6, "vcpu.3.wait": 9},
    **{"net.count": 2, "net.0.name": "vnet0", "net.0.rx.bytes": 1, "net.0.rx.pkts": 99},
    **{"net.0.tx.bytes": 2, "net.1.name": "vnet1", "net.1.rx.bytes": 10, "net.1.tx.bytes": 20},
    **{"block.count": 2, "block.0.name": "vda", "block.0.rd.bytes": 1_000},
    **{"block.0.wr.bytes": 2_000, "block.0.rd.reqs": 1, "block.0.wr.reqs": 2},
    **{"block.0.fl.reqs": 3, "block.0.rd.times": 4, "block.0.wr.times": 5, "block.0.fl.times": 6},
    **{"block.1.name": "vdb", "block.1.rd.bytes": 10_000, "block.1.wr.bytes": 20_000},
    **{"block.1.rd.reqs": 10, "block.1.wr.reqs": 20, "block.1.fl.reqs": 30},
    **{"block.1.rd.times": 40, "block.1.wr.times": 50, "block.1.fl.times": 60},
}
INFO: dict[str, Value] = {
    **{"started_at": 1_799_999_000, "agent_connected": 0, "balloon_period": 10},
    **{"uuid": "u", "title": "t", "os_type": "hvm", "machine": "pc-q35-7.2"},
}

#: The fields of a running guest with everything, in the documented order.
FIELDS: dict[str, Any] = {
    **{"state": 1, "reason": 5, "state_name": "running", "reason_name": "unpaused", "running": 1},
    **{"vcpus": 2, "memory_kib": 2_000, "memory_max_kib": 4_000, "memory_used_kib": 400},
    **{"memory_used_percent": 25.0, "balloon_age_s": 10, "rss_kib": 700, "cpu_time": 9_000},
    **{"vcpu_time": 300, "steal_time": 11, "disk_read_bytes": 11_000, "disk_write_bytes": 22_000},
    **{"disk_read_requests": 11, "disk_write_requests": 22, "disk_flush_requests": 33},
    **{"disk_read_time": 44, "disk_write_time": 55, "disk_flush_time": 66},
    **{"net_rx_bytes": 11, "net_tx_bytes": 22},
    **INFO,
}


def points(stats: Stats, info: dict[str, Value], active: bool = True) -> list[Point]:
    """The points of a summary."""
    return translate([GROUP], Domain("d", active, summarize(stats, info, NOW)))


def fields(stats: Stats) -> dict[str, Any]:
    """The fields of the summary of a domain without texts."""
    return {name: value for point in points(stats, {}) for name, value in point.fields}


def changed(changes: dict[str, Optional[Value]]) -> Stats:
    """The statistics with these changes; None: without the key."""
    return {key: value for key, value in {**STATS, **changes}.items() if value is not None}


def test_every_field() -> None:
    """A running guest with everything has all fields, in the documented order, on one line. The
    statistics are read, not changed."""
    stats = dict(STATS)
    (point,) = points(stats, INFO)
    assert (point.measurement, point.tags) == ("libvirt_domain", (("domain_name", "d"),))
    assert point.fields == tuple(FIELDS.items())
    assert [*FIELDS] == [field.name for field in GROUP.metrics[0].fields]
    assert stats == STATS


def test_inactive_domain() -> None:
    """An inactive domain has its state and size; libvirt's CPU time for it is the daemon's."""
    size: Stats = {"balloon.current": 10, "balloon.maximum": 20, "vcpu.current": 3}
    stats: Stats = {"state.state": 5, "state.reason": 2, "cpu.time": 9_000, **size}
    stats.update({"vcpu.maximum": 4, "block.count": 1, "block.0.name": "vda"})
    (point,) = points(stats, INFO, active=False)
    assert dict(point.fields) == {
        **{"state": 5, "reason": 2, "state_name": "shutoff", "reason_name": "destroyed"},
        **{"running": 0, "vcpus": 3, "memory_kib": 10, "memory_max_kib": 20},
        **INFO,
    }
    assert "cpu_time" not in fields(stats)
    (point,) = points({"state.state": 6, "cpu.time": 1}, {}, active=False)
    assert "cpu_time" not in dict(point.fields)


def test_domain_without_statistics() -> None:
    """What is not known is absent, not 0; without any value there is no line."""
    assert summarize({}, {}, NOW) == {}
    assert summarize({}, {"title": "", "uuid": "u"}, NOW) == {"domain.uuid": "u"}
    assert fields({"state.state": 1}) == {"state": 1, "state_name": "running", "running": 1}


def test_names_of_states() -> None:
    """Each of libvirt's states has its name, and no other number; only running is running."""
    for number in range(-1, len(STATE_NAMES) + 1):
        found = fields({"state.state": number})
        name = found.get("state_name", "last")
        assert number in (-1, getattr(libvirt, f"VIR_DOMAIN_{name.upper()}", 8))
        assert ("state_name" in found) == (0 <= number < 8)
        assert found["running"] == int(number == libvirt.VIR_DOMAIN_RUNNING)


#: A reason that libvirt-python has since 10.1.
NEWER = {("paused", 14): "api_error"}


@pytest.mark.parametrize("state", STATE_NAMES)
def test_names_of_reasons(state: str) -> None:
    """Each of libvirt's reasons has its name, and no other number has one."""
    start, other = f"VIR_DOMAIN_{state.upper()}_", "VIR_DOMAIN_PMSUSPENDED_DISK_"
    # These are flags of a call: libvirt uses the same words.
    flags = ["DEFAULT", "ACPI_POWER_BTN", "GUEST_AGENT", "INITCTL", "SIGNAL", "PARAVIRT", "LAST"]
    known = {
        value: name[len(start) :].lower()
        for name, value in vars(libvirt).items()
        if name.startswith(start) and not name.startswith(other)
        if name[len(start) :] not in flags
    }
    expected = {**{at: name for (of, at), name in NEWER.items() if of == state}, **known}
    for number in range(-1, 20):
        stats: Stats = {"state.state": STATE_NAMES.index(state), "state.reason": number}
        assert fields(stats).get("reason_name") == expected.get(number)


@pytest.mark.parametrize(
    ("change", "used", "age"),
    [
        ({}, 400, 10),
        ({"usable": None}, 1_500, 10),
        ({"usable": None, "unused": None}, None, 10),
        ({"available": None}, None, 10),
        ({"available": 0}, None, 10),
        ({"usable": 0}, 1_600, 10),
        ({"usable": 1_600}, 0, 10),
        ({"usable": 1_601}, None, 10),
        ({"usable": -1}, None, 10),
        ({"last-update": None}, 400, None),
        ({"last-update": 0}, None, None),
        ({"last-update": 1_799_999_701}, 400, 299),
        ({"last-update": 1_799_999_700}, None, 300),
        ({"last-update": 1_700_000_000}, None, 100_000_000),
        ({"last-update": 1_800_000_900}, 400, 0),
    ],
)
def test_memory_that_the_guest_uses(
    change: dict[str, Optional[Value]], used: object, age: object
) -> None:
    """It comes from a recent report of the guest only; without one it is absent, never 0. A report
    of the future, by another clock, has no age; 0 is no report."""
    found = fields(changed({f"balloon.{key}": value for key, value in change.items()}))
    assert found.get("memory_used_kib") == used and found["memory_kib"] == 2_000
    assert found.get("balloon_age_s") == age
    assert ("memory_used_percent" in found) is (used is not None)
    if used is not None:
        assert found["memory_used_percent"] == found["memory_used_kib"] * 100 / 1_600
        assert isinstance(found["memory_used_percent"], float)


@pytest.mark.parametrize(
    ("keys", "absent"),
    [
        ("vcpu.0.time vcpu.3.time", "vcpu_time"),
        ("vcpu.0.delay vcpu.3.delay", "steal_time"),
        ("block.0.rd.bytes block.1.rd.bytes", "disk_read_bytes"),
        ("block.0.wr.bytes block.1.wr.bytes", "disk_write_bytes"),
        ("net.0.rx.bytes net.1.rx.bytes", "net_rx_bytes"),
        ("net.0.tx.bytes net.1.tx.bytes", "net_tx_bytes"),
        ("cpu.time", "cpu_time"),
        ("vcpu.current", "vcpus"),
        ("balloon.rss", "rss_kib"),
    ],
)
def test_what_is_not_reported_is_absent(keys: str, absent: str) -> None:
    """A sum of nothing is not 0; the other fields stay."""
    expected = {name: value for name, value in fields(STATS).items() if name != absent}
    assert fields(changed(dict.fromkeys(keys.split()))) == expected
    if " " in keys:
        assert absent in fields(changed({keys.split()[0]: None}))


def test_each_disk_counts_once() -> None:
    """Backing images follow their disk and have its name: their bytes are not added."""
    found = fields(
        {
            **{"block.count": 13, "block.0.name": "vda", "block.0.backingIndex": 1},
            **{"block.0.rd.bytes": 1, "block.1.name": "vda", "block.1.backingIndex": 3},
            **{"block.1.rd.bytes": 10, "block.1.wr.bytes": 5, "block.10.name": "vdb"},
            **{"block.10.rd.bytes": 1_000, "block.2.name": "vdb", "block.2.rd.bytes": 100},
            **{"block.11.rd.bytes": 10_000, "block.12.rd.bytes": 100_000},
        }
    )
    assert found["disk_read_bytes"] == 110_101
    assert "disk_write_bytes" not in found


@pytest.mark.parametrize("value", ["12", 1.5, True, ""])
def test_value_of_an_unexpected_type_is_left_out(value: Value) -> None:
    """A value that is no integer costs itself only."""
    usual = fields(STATS)
    for key in STATS:
        if not key.endswith(".name"):
            found = fields({**STATS, key: value})
            assert found["net_rx_bytes"] in (11, 10, 1)
            assert all(type(found[name]) is type(usual[name]) for name in found)


def test_needed_groups_have_all_keys() -> None:
    """All that is read belongs to the groups that are named, and each of them is needed."""
    golden = Path(__file__).parents[1] / "lines" / "golden"
    dump = (golden / "every-telegraf-key" / "domstats.txt").read_text()
    (_, _, stats), *_ = parse_dump(dump)
    words = {name: STATISTICS_GROUPS[name].words for name in GROUP.needs}
    needed = frozenset[str]().union(*words.values())
    kept = {key: value for key, value in stats.items() if key.partition(".")[0] in needed}
    assert summarize(kept, {}, NOW) == summarize(stats, {}, NOW) != {}
    for group in words.values():
        fewer = {key: value for key, value in stats.items() if key.partition(".")[0] not in group}
        assert summarize(fewer, {}, NOW) != summarize(stats, {}, NOW)


def test_each_value_has_its_group() -> None:
    """The group of each value is known, except those from the XML: a value without a group is not
    kept while its group is not asked."""
    keys = {field.key for metric in GROUP.metrics for field in metric.fields} - INFO.keys()
    assert {f"domain.{key}" for key in keys} == GROUP_OF.keys()
    assert {*GROUP_OF.values()} == {*GROUP.needs}
