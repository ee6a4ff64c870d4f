"""``--check``: which parts of a configuration work, and what to do about the others.

Invariant: it reads hypervisors with the same code as a collection, so it reports the problems that
a collection would have.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from ..config.config import HypervisorConfig
from ..config.values import format_duration
from ..domain.record import Domain
from ..groups import vcpu_mapping
from ..hypervisor.hypervisor import Hypervisor
from ..hypervisor.messages import Outcome, Reading
from ..log import one_line
from ..uri import redact_uri
from .gaps import gaps

#: How often to look whether the deadline has come.
_LOOK_AGAIN_SECONDS = 0.2


def check(hypervisors: Sequence[HypervisorConfig]) -> tuple[list[str], int]:
    """Lines of a report on each hypervisor, and 0, or 1 if one of them cannot be read."""
    lines: list[str] = []
    status = 0
    for index, config in enumerate(hypervisors):
        name = f"inputs.libvirt[{index}]"
        lines.append(f"{name}: {redact_uri(config.libvirt_uri)}")
        hypervisor = Hypervisor(config, name, quiet=True)
        outcome, domains = _collect(hypervisor)
        if outcome.trouble is None:
            lines += _report(config, hypervisor, outcome, domains)
            lines += _sources(hypervisor)
            continue
        status = 1
        lines.append(f"  reachable: no: {outcome.trouble.reason}")
        if outcome.trouble.help:
            lines.append(f"  what helps: {outcome.trouble.help}")
    # Names and messages are libvirt's: each becomes one line, without credentials.
    return [one_line(line) for line in lines], status


def _collect(hypervisor: Hypervisor) -> tuple[Outcome, list[Domain]]:
    """Collects one tick, and all sources for at most twice their longest timeout."""
    outcome, domains = Outcome(), []
    deadline = None
    hypervisor.tick(time.time_ns())
    while deadline is None or (hypervisor.busy and time.monotonic() < deadline):
        until = time.monotonic() + _LOOK_AGAIN_SECONDS
        for result in hypervisor.results(until):
            if isinstance(result, Reading):
                domains += result.domains
            elif isinstance(result, Outcome):
                outcome, deadline = result, time.monotonic() + _longest(hypervisor) / 1e9
    return outcome, domains


def _longest(hypervisor: Hypervisor) -> int:
    """Twice the longest timeout of a source, in nanoseconds."""
    return 2 * max((feed.settings.timeout for feed in hypervisor.feeds), default=0)


def _sources(hypervisor: Hypervisor) -> Iterator[str]:
    for feed in hypervisor.feeds:
        name = feed.source.name
        if feed.busy:
            yield f"  source {name}: takes longer than {format_duration(_longest(hypervisor))}"
        elif feed.error:
            yield f"  source {name}: does not work: {feed.error}"
            if feed.help:
                yield f"  what helps: {feed.help}"
        else:
            yield f"  source {name}: works, {feed.records} lines now"


def _report(
    config: HypervisorConfig, hypervisor: Hypervisor, outcome: Outcome, domains: Sequence[Domain]
) -> Iterator[str]:
    active = sum(domain.active for domain in domains)
    yield f"  reachable: yes: {hypervisor.connected}"
    existing = outcome.existing
    of = "" if existing in (None, outcome.domains) else f" of {existing}"
    yield f"  domains: {outcome.domains}{of}, of which {active} run"
    if existing and not outcome.domains:
        yield "  warning: no domain is selected; check domains and the options domain_…"
    missing = sorted(set(config.domains) - {domain.name for domain in domains})
    if missing:
        other = config.domain_exclude or config.domain_state_include
        kind = "not there or not selected" if other else "not there"
        yield f"  domains that are {kind}: {', '.join(missing)}"
    if outcome.incomplete:
        yield f"  guests not responding: {', '.join(sorted(outcome.incomplete))}"
    if outcome.locked:
        names = ", ".join(sorted(domain.name for domain in outcome.locked))
        yield f"  guests locked by libvirt, behind an operation that hangs: {names}"
    if outcome.unread:
        yield f"  domains not read within the timeout: {outcome.unread}"
    wanted = [*config.groups, *(g for g in config.additions if g is vcpu_mapping.GROUP)]
    came = {key.partition(".")[0] for domain in domains for key in domain.stats}
    reported = [group.name for group in wanted if came & group.words]
    unreported = [group.name for group in wanted if not came & group.words]
    yield f"  reported: {', '.join(reported) or 'nothing'}"
    if unreported:
        yield f"  not reported by any domain now: {', '.join(unreported)}"
    if hypervisor.connected.startswith("driver QEMU,"):
        yield from gaps(config, [each for each in domains if each.name not in outcome.incomplete])
