"""A plugin that reads a scripted daemon and is ticked by a test; the types of fixtures.

The rule: a tick ends with the plugin's line of health, so nothing is guessed about time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from line_protocol_parser import parse_line

from support.crowd import Crowd
from support.plugin import Plugin
from support.server import Daemon

Line = dict[str, Any]
"""A parsed line: measurement, tags, fields and time."""

Start = Callable[..., Plugin]
Config = Callable[..., Path]
WithDomains = Callable[..., str]
Daemons = Callable[..., Daemon]


class Host:
    """A plugin on a daemon. `health` has the fields of libvirt_health of the last tick."""

    def __init__(self, plugin: Plugin, daemon: Daemon) -> None:
        self.plugin = plugin
        self.daemon = daemon
        self.health: dict[str, Any] = {}

    @property
    def crowd(self) -> Crowd:
        """The guests of the daemon."""
        return self.daemon.crowd

    def begin(self) -> None:
        """Begin a tick, and forget the lines and the calls before."""
        self.plugin.metrics.forget()
        self.daemon.asked.clear()
        self.plugin.tick_and_go_on()

    def end(self) -> list[str]:
        """Wait for the end of the tick; return its lines."""
        lines = self.plugin.end_tick()
        self.health = parse_line(lines[-1])["fields"]
        return lines

    def tick(self) -> list[str]:
        """One tick: its lines."""
        self.begin()
        return self.end()

    def read(self) -> list[Line]:
        """One tick: its lines, parsed."""
        return [parse_line(line) for line in self.tick()]

    def guests(self) -> dict[str, list[Line]]:
        """One tick: the parsed lines of each domain."""
        found: dict[str, list[Line]] = {}
        for line in self.read():
            if "domain_name" in line["tags"]:
                found.setdefault(line["tags"]["domain_name"], []).append(line)
        return found

    @property
    def asked(self) -> Counter[int]:
        """How often each procedure was called since the begin of the last tick."""
        return Counter(self.daemon.asked)

    @property
    def troubles(self) -> list[str]:
        """The warnings and errors so far."""
        return [line for line in self.plugin.log.lines if line.startswith(("W! ", "E! "))]


Hosts = Callable[..., Host]


def sections(report: str) -> list[str]:
    """The part of each table in a report of --check."""
    return re.split(r"^inputs\.libvirt\[\d+\]: ", report, flags=re.MULTILINE)[1:]
