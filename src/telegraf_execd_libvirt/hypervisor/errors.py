"""libvirt's errors, sorted: what each means for the connection, and what helps.

Rule guarded: the meaning of an error is looked up here by its code and its domain, nowhere else.
Numbers are libvirt's virErrorNumber and virErrorDomain; this module does not import libvirt.
"""

from __future__ import annotations

import errno
from enum import Enum

from ..uri import driver_and_transport


class Meaning(Enum):
    """What an error means for what is done next."""

    LOST = "the connection is dead or could not be made: connect again"
    DENIED = "access was refused: connect again, slowly"
    WRONG_URI = "the URI cannot work: connect again, slowly"
    UNSUPPORTED = "the driver does not have it: do without it"
    GONE = "the domain is gone or does not run: leave it out"
    BUSY = "the domain is busy: leave it out this time"
    TOO_LARGE = "the answer is larger than libvirt lets through: ask for less at once"
    FAILED = "the call failed: try again next time"


_FROM_RPC = 7

_BY_CODE = {
    3: Meaning.UNSUPPORTED,  # NO_SUPPORT
    5: Meaning.WRONG_URI,  # NO_CONNECT
    6: Meaning.LOST,  # INVALID_CONN
    8: Meaning.UNSUPPORTED,  # INVALID_ARG, the answer to a flag that is not known
    9: Meaning.BUSY,  # OPERATION_FAILED
    29: Meaning.DENIED,  # OPERATION_DENIED
    39: Meaning.TOO_LARGE,  # RPC
    42: Meaning.GONE,  # NO_DOMAIN
    45: Meaning.DENIED,  # AUTH_FAILED
    55: Meaning.GONE,  # OPERATION_INVALID
    68: Meaning.BUSY,  # OPERATION_TIMEOUT
    74: Meaning.UNSUPPORTED,  # ARGUMENT_UNSUPPORTED
    79: Meaning.DENIED,  # AUTH_CANCELLED
    84: Meaning.UNSUPPORTED,  # OPERATION_UNSUPPORTED
    88: Meaning.DENIED,  # ACCESS_DENIED
    94: Meaning.DENIED,  # AUTH_UNAVAILABLE
}
_INTERNAL_ERROR, _SYSTEM_ERROR = 1, 38


class LibvirtError(Exception):
    """An error of libvirt: code, domain, message, and the system's errno where it has one."""

    def __init__(self, code: int, domain: int, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.domain = domain
        self.message = message
        self.errno = number

    @property
    def meaning(self) -> Meaning:
        # These two stand for many things; from the RPC layer they mean the connection.
        if self.code in (_INTERNAL_ERROR, _SYSTEM_ERROR):
            return Meaning.LOST if self.domain == _FROM_RPC else Meaning.FAILED
        return _BY_CODE.get(self.code, Meaning.FAILED)


def advice(error: LibvirtError, uri: str) -> str:
    """What a user can do about a connection that could not be made; empty where unknown."""
    driver, transport = driver_and_transport(uri)
    local = transport in ("", "unix")
    if error.meaning is Meaning.DENIED:
        return _ADVICE_DENIED
    missing = local and error.errno in (errno.ENOENT, errno.ECONNREFUSED)
    if error.meaning is Meaning.WRONG_URI or (missing and driver not in _DRIVERS):
        return f"this libvirt knows no driver {driver!r}; check libvirt_uri"
    if "resolve address" in error.message:
        return "check the host name in libvirt_uri"
    if local and error.errno in (errno.EACCES, errno.EPERM):
        return _ADVICE_SOCKET_CLOSED
    if missing:
        if "?" in uri or "/session" in uri:
            return "is the daemon of that socket running?"
        modular = _SERVICES.get(driver)
        other = f", or {modular}.socket where each driver has its own" if modular else ""
        return f"is the daemon running? systemctl start libvirtd.socket{other}"
    if transport in ("ssh", "libssh", "libssh2"):
        return "does ssh to that host work for this user, without questions?"
    if error.errno == errno.ECONNREFUSED:
        return f"is the daemon of that host listening? systemctl start libvirtd-{transport}.socket"
    if "system bus" in error.message:
        return _ADVICE_NO_BUS
    if "certificate" in error.message:
        return "TLS needs the CA's and this client's certificates; see libvirt.org/kbase/tlscerts"
    return ""


#: The drivers that a daemon can have. The client asks a daemon about every other name as well.
_DRIVERS = frozenset(("qemu", "xen", "lxc", "ch", "vz", "bhyve", "test", "vbox", "openvz"))

#: The daemons of drivers where libvirt runs one for each.
_SERVICES = {"qemu": "virtqemud", "xen": "virtxend", "lxc": "virtlxcd", "ch": "virtchd"}

_ADVICE_NO_BUS = (
    "libvirt asks polkit by way of D-Bus: start both, or set auth_unix_ro to none in libvirtd.conf"
)

_ADVICE_DENIED = (
    "allow this user the polkit action org.libvirt.unix.monitor (a rule in "
    "/etc/polkit-1/rules.d), or put the credentials of a remote hypervisor into libvirt's auth.conf"
)
_ADVICE_SOCKET_CLOSED = (
    "the read-only socket is usually open to everybody: set SocketMode=0666 in "
    'libvirtd-ro.socket, or without socket activation unix_sock_ro_perms = "0777" in '
    "libvirtd.conf; or add this user to the socket's group (usually libvirt)"
)
