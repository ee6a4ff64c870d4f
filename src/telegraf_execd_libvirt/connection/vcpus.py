"""The vCPUs of a domain: two calls of one request each, and the keys of ``vcpu_mapping``.

libvirt-python makes three requests for each call: it first asks for the host's CPUs and for the
number of the domain's vCPUs. The caller has both numbers, so this module calls the C functions of
libvirt's library. If that is not possible, it calls libvirt-python.

Invariant: both ways give the same results and raise the same errors. No number of a daemon makes
this program allocate more than libvirt lets through, or read what is not there. The current CPU of
a vCPU is a field beside its other statistics, never alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Optional

from ..domain.record import Stats
from . import api
from .api import Connection, Handle

#: (number, state, CPU time in ns, physical CPU) of each vCPU; and for each vCPU the physical CPUs
#: that it may use, a bit for each.
Vcpus = tuple[list[tuple[int, int, int, int]], list[int]]

#: libvirt's own limits: vCPUs in one answer, CPUs in one map, bytes of all maps.
_MOST_VCPUS, _MOST_CPUS, _MOST_BYTES = 16_384, 16_384, 8_388_608

#: libvirt-python's name for a virDomainPtr.
_DOMAIN = b"virDomainPtr"

#: virVcpuInfo: number, state, CPU time and physical CPU; ``0Q`` pads it as a C compiler does.
_INFO = struct.Struct("IiQi0Q")


def read_cpus(connection: Connection) -> int:
    """The number of the host's CPUs, 0 if it is not known. Raises LibvirtError.

    libvirt-python would read a map of as many CPUs as the daemon says, however short it is.
    """
    if (loaded := _load()) is None:
        return 0
    _, library, pointer = loaded
    result = library.virNodeGetCPUMap(
        pointer(connection.handle._o, b"virConnectPtr"), None, None, 0
    )
    return api.check(result, "virNodeGetCPUMap() failed")


def read_vcpus(handle: Handle, count: int, cpus: int) -> Vcpus:
    """The vCPUs of an active domain that has ``count`` of them, on a host with ``cpus`` CPUs; a
    number that is not known is 0. Raises LibvirtError."""
    if (loaded := _load()) is None or count <= 0 or cpus <= 0:
        found, affinities = api.call(handle, "vcpus")
        return found, [_bits(affinity) for affinity in affinities]
    ctypes, library, pointer = loaded
    count, cpus = _limited(count, cpus)
    info = ctypes.create_string_buffer(count * _INFO.size)
    maps = ctypes.create_string_buffer(count * _width(cpus))
    result = library.virDomainGetVcpus(pointer(handle._o, _DOMAIN), info, count, maps, _width(cpus))
    number = min(api.check(result, "virDomainGetVcpus() failed"), count)
    return [*_INFO.iter_unpack(info.raw[: number * _INFO.size])], _each(maps.raw, number, cpus)


def read_pins(handle: Handle, count: int, cpus: int) -> list[int]:
    """The physical CPUs that each vCPU of a domain may use, a bit for each; the arguments are those
    of :func:`read_vcpus`. Raises LibvirtError."""
    if (loaded := _load()) is None or count <= 0 or cpus <= 0:
        return [_bits(affinity) for affinity in api.call(handle, "vcpuPinInfo")]
    ctypes, library, pointer = loaded
    count, cpus = _limited(count, cpus)
    maps = ctypes.create_string_buffer(count * _width(cpus))
    result = library.virDomainGetVcpuPinInfo(
        pointer(handle._o, _DOMAIN), count, maps, _width(cpus), 0
    )
    number = api.check(result, "virDomainGetVcpuPinInfo() failed")
    return _each(maps.raw, min(number, count), cpus)


def add_mapping(stats: Stats, vcpus: Vcpus) -> None:
    """Adds the affinity of each vCPU of an active domain, and the physical CPU that it is on."""
    for (number, _, _, cpu), affinity in zip(*vcpus):
        if cpus := _listed(affinity):
            stats[f"vcpu_mapping.{number}.affinity"] = cpus
        # Negative numbers mean offline or not known.
        if cpu >= 0 and _has_statistics(stats, number):
            stats[f"vcpu_mapping.{number}.cpu"] = cpu


def pinned(affinities: Iterable[int]) -> Stats:
    """The keys of a domain if only its pinning is known."""
    return {
        f"vcpu_mapping.{number}.affinity": cpus
        for number, affinity in enumerate(affinities)
        if (cpus := _listed(affinity))
    }


@lru_cache(maxsize=4096)
def _listed(affinity: int) -> str:
    """The CPUs of an affinity as text, cached: a host has many CPUs, but few affinities."""
    return ",".join(str(cpu) for cpu in range(affinity.bit_length()) if affinity >> cpu & 1)


def _has_statistics(stats: Stats, number: int) -> bool:
    if f"vcpu.{number}.state" in stats:  # drivers that report a vCPU report its state
        return True
    start = f"vcpu.{number}."
    return any(key.startswith(start) for key in stats)


@lru_cache(maxsize=1)
def _load() -> Optional[tuple[Any, Any, Any]]:
    """ctypes, which costs 0.4 MiB and is loaded when it is needed; the C library, found by way of
    libvirt-python's module, so that it is the same one; and the function that gives libvirt's
    pointer to an object, valid as long as the handle is. Several threads may load them at the same
    time, so they are not those that all of ctypes' users share."""
    if api.EXTENSION is None:
        return None
    try:
        import ctypes

        library = ctypes.CDLL(api.EXTENSION)
        for function in (library.virDomainGetVcpus, library.virDomainGetVcpuPinInfo):
            function.restype = ctypes.c_int
        size, array = ctypes.c_int, ctypes.c_void_p
        library.virNodeGetCPUMap.restype = ctypes.c_int
        library.virNodeGetCPUMap.argtypes = (array, array, array, ctypes.c_uint)
        library.virDomainGetVcpus.argtypes = (array, array, size, array, size)
        library.virDomainGetVcpuPinInfo.argtypes = (array, size, array, size, ctypes.c_uint)
        pointer = ctypes.pythonapi["PyCapsule_GetPointer"]  # a new object, not the attribute
        pointer.restype = ctypes.c_void_p
        pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
    except (AttributeError, ImportError, OSError):  # a Python without libffi has no ctypes
        return None
    return ctypes, library, pointer


def _limited(count: int, cpus: int) -> tuple[int, int]:
    """A number of vCPUs and of CPUs for which libvirt answers."""
    cpus = min(cpus, _MOST_CPUS)
    return min(count, _MOST_VCPUS, _MOST_BYTES // _width(cpus)), cpus


def _width(cpus: int) -> int:
    """The bytes of one map of the host's CPUs."""
    return (cpus + 7) // 8


def _each(maps: bytes, number: int, cpus: int) -> list[int]:
    """The first ``number`` maps, each as a number with a bit for each CPU."""
    width, known = _width(cpus), (1 << cpus) - 1
    return [
        int.from_bytes(maps[start : start + width], "little") & known
        for start in range(0, number * width, width)
    ]


def _bits(affinity: Iterable[bool]) -> int:
    return sum(1 << cpu for cpu, allowed in enumerate(affinity) if allowed)
