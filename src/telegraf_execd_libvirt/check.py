"""``--check``: what of a configuration works, and what to do about what does not.

Rule guarded: it reads hypervisors the same way as the collection does, so what it reports is
what a collection would meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .config import HypervisorConfig
from .groups import health
from .hypervisor.session import Unreachable
from .hypervisor.source import Hypervisor, Snapshot
from .log import one_line
from .uri import redact


def check(hypervisors: Sequence[HypervisorConfig]) -> tuple[list[str], int]:
    """Lines of a report on each hypervisor, and 0, or 1 if one of them cannot be read."""
    lines: list[str] = []
    status = 0
    for index, config in enumerate(hypervisors):
        name = f"inputs.libvirt[{index}]"
        lines.append(f"{name}: {config.libvirt_uri}")
        try:
            snapshot = Hypervisor(config, name).read()
        except Unreachable as trouble:
            status = 1
            lines.append(f"  reachable: no: {trouble.reason}")
            if trouble.help:
                lines.append(f"  what helps: {trouble.help}")
        else:
            lines += _report(config, snapshot)
    # Names and messages are libvirt's: each goes out in one line, without credentials.
    return [one_line(redact(line)) for line in lines], status


def _report(config: HypervisorConfig, snapshot: Snapshot) -> Iterator[str]:
    active = sum(domain.active for domain in snapshot.domains)
    yield f"  reachable: yes: driver {snapshot.driver}, libvirt {snapshot.version}"
    yield f"  domains: {snapshot.count}, of which {active} run"
    missing = sorted(set(config.domains) - {domain.name for domain in snapshot.domains})
    if missing:
        yield f"  domains that are not there: {', '.join(missing)}"
    if snapshot.incomplete:
        yield f"  domains that do not answer: {', '.join(sorted(snapshot.incomplete))}"
    wanted = [*config.groups, *(group for group in config.additions if group is not health.GROUP)]
    came = {key.partition(".")[0] for domain in snapshot.domains for key in domain.stats}
    reported = [group.name for group in wanted if came & group.words]
    silent = [group.name for group in wanted if not came & group.words]
    yield f"  reported: {', '.join(reported) or 'nothing'}"
    if silent:
        yield f"  not reported by any domain now: {', '.join(silent)}"
