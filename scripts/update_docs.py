"""Write the generated parts of the documentation; `make docs` runs this script.

A generated part is the text between `<!-- NAME: begin -->` and `<!-- NAME: end -->`. Its content
comes from the program: the declarations of metrics and sources, the sample configuration, the
command line, the module docstrings. Three files are generated as a whole: the manual page, the
sample configuration, whose text about each source comes from its declaration, and
examples/plugin.conf, its copy. What was out of date is listed.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Callable

from telegraf_execd_libvirt import __version__
from telegraf_execd_libvirt.config.config import HypervisorConfig
from telegraf_execd_libvirt.config.values import format_duration
from telegraf_execd_libvirt.domain.record import STATE_NAMES
from telegraf_execd_libvirt.groups import ADDITIONAL_STATISTICS, STATISTICS_GROUPS
from telegraf_execd_libvirt.groups.schema import Field, Group, Metric, Type
from telegraf_execd_libvirt.groups.state import REASONS
from telegraf_execd_libvirt.program import cli
from telegraf_execd_libvirt.sources import SOURCES
from telegraf_execd_libvirt.sources.source import Source

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "telegraf_execd_libvirt"
SAMPLE = "src/telegraf_execd_libvirt/config/sample.conf"
GROUPS = (
    *STATISTICS_GROUPS.values(),
    *ADDITIONAL_STATISTICS.values(),
    *(source.group for source in SOURCES.values()),
)

#: Line protocol's name for each libvirt type.
LINE_PROTOCOL_TYPES = {
    Type.INT: "integer",
    Type.LLONG: "integer",
    Type.UINT: "unsigned",
    Type.ULLONG: "unsigned",
    Type.DOUBLE: "float",
    Type.STRING: "string",
    Type.YES_NO: "string",
    Type.ONE_ZERO: "integer",
}


def metrics() -> str:
    """A section per statistics group, with a table per measurement."""
    return "\n\n".join(map(_group, GROUPS))


def _group(group: Group) -> str:
    # Keys of additional statistics are the plugin's own; libvirt does not know them.
    keys = group.name in STATISTICS_GROUPS
    return "\n\n".join([f"## {group.name}", *(_metric(metric, keys) for metric in group.metrics)])


def _metric(metric: Metric, keys: bool) -> str:
    tags = ", ".join(f"`{tag}`" for tag in metric.all_tags)
    only = " Full set only." if _is_full(metric) else ""
    head = ["libvirt key", "field", "type", "unit", "kind", "meaning"]
    rows = [head, ["---"] * len(head), *(_field(metric, field) for field in metric.fields)]
    table = "\n".join(_row(*(row if keys else row[1:])) for row in rows)
    return f"`{metric.measurement}`: {_escape(metric.help)}. Tags: {tags}.{only}\n\n{table}"


def _field(metric: Metric, field: Field) -> list[str]:
    meaning = field.help
    if field.active_only:
        meaning += "; active domains only"
    if field.full and not _is_full(metric):
        meaning += "; full set only"
    return [
        f"`{metric.key_pattern(field)}`",
        f"`{field.name}`",
        LINE_PROTOCOL_TYPES[field.type],
        _escape(field.unit),
        field.kind.value,
        _escape(meaning),
    ]


def _is_full(metric: Metric) -> bool:
    return all(field.full for field in metric.fields)


def metrics_summary() -> str:
    """A table of the groups and their measurements."""
    rows = [_row("group", "measurements"), _row("---", "---")]
    for group in GROUPS:
        default = [metric for metric in group.metrics if not _is_full(metric)]
        names = ", ".join(f"`{metric.measurement}`" for metric in default)
        full = len(group.metrics) - len(default)
        more = f", {full} more in the full set" if full else ""
        rows.append(_row(f"[`{group.name}`](docs/metrics.md#{group.name})", names + more))
    return "\n".join(rows)


def reasons() -> str:
    """The table of the reasons of each state."""
    rows = [["`state`", "state", "`reason`", "`reason_name`", "meaning"], ["---"] * 5]
    for number, state in enumerate(STATE_NAMES):
        for reason, (name, meaning) in enumerate(REASONS[state]):
            rows.append([str(number), f"`{state}`", str(reason), f"`{name}`", meaning])
    return "\n".join(_row(*row) for row in rows)


def command_line() -> str:
    """A table of the command-line options."""
    rows = [_row("option", "meaning"), _row("---", "---")]
    for action in cli._parser()._actions:
        value = f" {action.metavar}" if action.metavar else ""
        if action.choices:
            value = " " + " | ".join(map(str, action.choices))
        names = ", ".join(f"`{name}{value}`" for name in action.option_strings)
        rows.append(_row(names.replace("|", r"\|"), _escape(action.help or "")))
    return "\n".join(rows)


def manual_page() -> str:
    """The manual page, in man(7) markup: options as in --help, exit status as in docs/."""
    parser = cli._parser()
    name = parser.prog
    lines = [
        f'.TH {name.upper()} 1 "" "{name} {__version__}" "User Commands"',
        ".nh",  # a hyphenated name could not be copied
        ".SH NAME",
        f"{name} - report libvirt's virtual machines to Telegraf",
        ".SH SYNOPSIS",
        rf"\fB{name}\fR [\fIOPTION\fR]...",
        ".SH DESCRIPTION",
        parser.description or "",
        ".SH OPTIONS",
    ]
    for action in parser._actions:
        value = rf" \fI{action.metavar}\fR" if action.metavar else ""
        if action.choices:
            value = " " + "|".join(rf"\fB{choice}\fR" for choice in action.choices)
        names = ", ".join(rf"\fB{option}\fR{value}" for option in action.option_strings)
        lines += [".TP", names, _bold(action.help or "")]
    lines.append(".SH EXIT STATUS")
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    table = page.partition("\n| exit status | meaning |\n| --- | --- |\n")[2].partition("\n\n")[0]
    for row in table.splitlines():
        status, meaning = row.strip("| ").split(" | ")
        lines += [".TP", status, _bold(meaning)]
    lines += [
        ".SH FILES",
        ".TP",
        rf"\fI/etc/{name}.conf\fR",
        r"Configuration that packages install. The program reads it at its start, and only if "
        r"\fB--config\fR names it.",
        ".TP",
        rf"\fI/usr/share/doc/{name}/README.md\fR",
        r"Documentation that packages install; \fIdocs/\fR beside it describes every option.",
        ".SH EXAMPLES",
        "Print one collection of a hypervisor inside libvirt's client library, without a daemon:",
        ".PP",
        ".nf",
        f"{name} --once --uri test:///default",
        ".fi",
        ".PP",
        "Test the configuration as the user that Telegraf has:",
        ".PP",
        ".nf",
        f"sudo -u telegraf {name} --config /etc/{name}.conf --check",
        ".fi",
        ".PP",
        "The block for Telegraf's configuration. Restart Telegraf after each change of the block "
        "or of the file.",
        ".PP",
        ".nf",
        "[[inputs.execd]]",
        f'  command = ["{name}", "--config", "/etc/{name}.conf"]',
        '  signal = "STDIN"',
        '  data_format = "influx"',
        '  precision = "1s"',
        ".fi",
        ".SH SEE ALSO",
        r"\fBvirsh\fR(1); Telegraf's documentation of inputs.execd",
    ]
    # A hyphen would be typeset as a dash and could not be copied.
    return "".join(line.replace("-", r"\-") + "\n" for line in lines)


def _bold(text: str) -> str:
    """Markdown's code as bold text."""
    return re.sub("`([^`]*)`", r"\\fB\1\\fR", text)


