"""The expected metrics of a hypervisor, from `virsh domstats` and the table of libvirt's keys.

The rule: this module uses no code of the plugin, so that the comparison is independent.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Union

from line_protocol_parser import parse_line

Value = Union[int, float, bool, str]

KEYS_CSV = Path(__file__).parent.parent / "data" / "domstats-keys.csv"


def keys_table() -> list[dict[str, str]]:
    """The rows of the table of all keys that libvirt reports."""
    with KEYS_CSV.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _pattern(key: str) -> re.Pattern[str]:
    """What matches the keys of a row, with a group for each index."""
    parts = re.split("(<[a-z]+>)", key)
    indexes = {"<name>": "([^.]+)"}
    texts = (indexes.get(p, "([0-9]+)") if p.startswith("<") else re.escape(p) for p in parts)
    return re.compile("".join(texts))


ROWS = [(_pattern(row["key_pattern"]), row) for row in keys_table()]


def is_known(key: str) -> bool:
    """Whether the table has this key."""
    return any(pattern.fullmatch(key) for pattern, _ in ROWS)


def python_value(key: str, text: str) -> Value:
    """A value as libvirt-python returns it: a uint from 2^31 on is negative."""
    kind = next((row["typed_param_type"] for pattern, row in ROWS if pattern.fullmatch(key)), "")
    if text in ("yes", "no") and "boolean" in kind:
        return text == "yes"
    if kind == "string":
        return text
    if kind == "double":
        return float(text)
    if not re.fullmatch(r"-?[0-9]+", text):  # a key that is not in the table
        return float(text) if re.fullmatch(r"-?[0-9]+\.[0-9]+", text) else text
    number = int(text)
    if kind.startswith("uint") and number < 1 << 32:
        return number - (1 << 32) if number >= 1 << 31 else number
    return number


def parse_dump(text: str) -> list[tuple[str, bool, dict[str, Value]]]:
    """(name, active, statistics) of each domain of a dump."""
    domains = []
    for block in re.split(r"^Domain: ", text, flags=re.M)[1:]:
        head, *lines = block.splitlines()
        stats = {}
        for line in lines:
            if line.strip():
                key, _, value = line.strip().partition("=")
                stats[key] = python_value(key, value)
        domains.append((head[1:-1], stats.get("state.state") != 5, stats))
    return domains


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
