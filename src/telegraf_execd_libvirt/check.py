"""``--check``: what of a configuration works, and what to do about what does not.

Rule guarded: it reads hypervisors the same way as the collection does, so what it reports is
what a collection would meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

from .config import HypervisorConfig
from .hypervisor.session import Unreachable
from .hypervisor.source import Hypervisor, Snapshot
from .log import one_line
from .uri import redact


def check(hypervisors: Sequence[HypervisorConfig], write: Callable[[str], object]) -> int:
    """Reports on each hypervisor; 0, or 1 if one of them cannot be read."""
    failures = 0
    for index, config in enumerate(hypervisors):
        name = f"inputs.libvirt[{index}]"
        say = _writer(write)
        say(f"{name}: {config.libvirt_uri}")
        try:
            snapshot = Hypervisor(config, name).read()
        except Unreachable as trouble:
            failures += 1
            say(f"  reachable: no: {trouble.reason}")
            if trouble.help:
                say(f"  what helps: {trouble.help}")
        else:
            _report(config, snapshot, say)
    return 1 if failures else 0


def _report(config: HypervisorConfig, snapshot: Snapshot, say: Callable[[str], None]) -> None:
    active = sum(domain.active for domain in snapshot.domains)
    say(f"  reachable: yes: driver {snapshot.driver}, libvirt {snapshot.version}")
    say(f"  domains: {len(snapshot.domains)}, of which {active} run")
    missing = sorted(set(config.domains) - {domain.name for domain in snapshot.domains})
    if missing:
        say(f"  domains that are not there: {', '.join(missing)}")
    if snapshot.incomplete:
        names = sorted(d.name for d in snapshot.domains if d.uuid in snapshot.incomplete)
        say(f"  domains that do not answer: {', '.join(names)}")
    wanted = [*config.groups, *config.additions]
    came = {key.partition(".")[0] for domain in snapshot.domains for key in domain.stats}
    reported = [group.name for group in wanted if came & group.words]
    silent = [group.name for group in wanted if not came & group.words]
    say(f"  reported: {', '.join(reported) or 'nothing'}")
    if silent:
        say(f"  not reported by any domain now: {', '.join(silent)}")


def _writer(write: Callable[[str], object]) -> Callable[[str], None]:
    """Names and messages are libvirt's: each goes out in one line, without credentials."""

    def say(text: str) -> None:
        write(f"{one_line(redact(text))}\n")

    return say
