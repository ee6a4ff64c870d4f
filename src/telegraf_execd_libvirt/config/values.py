"""Typed getters for the values of a TOML table, and the problems that they report.

Durations have the format of Go and Telegraf: ``500ms``, ``10s``, ``1m30s``, ``1.5h``, ``1d``.

Invariant: a getter reports each error with its path and returns a harmless value, so that one run
finds all errors. A duration has a unit and is greater than zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Callable

from .words import hint, join, show

Getter = Callable[[object, str, "Problems"], Any]

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")

_DURATION = 'a duration with units, such as "5s", "500ms" or "1m30s"'
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
_UNIT = "(ns|us|µs|μs|ms|s|m|h|d)"
_PART = re.compile(rf"([0-9]{{1,99}}(?:\.[0-9]{{0,99}})?|\.[0-9]{{1,99}}){_UNIT}", re.ASCII)
_LONGEST = 366 * _NANOSECONDS["d"]


class Problems:
    """The errors of a file, which make it invalid, and its warnings."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def add(self, path: str, text: str) -> None:
        self.errors.append(f"{path}: {text}")

    def expected(self, path: str, what: str, found: object) -> None:
        self.add(path, f"expected {what}, got {show(found)}")

    def warn(self, path: str, text: str) -> None:
        self.warnings.append(f"{path}: {text}" if path else text)


class Unset(str):
    """A string with an unset variable: already reported, so not checked further."""


def expand(value: object, path: str, environment: Mapping[str, str], problems: Problems) -> Any:
    """Replace ``${NAME}`` and ``${NAME:-default}`` in the strings of a value; report unset ones."""
    if isinstance(value, str):
        missing: list[str] = []
        nested: list[str] = []

        def replace(match: re.Match[str]) -> str:
            found = environment.get(match[1])
            if "${" in (match[2] or ""):
                nested.append(match[1])
            if not found and match[2] is not None:  # as in a shell, also if empty
                return match[2]
            if found is None:
                missing.append(match[1])
                return ""
            return found

        text = _VARIABLE.sub(replace, value)
        for name in missing:
            problems.add(path, f"environment variable {name} is not set")
        for name in nested:
            problems.add(path, f"the default of ${{{name}}} must not contain another variable")
        return Unset(value) if missing or nested else text
    if isinstance(value, list):
        return [
            expand(item, f"{path}[{index}]", environment, problems)
            for index, item in enumerate(value)
        ]
    if isinstance(value, dict):
        return {
            key: expand(item, join(path, key), environment, problems) for key, item in value.items()
        }
    return value


def string(value: object, path: str, problems: Problems) -> str:
    if isinstance(value, str):
        return value
    problems.expected(path, "a string", value)
    return ""


def boolean(value: object, path: str, problems: Problems) -> bool:
    if isinstance(value, bool):
        return value
    problems.expected(path, "true or false", value)
    return False


def integer(least: int, most: int) -> Getter:
    """The getter of an integer in this range."""

    def get(value: object, path: str, problems: Problems) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        problems.expected(path, f"an integer from {least} to {most}", value)
        return least

    return get


def parse_duration(text: str) -> int:
    """Return a duration in nanoseconds; raise ValueError if the text is not a valid duration."""
    at = total = 0
    while part := _PART.match(text, at):
        whole, _, fraction = part[1].partition(".")
        total += int(whole + fraction) * _NANOSECONDS[part[2]] // 10 ** len(fraction)
        at = part.end()
    if not text or at != len(text):
        raise ValueError(f"expected {_DURATION}")
    if total < 1:
        raise ValueError("expected a duration greater than zero")
    if total > _LONGEST:
        raise ValueError("expected a duration of at most one year")
    return total


def format_duration(nanoseconds: int) -> str:
    """A duration in seconds, for messages: ``5s``, ``0.25s``."""
    seconds, rest = divmod(nanoseconds, _NANOSECONDS["s"])
    return f"{seconds}.{rest:09}".rstrip("0").rstrip(".") + "s"


def duration(value: object, path: str, problems: Problems) -> int:
    """A duration in nanoseconds."""
    if not isinstance(value, str):
        problems.expected(path, _DURATION, value)
        return 1
    if isinstance(value, Unset):
        return 1
    try:
        return parse_duration(value)
    except ValueError as error:
        problems.add(path, f"{error}, got {show(value)}")
        return 1


def strings(value: object, path: str, problems: Problems) -> tuple[str, ...]:
    """An array of non-empty strings."""
    if not isinstance(value, list):
        problems.expected(path, "an array of strings", value)
        return ()
    result = []
    for index, item in enumerate(value):
        text = string(item, f"{path}[{index}]", problems)
        if item == "":
            problems.expected(f"{path}[{index}]", "a non-empty string", item)
        result.append(text)
    return tuple(result)


def choices(names: Iterable[str], others: Mapping[str, str] = MappingProxyType({})) -> Getter:
    """The getter of an array of some of these names, without duplicates. ``others`` has names that
    belong in another option, and which."""
    known = list(names)

    def get(value: object, path: str, problems: Problems) -> tuple[str, ...]:
        result: list[str] = []
        for index, text in enumerate(strings(value, path, problems)):
            at = f"{path}[{index}]"
            if isinstance(text, Unset):
                continue
            if text in result:
                problems.add(at, f"duplicate value {show(text)}")
            elif text in known:
                result.append(text)
            elif text in others:
                problems.add(at, f"{show(text)} belongs in {others[text]}")
            elif text:
                allowed = f"{hint(text, known)} (allowed: {', '.join(known)})"
                problems.add(at, f"unknown name {show(text)}{allowed}")
        return tuple(result)

    return get


def choice(*known: str) -> Getter:
    """The getter of one of these names."""

    def get(value: object, path: str, problems: Problems) -> str:
        text = string(value, path, problems)
        if isinstance(value, str) and not isinstance(value, Unset) and value not in known:
            problems.add(path, f"unknown name {show(value)} (allowed: {', '.join(known)})")
        return text

    return get


def string_table(value: object, path: str, problems: Problems) -> dict[str, str]:
    """A table of strings; keys and values must be non-empty."""
    if not isinstance(value, dict):
        problems.expected(path, "a table of strings", value)
        return {}
    result: dict[str, str] = {}
    for key, item in value.items():
        result[key] = string(item, join(path, key), problems)
        if not key or item == "":
            problems.expected(join(path, key), "a non-empty name and value", item)
    return result
