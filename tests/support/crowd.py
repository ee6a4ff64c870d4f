"""Any number of invented guests, which the scripted daemon reports.

The rule: a client sees typical KVM guests. Keys, types and sizes are those of a real daemon, in its
order and within its limits.
"""

from __future__ import annotations

import re
import struct
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from support.vcpus import Vcpus, guest_of, opaque

#: The limit of a message of libvirt's protocol: 32 MiB without its header.
LARGEST = 32 * 1024 * 1024 - 24

INT, UINT, LLONG, ULLONG, BOOLEAN, STRING = 1, 2, 3, 4, 6, 7
_FORMATS = {INT: ">i", UINT: ">I", LLONG: ">q", ULLONG: ">Q", BOOLEAN: ">i"}

_STATE, _CPU, _BALLOON, _VCPU, _NET, _BLOCK, _IOTHREAD, _DIRTYRATE, _VM = (
    1 << bit for bit in (0, 1, 2, 3, 4, 5, 7, 9, 10)
)

#: The kernel's counters of each vCPU; each is reported as vcpu.<num>.<name>.sum.
_KVM_VCPU = """
pf_taken pf_fixed pf_emulate pf_spurious pf_fast pf_mmio_spte_created pf_guest tlb_flush invlpg
exits io_exits mmio_exits signal_exits irq_window_exits nmi_window_exits l1d_flush halt_exits
request_irq_exits irq_exits host_state_reload fpu_reload insn_emulation insn_emulation_fail
hypercalls irq_injections nmi_injections req_event nested_run directed_yield_attempted
directed_yield_successful preemption_reported preemption_other notify_window_exits
halt_successful_poll halt_attempted_poll halt_poll_invalid halt_wakeup halt_poll_success_ns
halt_poll_fail_ns halt_wait_ns
"""
_KVM_VM = """
remote_tlb_flush.sum remote_tlb_flush_requests.sum mmu_shadow_zapped.sum mmu_pte_write.sum
mmu_pde_zapped.sum mmu_flooded.sum mmu_recycled.sum mmu_cache_miss.sum mmu_unsync.cur pages_4k.cur
pages_2m.cur pages_1g.cur nx_lpage_splits.cur max_mmu_rmap_size.max
"""


@dataclass(frozen=True)
class Parameter:
    """One key: its group's bit, type and value, and whether the value grows."""

    group: int
    key: str
    kind: int
    value: int | str
    grows: bool = False

    def encoded(self, growth: int) -> bytes:
        """The parameter in XDR; `growth` is added to a growing value."""
        head = string(self.key) + struct.pack(">i", self.kind)
        if isinstance(self.value, str):
            return head + string(self.value)
        value = self.value + (growth if self.grows else 0)
        return head + struct.pack(_FORMATS[self.kind], value)


