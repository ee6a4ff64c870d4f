"""The expected metrics of a hypervisor, from `virsh domstats` and the table of all keys.

The rule: this module uses no code of the plugin, so that the comparison is independent.
"""

from __future__ import annotations

from collections.abc import Iterable

from line_protocol_parser import parse_line

from support.dump import ROWS

Series = tuple[str, frozenset[tuple[str, str]]]
"""A measurement and its tags."""


def row_of(key: str) -> tuple[dict[str, str], tuple[str, ...]] | None:
    """The table row of a key that Telegraf's plugin knows, and the key's indexes."""
    for pattern, row in ROWS:
        if row["in_telegraf"] == "yes" and (match := pattern.fullmatch(key)):
            return row, match.groups()
    return None


def expected_fields(
    domain: str, stats: dict[str, str]
) -> dict[tuple[Series, str], tuple[str, str, str]]:
    """The fields expected from a domain's statistics: the key, value and kind of each."""
    fields = {}
    off = stats.get("state.state") == "5"
    name = domain.rstrip("\\")  # a tag cannot end in a backslash
    for key, text in stats.items():
        found = row_of(key)
        if found is None or (off and key in ("cpu.time", "cpu.user", "cpu.system")):
            continue
        row, indexes = found
        tags = dict(zip(row["telegraf_tags"].split(";"), (name, *indexes)))
        series = (row["telegraf_measurement"], frozenset(tags.items()))
        fields[series, row["telegraf_field"]] = (key, text, row["kind"])
        if row["telegraf_field"] == "time":  # written twice: InfluxDB drops a field of this name
            fields[series, "cpu_time"] = (key, text, row["kind"])
    return fields


def fields_of(lines: Iterable[str]) -> dict[tuple[Series, str], object]:
    """The fields of these lines of line protocol, with parsed values."""
    fields: dict[tuple[Series, str], object] = {}
    for line in lines:
        parsed = parse_line(line)
        series = (parsed["measurement"], frozenset(parsed["tags"].items()))
        for name, value in parsed["fields"].items():
            assert (series, name) not in fields, f"{series} has {name} twice"
            fields[series, name] = value
    return fields
