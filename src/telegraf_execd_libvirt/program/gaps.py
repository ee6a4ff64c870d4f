"""What is missing of guests that answer, for ``--check``: values that libvirt has only for guests
that are configured for them, and tags.

Invariant: it names only what the configuration asks for, and the reason is in the domain's XML.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from ..config.config import HypervisorConfig
from ..domain.identity import DEVICE_TAGS
from ..domain.record import NO_IDENTITY, Domain
from ..groups import domain as domain_group

#: More names are counted only.
_MOST_NAMES = 10

#: Keys of which each balloon driver reports one.
_GUEST_KEYS = frozenset({"balloon.unused", "balloon.available", "balloon.usable"})

#: What guests lack and why, and what helps.
_NO_PERIOD = (
    "memory values of the guest do not change, as <memballoon> has no <stats period>",
    "virsh dommemstat GUEST --period 10 --live --config",
)
_NO_BALLOON = (
    "no memory values of the guest, as <memballoon> has the model none",
    "a <memballoon model='virtio'> with <stats period='10'/> in the guest's XML",
)
_NO_DRIVER = (
    "no memory values of the guest, as it has not reported any",
    "the driver virtio_balloon in the guest; a guest that has just started needs a moment",
)
_VHOST_USER = (
    "no statistics of vhostuser disks: QEMU has none",
    "ask the program that serves the disk, such as SPDK or qemu-storage-daemon",
)
_NO_NAME = (
    "no lines of interfaces without a name on the host: libvirt has no statistics of them",
    "another type of interface, such as bridge, or <target dev='NAME'/> in the interface's XML",
)
_NO_TAGS = (
    "no tags of interfaces, as neither name nor position tells which one of the XML each is",
    "<target dev='NAME'/> in the XML of each interface",
)

_NO_START = (
    "no started_at: no daemon on this host shows it in /run/libvirt/qemu, and no start was seen",
    "it comes with the next start of the guest; a plugin on that host knows it at once",
)
_NO_AGENT = (
    "no agent_connected, as the XML has no channel of the QEMU guest agent",
    "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>",
)

_Gap = tuple[tuple[str, str], str]


def gaps(config: HypervisorConfig, domains: Sequence[Domain]) -> Iterator[str]:
    """Lines of the report about the running ones of these domains, which are QEMU's."""
    groups = {group.name for group in config.read_groups}
    summary = domain_group.GROUP in config.additions
    tags = any(DEVICE_TAGS[name][0] == "net" for name in config.additional_device_tags)
    found: list[_Gap] = []
    for domain in domains:
        if domain.active:
            found += _balloon(domain) if "balloon" in groups else ()
            found += _disks(domain) if "block" in groups else ()
            found += _interfaces(domain) if tags and "interface" in groups else ()
            found += _summary(domain) if summary else ()
    for (what, help), each in groupby(sorted(found), key=lambda gap: gap[0]):
        names = [name for _, name in each]
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        yield f"  {what}: {', '.join(names[:_MOST_NAMES])}{more}"
        yield f"  what helps: {help}"


def _balloon(domain: Domain) -> Iterator[_Gap]:
    info = (domain.identity or NO_IDENTITY).info
    model = info.get("memballoon")
    if model == "none":
        yield _NO_BALLOON, domain.name
    elif model and info.get("balloon_period") == 0:
        yield _NO_PERIOD, domain.name
    elif model and _GUEST_KEYS.isdisjoint(domain.stats):
        yield _NO_DRIVER, domain.name


def _disks(domain: Domain) -> Iterator[_Gap]:
    if disks := (domain.identity or NO_IDENTITY).info.get("vhostuser"):
        yield _VHOST_USER, f"{domain.name} ({disks})"


def _summary(domain: Domain) -> Iterator[_Gap]:
    if identity := domain.identity:
        if "started_at" not in identity.info:
            yield _NO_START, domain.name
        if "agent_connected" not in identity.info:
            yield _NO_AGENT, domain.name


def _interfaces(domain: Domain) -> Iterator[_Gap]:
    identity, stats = domain.identity or NO_IDENTITY, domain.stats
    for number, device in enumerate(identity.devices.get("net", ())):
        has_lines = any(key.startswith(f"net.{number}.") for key in stats)
        name = f"{domain.name} ({device.tags.get('mac') or f'interface {number}'})"
        if not has_lines and not device.name:
            yield _NO_NAME, name
        elif has_lines and device.tags and not identity.device_tags("net", str(number), stats):
            yield _NO_TAGS, name
