"""Values with their units, about as Grafana shows them, for pictures in the docs."""

from __future__ import annotations

import time
from collections.abc import Sequence

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_DECIMAL = ("", "k", "M", "G", "T")


def _scaled(value: float, base: int, names: Sequence[str]) -> str:
    index = 0
    while abs(value) >= base and index < len(names) - 1:
        value, index = value / base, index + 1
    return f"{value:.3g} {names[index]}" if value < 1000 else f"{value:.0f} {names[index]}"


def shown(value: float, unit: str) -> str:
    """A value with its unit, about as Grafana shows it."""
    if unit == "kbytes":
        return _scaled(value * 1024, 1024, _BINARY)
    if unit == "bytes":
        return _scaled(value, 1024, _BINARY)
    if unit == "ns":
        return _scaled(value, 1000, ("ns", "µs", "ms", "s"))
    if unit == "dateTimeFromNow":
        return time.strftime("%Y-%m-%d %H:%M", time.gmtime(value / 1000))
    if unit == "ms" and value >= 1e4:
        return shown(value / 1000, "s")
    if unit == "percentunit":
        return shown(value * 100, "percent")
    if unit == "percent":
        return f"{value:.3g} %"
    ending = {"Bps": "B/s", "iops": "io/s", "pps": "p/s", "cpm": "/min", "ms": "ms", "s": "s"}
    text = _scaled(value, 1000, _DECIMAL) if abs(value) >= 1e4 else _plain(value)
    if unit in ("none", "short"):
        return f"{value:.0f}" if value == int(value) else text.strip()
    after = ending.get(unit, unit.replace("suffix: ", ""))
    return f"{text}{after}" if " " in text else f"{text} {after}"


def _plain(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
