"""Durations in the format of Go and Telegraf: ``500ms``, ``10s``, ``1m30s``, ``1.5h``, ``1d``.

Invariant: a duration has a unit and is greater than zero; anything else is an error.
"""

from __future__ import annotations

import re
from decimal import Decimal

FORMAT = 'a duration with units, such as "5s", "500ms" or "1m30s"'

_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3600 * 1_000_000_000,
    "d": 24 * 3600 * 1_000_000_000,
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d)", re.ASCII)
_LONGEST = 366 * _NANOSECONDS["d"]


def parse_duration(text: str) -> int:
    """Return a duration in nanoseconds; raise ValueError if the text is not a valid duration."""
    at, total = 0, Decimal(0)
    while part := _PART.match(text, at):
        total += Decimal(part[1]) * _NANOSECONDS[part[2]]
        at = part.end()
    if not text or at != len(text):
        raise ValueError(f"expected {FORMAT}")
    if total < 1:
        raise ValueError("expected a duration greater than zero")
    if total > _LONGEST:
        raise ValueError("expected a duration of at most one year")
    return int(total)


def format_duration(nanoseconds: int) -> str:
    """A duration in seconds, for messages: ``5s``, ``0.25s``."""
    return (
        f"{Decimal(nanoseconds) / _NANOSECONDS['s']:f}".rstrip("0").rstrip(".") + "s"
        if (nanoseconds % _NANOSECONDS["s"])
        else f"{nanoseconds // _NANOSECONDS['s']}s"
    )
