"""What libvirt-python raises, translated, with the polkit action that a refused call needs.

Invariant: libvirt's exceptions become LibvirtError here. The table has the calls of this program
that need another right than to read their object, as libvirt's remote_protocol.x says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable

import libvirt

from ..uri import LONGEST_TEXT
from .conceal import conceal
from .errors import LibvirtError, message_of

_OBJECTS = {
    "virDomain": "domain",
    "virStoragePool": "storage-pool",
    "virStorageVol": "storage-vol",
    "virNetwork": "network",
}

_OTHERS = {
    "open": "connect.getattr",
    "listAllDomains": "connect.search-domains",
    "getAllDomainStats": "connect.search-domains",
    "listAllStoragePools": "connect.search-storage-pools",
    "listAllNetworks": "connect.search-networks",
    "listAllVolumes": "storage-pool.search-storage-vols",
    "vcpus": "connect.read",  # libvirt-python counts the host's CPUs first
    "vcpuPinInfo": "connect.read",
    "lookupByUUIDString": "domain.getattr",
    "lookupByName": "domain.getattr",
    "guestInfo": "domain.write",
    "agentSetResponseTimeout": "domain.write",
}


@contextmanager
def translated(
    method: str, kind: str = "virConnect", shown: Callable[[str], str] = conceal
) -> Iterator[None]:
    """Translates the errors of a method of libvirt-python's class ``kind``; a daemon's message may
    have any length."""
    try:
        yield
    except libvirt.libvirtError as error:
        code = error.get_error_code() or 0
        raise LibvirtError(
            code,
            error.get_error_domain() or 0,
            shown((error.get_error_message() or str(error))[:LONGEST_TEXT]),
            max(0, error.get_int1() or 0),
            action=_action(kind, method) if code == libvirt.VIR_ERR_ACCESS_DENIED else "",
        ) from None
    except (UnicodeDecodeError, SystemError) as error:
        if (message := message_of(error)) is not None:
            raise LibvirtError(0, 0, shown(message[:LONGEST_TEXT])) from None
        raise


def _action(kind: str, method: str) -> str:
    """libvirt's access control does not name the action that it refuses."""
    return f"org.libvirt.api.{_OTHERS.get(method) or _OBJECTS.get(kind, 'connect') + '.read'}"
