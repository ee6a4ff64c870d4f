"""Any number of invented guests, which the scripted daemon reports.

The rule: a client sees typical KVM guests. Keys, types and sizes are those of a real daemon, in its
order and within its limits.
"""

from __future__ import annotations

import re
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

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
        head = _string(self.key) + struct.pack(">i", self.kind)
        if isinstance(self.value, str):
            return head + _string(self.value)
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


#: The groups that need a monitor, and the flag that skips a guest whose monitor is in use.
_MONITOR_GROUPS = _CPU | _BALLOON | _VCPU | _BLOCK | _IOTHREAD | _DIRTYRATE | _VM
_NOWAIT = 1 << 29

#: The keys that are missing where a monitor was not asked.
_MONITOR_KEYS = re.compile(
    r"cpu\.haltpoll|balloon\.(?!current|maximum)|vcpu\.\d+\.(halted|.*\.(sum|cur)$)"
    r"|block\.\d+\.(?!name|path|backingIndex)|iothread|dirtyrate|vm\."
)


@dataclass
class Crowd:
    """Guests of one kind; counters grow by `step` between requests. `calls` counts the requests for
    statistics.

    A guest in `stopped` answers no monitor command: the first request that needs its monitor hangs
    and locks it (`locked`); later ones skip it with NOWAIT. `busy` is the number of requests that
    skip a guest because another client uses it. `off` has guests that do not run, `special` guests
    with parameters of their own.
    """

    count: int
    step: int = 0
    parameters: tuple[Parameter, ...] = field(default_factory=lambda: (*_typical(),))
    calls: int = 0
    stopped: set[str] = field(default_factory=set)
    locked: set[str] = field(default_factory=set)
    busy: dict[str, int] = field(default_factory=dict)
    off: set[str] = field(default_factory=set)
    special: dict[str, tuple[Parameter, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Give each guest a name, a UUID and a number."""
        self._guests: dict[bytes, tuple[str, int]] = {}
        for number in range(1, self.count + 1):
            identity = uuid.uuid5(uuid.NAMESPACE_OID, str(number)).bytes
            self._guests[identity] = (guest(number), number)

    def listed(self) -> bytes:
        """The reply to the call that lists all domains."""
        count = struct.pack(">I", self.count)
        return count + b"".join(map(self._identity, self._guests)) + count

    def hangs(self, request: bytes) -> bool:
        """Whether a request hangs at a guest that is stopped, which it then locks."""
        wanted, rest = _domains(request)
        groups, flags = struct.unpack_from(">II", rest)
        if groups and not groups & _MONITOR_GROUPS:
            return False
        for identity in wanted or self._guests:
            name = self._guests[identity][0]
            if name in self.locked and flags & _NOWAIT:
                continue
            if name in self.stopped and name not in self.off:
                self.locked.add(name)
                return True
        return False

    def wake(self) -> None:
        """All guests answer their monitors again."""
        self.stopped.clear()
        self.locked.clear()

    def statistics(self, request: bytes) -> bytes | None:
        """The reply to a request for statistics, or None if it is too large.

        The request has guests (none means all), groups (0 means all) and flags.
        """
        wanted, rest = _domains(request)
        (groups,) = struct.unpack_from(">I", rest)
        body = [struct.pack(">I", len(wanted or self._guests))]
        blocks: dict[tuple[str, bool], bytes] = {}
        for identity in wanted or self._guests:
            name = self._guests[identity][0]
            skipped = name in self.locked or self.busy.get(name, 0) > 0
            if name in self.busy:
                self.busy[name] -= 1
            kind = (name if name in self.special or name in self.off else "", skipped)
            if kind not in blocks:
                blocks[kind] = self._block(name, groups, skipped)
            body += self._identity(identity), blocks[kind]
        self.calls += 1
        reply = b"".join(body)
        return reply if len(reply) <= LARGEST else None

    def _identity(self, identity: bytes) -> bytes:
        name, number = self._guests[identity]
        return _string(name) + identity + struct.pack(">i", -1 if name in self.off else number)

    def _block(self, name: str, groups: int, skipped: bool) -> bytes:
        found = [
            parameter
            for parameter in self.special.get(name, self.parameters)
            if (not groups or parameter.group & groups)
            and not ((skipped or name in self.off) and _MONITOR_KEYS.match(parameter.key))
        ]
        encoded = [parameter.encoded(self.step * self.calls) for parameter in found]
        return struct.pack(">I", len(encoded)) + b"".join(encoded)


def guest(number: int) -> str:
    """The name of a guest of a crowd, counted from 1."""
    return f"instance-{number:08x}"


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


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)