def execd_block() -> str:
    """The `[[inputs.execd]]` table of examples/telegraf.conf."""
    text = (ROOT / "examples" / "telegraf.conf").read_text("utf-8")
    start = text.index("[[inputs.execd]]")
    end = text.index("\n[", start)
    # A comment in the first column belongs to the table that follows it.
    return _fenced("toml", re.sub(r"(\n(#.*)?)+\Z", "", text[start:end]))


def sources() -> str:
    """A table of the sources: what each of them reads, when, and by which calls."""
    head = ["source", "default interval", "what it reads", "calls"]
    rows = [head, ["---"] * len(head)]
    for source in SOURCES.values():
        number, unit = _interval(source)
        interval = f"{number} {unit}{'s' if number > 1 else ''}" if number else "each tick"
        rows.append([f"`{source.name}`", interval, source.reads or source.summary, source.calls])
    return "\n".join(_row(*row) for row in rows)


def options_of_sources() -> str:
    """The options that only one source has."""
    lines = []
    for source in SOURCES.values():
        for option in source.options:
            shown = isinstance(option.default, bool)
            default = f", default `{json.dumps(option.default)}`" if shown else ""
            text = f"- `{option.name}` of `{source.name}`{default}: {option.help}"
            lines.append(_wrapped(text, "", "  "))
    *others, last = (f"`{source.name}`" for source in SOURCES.values() if source.options)
    return f"{', '.join(others)} and {last} have more options:\n\n" + "\n".join(lines)


