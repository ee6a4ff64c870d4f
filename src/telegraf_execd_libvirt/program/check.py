"""``--check``: which parts of a configuration work, and what to do about the others.

Invariant: it reads hypervisors with the same code as a collection, so it reports the problems that
a collection would have.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from ..config.config import HypervisorConfig
from ..config.values import format_duration
from ..domain.record import NO_IDENTITY, Device, Domain, Identity
from ..groups import vcpu_mapping
from ..hypervisor.hypervisor import Hypervisor
from ..hypervisor.messages import Outcome, Reading
from ..hypervisor.worker import close
from ..log import one_line
from ..uri import redact_uri
from .costs import costs
from .gaps import gaps
from .twins import Twins

#: How often to look whether the deadline has come.
_LOOK_AGAIN_SECONDS = 0.2


#: The status with ``strict`` if anything that is configured does not work.
_PROBLEMS = 3

#: Advice where libvirt's error has none.
_SEE = "docs/faults.md lists messages and what to do"


class _Report:
    """The lines of the report, and the number of problems in them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.problems = 0

    def add(self, line: str) -> None:
        self.lines.append(f"  {line}")

    def problem(self, line: str, help: str) -> None:
        """A problem, and what helps."""
        self.problems += 1
        self.add(line)
        self.add(f"what helps: {help}")


def check(hypervisors: Sequence[HypervisorConfig], strict: bool = False) -> tuple[list[str], int]:
    """Lines of a report on each hypervisor, and 0, or 1 if one of them cannot be read; with
    ``strict`` 3 if anything else that is configured does not work."""
    report = _Report()
    unreadable = False
    twins = Twins(hypervisors)
    for index, config in enumerate(hypervisors):
        name = f"inputs.libvirt[{index}]"
        report.lines.append(f"{name}: {redact_uri(config.libvirt_uri)}")
        hypervisor = Hypervisor(config, name, quiet=True)
        outcome, domains = _collect(hypervisor)
        if outcome.trouble is None:
            _describe(config, hypervisor, outcome, domains, report)
            running = sum(domain.active for domain in domains)
            _sources(hypervisor, running, report)
            for text, help in twins.add(index, twins.shared(index), domains):
                report.problem(f"warning: {text}", help)
            if not (outcome.incomplete or _lock(hypervisor) or outcome.unread):
                for line in costs(config, hypervisor, running):
                    report.add(line)
            close(hypervisor.workers.values())
            continue
        unreadable = True
        report.problem(f"reachable: no: {outcome.trouble.reason}", outcome.trouble.help or _SEE)
    status = 1 if unreadable else _PROBLEMS if strict and report.problems else 0
    # Names and messages are libvirt's: each becomes one line, without credentials.
    return [one_line(line) for line in report.lines], status


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


def _sources(hypervisor: Hypervisor, running: int, report: _Report) -> None:
    for feed in hypervisor.feeds:
        source = f"source {feed.source.name}"
        counts = f"{feed.source.counts}: {feed.fetched.counted}" if feed.source.counts else ""
        if feed.busy:
            help = f"a longer timeout in [inputs.libvirt.{feed.source.name}]"
            report.problem(
                f"{source}: takes longer than {format_duration(_longest(hypervisor))}", help
            )
        elif feed.error and not feed.supported:
            help = "leave it out, or install the daemon's driver for it if there is one"
            report.problem(f"{source}: not supported: {feed.error}", feed.help or help)
        elif feed.error:
            report.problem(f"{source}: does not work: {feed.error}", feed.help or _SEE)
        elif counts and not feed.fetched.counted and running:
            report.problem(f"{source}: {counts}", feed.source.none)
        else:
            counts = f"{counts}, " if counts else ""
            line = f"{source}: works, {counts}{feed.fetched.records} lines now"
            if feed.limits:
                report.problem(f"{line}; {'; '.join(sorted(feed.limits))}", _SEE)
            else:
                why = (
                    f": {feed.source.empty}"
                    if feed.source.empty and not feed.fetched.records
                    else ""
                )
                report.add(f"{line}{why}")


