"""InfluxDB line protocol, in the form of Telegraf's serializer.

Invariant: a point is one valid line of bounded length, whatever its strings contain: control
characters are written as their escape sequences, because databases split at line ends also within
a string. What line protocol cannot express (an empty tag, a trailing backslash, NaN) is omitted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Optional, Union

INT64_MAX = (1 << 63) - 1
INT64_MIN = -(1 << 63)
UINT32_MAX = (1 << 32) - 1
UINT64_MAX = (1 << 64) - 1

#: The longest text of a tag, a field or a name, in characters; InfluxDB takes 64 KiB.
LONGEST_TEXT = 32_000

_CONTROLS = {
    chr(code): chr(code).encode("unicode_escape").decode()
    for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
}
_CONTROLS["\f"] = r"\f"  # as Telegraf writes it
_MEASUREMENT = str.maketrans({**_CONTROLS, ",": r"\,", " ": r"\ "})
_KEY = str.maketrans({**_CONTROLS, ",": r"\,", " ": r"\ ", "=": r"\="})
_STRING = str.maketrans(
    {
        **{control: text.replace("\\", r"\\") for control, text in _CONTROLS.items()},
        **{'"': r"\"", "\\": r"\\"},
    }
)


class Unsigned(int):
    """An unsigned integer of libvirt; written with the suffix ``u`` if configured."""


FieldValue = Union[str, bool, int, float]


def escape_measurement(name: str) -> str:
    """Escape commas, spaces and control characters in a measurement name."""
    return name[:LONGEST_TEXT].translate(_MEASUREMENT).rstrip("\\")


def escape_key(text: str) -> str:
    """Escape a tag key, tag value or field key; cut a long one.

    Removes trailing backslashes, which would escape the separator that follows. The result may be
    empty; line protocol cannot express such a tag.
    """
    return text[:LONGEST_TEXT].translate(_KEY).rstrip("\\")


def format_tags(tags: Mapping[str, str]) -> str:
    """Format the tags sorted by key, each with a leading comma; omit empty ones."""
    parts = []
    for key in sorted(tags):
        name, value = escape_key(key), escape_key(tags[key])
        if name and value:
            parts.append(f",{name}={value}")
    return "".join(parts)


def format_float(number: float) -> Optional[str]:
    """Format a float without exponent, as short as it reads back; None if not finite."""
    if not math.isfinite(number):
        return None
    text = repr(number)
    if "e" in text:
        from decimal import Decimal  # imported here: costs 0.6 MiB and is seldom needed

        text = format(Decimal(text), "f")
    return text[:-2] if text.endswith(".0") else text


def format_value(value: FieldValue, uint_support: bool) -> Optional[str]:
    """Format a field value; None if line protocol cannot express it.

    Integers are limited to int64; unsigned ones with ``uint_support`` to uint64.
    """
    if isinstance(value, str):
        return f'"{value[:LONGEST_TEXT].translate(_STRING)}"'
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
    """Format one line with its newline; empty if it has no valid field or no name."""
    parts = []
    for key, value in fields:
        field, text = escape_key(key), format_value(value, uint_support)
        if field and text is not None:
            parts.append(f"{field}={text}")
    name = escape_measurement(measurement)
    if not parts or not name:
        return ""
    return f"{name}{format_tags(tags)} {','.join(parts)} {timestamp}\n"