def _interval(source: Source) -> tuple[int, str]:
    """The default interval of a source: a number and its unit; 0: each tick."""
    seconds = source.interval // 1_000_000_000
    return (seconds, "second") if seconds % 60 else (seconds // 60, "minute")


def sample() -> str:
    """The sample configuration: the file, with its text about each source as declared."""
    text = (ROOT / SAMPLE).read_text("utf-8")
    for begin, make, end in (
        ("each may have a table, see below:\n", _sources_in_sample, "  # additional_statistics"),
        ("(default: that of the hypervisor)\n", _tables_in_sample, "\n\n  ## Tags for each line"),
    ):
        before, found_begin, rest = text.partition(begin)
        _, found_end, after = rest.partition(end)
        if not found_begin or not found_end:
            raise ValueError(f"{SAMPLE} has no part between {begin!r} and {end!r}")
        text = f"{before}{begin}{make()}{end}{after}"
    return text


def _sources_in_sample() -> str:
    lines = []
    for source in SOURCES.values():
        number, unit = _interval(source)
        text = source.summary
        if number:
            text += f"; every {unit}" if number == 1 else f"; every {number} {unit}s"
        if not source.read_only:
            text += "; needs a read-write connection, which is equivalent to root on the host"
        name = f"{source.name}  "
        lines.append(_wrapped(text, f"  ##   {name:<15}", f"  ##   {'':<15}"))
    return "".join(f"{line}\n" for line in lines)


def _tables_in_sample() -> str:
    """The tables of the sources with more options; those with an interval show the timeout, too."""
    tables = []
    for source in SOURCES.values():
        lines = [f"  # [inputs.libvirt.{source.name}]"]
        number, unit = _interval(source)
        if number:
            lines.append(f'  #   interval = "{number}{unit[0]}"')
            lines.append(f'  #   timeout = "{format_duration(HypervisorConfig().timeout)}"')
        for option in source.options:
            lines.append(f"  ##   {option.comment}")
            lines.append(f"  #   {option.name} = {json.dumps(option.default)}")
        if source.options:
            tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _wrapped(text: str, first: str, others: str) -> str:
    """The text in lines of at most 100 characters, with the starts of the first and the others."""
    return textwrap.fill(
        text, 100, initial_indent=first, subsequent_indent=others, break_on_hyphens=False
    )


def sample_configuration() -> str:
    """The output of --sample-config."""
    return _fenced("toml", sample())


def layout() -> str:
    """The source tree; each module with the first sentence of its docstring."""
    entries = [(f"{SOURCE.relative_to(ROOT)}/", "")]
    for path in sorted(SOURCE.rglob("*.py")):
        depth = len(path.relative_to(SOURCE).parts)
        if path.name == "__init__.py" and depth > 1:
            entries.append(("  " * (depth - 1) + f"{path.parent.name}/", _summary(path)))
        elif path.name != "__init__.py" and path.parent.name != "groups":
            entries.append(("  " * depth + path.name, _summary(path)))
    lines = (f"{name:<24}{summary}".rstrip() for name, summary in entries)
    return _fenced("text", "\n".join(lines))


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    first = " ".join(docstring.split("\n\n")[0].split())
    return re.split(r"\.(?: |$)", re.sub(r"``|:mod:|`", "", first))[0]


#: The generated parts of each document: name and generator.
DOCUMENTS: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"execd": execd_block, "metrics": metrics_summary},
    "CONTRIBUTING.md": {"layout": layout},
    "docs/configuration.md": {
        "sample configuration": sample_configuration,
        "sources": sources,
        "options of sources": options_of_sources,
        "command line": command_line,
    },
    "docs/metrics.md": {"metrics": metrics},
    "docs/recipes.md": {"reasons": reasons},
}

#: The files that are generated as a whole.
FILES: dict[str, Callable[[], str]] = {
    "docs/telegraf-execd-libvirt.1": manual_page,
    SAMPLE: sample,
    "examples/plugin.conf": sample,
}


def updated(name: str, text: str) -> tuple[str, list[str]]:
    """Return the document with its parts up to date, and the names of parts that were not.

    Raises ValueError if the markers of a part are missing.
    """
    stale = []
    for part, make in DOCUMENTS[name].items():
        begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
        before, found_begin, rest = text.partition(begin)
        old, found_end, after = rest.partition(end)
        if not found_begin or not found_end:
            raise ValueError(f"{name} has no part between {begin} and {end}")
        new = f"\n\n{make()}\n\n"
        if old != new:
            stale.append(f"{name}: {part}")
        text = f"{before}{begin}{new}{end}{after}"
    return text, stale


def documents(root: Path) -> tuple[Mapping[Path, str], list[str]]:
    """Return the expected text of each file with generated parts, and what is out of date."""
    texts: dict[Path, str] = {}
    stale = []
    for name in DOCUMENTS:
        path = root / name
        texts[path], parts = updated(name, path.read_text("utf-8"))
        stale += parts
    for name, make in FILES.items():
        path = root / name
        texts[path] = make()
        if not path.exists() or path.read_text("utf-8") != texts[path]:
            stale.append(name)
    return texts, stale


def main(root: Path = ROOT) -> None:
    """Write what is out of date."""
    try:
        texts, stale = documents(root)
    except ValueError as error:
        sys.exit(str(error))
    for path, text in texts.items():
        path.write_text(text, "utf-8")
    for name in stale:
        print(f"{name}: updated")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    """Escape the characters that have a meaning in a Markdown table cell."""
    return re.sub(r"([|*<])", r"\\\1", text)


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"


if __name__ == "__main__":
    main()
