"""What the scripted daemon answers about the vCPUs of the guests of a crowd.

The rule: replies have the form and the size of those of a real daemon, also for what a client asks
without need.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

NODE_GET_CPU_MAP, GET_INFO, GET_VCPUS, GET_VCPU_PIN_INFO = 293, 16, 20, 230

#: The CPUs of the host; a map with a bit for each; and their numbers.
CPUS = 12
ALL_CPUS = (1 << CPUS) - 1
LISTED_CPUS = ",".join(str(cpu) for cpu in range(CPUS))

#: The vCPUs of a guest.
_FOUR = (0, 1, 2, 3)


@dataclass
class Vcpus:
    """By the name of a guest: the ids of its vCPUs (`ids`) if they are not 0 to 3, and the CPUs
    that each of them may use (`pins`, bits) if that is not every one. The vCPU with the id n runs
    on CPU n + 1. Requests for the vCPUs of the guests in `held` get no answer. `asked` has the
    procedure and the guest of each request. `cpus` is the number of CPUs that the host claims."""

    ids: dict[str, Sequence[int]] = field(default_factory=dict)
    pins: dict[str, Sequence[int]] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    asked: list[tuple[int, str]] = field(default_factory=list)
    cpus: int = CPUS

    def holds(self, procedure: int, request: bytes) -> bool:
        """Whether a request gets no answer."""
        return procedure == GET_VCPUS and guest_of(request) in self.held

    def reply(self, procedure: int, request: bytes, off: bool) -> bytes | None:
        """The reply to a request about a guest; None if it must run and does not."""
        name = guest_of(request)
        self.asked.append((procedure, name))
        ids = self.ids.get(name, _FOUR)
        pins = self.pins.get(name, [ALL_CPUS] * len(ids))
        if procedure == GET_INFO:
            return struct.pack(">IQQIQ", 5 if off else 1, 1 << 20, 1 << 20, len(ids), 0)
        at = 4 + (len(name) + 3) // 4 * 4 + 16 + 4  # the domain: name, UUID and id
        room, width = struct.unpack_from(">ii", request, at)
        maps = b"".join(pin.to_bytes(width, "little") for pin in pins[:room])
        maps = maps.ljust(room * width, b"\0")
        if procedure == GET_VCPU_PIN_INFO:
            return opaque(maps) + struct.pack(">i", min(room, len(ids)))
        if off:
            return None
        records = [struct.pack(">IiQi", number, 1, 1000, number + 1) for number in ids[:room]]
        return struct.pack(">I", len(records)) + b"".join(records) + opaque(maps)


def cpu_map(request: bytes, cpus: int) -> bytes:
    """The reply to the request for the CPUs of the host, which claims so many; it may want no
    map."""
    wants_map, _, _ = struct.unpack_from(">iiI", request)
    return opaque(ALL_CPUS.to_bytes(2, "little") if wants_map else b"") + struct.pack(
        ">Ii", CPUS, cpus
    )


def guest_of(request: bytes) -> str:
    """The name of the guest that a request is about."""
    (length,) = struct.unpack_from(">I", request)
    return request[4 : 4 + length].decode()


def opaque(data: bytes) -> bytes:
    """Bytes of any number in XDR."""
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)
