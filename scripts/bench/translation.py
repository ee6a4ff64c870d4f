"""Compare translation and encoding with a simple loop."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from processes import SETS, TYPICAL, daemon

from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.connection.api import Connection
from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.lines.encode import Encoder
from telegraf_execd_libvirt.lines.protocol import escape_key, format_value
from telegraf_execd_libvirt.lines.translate import FieldMap, Target, convert


def translation(folder: Path, guests: int = TYPICAL, rounds: int = 5) -> dict[str, float]:
    """Translation and encoding alone, beside a loop over the keys; both in CPU time."""
    config = HypervisorConfig()
    encoder, loop = Encoder(config), PlainLoop(config)
    fast, plain = [], []
    with daemon(folder, guests, step=12_345) as (uri, _):
        connection = Connection(uri)
        for number in range(3 + rounds):
            records = connection.statistics(None, SETS["telegraf"], 0)
            domains = [Domain(handle.name(), True, stats) for handle, stats in records]
            started = time.thread_time()
            quick = encoder.encode([*domains], number)
            between = time.thread_time()
            slow = loop.lines(domains, number).encode()
            ended = time.thread_time()
            if sorted(quick.splitlines()) != sorted(slow.splitlines()):
                raise SystemExit("bench: the plain loop does not write the same lines")
            fast.append(between - started)
            plain.append(ended - between)
            del domains
        del connection
    return {
        "guests": guests,
        "fast_ms": statistics.median(fast[3:]) * 1e3,
        "plain_ms": statistics.median(plain[3:]) * 1e3,
        "times_faster": statistics.median(plain[3:]) / statistics.median(fast[3:]),
    }


class PlainLoop:
    """The simple solution: a loop over the keys; the target of each key is cached."""

    def __init__(self, config: HypervisorConfig) -> None:
        self._field_map = FieldMap(config.groups, config.full)
        self._found: dict[str, Target | None] = {}

    def lines(self, domains: Sequence[Any], timestamp: int) -> str:
        """All lines of these domains."""
        result = []
        found, field_map = self._found, self._field_map
        for record in domains:
            lines: dict[str, list[tuple[int, str]]] = {}
            name = escape_key(record.name)
            for key, value in record.stats.items():
                if key not in found:
                    found[key] = field_map.find(key)
                target = found[key]
                if target is None or (target.active_only and not record.active):
                    continue
                tags = sorted(zip(target.tags, (name, *target.indexes)))
                head = target.measurement + "".join(f",{tag}={text}" for tag, text in tags)
                fields = lines.setdefault(head, [])
                for slot in target.slots:
                    text = format_value(convert(value, slot.type), False)
                    fields.append((slot.number, f"{slot.name}={text}"))
            for head, fields in lines.items():
                body = ",".join(text for _, text in sorted(fields))
                result.append(f"{head} {body} {timestamp}\n")
        return "".join(result)
