"""The declarations of metrics, compared with the table of all keys that libvirt reports."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.metrics import keys_table
from support.translation import points
from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.groups import ADDITIONAL_STATISTICS, STATISTICS_GROUPS
from telegraf_execd_libvirt.groups.schema import Field, Metric, Type
from telegraf_execd_libvirt.sources import SOURCES

SOURCE_GROUPS = {name: source.group for name, source in SOURCES.items()}
ALL = {**STATISTICS_GROUPS, **ADDITIONAL_STATISTICS, **SOURCE_GROUPS}
DECLARED: list[tuple[str, Metric, Field]] = [
    (group.name, metric, field)
    for group in ALL.values()
    for metric in group.metrics
    for field in metric.fields
]

# The table's placeholders for an index; `<name>` is a name that the hypervisor chooses.
INDEXES = re.compile(r"<(?:num|index|id)>|<[a-z]+_(?:id|index)>")

IN_TELEGRAF = [row for row in keys_table() if row["in_telegraf"] == "yes"]
# Fields beside those of Telegraf's plugin, from the same keys.
SECOND_FIELDS = {"cpu_time"}
TYPES = {
    Type.YES_NO: "boolean",
    Type.ONE_ZERO: "boolean",
}


def lookup(pattern: str) -> str:
    """A key pattern with `#` for each index."""
    return INDEXES.sub("#", pattern).replace("<name>", "*")


def test_table_has_all_keys_of_telegraf() -> None:
    """The table has all keys."""
    assert len(IN_TELEGRAF) == 100
    assert len(keys_table()) == 155


@pytest.mark.parametrize("row", IN_TELEGRAF, ids=lambda row: row["key_pattern"])
def test_key_of_telegraf_is_written(row: dict[str, str]) -> None:
    """Each key of Telegraf's plugin gives the measurement, tags and fields of that plugin."""
    numbers = iter(("3", "5"))
    used: list[str] = []

    def number(_: object) -> str:
        used.append(next(numbers))
        return used[-1]

    key = INDEXES.sub(number, row["key_pattern"])
    value = True if "boolean" in row["typed_param_type"] else 7
    for full in (False, True):
        (point,) = points(ALL.values(), Domain("d", True, {key: value}), full)
        assert point.measurement == row["telegraf_measurement"]
        assert point.tags == tuple(zip(row["telegraf_tags"].split(";"), ("d", *used)))
        names = [name for name, _ in point.fields if name not in SECOND_FIELDS]
        assert names == row["telegraf_field"].split(";")


@pytest.mark.parametrize("row", keys_table(), ids=lambda row: row["key_pattern"])
def test_every_key_is_declared(row: dict[str, str]) -> None:
    """Each key of libvirt is declared once, with its group, type, unit and kind."""
    found = [
        (group, metric, field)
        for group, metric, field in DECLARED
        if metric.lookup_pattern(field) == lookup(row["key_pattern"])
    ]
    two = row["key_pattern"] in ("cpu.time", "vcpu.<num>.time", "vcpu.<num>.halted")
    assert len(found) == (2 if two else 1)
    for group, _, field in found:
        assert group == row["group"]
        assert field.full == (row["in_telegraf"] == "no" and group != "vm")
        assert TYPES.get(field.type, field.type.value) in row["typed_param_type"].split("|")
        assert field.kind.value == row["kind"]
        unit = row["unit"].replace("enum ", "")
        if unit not in ("count", "id", "cpu list", "factor", "bool", "per stat", "shift"):
            assert unit.startswith(field.unit) and (field.unit or not unit)


def test_nothing_else_is_declared() -> None:
    """Declarations beyond libvirt's keys have separate prefixes."""
    known = {lookup(row["key_pattern"]) for row in keys_table()}
    for _, metric, field in DECLARED:
        if metric.lookup_pattern(field) not in known:
            own = metric.prefix.partition(".")[0]
            additional = (*ADDITIONAL_STATISTICS.values(), *SOURCE_GROUPS.values())
            assert any(own in group.words for group in additional)
            assert not any(key.startswith(f"{own}.") for key in known)


def test_fields_are_unique_and_explained() -> None:
    """No two declarations fill the same field, and each has a help text."""
    seen = [(metric.measurement, field.name) for _, metric, field in DECLARED]
    assert len(seen) == len(set(seen))
    assert all(metric.help and field.help for _, metric, field in DECLARED)


def test_metrics_of_one_measurement_have_the_same_tags() -> None:
    """All declarations of a measurement have the same tags."""
    tags: dict[str, tuple[str, ...]] = {}
    for _, metric, _ in DECLARED:
        assert tags.setdefault(metric.measurement, metric.all_tags) == metric.all_tags


def test_groups_have_libvirts_bits() -> None:
    """The groups are in the order of libvirt's VIR_DOMAIN_STATS_* bits, and have these bits. By its
    own table libvirt asks QEMU's monitor for some of them."""
    assert [group.bit for group in STATISTICS_GROUPS.values()] == [1 << n for n in range(11)]
    asking = [group.name for group in STATISTICS_GROUPS.values() if group.needs_monitor]
    assert asking == ["cpu_total", "balloon", "vcpu", "block", "iothread", "dirtyrate", "vm"]
    assert all(name == group.name for name, group in ALL.items())


def test_every_field_is_in_a_golden_case() -> None:
    """Each field of the bulk statistics is written in a golden case."""
    golden = Path(__file__).parents[1] / "lines" / "golden"
    written: set[tuple[str, str]] = set()
    for expected in golden.glob("*/expected.lp"):
        for line in expected.read_text("utf-8").splitlines():
            measurement = re.split(r"(?<!\\)[ ,]", line, maxsplit=1)[0]
            written |= {(measurement, name) for name in re.findall(r"[ ,]([A-Za-z_]+)=", line)}
    for group, metric, field in DECLARED:
        if group in STATISTICS_GROUPS:
            assert (metric.measurement, field.name.replace("*", "any")) in written


def test_groups_are_one_file_each() -> None:
    """Each file in groups/ is a registered group, except two that serve them."""
    folder = Path(__file__).parents[2] / "src" / "telegraf_execd_libvirt" / "groups"
    assert {path.stem for path in folder.glob("[!_]*.py")} - {"schema", "sums"} == {
        *STATISTICS_GROUPS,
        *ADDITIONAL_STATISTICS,
    }
