"""InfluxDB line protocol, as Telegraf's own serializer writes it.

Rule guarded: whatever the strings hold, a point is one valid line; what line protocol cannot
hold (an empty tag, a trailing backslash, NaN) is left out rather than written wrongly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Optional, Union

INT64_MAX = (1 << 63) - 1
INT64_MIN = -(1 << 63)
UINT32_MAX = (1 << 32) - 1
UINT64_MAX = (1 << 64) - 1

_CONTROLS = {"\t": r"\t", "\n": r"\n", "\f": r"\f", "\r": r"\r"}
_MEASUREMENT = str.maketrans({**_CONTROLS, ",": r"\,", " ": r"\ "})
_KEY = str.maketrans({**_CONTROLS, ",": r"\,", " ": r"\ ", "=": r"\="})
_STRING = str.maketrans({'"': r"\"", "\\": r"\\"})


class Unsigned(int):
    """An integer that libvirt counts without a sign; it is written as ``u`` where wanted."""


FieldValue = Union[str, bool, int, float]


def escape_measurement(name: str) -> str:
    """The name of a measurement with commas, spaces and controls escaped."""
    return name.translate(_MEASUREMENT).rstrip("\\")


def escape_key(text: str) -> str:
    """A tag key, tag value or field key; trailing backslashes are cut, for they would escape
    the separator that follows. The result may be empty: such a tag cannot be written."""
    return text.translate(_KEY).rstrip("\\")


def format_tags(tags: Mapping[str, str]) -> str:
    """Tags sorted by key, each with its leading comma; empty ones are left out."""
    parts = []
    for key in sorted(tags):
        name, value = escape_key(key), escape_key(tags[key])
        if name and value:
            parts.append(f",{name}={value}")
    return "".join(parts)


def format_string(text: str) -> str:
    """A string field; only the quote and the backslash have escapes there."""
    return f'"{text.translate(_STRING)}"'


def format_float(number: float) -> Optional[str]:
    """A float without exponent, as short as it reads back; None for NaN and infinity."""
    if not math.isfinite(number):
        return None
    text = repr(number)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text[:-2] if text.endswith(".0") else text


def format_value(value: FieldValue, uint_support: bool) -> Optional[str]:
    """A field's value, or None where line protocol has no form for it.

    Integers are cut at the limits of int64, with ``uint_support`` unsigned ones at uint64's.
    """
    if isinstance(value, str):
        return format_string(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format_float(value)
    if uint_support and isinstance(value, Unsigned) and value >= 0:
        return f"{min(int(value), UINT64_MAX)}u"
    return f"{max(INT64_MIN, min(int(value), INT64_MAX))}i"


def format_line(
    measurement: str,
    tags: Mapping[str, str],
    fields: Iterable[tuple[str, FieldValue]],
    timestamp: int,
    uint_support: bool = False,
) -> str:
    """One line with its newline, or an empty string where no field (or no name) can be written."""
    parts = []
    for key, value in fields:
        field, text = escape_key(key), format_value(value, uint_support)
        if field and text is not None:
            parts.append(f"{field}={text}")
    name = escape_measurement(measurement)
    if not parts or not name:
        return ""
    return f"{name}{format_tags(tags)} {','.join(parts)} {timestamp}\n"
