"""The words of errors: how values are shown, and the name that may be meant by a wrong one.

Invariant: what is shown is short, and has no user part and no parameters of a URI.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..domain.mistakes import similar
from ..uri import HIDDEN, redact_uri

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

#: The longest line of a file that is shown.
_LONGEST_LINE = 100

#: Words that are less alike are hardly a slip.
_ALIKE = 0.66

#: Options that Telegraf itself applies to any plugin. For this program Telegraf runs the execd
#: plugin, so they belong in the execd block.
_TELEGRAF_OPTIONS = (
    "alias name_prefix name_suffix name_override namepass namepass_separator namedrop "
    "namedrop_separator fieldpass fieldinclude fieldexclude fielddrop tagpass tagdrop taginclude "
    "tagexclude metricpass precision collection_jitter collection_offset log_level "
    "startup_error_behavior time_source always_include_local_tags always_include_global_tags "
    "skip_processors_after_aggregators flush_interval flush_jitter labels"
)


def join(path: str, key: str) -> str:
    """The path of a key in a table, quoted as in TOML if necessary."""
    return f"{path}.{key}" if _BARE_KEY.fullmatch(key) else f"{path}.{show(key)}"


def show(value: object) -> str:
    """A value as in a TOML file, shortened."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):
        text = redact_uri(value) if "://" in value else value
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped[:60]}…"' if len(escaped) > 60 else f'"{escaped}"'
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def explain_unknown(name: str, known: list[str]) -> str:
    """The error text for an unknown option."""
    if name in _TELEGRAF_OPTIONS.split():
        return "is handled by Telegraf itself: it belongs in the [[inputs.execd]] block"
    return f"unknown option{hint(name, known)} (allowed: {', '.join(known)})"


def hint(name: str, known: Iterable[str]) -> str:
    """The known name that is meant, or nothing."""
    found = meant(name, known)
    return f"; did you mean {found}?" if found else ""


def meant(name: str, known: Iterable[str]) -> str:
    """The known name that is similar, or the only one of which a word is similar; or nothing."""
    names = [*known]
    close = similar(name, names)
    if not close:
        close = [each for each in names if name in each.split("_")] or [
            each for each in names if similar(name, each.split("_"), _ALIKE)
        ]
    return close[0] if len(close) == 1 else ""


def line_of(text: str, message: str) -> str:
    """The line of a TOML text to which an error refers; of a line that may have a URI in it only
    the name of its option."""
    lines = text.split("\n")
    if found := re.search(r"at line (\d+)", message):
        lines = lines[: int(found[1])]
    line = next((line.strip() for line in reversed(lines) if line.strip()), "")
    if "://" in line or "@" in line:
        name = re.match(r"[\w.-]+\s*=", line)
        return f"{name[0]} {HIDDEN}" if name else HIDDEN
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}{HIDDEN}"