def _typical() -> Iterator[Parameter]:
    """A running guest with 4 vCPUs, 2 interfaces, 2 disks and 2 I/O threads."""

    def counters(group: int, start: str, *names: str) -> Iterator[Parameter]:
        for number, name in enumerate(names):
            yield Parameter(group, f"{start}.{name}", ULLONG, 10 ** (4 + number % 10), True)

    def levels(group: int, start: str, *names: str) -> Iterator[Parameter]:
        for number, name in enumerate(names):
            yield Parameter(group, f"{start}.{name}", ULLONG, 8_130_144 + 4096 * number)

    yield Parameter(_STATE, "state.state", INT, 1)
    yield Parameter(_STATE, "state.reason", INT, 1)
    yield from counters(_CPU, "cpu", "time", "user", "system")
    yield Parameter(_CPU, "cpu.cache.monitor.count", UINT, 0)
    yield from counters(_CPU, "cpu.haltpoll", "success.time", "fail.time")
    yield from levels(_BALLOON, "balloon", "current", "maximum", "swap_in", "swap_out")
    yield from counters(_BALLOON, "balloon", "major_fault", "minor_fault")
    yield from levels(_BALLOON, "balloon", "unused", "available", "usable", "last-update")
    yield from levels(_BALLOON, "balloon", "disk_caches", "hugetlb_pgalloc", "hugetlb_pgfail")
    yield from levels(_BALLOON, "balloon", "rss")
    yield Parameter(_VCPU, "vcpu.current", UINT, 4)
    yield Parameter(_VCPU, "vcpu.maximum", UINT, 4)
    for number in range(4):
        start = f"vcpu.{number}"
        yield Parameter(_VCPU, f"{start}.state", INT, 1)
        yield from counters(_VCPU, start, "time", "wait")
        yield Parameter(_VCPU, f"{start}.halted", BOOLEAN, number % 2)
        yield from counters(_VCPU, start, "delay", *(f"{name}.sum" for name in _KVM_VCPU.split()))
        yield Parameter(_VCPU, f"{start}.guest_mode.cur", BOOLEAN, 0)
    yield Parameter(_NET, "net.count", UINT, 2)
    for number in range(2):
        start = f"net.{number}"
        yield Parameter(_NET, f"{start}.name", STRING, f"vnet{number}")
        for way in ("rx", "tx"):
            yield from counters(_NET, f"{start}.{way}", "bytes", "pkts")
            yield Parameter(_NET, f"{start}.{way}.errs", ULLONG, 0)
            yield Parameter(_NET, f"{start}.{way}.drop", ULLONG, 0)
    yield Parameter(_BLOCK, "block.count", UINT, 2)
    for number, target in enumerate(("vda", "vdb")):
        start = f"block.{number}"
        path = f"/var/lib/libvirt/images/guest-{target}.qcow2"
        yield Parameter(_BLOCK, f"{start}.name", STRING, target)
        yield Parameter(_BLOCK, f"{start}.path", STRING, path)
        yield Parameter(_BLOCK, f"{start}.backingIndex", UINT, number + 1)
        for way in ("rd", "wr"):
            yield from counters(_BLOCK, f"{start}.{way}", "reqs", "bytes", "times")
        yield from counters(_BLOCK, f"{start}.fl", "reqs", "times")
        yield from levels(_BLOCK, start, "allocation", "capacity", "physical")
    yield Parameter(_IOTHREAD, "iothread.count", UINT, 2)
    for number in (1, 2):
        yield Parameter(_IOTHREAD, f"iothread.{number}.poll-max-ns", ULLONG, 32768)
        yield Parameter(_IOTHREAD, f"iothread.{number}.poll-grow", UINT, 0)
        yield Parameter(_IOTHREAD, f"iothread.{number}.poll-shrink", UINT, 0)
    yield Parameter(_DIRTYRATE, "dirtyrate.calc_status", INT, 0)
    yield Parameter(_DIRTYRATE, "dirtyrate.calc_start_time", LLONG, 0)
    yield Parameter(_DIRTYRATE, "dirtyrate.calc_period", INT, 0)
    yield Parameter(_DIRTYRATE, "dirtyrate.calc_mode", STRING, "page-sampling")
    for name in _KVM_VM.split():
        yield Parameter(_VM, f"vm.{name}", ULLONG, 51_844)


#: The XML of a guest of the crowd, as far as tags and summaries need it.
_XML = """\
<domain type='kvm'><name>{name}</name><uuid>{uuid}</uuid><title>Title of {name}</title>
<metadata><nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">
<nova:name>name of {name}</nova:name><nova:flavor name="m1.small"/>
<nova:owner><nova:user uuid="u-{tenant}">user {tenant}</nova:user>
<nova:project uuid="p-{tenant}">project {tenant}</nova:project></nova:owner>
<nova:root type="image" uuid="i-{tenant}"/></nova:instance></metadata>
<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os><devices>
<disk type='file' device='disk'><target dev='vda' bus='virtio'/><serial>{name}-a</serial></disk>
<disk type='file' device='disk'><target dev='vdb' bus='virtio'/><serial>{name}-b</serial></disk>
<interface type='bridge'><mac address='52:54:00:{number:06x}'/><source bridge='br0'/>
<target dev='vnet0'/></interface>
<interface type='network'><source network='private'/><target dev='vnet1'/></interface>
</devices></domain>
"""

#: The states that libvirt's filters have a bit for; one more bit is for all others.
_STATE_FILTERS = {1: 0x10, 3: 0x20, 5: 0x40}
_OTHER_STATES = 0x80
_ACTIVE, _INACTIVE = 1, 2

