"""Keeps the documents in step with the program; `make docs` runs it.

The parts of README.md between `<!-- NAME: begin -->` and `<!-- NAME: end -->` come from what the
program itself reads: the declarations of the metrics, the sample configuration, the command line.
examples/plugin.conf is the sample configuration. With --check nothing is written: what is stale is
named, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Callable, Optional

from telegraf_execd_libvirt import cli
from telegraf_execd_libvirt.groups import ADDITIONAL_STATISTICS, STATISTICS_GROUPS
from telegraf_execd_libvirt.schema import Field, Group, Metric, Type

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
TELEGRAF_CONF = ROOT / "examples" / "telegraf.conf"
PLUGIN_CONF = ROOT / "examples" / "plugin.conf"

#: How line protocol writes the types of libvirt.
LINE_PROTOCOL_TYPES = {
    Type.INT: "integer",
    Type.LLONG: "integer",
    Type.UINT: "unsigned",
    Type.ULLONG: "unsigned",
    Type.DOUBLE: "float",
    Type.BOOLEAN: "boolean",
    Type.STRING: "string",
    Type.YES_NO: "string",
    Type.ONE_ZERO: "integer",
}


def metrics() -> str:
    """The metrics of each group of statistics, with a table for each measurement."""
    groups = [*STATISTICS_GROUPS.values(), *ADDITIONAL_STATISTICS.values()]
    return "\n\n".join(map(_group, groups))


def _group(group: Group) -> str:
    names = ", ".join(f"<code>{metric.measurement}</code>" for metric in group.metrics)
    # The keys of additional statistics are the program's own, and libvirt does not know them.
    keys = group.name in STATISTICS_GROUPS
    return "\n\n".join(
        [
            f"<details>\n<summary><b>{group.name}</b>: {names}</summary>",
            *(_metric(metric, keys) for metric in group.metrics),
            "</details>",
        ]
    )


def _metric(metric: Metric, keys: bool) -> str:
    tags = ", ".join(f"`{tag}`" for tag in metric.tags)
    only = " Full set only." if _is_full(metric) else ""
    head = ["libvirt key", "field", "type", "unit", "kind", "what"]
    rows = [head, ["---"] * len(head), *(_field(metric, field) for field in metric.fields)]
    table = "\n".join(_row(*(row if keys else row[1:])) for row in rows)
    return f"`{metric.measurement}`: {_escape(metric.help)}. Tags: {tags}.{only}\n\n{table}"


def _field(metric: Metric, field: Field) -> list[str]:
    what = field.help
    if field.active_only:
        what += "; active domains only"
    if field.full and not _is_full(metric):
        what += "; full set only"
    return [
        f"`{metric.key_pattern(field)}`",
        f"`{field.name}`",
        LINE_PROTOCOL_TYPES[field.type],
        _escape(field.unit),
        field.kind.value,
        _escape(what),
    ]


def _is_full(metric: Metric) -> bool:
    return all(field.full for field in metric.fields)


def command_line() -> str:
    """A table of the options of the command line."""
    rows = [_row("option", "what"), _row("---", "---")]
    for action in cli._parser()._actions:
        value = f" {action.metavar}" if action.metavar else ""
        if action.choices:
            value = " " + " | ".join(map(str, action.choices))
        names = ", ".join(f"`{name}{value}`" for name in action.option_strings)
        rows.append(_row(names.replace("|", r"\|"), _escape(action.help or "")))
    return "\n".join(rows)


def execd_block() -> str:
    """The `[[inputs.execd]]` table of examples/telegraf.conf."""
    text = TELEGRAF_CONF.read_text("utf-8")
    start = text.index("[[inputs.execd]]")
    end = text.index("\n[", start)
    # Comments in the first column belong to the table that follows them.
    return _fenced("toml", re.sub(r"(\n(#.*)?)+\Z", "", text[start:end]))


def sample_configuration() -> str:
    """The sample configuration that the program prints."""
    return _fenced("toml", cli.sample_config())


#: What makes the text of each part of the README that is generated, by the part's name.
PARTS: dict[str, Callable[[], str]] = {
    "metrics": metrics,
    "command line": command_line,
    "execd": execd_block,
    "sample configuration": sample_configuration,
}


def updated(readme: str) -> tuple[str, list[str]]:
    """The README with all its generated parts as they should be, and the names of those that
    were not; raises ValueError where the markers of a part are missing."""
    stale = []
    for name, make in PARTS.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, found_begin, rest = readme.partition(begin)
        old, found_end, after = rest.partition(end)
        if not found_begin or not found_end:
            raise ValueError(f"README.md has no part between {begin} and {end}")
        new = f"\n\n{make()}\n\n"
        if old != new:
            stale.append(name)
        readme = f"{before}{begin}{new}{end}{after}"
    return readme, stale


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Writes what is stale, or with --check only names it; the exit status."""
    parser = argparse.ArgumentParser(description="Keeps the documents in step with the program.")
    parser.add_argument("--check", action="store_true", help="write nothing, name what is stale")
    options = parser.parse_args(arguments)

    try:
        readme, stale = updated(README.read_text("utf-8"))
    except ValueError as error:
        sys.exit(str(error))
    stale = [f"README.md: {name}" for name in stale]
    sample = cli.sample_config()
    if not PLUGIN_CONF.exists() or PLUGIN_CONF.read_text("utf-8") != sample:
        stale.append("examples/plugin.conf")
    if options.check:
        for name in stale:
            print(f"{name} is not in step with the program; make docs mends it", file=sys.stderr)
        return 1 if stale else 0
    README.write_text(readme, "utf-8")
    PLUGIN_CONF.write_text(sample, "utf-8")
    for name in stale:
        print(f"{name}: written anew")
    return 0


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    """A text in a cell of a table, where it stands as it is written here."""
    return re.sub(r"([|*<])", r"\\\1", text)


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"


if __name__ == "__main__":
    sys.exit(main())
