"""What the metrics of a hypervisor should be, from `virsh domstats` and the table of all keys.

The rule: nothing of the plugin's own code is used here, so that it is held against something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from line_protocol_parser import parse_line

from support.dump import keys_table

Series = tuple[str, frozenset[tuple[str, str]]]
"""A measurement and its tags."""

_ROWS = [
    (
        re.compile(re.sub(r"<[a-z]+>", "([0-9]+)", re.sub(r"[.]", r"\\.", row["key_pattern"]))),
        row,
    )
    for row in keys_table()
    if row["in_telegraf"] == "yes"
]


def row_of(key: str) -> tuple[dict[str, str], tuple[str, ...]] | None:
    """The row of a key that Telegraf's own plugin knows, and the indexes in it."""
    for pattern, row in _ROWS:
        if match := pattern.fullmatch(key):
            return row, match.groups()
    return None


def expected_fields(
    domain: str, stats: dict[str, str]
) -> dict[tuple[Series, str], tuple[str, str, str]]:
    """For each field that a domain's statistics should give: the key, its value, its kind."""
    fields = {}
    off = stats.get("state.state") == "5"
    name = domain.rstrip("\\")  # line protocol has no way to write them at the end of a tag
    for key, text in stats.items():
        found = row_of(key)
        if found is None or (off and key in ("cpu.time", "cpu.user", "cpu.system")):
            continue
        row, indexes = found
        tags = dict(zip(row["telegraf_tags"].split(";"), (name, *indexes)))
        series = (row["telegraf_measurement"], frozenset(tags.items()))
        fields[series, row["telegraf_field"]] = (key, text, row["kind"])
    return fields


def fields_of(lines: Iterable[str]) -> dict[tuple[Series, str], object]:
    """The fields of some lines of line protocol, and what a parser makes of their values."""
    fields: dict[tuple[Series, str], object] = {}
    for line in lines:
        parsed = parse_line(line)
        series = (parsed["measurement"], frozenset(parsed["tags"].items()))
        for name, value in parsed["fields"].items():
            assert (series, name) not in fields, f"{series} has {name} twice"
            fields[series, name] = value
    return fields