_SHUT_OFF = 5

#: The keys that are missing where a monitor was not asked.
_MONITOR_KEYS = re.compile(
    r"cpu\.haltpoll|balloon\.(?!current|maximum)|vcpu\.\d+\.(halted|.*\.(sum|cur)$)"
    r"|block\.\d+\.(?!name|path|backingIndex)|iothread|dirtyrate|vm\."
)


@dataclass
class Crowd:
    """Guests of one kind; counters grow by `step` between requests. `calls` counts the requests for
    statistics.

    `busy` is the number of requests that skip a guest because another client uses it. `off` has
    guests that do not run, `states` guests in another state than running, `special` guests with
    other parameters, `documents` guests with other XML, and `renamed` the names of guests that have
    others. `requests` lists the groups and flags of the requests for statistics. `vcpus` answers
    requests about vCPUs. Requests that touch a guest in `held` get no answer, as its lock is held.
    """

    count: int
    step: int = 0
    parameters: tuple[Parameter, ...] = field(default_factory=lambda: (*_typical(),))
    calls: int = 0
    busy: dict[str, int] = field(default_factory=dict)
    off: set[str] = field(default_factory=set)
    states: dict[str, int] = field(default_factory=dict)
    special: dict[str, tuple[Parameter, ...]] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[int, int]] = field(default_factory=list)
    vcpus: Vcpus = field(default_factory=Vcpus)
    held: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Give each guest a name, a UUID and a number."""
        self._guests: dict[bytes, tuple[str, int]] = {}
        for number in range(1, self.count + 1):
            self._guests[_uuid(number)] = (guest(number), number)

    def define(self) -> str:
        """Define one more guest, which runs; return its name."""
        self.count += 1
        name = guest(self.count)
        self._guests[_uuid(self.count)] = (name, self.count)
        return name

    def undefine(self) -> bytes:
        """Remove the oldest guest; return how the protocol names it."""
        identity = next(iter(self._guests))
        named = self._identity(identity)
        del self._guests[identity]
        return named

    def counted(self, active: bool) -> bytes:
        """The reply to the request for the number of guests that run, or that do not."""
        states = [self._state(name) for name, _ in self._guests.values()]
        return struct.pack(">I", sum((state != _SHUT_OFF) == active for state in states))

    def listed(self, request: bytes) -> bytes:
        """The reply to the call that lists the domains that libvirt's filters select."""
        _, flags = struct.unpack(">iI", request)
        found = self._selected(self._guests, flags)
        count = struct.pack(">I", len(found))
        return count + b"".join(map(self._identity, found)) + count

    def xml(self, request: bytes) -> bytes:
        """The reply to a request for the XML of a domain."""
        (length,) = struct.unpack_from(">I", request)
        start = 4 + length + -length % 4
        identity = request[start : start + 16]
        name, number = self._guests[identity]
        if name in self.documents:
            return opaque(self.documents[name])
        name = self.renamed.get(name, name)
        text = _XML.format(
            name=name, uuid=uuid.UUID(bytes=identity), number=number, tenant=number % 10
        )
        return string(text)

    def about_vcpus(self, procedure: int, request: bytes) -> bytes | None:
        """The reply to a request about the vCPUs of a guest; None if it must run and does not."""
        return self.vcpus.reply(procedure, request, guest_of(request) in self.off)

    def domain(self, name: str) -> bytes:
        """A guest as the protocol names it: name, UUID and id."""
        return self._identity(_uuid(number_of(name)))

    def named(self, request: bytes) -> bytes:
        """The reply to the look-up of the domain with a name; raise KeyError if there is none."""
        found = {self.renamed.get(name, name): each for each, (name, _) in self._guests.items()}
        return self._identity(found[guest_of(request)])

    def looked_up(self, request: bytes) -> bytes:
        """The reply to the look-up of the domain with a UUID; raise KeyError if there is none."""
        return self._identity(request)

    def is_locked(self, request: bytes, about_all: bool) -> bool:
        """Whether a request waits for a lock: it has the UUID of a guest, or is about all."""
        locked = [_uuid(number_of(name)) for name in self.held]
        return bool(locked) and (about_all or any(identity in request for identity in locked))

    def statistics(self, request: bytes) -> bytes | None:
        """The reply to a request for statistics, or None if it is too large.

        The request has guests (none means all), groups (0 means all) and flags.
        """
        wanted, rest = _domains(request)
        groups, flags = struct.unpack_from(">II", rest)
        self.requests.append((groups, flags))
        known = [each for each in wanted or self._guests if each in self._guests]
        selected = self._selected(known, flags)
        body = [struct.pack(">I", len(selected))]
        blocks: dict[tuple[str, bool], bytes] = {}
        for identity in selected:
            name = self._guests[identity][0]
            skipped = self.busy.get(name, 0) > 0
            if name in self.busy:
                self.busy[name] -= 1
            unusual = name in self.special or name in self.off or name in self.states
            kind = (name if unusual else "", skipped)
            if kind not in blocks:
                blocks[kind] = self._block(name, groups, skipped)
            body += self._identity(identity), blocks[kind]
        self.calls += 1
        reply = b"".join(body)
        return reply if len(reply) <= LARGEST else None

    def _identity(self, identity: bytes) -> bytes:
        name, number = self._guests[identity]
        number = -1 if self._state(name) == _SHUT_OFF else number
        name = self.renamed.get(name, name)
        return string(name) + identity + struct.pack(">i", number)

    def _state(self, name: str) -> int:
        return _SHUT_OFF if name in self.off else self.states.get(name, 1)

    def _selected(self, identities: Iterable[bytes], flags: int) -> list[bytes]:
        """Those of these guests that libvirt's filters by activity and by state select."""
        if (activity := flags & (_ACTIVE | _INACTIVE)) in (_ACTIVE, _INACTIVE):
            identities = [
                identity
                for identity in identities
                if (self._state(self._guests[identity][0]) != _SHUT_OFF) == (activity == _ACTIVE)
            ]
        wanted = flags & (sum(_STATE_FILTERS.values()) | _OTHER_STATES)
        if not wanted:
            return list(identities)
        return [
            identity
            for identity in identities
            if wanted & _STATE_FILTERS.get(self._state(self._guests[identity][0]), _OTHER_STATES)
        ]

    def _block(self, name: str, groups: int, skipped: bool) -> bytes:
        state = self._state(name)
        skipped = skipped or state == _SHUT_OFF
        found = [
            replace(parameter, value=state) if parameter.key == "state.state" else parameter
            for parameter in self.special.get(name, self.parameters)
            if (not groups or parameter.group & groups)
            and not (skipped and _MONITOR_KEYS.match(parameter.key))
        ]
        encoded = [parameter.encoded(self.step * self.calls) for parameter in found]
        return struct.pack(">I", len(encoded)) + b"".join(encoded)


