"""What a configuration wants of one hypervisor: the plan of its engine, and what is read.

Invariant: all of it follows from the configuration only.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Optional

from ..config.config import HypervisorConfig
from ..config.values import format_duration
from ..connection.completeness import Completeness
from ..connection.facts import Facts, is_on_this_host, started_at
from ..connection.requests import OTHERS, Wanted
from ..connection.xml_cache import XmlCache
from ..domain.devices import NO_DEVICES, parse
from ..domain.record import NO_IDENTITY
from ..groups import health, node, vcpu_mapping
from ..uri import is_remote
from .messages import Plan

#: The XML is read again after this, for drivers and changes without an event.
_OLDEST_DEVICES_SECONDS = 60.0
_OLDEST_IDENTITY_SECONDS = 600.0


def plan_of(config: HypervisorConfig, name: str) -> Plan:
    """What the engine of the hypervisor of this name does."""
    groups = [group.name for group in config.read_groups]
    groups += [vcpu_mapping.GROUP.name] if vcpu_mapping.GROUP in config.additions else []
    groups += [OTHERS] if _everything(config) else []
    return Plan(
        name=name,
        uri=config.libvirt_uri,
        timeout=config.timeout / 1e9,
        timeout_text=format_duration(config.timeout),
        calls=config.parallel_calls,
        by_name=config.selection.by_name,
        host=node.GROUP in config.additions,
        control=health.GROUP in config.additions,
        identity=config.identities.wanted,
        is_remote=is_remote(config.libvirt_uri),
        sources=[(source, config.settings(source)) for source in config.sources],
        intervals=config.group_intervals.of(groups),
        spread=config.group_intervals.spread,
    )


def _everything(config: HypervisorConfig) -> bool:
    return config.full and config.statistics_groups is None


def wanted_of(config: HypervisorConfig, explained: bool = False) -> Wanted:
    """What is read on each connection; ``explained``: with the XML that says what is missing."""
    return Wanted(
        groups=config.read_groups,
        selection=config.selection,
        everything=_everything(config),
        backing_chain=config.backing_chain,
        bulk=config.bulk_statistics,
        mapping=vcpu_mapping.GROUP in config.additions,
        identity=config.identities.wanted or explained,
        host=node.GROUP in config.additions,
        events=frozenset(kind for source in config.sources for kind in source.events),
        sources=bool(config.sources),
    )


def facts_of(config: HypervisorConfig) -> Facts:
    """What is known before the first request."""
    reader, starts = config.identities, dict[str, int]()

    def started(domain: ET.Element) -> Optional[int]:
        if domain.get("id") is None:
            return None  # it does not run
        found = started_at(config.libvirt_uri, domain.findtext("name") or "")
        return starts.get(domain.findtext("uuid") or "") if found is None else found

    return Facts(
        Completeness(config.read_groups),
        XmlCache(parse, NO_DEVICES, _OLDEST_DEVICES_SECONDS),
        XmlCache(lambda xml: reader.read(xml, started), NO_IDENTITY, _OLDEST_IDENTITY_SECONDS),
        local=is_on_this_host(config.libvirt_uri),
        uuid_tag="uuid" in config.additional_domain_tags,
        starts=starts,
    )
