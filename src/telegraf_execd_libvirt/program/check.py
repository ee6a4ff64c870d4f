"""``--check``: which parts of a configuration work, and what to do about the others.

Invariant: it reads hypervisors with the same code as a collection, so it reports the problems that
a collection would have.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence

from ..config.config import HypervisorConfig
from ..config.duration import format_duration
from ..domain.record import Domain
from ..groups import vcpu_mapping
from ..hypervisor.hanging_sources import Hanging
from ..hypervisor.hypervisor import Hypervisor
from ..hypervisor.source_runner import SourceRunner
from ..log import one_line
from ..uri import redact, redact_uri

#: A source that begins to hang gives no signal, so its state is polled.
_LOOK_AGAIN_SECONDS = 0.02


def check(hypervisors: Sequence[HypervisorConfig]) -> tuple[list[str], int]:
    """Lines of a report on each hypervisor, and 0, or 1 if one of them cannot be read."""
    lines: list[str] = []
    status = 0
    for index, config in enumerate(hypervisors):
        name = f"inputs.libvirt[{index}]"
        lines.append(f"{name}: {redact_uri(config.libvirt_uri)}")
        hypervisor = Hypervisor(config, name)
        tick = hypervisor.begin()
        readings = hypervisor.gatherer.gather(tick)
        domains = [domain for reading in readings for domain in reading.domains]
        trouble = hypervisor.end(tick).trouble
        if trouble is None:
            lines += _report(config, hypervisor, domains)
            lines += _sources(config, hypervisor)
            continue
        status = 1
        lines.append(f"  reachable: no: {trouble.reason}")
        if trouble.help:
            lines.append(f"  what helps: {trouble.help}")
    # Names and messages are libvirt's: each becomes one line, without credentials.
    return [one_line(redact(line)) for line in lines], status


def _sources(config: HypervisorConfig, hypervisor: Hypervisor) -> Iterator[str]:
    """Fetches all sources; yields a report on each after at most twice the longest timeout."""
    hanging = Hanging(hypervisor)
    runners = [
        SourceRunner(source, config, hypervisor, hanging, lambda _: True, level=logging.DEBUG)
        for source in config.sources
    ]
    for runner in runners:
        runner.tick(time.time_ns())
    longest = max((runner.settings.timeout for runner in runners), default=0)
    deadline = time.monotonic() + 2 * longest / 1e9
    while any(runner.busy for runner in runners) and time.monotonic() < deadline:
        time.sleep(_LOOK_AGAIN_SECONDS)
    for runner in runners:
        name = runner.source.name
        if runner.busy:
            yield f"  source {name}: takes longer than {format_duration(2 * longest)}"
        elif runner.report.error:
            yield f"  source {name}: does not work: {runner.report.error}"
            if runner.report.help:
                yield f"  what helps: {runner.report.help}"
        else:
            yield f"  source {name}: works, {runner.records} lines now"


def _report(
    config: HypervisorConfig, hypervisor: Hypervisor, domains: Sequence[Domain]
) -> Iterator[str]:
    outcome = hypervisor.outcome
    active = sum(domain.active for domain in domains)
    yield f"  reachable: yes: driver {hypervisor.driver}, libvirt {hypervisor.version}"
    existing = hypervisor.existing
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
    if outcome.unread:
        yield f"  domains not read within the timeout: {outcome.unread}"
    wanted = [*config.groups, *(g for g in config.additions if g is vcpu_mapping.GROUP)]
    came = {key.partition(".")[0] for domain in domains for key in domain.stats}
    reported = [group.name for group in wanted if came & group.words]
    silent = [group.name for group in wanted if not came & group.words]
    yield f"  reported: {', '.join(reported) or 'nothing'}"
    if silent:
        yield f"  not reported by any domain now: {', '.join(silent)}"
