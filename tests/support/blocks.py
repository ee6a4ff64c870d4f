"""A Prometheus with metrics of the past, which it takes from a file only.

The rule: the names are those that Telegraf gives; texts are left out, as by Telegraf.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable

from line_protocol_parser import parse_line

from support.databases import Prometheus, start_prometheus
from support.missing import Missing
from support.process import Workspace


class FilledPrometheus(Prometheus):
    """A server that starts when it is filled."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__("")
        self._workspace = workspace

    def fill(self, batches: Iterable[str]) -> None:
        """Start the server with all lines."""
        promtool = shutil.which("promtool")
        if promtool is None:
            raise Missing("promtool is not installed (Debian's package prometheus)")
        folder = self._workspace.folder
        (folder / "metrics.txt").write_text(open_metrics(batches))
        command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "metrics.txt", "filled"]
        made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made
        self.address = start_prometheus(self._workspace, "filled")


def open_metrics(batches: Iterable[str]) -> str:
    """Lines of line protocol as OpenMetrics: all samples of a name after each other."""
    samples: dict[str, list[str]] = {}
    for line in (line for batch in batches for line in batch.splitlines()):
        parsed = parse_line(line)
        tags = (
            (re.sub(r"\W", "_", name, flags=re.ASCII), text)
            for name, text in parsed["tags"].items()
        )
        labels = ",".join(f'{name}="{escaped(text)}"' for name, text in tags)
        seconds = parsed["time"] // 10**9
        for field, value in parsed["fields"].items():
            if isinstance(value, (int, float)):
                name = f"{parsed['measurement']}_{field}"
                samples.setdefault(name, []).append(
                    f"{name}{{{labels}}} {float(value)!r} {seconds}"
                )
    return "\n".join([*(line for found in samples.values() for line in found), "# EOF\n"])


def escaped(text: str) -> str:
    """The value of a label."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
