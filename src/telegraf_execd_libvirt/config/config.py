"""Configuration: a TOML file with one ``[[inputs.libvirt]]`` table per hypervisor.

Invariant: nothing in a file is ignored. All errors are reported at once, one line each, with the
path of the option and the allowed values.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import tomli

from ..domain.identity import IdentityReader
from ..domain.selection import Selection
from ..domain.xml import MetadataTag
from ..groups import ADDITIONAL_STATISTICS, STATISTICS_GROUPS, TELEGRAF_GROUPS
from ..groups.schema import Group
from ..sources import SOURCES
from ..sources.source import Settings, Source, SourceTable
from ..uri import has_password
from .file import read
from .intervals import GroupIntervals, check_unused
from .options import (
    DEFAULT_URI,
    OLD_NAMES,
    OPTIONS,
    check_together,
    place,
    source_table,
    without_misplaced,
)
from .tags import check_fields
from .values import Problems, expand
from .words import explain_unknown, join, line_of


@dataclass(eq=False)
class ConfigError(Exception):
    """The configuration is invalid; ``problems`` has one line per error."""

    problems: list[str]


@dataclass(frozen=True)
class HypervisorConfig:
    """One ``[[inputs.libvirt]]`` table. Durations are in nanoseconds."""

    libvirt_uri: str = DEFAULT_URI
    domains: tuple[str, ...] = ()
    statistics_groups: Optional[tuple[str, ...]] = None
    additional_statistics: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    timeout: int = 5_000_000_000
    interval: Optional[int] = None
    influx_uint_support: bool = False
    metric_set: str = "telegraf"
    backing_chain: bool = False
    bulk_statistics: bool = True
    parallel_calls: int = 1
    domain_include: tuple[str, ...] = ()
    domain_exclude: tuple[str, ...] = ()
    domain_state_include: tuple[str, ...] = ()
    additional_domain_tags: tuple[str, ...] = ()
    additional_device_tags: tuple[str, ...] = ()
    metadata_tags: tuple[MetadataTag, ...] = ()
    group_intervals: GroupIntervals = field(default_factory=GroupIntervals)
    source_tables: Mapping[str, SourceTable] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Whether to write every libvirt key, not only those of Telegraf's built-in plugin."""
        return self.metric_set == "full"

    @property
    def groups(self) -> tuple[Group, ...]:
        """The configured statistics groups, in output order."""
        default = tuple(STATISTICS_GROUPS) if self.full else TELEGRAF_GROUPS
        names = default if self.statistics_groups is None else self.statistics_groups
        return tuple(group for name, group in STATISTICS_GROUPS.items() if name in names)

    @property
    def read_groups(self) -> tuple[Group, ...]:
        """The statistics groups to request: the configured ones, and those that summaries need."""
        names = {name for group in self.additions for name in group.needs}
        names.update(group.name for group in self.groups)
        return tuple(group for name, group in STATISTICS_GROUPS.items() if name in names)

    @property
    def additions(self) -> tuple[Group, ...]:
        """The configured additional statistics, in output order."""
        names = self.additional_statistics
        return tuple(group for name, group in ADDITIONAL_STATISTICS.items() if name in names)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The configured additional statistics that are sources."""
        names = self.additional_statistics
        return tuple(source for name, source in SOURCES.items() if name in names)

    @property
    def selection(self) -> Selection:
        """The domains to read."""
        return Selection(
            self.domains, self.domain_include, self.domain_exclude, self.domain_state_include
        )

    @property
    def identities(self) -> IdentityReader:
        """Reads the tags of the domains, and the texts of their summaries."""
        return IdentityReader(
            self.additional_domain_tags,
            self.additional_device_tags,
            self.metadata_tags,
            info="domain" in self.additional_statistics,
            kinds=sorted({kind for source in self.sources for kind in source.inventory}),
            backing_chain=self.backing_chain,
        )

    def settings(self, source: Source) -> Settings:
        """The table of a source, with defaults."""
        given = self.source_tables.get(source.name, SourceTable())
        return Settings(
            interval=source.interval if given.interval is None else given.interval,
            timeout=self.timeout if given.timeout is None else given.timeout,
            options={**source.defaults, **given.options},
        )


@dataclass(frozen=True)
class Config:
    """All hypervisors of a configuration, and the warnings to log at the start."""

    hypervisors: tuple[HypervisorConfig, ...] = (HypervisorConfig(),)
    warnings: tuple[str, ...] = ()


def load(path: Path, environment: Mapping[str, str]) -> Config:
    """Read a configuration file; raise ConfigError if it is invalid."""
    try:
        data, mode = read(path)
        text = data.decode("utf-8-sig")
        document = tomli.loads(text)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: expected UTF-8, invalid at byte {error.start}"]) from None
    except tomli.TOMLDecodeError as error:
        line = line_of(text, str(error))
        raise ConfigError([f"{path}: not valid TOML: {error}: {line}"]) from None
    except RecursionError as error:
        raise ConfigError([f"{path}: not valid TOML: {error}"]) from None
    except ValueError as error:  # Python rejects integers with thousands of digits
        raise ConfigError([f"{path}: cannot be read: {error}"]) from None
    problems = Problems()
    config = parse(document, environment, problems)
    if problems.errors:
        raise ConfigError([f"{path}: {line}" for line in problems.errors])
    if mode & (stat.S_IRGRP | stat.S_IROTH) and any(
        has_password(hypervisor.libvirt_uri) for hypervisor in config.hypervisors
    ):
        problems.warn("", "has a password in libvirt_uri and other users can read it: chmod 600")
    return Config(config.hypervisors, tuple(f"{path}: {line}" for line in problems.warnings))


def parse(
    document: Mapping[str, Any], environment: Mapping[str, str], problems: Problems
) -> Config:
    """Check a parsed TOML document; add errors and warnings to ``problems``."""
    inputs = document.get("inputs", {})
    others = [name for name in document if name != "inputs"]
    if isinstance(inputs, dict):
        others += [join("inputs", name) for name in inputs if name != "libvirt"]
    for name in others:
        text = f"unknown; only [[inputs.libvirt]] tables belong in this file{place(name)}"
        problems.add(name, text)
    if not isinstance(inputs, dict):
        problems.expected("inputs", "[[inputs.libvirt]] tables", inputs)
        return Config()
    tables = inputs.get("libvirt", [])
    if isinstance(tables, dict):  # [inputs.libvirt]: Telegraf accepts it too
        tables = [tables]
    if not isinstance(tables, list):
        problems.expected("inputs.libvirt", "[[inputs.libvirt]] tables", tables)
        return Config()
    if not tables and not problems.errors:
        problems.add("inputs.libvirt", "expected at least one [[inputs.libvirt]] table, found none")
    return Config(
        tuple(
            _hypervisor(table, f"inputs.libvirt[{index}]", environment, problems)
            for index, table in enumerate(tables)
        )
    )


def _hypervisor(
    table: object, path: str, environment: Mapping[str, str], problems: Problems
) -> HypervisorConfig:
    if not isinstance(table, dict):
        problems.expected(path, "a table", table)
        return HypervisorConfig()
    tables: dict[str, SourceTable] = {}
    values: dict[str, Any] = {"source_tables": tables}
    before = len(problems.errors)
    for name, raw in table.items():
        at = join(path, name)
        meant = OLD_NAMES.get(name, name)
        if meant not in (*OPTIONS, *SOURCES):
            problems.add(at, explain_unknown(name, [*OPTIONS, *SOURCES]))
            continue
        value = expand(without_misplaced(meant, raw, at, problems), at, environment, problems)
        if meant in SOURCES:
            tables[meant] = source_table(SOURCES[meant], value, at, problems)
            continue
        if meant != name:
            problems.warn(at, f"is read as {meant}; write {meant} instead")
            if meant in table:
                problems.add(at, f"duplicates {meant}, which has the same meaning; keep {meant}")
                continue
        values[meant] = OPTIONS[meant](value, at, problems)
    check_together(values, path, problems)
    result = HypervisorConfig(**values)
    groups = (*result.groups, *result.additions, *(source.group for source in result.sources))
    check_fields(values, groups, result.full, path, problems)
    check_unused(result.group_intervals, (*result.read_groups, *groups), path, problems)
    if len(problems.errors) > before:
        return HypervisorConfig()
    if not (result.groups or result.additions or result.sources):
        problems.add(
            join(path, "statistics_groups"),
            "is empty and so is additional_statistics: nothing to gather",
        )
    return result