def _describe(
    config: HypervisorConfig,
    hypervisor: Hypervisor,
    outcome: Outcome,
    domains: Sequence[Domain],
    report: _Report,
) -> None:
    active = sum(domain.active for domain in domains)
    report.add(f"reachable: yes: {hypervisor.journal.connected}")
    existing = outcome.existing
    of = "" if existing in (None, outcome.domains) else f" of {existing}"
    report.add(f"domains: {outcome.domains}{of}, of which {active} run")
    _selection(config, hypervisor, outcome, {domain.name for domain in domains}, report)
    if outcome.incomplete:
        names = ", ".join(sorted(outcome.incomplete))
        help = "virsh domcontrol GUEST shows for how long its QEMU has not answered libvirt"
        report.problem(f"guests not responding: {names}", help)
    if text := _lock(hypervisor):
        if outcome.locked:
            names = ", ".join(sorted(domain.name for domain in outcome.locked))
            text = f"guests locked by libvirt, behind an operation that hangs: {names}"
        help = "end the operation that hangs: a start or stop, a hook script, dead storage"
        report.problem(text, help)
    if outcome.unread:
        help = "a longer timeout, or parallel_calls"
        report.problem(f"domains not read within the timeout: {outcome.unread}", help)
    wanted = [*config.groups, *(g for g in config.additions if g is vcpu_mapping.GROUP)]
    came = {key.partition(".")[0] for domain in domains for key in domain.stats}
    reported = [group.name for group in wanted if came & group.words]
    unreported = [group.name for group in wanted if not came & group.words]
    report.add(f"reported: {', '.join(reported) or 'nothing'}")
    if unreported:
        # Nobody asked for a single one of the groups that are the default.
        report.problems += bool(config.statistics_groups is not None and active)
        names = ", ".join(unreported)
        report.add(f"not reported by any domain now: {names} (why: docs/metrics.md, Notes)")
    _tags(config, domains, report)
    if hypervisor.journal.connected.startswith("driver QEMU,"):
        answering = [each for each in domains if each.name not in outcome.incomplete]
        report.lines += gaps(config, answering)


def _lock(hypervisor: Hypervisor) -> str:
    """What the log says while libvirt has locked a guest, which may not be known by name."""
    return hypervisor.journal.voice.problems.get("locked", "")


def _selection(
    config: HypervisorConfig,
    hypervisor: Hypervisor,
    outcome: Outcome,
    read: Collection[str],
    report: _Report,
) -> None:
    """Names that are not there, and a selection that selects nothing: in a lock nobody knows."""
    mistakes = sorted(hypervisor.journal.mistakes)
    missing = sorted(set(config.domains).difference(read))
    if missing and not _lock(hypervisor):
        other = config.domain_exclude or config.domain_state_include
        kind = "not there or not selected" if other else "not there"
        helps = [mistake.help for mistake in mistakes if mistake.option == "domains"]
        help = "; ".join(dict.fromkeys(helps)) or "look at the options domain_…"
        if outcome.existing == 0:
            help = "the hypervisor has no domains: virsh list --all"
        report.problem(f"domains that are {kind}: {', '.join(missing)}", help)
    if outcome.existing and not outcome.domains:
        helps = [f"{mistake}" for mistake in mistakes]
        help = "; ".join(helps) or "check domains and the options domain_…"
        report.problem("warning: no domain is selected", help)


def _tags(config: HypervisorConfig, domains: Sequence[Domain], report: _Report) -> None:
    """How many domains have each tag."""
    identities = [domain.identity or NO_IDENTITY for domain in domains]
    found = Counter(tag for identity in identities for tag in {*identity.tags})
    of_devices = Counter(
        tag for each in identities for tag in {t for d in _devices(each) for t in d.tags}
    )
    metadata = [tag.tag for tag in config.metadata_tags]
    for tag in (*config.additional_domain_tags, *metadata, *config.additional_device_tags):
        is_device = tag in config.additional_device_tags
        number = (of_devices if is_device else found)[tag]
        what = "tag of devices" if is_device else "tag"
        line = f"{what} {tag}: {number} of {len(domains)} domains have it"
        if number or not domains:
            report.add(line)
        else:
            where = "metadata" if tag in metadata else "XML"
            report.problem(line, f"no domain has it in its {where}: virsh dumpxml shows that")


def _devices(identity: Identity) -> Iterator[Device]:
    for devices in identity.devices.values():
        yield from devices
