"""Reads `virsh domstats --raw` dumps into the values that libvirt-python returns.

The rule: types come from the table of libvirt's keys, never from the code under test.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Union

Value = Union[int, float, bool, str]

KEYS_CSV = Path(__file__).parent.parent / "data" / "domstats-keys.csv"

_SHUT_OFF = 5


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
        domains.append((head[1:-1], stats.get("state.state") != _SHUT_OFF, stats))
    return domains