def one_guest(xml: str = "<domain/>") -> Crowd:
    """A running guest named "guest", which has only a state."""
    return Crowd(
        1,
        parameters=(Parameter(_STATE, "state.state", INT, 1),),
        documents={guest(1): xml.encode()},
        renamed={guest(1): "guest"},
    )


def guest(number: int) -> str:
    """The name of a guest of a crowd, counted from 1."""
    return f"instance-{number:08x}"


def number_of(name: str) -> int:
    """The number of a guest of a crowd."""
    return int(name.rpartition("-")[2], 16)


def uuid_of(number: int) -> uuid.UUID:
    """The UUID of a guest of a crowd."""
    return uuid.uuid5(uuid.NAMESPACE_OID, str(number))


def _uuid(number: int) -> bytes:
    return uuid_of(number).bytes


def _domains(request: bytes) -> tuple[list[bytes], bytes]:
    """The UUIDs in a list of domains, and the rest of the request."""
    (count,) = struct.unpack_from(">I", request)
    found, at = [], 4
    for _ in range(count):
        (length,) = struct.unpack_from(">I", request, at)
        at += 4 + length + -length % 4
        found.append(request[at : at + 16])
        at += 20
    return found, request[at:]


def string(text: str) -> bytes:
    """A text in XDR."""
    return opaque(text.encode("utf-8", "surrogateescape"))
