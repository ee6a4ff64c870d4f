"""Getters for the options that select domains.

Invariant: a glob that passes here compiles later, so a wrong one is an error of the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import options
from .domain import STATE_NAMES
from .globs import compile_globs
from .options import Problems, Unset


def globs(value: object, path: str, problems: Problems) -> tuple[str, ...]:
    """An array of globs."""
    texts = options.strings(value, path, problems)
    for index, text in enumerate(texts):
        try:
            compile_globs([] if isinstance(text, Unset) else [text])
        except ValueError as error:
            problems.add(f"{path}[{index}]", f"{error}, got {options.show(text)}")
    return texts


def states(value: object, path: str, problems: Problems) -> tuple[str, ...]:
    """An array of names of domain states."""
    return options.choices(value, path, problems, list(STATE_NAMES))


def check(values: Mapping[str, Any], path: str, problems: Problems) -> None:
    """Check the options of one hypervisor that exclude each other."""
    if values.get("domains") and values.get("domain_include"):
        problems.add(
            options.join(path, "domain_include"),
            "cannot be combined with domains; put the names from domains here, as globs",
        )
